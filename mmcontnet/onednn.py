"""What oneDNN, from which torch has its convolutions on a CPU, does here faster than torch's own kernels."""

from typing import Any, Sequence

import torch

# Older versions of torch than 2.4 cannot tell what autocast does.
HAS_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch, 'get_autocast_dtype')
# It applies GELU to what a convolution has just computed.
FUSES_GELU = HAS_ONEDNN and torch.backends.cpu.get_cpu_capability().startswith('AVX')
# It multiplies bfloat16, which torch's fused attention leaves to the BLAS.
HAS_BFLOAT16 = HAS_ONEDNN and torch.ops.mkldnn._is_mkldnn_bf16_supported()

if FUSES_GELU:
    from torch.utils.flop_counter import conv_flop_count, flop_registry, register_flop_formula

    if torch.ops.mkldnn._convolution_pointwise not in flop_registry:

        @register_flop_formula(torch.ops.mkldnn._convolution_pointwise)
        def count_flops(image: Sequence[int], kernel: Sequence[int], *args: Any, out_shape: Sequence[int]) -> int:
            """What torch's counter counts for a convolution, which it does not know under this name."""
            return conv_flop_count(image, kernel, out_shape)
