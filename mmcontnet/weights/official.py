"""Converting checkpoints of the authors' release."""

import math
import re
from typing import Any, Dict

import torch
from torch import Tensor

from ..models import ConTNet
from ..models.arch import ARCHS, NUM_STAGES, Arch, name_arch
from .comparison import compare, first_few, format_problems
from .pretrained import is_official

# Buffers that can be derived, and those that a profiler (thop) leaves behind.
_IGNORED = ('relative_position_index', 'total_ops', 'total_params')

_NAMES = (
    (r'^layer0\.conv\.conv\.', 'backbone.stem.0.'),
    (r'^layer0\.conv_bn(\d)\.conv\.', lambda match: f'backbone.stem.{3 * int(match[1]) - 3}.'),
    (r'^layer0\.conv_bn(\d)\.bn\.', lambda match: f'backbone.stem.{3 * int(match[1]) - 2}.'),
    (r'^layer(\d)\.ConTBlock(\d+)\.', lambda match: f'backbone.stages.{int(match[1]) - 1}.{match[2]}.'),
    (r'\.ste(\d)\.', lambda match: f'.encoders.{int(match[1]) - 1}.'),
    (r'\.pe\.0$', '.position.rows'),
    (r'\.pe\.1$', '.position.columns'),
    (r'\.attn\.relative_position_bias_table$', '.position.table'),
    (r'(\.\d+)\.bn\.', r'\1.norm.'),
    (r'\.out_conv\.conv\.', '.conv.'),
    (r'\.downsample\.conv\.conv\.', '.shortcut.1.'),
    (r'\.downsample\.conv\.', '.shortcut.'),
    (r'^fc\.', 'head.fc.'),
)

# At least; a whole file is not built from a few names.
_WEIGHTS_OF_A_BLOCK = 20
_CLASSIFIER = ('head.fc.weight', 'head.fc.bias')


def convert_official(checkpoint: Dict[str, Any]) -> Dict[str, Tensor]:
    """Converts the weights of the authors' release.

    Args:
        checkpoint (dict): A checkpoint of the release's training script, or a state dict as its authors shared them,
            with or without a prefix such as ``'module.'``, with or without a classifier.

    Returns:
        dict[str, Tensor]: A state dict whose names begin with ``'backbone.'`` and, for the classifier, ``'head.fc.'``.

    Raises:
        ValueError: It holds no ConTNet, or names or shapes that are not the release's; the message lists them.
    """
    official = _official_state_dict(checkpoint)
    converted = {}
    for key, value in official.items():
        name = key
        for pattern, replacement in _NAMES:
            name = re.sub(pattern, replacement, name)
        converted[name] = value.squeeze(0) if re.search(r'position\.(rows|columns)$', name) else value

    settings = infer_settings(converted)
    with torch.device('meta'):
        expected = {f'backbone.{key}': value for key, value in ConTNet(**settings).state_dict().items()}
    if any(key.startswith('head.') for key in converted):
        classes = max(
            (len(converted[key]) for key in _CLASSIFIER if key in converted and converted[key].dim()), default=0
        )
        channels = 2 * expected['backbone.stages.3.0.norm.weight'].shape[0]
        shapes = ((classes, channels), (classes,))
        expected.update((key, torch.empty(shape, device='meta')) for key, shape in zip(_CLASSIFIER, shapes))
    problems = compare(expected, converted)
    if problems:
        raise ValueError(
            f"the checkpoint does not match the authors' release, read as ConTNet({settings}): "
            f'{format_problems(problems)}'
        )
    return converted


def infer_settings(state_dict: Dict[str, Tensor]) -> Dict[str, Any]:
    """Reads the arguments of the backbone from converted weights.

    ``pre_norm``, the dropout rates and, with absolute positions, the numbers of heads leave no trace in the weights;
    they are taken from the variant of the same sizes, or else from the defaults.

    Args:
        state_dict (dict[str, Tensor]): What :func:`convert_official` returns.

    Returns:
        dict: Keyword arguments of :class:`mmcontnet.ConTNet`.

    Raises:
        ValueError: The weights are not those of a whole ConTNet.
    """
    weights = {key[len('backbone.') :]: value for key, value in state_dict.items() if key.startswith('backbone.')}
    relative = 'stages.0.0.encoders.0.position.table' in weights
    deep = 'stem.3.weight' in weights
    try:
        arch = _infer_arch(weights, relative, width=weights['stem.6.weight' if deep else 'stem.0.weight'].shape[0])
        in_channels = weights['stem.0.weight'].shape[1]
    except KeyError as error:
        raise ValueError(f'the checkpoint holds no whole ConTNet: {error.args[0]} is missing') from None
    except (IndexError, ValueError) as error:
        raise ValueError(f'the checkpoint holds no ConTNet, its weights have impossible shapes: {error}') from None
    return dict(
        arch=name_arch(arch),
        in_channels=in_channels,
        stem='deep' if deep else 'conv',
        position='relative' if relative else 'absolute',
        qkv_bias='stages.0.0.encoders.0.attn.qkv.bias' in weights,
        avg_down=any(key.endswith('.shortcut.1.weight') for key in weights),
    )


def _official_state_dict(checkpoint: Dict[str, Any]) -> Dict[str, Tensor]:
    """The release's own names and weights, out of whatever is around them."""
    containers = [key for key in ('model', 'state_dict') if isinstance(checkpoint.get(key), dict)]
    if len(containers) > 1:
        raise ValueError('the checkpoint holds both model and state_dict; save the one to convert in a file of its own')
    for container in containers:
        checkpoint = checkpoint[container]
    names = [str(key) for key in checkpoint]
    anchors = [name for name in names if re.search(r'(^|\.)layer0\.', name)]
    if not anchors or not is_official(checkpoint):
        if any(re.search(r'(^|\.)stages\.0\.0\.encoders\.', name) for name in names):
            raise ValueError('the checkpoint is converted already: its names are those of this package')
        raise ValueError(
            "the checkpoint holds no ConTNet of the authors' release (layer0, layer1.ConTBlock0, ...); it has "
            f'[{first_few(names)}]'
        )
    wrong = [key for key, value in checkpoint.items() if not (isinstance(key, str) and torch.is_tensor(value))]
    if wrong:
        raise ValueError(f'the checkpoint holds something else than named tensors: {first_few(wrong)}')
    prefix = anchors[0][: anchors[0].rindex('layer0.')]
    return {
        key[len(prefix) :] if key.startswith(prefix) else key: value
        for key, value in checkpoint.items()
        if not key.endswith(_IGNORED)
    }


def _infer_arch(weights: Dict[str, Tensor], relative: bool, width: int) -> Arch:
    first_blocks = [f'stages.{stage}.0.encoders' for stage in range(NUM_STAGES)]
    sizes: Dict[str, Any] = dict(
        width=width,
        depths=tuple(_count(weights, f'stages.{stage}') for stage in range(NUM_STAGES)),
        mlp_widths=tuple(weights[f'{block}.0.mlp.fc1.weight'].shape[0] for block in first_blocks),
        patch_sizes=tuple(
            tuple(_patch_size(weights, f'{block}.{i}.position') for i in range(2)) for block in first_blocks
        ),
    )
    if sum(sizes['depths']) * _WEIGHTS_OF_A_BLOCK > len(weights):
        raise ValueError(f'it claims {sum(sizes["depths"])} blocks and has {len(weights)} weights')
    if relative:
        sizes['heads'] = tuple(weights[f'{block}.0.position.table'].shape[1] for block in first_blocks)
    for known in ARCHS.values():
        if all(getattr(known, field) == value for field, value in sizes.items()):
            return known
    return Arch(**sizes)


def _count(weights: Dict[str, Tensor], stage: str) -> int:
    return len({key.split('.')[2] for key in weights if key.startswith(f'{stage}.')})


def _patch_size(weights: Dict[str, Tensor], position: str) -> int:
    if f'{position}.table' in weights:
        return (math.isqrt(weights[f'{position}.table'].shape[0]) + 1) // 2
    return weights[f'{position}.rows'].shape[0]
