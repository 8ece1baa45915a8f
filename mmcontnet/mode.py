"""In which mode torch runs a network."""

import torch

# Older versions of torch cannot tell.
is_compiling = getattr(torch.compiler, 'is_compiling', lambda: False)
is_exporting = getattr(torch.compiler, 'is_exporting', lambda: False)


def is_inference() -> bool:
    """Whether no backward pass follows. A trace is made for that, with or without gradients."""
    return not torch.is_grad_enabled() or torch.jit.is_tracing()
