"""Models by name, and the parameters and multiply-accumulates of their forward and backward passes."""

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple, Sequence

import torch
from mmdet.testing import demo_mm_proposals
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from .. import ops  # noqa: F401 (registers the operators)
from ..commands import about
from ..models.arch import ARCHS
from ..toolboxes import TOOLBOXES, read_config
from ..weights.pretrained import is_pretrained

BACKBONES = {
    **{f'cont{arch}': dict(type='ConTNet', arch=arch) for arch in ARCHS},
    'r18': dict(type='mmdet.ResNet', depth=18, norm_eval=False),
    'r50': dict(type='mmdet.ResNet', depth=50, norm_eval=False),
    'r101': dict(type='mmdet.ResNet', depth=101, norm_eval=False),
    'swin_t': dict(type='mmdet.SwinTransformer'),
}
PROPOSALS = 1000


class Macs(NamedTuple):
    """Multiply-accumulates of convolutions and matrix products: all of them, and those of attention's two products."""

    total: int
    attention: int


def build(name: str) -> nn.Module:
    """Builds a model with random weights, in evaluation mode and with the batch norms of a single process.

    Args:
        name (str): A name in :data:`BACKBONES`, with ``+cp`` at its end where the backward pass is to compute again
            what it needs (``with_cp``); or a config, as a file or as ``'mmdet::fcos/fcos_r50-caffe_fpn_1x_coco.py'``.
            A segmentor's auxiliary head is left out.

    Raises:
        ValueError: There is no such model.
    """
    with_cp = name.endswith('+cp')
    backbone = name[:-3] if with_cp else name
    if backbone in BACKBONES:
        model = MODELS.build(dict(BACKBONES[backbone], with_cp=with_cp))
    else:
        cfg = _read_config(name)
        cfg.model.pop('auxiliary_head', None)
        if is_pretrained(cfg.model):
            cfg.model.pop('pretrained', None)
            cfg.model.backbone.pop('init_cfg', None)
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model)
    model = revert_sync_batchnorm(model)
    model.train(False)  # The ResNet of mmdet returns nothing here.
    return model


def _read_config(name: str) -> Config:
    toolbox, separator, _ = name.partition('::')
    if not (separator or Path(name).is_file()):
        raise ValueError(f'there is no model {name!r}; expected one of {", ".join(BACKBONES)}, or a config')
    if separator and not (toolbox in TOOLBOXES and find_spec(toolbox)):  # get_config would install it.
        raise ValueError(f'{name}: {toolbox} is not installed')
    with about(name):
        cfg = get_config(name) if separator else read_config(name)
        if not {'model', 'default_scope'} <= set(cfg):
            raise ValueError('it sets no model or no default_scope')
    return cfg


def bind(model: nn.Module, images: Tensor) -> Callable[[], Any]:
    """The model's forward pass on some images, without what turns its outputs into results.

    Of a detector of two stages the second sees 1000 given proposals for each image, so that its cost does not depend
    on the weights.

    Args:
        model (nn.Module): From :func:`build`.
        images (Tensor): (B, 3, H, W).

    Returns:
        Callable: Takes nothing and returns the outputs, nested lists and tuples of tensors.
    """
    if not hasattr(model, 'roi_head'):
        return lambda: model(images)
    proposals = demo_mm_proposals([images.shape[1:]] * len(images), PROPOSALS, images.device)

    def forward() -> Any:
        maps = model.extract_feat(images)
        return model.rpn_head(maps), model.roi_head(maps, proposals)

    return forward


def tensors(outputs: Any) -> Iterator[Tensor]:
    """The tensors in nested lists and tuples."""
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, (list, tuple)):
        for part in outputs:
            yield from tensors(part)


def on_meta(model: nn.Module) -> nn.Module:
    """A copy on torch's ``meta`` device, which computes shapes alone: counted in no time, whatever the model's size.

    RoIAlign, which has no matrix product, is replaced by the shape of what it returns; mmcv has none for this device.
    """
    model = copy.deepcopy(model).to('meta')
    for extractor in model.modules():
        if hasattr(extractor, 'roi_layers'):
            extractor.forward = _region_shapes(extractor.out_channels, extractor.roi_layers[0].output_size)
    return model


def _region_shapes(channels: int, size: Sequence[int]) -> Callable[[Sequence[Tensor], Tensor], Tensor]:
    return lambda maps, regions: maps[0].new_empty(len(regions), channels, *size)


def count_parameters(model: nn.Module) -> int:
    """How many numbers the model learns."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_macs(run: Callable[[], Any]) -> Macs:
    """Counts the multiply-accumulates of a run on the ``meta`` device.

    There, torch computes the attention of other networks as two batched products, and nothing else in these networks is
    one: linear layers are plain products and convolutions.
    """
    with FlopCounterMode(display=False) as counter:
        run()
    flops = counter.get_flop_counts()['Global']
    attention = sum(
        count for operator, count in flops.items() if operator is torch.ops.aten.bmm or 'attention' in operator.__name__
    )
    # A multiply-accumulate is two floating-point operations.
    return Macs(sum(flops.values()) // 2, attention // 2)
