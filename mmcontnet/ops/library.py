"""The operators of this package in torch's dispatcher, ``torch.ops.mmcontnet``.

To the compiler, to counters of operations and to profilers each is a single node. They are for torch's tensors on all
devices. Not ``torch.library.custom_op``, which takes a millisecond a call.
"""

from typing import Any, Callable, Optional

import torch
from torch.library import Library
from torch.utils.flop_counter import register_flop_formula

Function = Callable[..., Any]

_LIBRARY = Library('mmcontnet', 'DEF')


def register(
    schema: str,
    function: Function,
    fake: Function,
    cpu: Optional[Function] = None,
    gpu: Optional[Function] = None,
    flops: Optional[Function] = None,
) -> None:
    """Registers an operator.

    Args:
        schema (str): Its name and arguments, such as ``'double(Tensor x) -> Tensor'``.
        function (Callable): Computes it, without a backward pass.
        fake (Callable): Takes the same arguments and returns empty tensors of the right shapes.
        cpu (Callable | None): Computes it on a CPU. Defaults to None, ``function``.
        gpu (Callable | None): Computes it on a GPU. Defaults to None, ``function``.
        flops (Callable | None): Takes the shapes of the arguments and returns the floating-point operations. Defaults
            to None, what torch counts in ``function``.
    """
    name = _LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _LIBRARY.impl(name, function, 'CompositeExplicitAutograd')
    for device, form in (('CPU', cpu), ('CUDA', gpu)):
        if form is not None:
            _LIBRARY.impl(name, form, device)
    describe(name, fake, flops)


def describe(name: str, fake: Function, flops: Optional[Function] = None) -> None:
    """Tells torch of an operator, here or in C++, what :func:`register` says of ``fake`` and ``flops``."""
    torch.library.register_fake(f'mmcontnet::{name}', fake, lib=_LIBRARY)
    if flops is not None:
        register_flop_formula(getattr(torch.ops.mmcontnet, name))(flops)


def register_backward(name: str, save: Function, backward: Function) -> None:
    """Gives an operator a backward pass.

    Args:
        name (str): Name of the operator.
        save (Callable): ``save(ctx, inputs, output)`` keeps what the backward pass reads.
        backward (Callable): ``backward(ctx, *gradients)`` returns a gradient or None for each argument.
    """
    torch.library.register_autograd(f'mmcontnet::{name}', backward, setup_context=save, lib=_LIBRARY)
