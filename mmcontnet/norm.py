"""Building the norms between the convolutions."""

from typing import Any, Dict

from mmcv.cnn import build_norm_layer
from torch import nn


def build_norm(norm_cfg: Dict[str, Any], channels: int) -> nn.Module:
    """Builds the norm of so many channels.

    Raises:
        ValueError: ``norm_cfg`` is no config of a norm, or none for so many channels.
    """
    try:
        return build_norm_layer(norm_cfg, channels)[1]
    except (AssertionError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"norm_cfg is {norm_cfg!r}; expected a norm of {channels} channels, as dict(type='BN') or "
            f"dict(type='GN', num_groups=8): {error!r}"
        ) from error
