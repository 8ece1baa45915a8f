"""How the network is computed: functions of tensors, each with the forms that it takes on different targets.

:mod:`~mmcontnet.ops.target` chooses between the forms.
"""

from .attention import patch_attention
from .layers import conv2d, linear, mlp
from .position import tile
from .strips import in_strips

__all__ = ['conv2d', 'in_strips', 'linear', 'mlp', 'patch_attention', 'tile']
