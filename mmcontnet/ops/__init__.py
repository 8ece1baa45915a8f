"""How the network is computed: functions of tensors, each with the forms that it takes on different targets.

:mod:`~mmcontnet.ops.target` chooses between the forms.
"""

from .attention import patch_attention
from .encoder import attention_layer, fuses_attention, fuses_mlp, mlp_layer
from .layers import conv2d, linear, mlp
from .norm import add_layer_norm
from .position import add_tiled
from .strips import in_strips

__all__ = [
    'add_layer_norm',
    'add_tiled',
    'attention_layer',
    'conv2d',
    'fuses_attention',
    'fuses_mlp',
    'in_strips',
    'linear',
    'mlp',
    'mlp_layer',
    'patch_attention',
]
