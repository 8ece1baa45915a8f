"""Norms between the convolutions, by config."""

import warnings
from importlib.util import find_spec
from typing import Any, Dict

import torch
from torch import nn

if find_spec('mmcv'):
    from mmcv.cnn import build_norm_layer
else:
    build_norm_layer: Any = None  # type: ignore[no-redef]
# What configs can name where mmcv, which knows more, is not installed.
NORMS = dict(BN=nn.BatchNorm2d, BN2d=nn.BatchNorm2d, SyncBN=nn.SyncBatchNorm, GN=nn.GroupNorm)


def build_norm(norm_cfg: Dict[str, Any], channels: int) -> nn.Module:
    """Builds the norm of so many channels, and tries it.

    Raises:
        ValueError: ``norm_cfg`` is no config of a norm of maps, or none for so many channels.
    """
    try:
        with torch.device('cpu'), torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings('error', "input's size")  # All that IN3d has to say of maps.
            trial: Any = _build(norm_cfg, channels).eval()
            finite = trial(torch.zeros(1, channels, 2, 2)).isfinite().all()
        momentum = getattr(trial, 'momentum', None)
        if not finite or not 0 < trial.eps < float('inf') or not (momentum is None or 0 <= momentum <= 1):
            raise ValueError(f'eps is {trial.eps!r}, momentum is {momentum!r}')
        return _build(norm_cfg, channels)
    except Exception as error:  # Norms raise anything.
        raise ValueError(
            f"norm_cfg is {norm_cfg!r}; expected a norm of maps with {channels} channels, as dict(type='BN') or "
            f"dict(type='GN', num_groups=8): {error!r}"
        ) from error


def _build(norm_cfg: Dict[str, Any], channels: int) -> nn.Module:
    if build_norm_layer is not None:
        return build_norm_layer(norm_cfg, channels)[1]
    arguments = dict(norm_cfg)
    kind = arguments.pop('type')
    requires_grad = arguments.pop('requires_grad', True)
    if kind not in NORMS:
        raise ValueError(
            f'type is {kind!r}; expected one of {", ".join(NORMS)}, or a norm of mmcv, which is not installed'
        )
    places = dict(num_channels=channels) if kind == 'GN' else dict(num_features=channels)
    norm = NORMS[kind](**places, **arguments)
    norm.requires_grad_(requires_grad)
    return norm
