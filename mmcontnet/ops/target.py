"""Chooses how a function is computed, by device, grad mode, compiler and exporter; a form says what it supports."""

from enum import Enum, auto
from typing import Any, Optional, Tuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

# What torch.compiler.is_exporting() returns; up to torch 2.12 the compiler took that function itself for True in all
# graphs. Before torch 2.7 an exporter says that it compiles.
_EXPORTING = '_is_exporting_flag' if hasattr(torch.compiler, '_is_exporting_flag') else '_is_compiling_flag'

# oneDNN, from which torch has its convolutions on a CPU, multiplies bfloat16 by the instructions for it, which torch's
# fused attention does not.
HAS_BFLOAT16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()


class Target(Enum):
    """Where a function runs.

    ============  ==================  ===========  ================  ===============  ==============  =========
    target        attention           convolution  linear layer      MLP              sum and norm    strips
    ============  ==================  ===========  ================  ===============  ==============  =========
    EXPORT        padded              torch's      torch's           torch's          torch's         no
    CPU_COMPILER  operator            operator     operator (conv.)  operator (inf.)  torch's         no
    GPU_COMPILER  operator            operator     torch's           operator (inf.)  torch's         no
    CPU           C++, or rectangles  torch's      as a convolution  GELU in C++      torch's         inference
    META          operator            torch's      torch's           torch's          torch's         no
    GPU           Triton, or padded   torch's      torch's (*)       Triton (inf.)*   Triton          no
    ============  ==================  ===========  ================  ===============  ==============  =========

    (*) In training with a backward pass of this package. MLPs in Triton are for few channels. In inference on GPUs,
    compiled or not, whole layers of few channels, from the position or the MLP to the norm, are one operator.

    An operator, ``torch.ops.mmcontnet``, is a single node to the compiler, to counters and to profilers.
    """

    EXPORT = auto()  # torch.export, torch.onnx and torch.jit.trace: runs where this package is not installed
    CPU_COMPILER = auto()  # torch.compile
    GPU_COMPILER = auto()
    CPU = auto()
    META = auto()  # only shapes
    GPU = auto()  # any other device


COMPILERS = (Target.CPU_COMPILER, Target.GPU_COMPILER)


def target(x: Tensor) -> Target:
    """Where what takes ``x`` runs."""
    if getattr(torch.compiler, _EXPORTING) or torch.jit.is_tracing():
        return Target.EXPORT
    device = x.device.type
    if torch.compiler.is_dynamo_compiling():  # is_compiling() would hold in all threads while one compiles.
        return Target.CPU_COMPILER if device == 'cpu' else Target.GPU_COMPILER
    return {'cpu': Target.CPU, 'meta': Target.META}.get(device, Target.GPU)


def is_inference() -> bool:
    """Whether no derivatives are wanted, backward or forward."""
    return not torch.is_grad_enabled() and forward_ad._current_level < 0


def autocast(x: Tensor, *others: Optional[Tensor]) -> Tuple[Any, ...]:
    """The tensors in the type that autocast gives a matrix product; as they are where autocast is off."""
    device = x.device.type
    # Autocast knows no meta device. Compilers before torch 2.13 stop at torch.amp.is_autocast_available().
    if device == 'meta' or not torch.is_autocast_enabled(device) or x.dtype == torch.float64:
        return (x, *others)
    dtype = torch.get_autocast_dtype(device)
    return tuple(None if tensor is None else tensor.to(dtype) for tensor in (x, *others))
