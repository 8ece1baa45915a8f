"""What oneDNN, from which torch has its convolutions on a CPU, can do here that torch's own kernels do more slowly."""

import torch

# Apply GELU to what a convolution has just computed.
FUSES_GELU = (
    hasattr(torch, 'get_autocast_dtype')
    and torch.backends.mkldnn.is_available()
    and torch.backends.cpu.get_cpu_capability().startswith('AVX')
)
# Multiply bfloat16, which torch's fused attention leaves to the BLAS.
HAS_BFLOAT16 = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
