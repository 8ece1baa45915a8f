"""Writes the config of a model for a user's own data: what differs from one of ours, with the files that it needs."""

import json
import math
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from mmengine.config import Config

from ..base_configs import find_base_config
from ..toolboxes import read_config
from .config_text import (
    BASES,
    RESNETS,
    TITLES,
    Recipe,
    find_typical_size,
    list_channels,
    name_network,
    quote,
    write_backbone,
    write_head,
    write_learning_rate,
    write_metainfo,
    write_path,
)
from .findings import Findings, collect
from .formats.class_folders import read_class_folders, split_classes
from .formats.coco import read_coco
from .formats.common import SEED, Paths, list_files
from .formats.detection import DetectionSplit, check_counts, split_by_chance
from .formats.label_maps import read_label_maps, split_maps
from .formats.voc import read_voc
from .formats.yolo import find_description, read_yolo

HEADS = {
    'retinanet': 'bbox_head=dict(num_classes={})',
    'fcos': 'bbox_head=dict(num_classes={})',
    'faster_rcnn': 'roi_head=dict(bbox_head=dict(num_classes={}))',
    'mask_rcnn': 'roi_head=dict(bbox_head=dict(num_classes={0}), mask_head=dict(num_classes={0}))',
}
PSPNET_BATCH = 8  # 4 GPUs with 2 images each, as the name of its base says.
PSPNET_EPOCHS = 100  # About as many as 40000 steps are on Cityscapes.
LARGEST_CROP = 224
SMALLEST_SIZE = 64  # At 32 pixels the last map is a single one, and batch norms fail on a batch of one image.
READERS = {'COCO JSON': read_coco, 'Pascal VOC XML': read_voc, 'YOLO': read_yolo}


class Output(NamedTuple):
    """The texts of the config and of the files that it needs by their paths, and lines about them for the user."""

    files: Dict[Path, str]
    notes: List[str]


def make_config(recipe: Recipe, paths: Paths, out: Path) -> Findings[Output]:
    """Reads the data and writes the texts of all files; yields what is wrong or doubtful.

    Args:
        recipe (Recipe): What to train.
        paths (Paths): The data.
        out (Path): Where the config will be; other files get its name with an addition.

    Returns:
        Output | None: None where the data cannot be used, which the findings say.

    Raises:
        ValueError: The layout cannot be told, a folder is missing, or the options do not fit.
    """
    maker = {'pspnet': _make_segmentor, 'classifier': _make_classifier}.get(recipe.model, _make_detector)
    return (yield from maker(recipe, paths, out))


def _unless_wrong(reading: Findings[Any]) -> Findings[Any]:
    """Returns what was read, or None where something in it is wrong."""
    result, findings = collect(reading)
    yield from findings
    return result if all(finding.harmless for finding in findings) else None


def _read_base(recipe: Recipe) -> Config:
    return read_config(str(find_base_config(BASES[recipe.model])))


def find_reader(paths: Paths) -> Any:
    """The reader of boxes for the layout of a folder.

    Raises:
        ValueError: The folder holds none of the layouts, or several.
    """
    found = []
    if find_description(paths.root) and not paths.train_ann:
        found.append('YOLO')
    if paths.train_ann and paths.train_ann.is_file() and paths.train_ann.suffix == '.json':
        return read_coco
    if paths.train_ann:
        return read_voc
    if list_files(paths.root, ('.xml',)):
        found.append('Pascal VOC XML')
    if list_files(paths.root, ('.json',)):
        found.append('COCO JSON')
    if len(found) > 1:
        raise ValueError(f'{paths.root} holds {" and ".join(found)}; say by --train-ann which annotations to take')
    if not found:
        raise ValueError(f'{paths.root} holds no boxes; expected COCO JSON, Pascal VOC XML, or YOLO with its data.yaml')
    return READERS[found[0]]


def _make_detector(recipe: Recipe, paths: Paths, out: Path) -> Findings[Output]:
    reader = find_reader(paths)
    if recipe.model == 'mask_rcnn' and reader is read_voc:
        raise ValueError('Mask R-CNN needs masks, and Pascal VOC XML holds boxes only; use COCO JSON or YOLO polygons')
    splits: Optional[Dict[str, DetectionSplit]] = yield from _unless_wrong(reader(paths))
    if splits is None:
        return None
    is_split = 'val' not in splits
    if is_split and paths.val_images:
        raise ValueError(f'--val-images {paths.val_images}: there are no annotations for them; say --val-ann')
    if is_split:
        splits = split_by_chance(splits['train'])
    yield from check_counts(splits)
    base = _read_base(recipe)
    files = {}
    annotations = {}
    for name, split in splits.items():
        annotations[name] = split.file or out.with_name(f'{out.stem}_{name}.json')
        if split.file is None:
            files[annotations[name]] = json.dumps(split.content)
    train, val = splits['train'], splits['val']
    batch, epochs = _choose(recipe, base.train_dataloader.batch_size, base.train_cfg.max_epochs)
    steps = math.ceil(len(train.sizes) / batch)
    milestones = sorted({max(1, round(epochs / base.train_cfg.max_epochs * m)) for m in _milestones(base)})
    lr, base_batch = base.optim_wrapper.optimizer.lr, base.auto_scale_lr.base_batch_size
    resize = [
        next(n for n, part in enumerate(base[p]) if part.type == 'Resize') for p in ('train_pipeline', 'test_pipeline')
    ]
    largest = base.train_pipeline[resize[0]].scale
    scale = find_typical_size(train.sizes, max(largest), min(largest))
    scale = tuple(side * math.ceil(SMALLEST_SIZE / max(scale)) for side in scale)
    smallest = base.train_dataloader.dataset.filter_cfg.min_size
    small = 'filter_cfg=dict(min_size=1), ' if min(map(min, train.sizes)) < smallest else ''
    channels = list_channels(recipe.arch)
    lines = [
        *write_head(recipe, paths, out),
        *write_metainfo(train.classes),
        f'train = dict(ann_file={write_path(annotations["train"])}, data_prefix=dict(img={write_path(train.images)}))',
        f'val = dict(ann_file={write_path(annotations["val"])}, data_prefix=dict(img={write_path(val.images)}))',
        f'scale = {scale}  # of most images: long and short side',
        f'batch_size = {batch}  # on each GPU',
        f'max_epochs = {epochs}',
        '',
        'model = dict(',
        *write_backbone(recipe),
        *([f'    neck=dict(in_channels={channels}),'] if channels != list_channels('m') else []),
        f'    {HEADS[recipe.model].format(len(train.classes))},',
        ')',
        '',
        'train_pipeline = _base_.train_pipeline',
        f'train_pipeline[{resize[0]}].scale = scale',
        'test_pipeline = _base_.test_pipeline',
        f'test_pipeline[{resize[1]}].scale = scale',
        'train_dataloader = dict(',
        '    batch_size=batch_size,',
        *(['    # mmdet leaves images below 32 pixels out.'] if small else []),
        f"    dataset=dict(data_root='', metainfo=metainfo, pipeline=train_pipeline, {small}**train),",
        ')',
        "val_dataloader = dict(dataset=dict(data_root='', metainfo=metainfo, pipeline=test_pipeline, **val))",
        'test_dataloader = val_dataloader',
        "val_evaluator = dict(ann_file=val['ann_file'])",
        'test_evaluator = val_evaluator',
        '',
        *write_learning_rate(lr, base_batch),
        'train_cfg = dict(max_epochs=max_epochs)',
        'param_scheduler = _base_.param_scheduler',
        f'param_scheduler[0].end = {max(2, min(steps, base.param_scheduler[0].end))}  # steps of warm-up',
        f'param_scheduler[1].update(end=max_epochs, milestones={milestones})',
        'default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))',
    ]
    files[out] = '\n'.join(lines) + '\n'
    counts = [f'{len(part.sizes)} images with {len(part.content["annotations"])} objects' for part in (train, val)]
    notes = _notes(recipe, train.classes, counts, is_split, batch, epochs, lr * batch / base_batch)
    return Output(files, notes)


def _make_segmentor(recipe: Recipe, paths: Paths, out: Path) -> Findings[Output]:
    data = yield from _unless_wrong(read_label_maps(paths))
    if data is None:
        return None
    splits = data.splits
    is_split = 'val' not in splits
    if is_split:
        splits = split_maps(splits['train'])
    base = _read_base(recipe)
    batch, epochs = _choose(recipe, base.train_dataloader.batch_size, PSPNET_EPOCHS)
    if batch < 2:
        raise ValueError('--batch 1: PSPNet normalizes maps of one pixel, which takes 2 images at least')
    steps = epochs * math.ceil(len(splits['train'].names) / batch)
    crop = base.crop_size
    scale = find_typical_size(splits['train'].sizes, 2048, 1024, landscape=False)
    crop = (min(crop[0], scale[1]), min(crop[1], scale[0]))
    lr, channels, count = base.optim_wrapper.optimizer.lr, list_channels(recipe.arch), len(data.classes)
    files, parts = {}, []
    for name, split in splits.items():
        listed = ''
        if split.is_part:
            path = out.with_name(f'{out.stem}_{name}.txt')
            files[path] = _write_list(split.names)
            listed = f'ann_file={write_path(path)}, '
        parts += [
            f'{name} = dict(',
            f'    {listed}img_suffix={quote(split.image_suffix)}, seg_map_suffix={quote(split.map_suffix)},',
            f'    data_prefix=dict(img_path={write_path(split.images)}, seg_map_path={write_path(split.maps)}),',
            ')',
        ]
    dataset = "dataset=dict(type='BaseSegDataset', data_root='', metainfo=metainfo, pipeline={}_pipeline, **{})"
    lines = [
        *write_head(recipe, paths, out),
        *write_metainfo(data.classes),
        *parts,
        f'scale = {scale}  # of most images: width and height',
        f'crop_size = {crop}  # height and width',
        f'batch_size = {batch}  # on each GPU',
        f'max_iters = {steps}  # {epochs} epochs',
        '',
        'model = dict(',
        '    data_preprocessor=dict(size=crop_size),',
        *write_backbone(recipe),
    ]
    other = channels != list_channels('m')
    inputs = (f'in_channels={channels[3]}, ', f'in_channels={channels[2]}, ') if other else ('', '')
    lines += [
        f'    decode_head=dict({inputs[0]}num_classes={count}),',
        f'    auxiliary_head=dict({inputs[1]}num_classes={count}),',
        ')',
        '',
        'train_pipeline = _base_.train_pipeline',
        'train_pipeline[2].scale = scale',
        'train_pipeline[3].crop_size = crop_size',
        'test_pipeline = _base_.test_pipeline',
        'test_pipeline[1].scale = scale',
        'train_dataloader = dict(',
        '    batch_size=batch_size,',
        f'    {dataset.format("train", "train")},',
        ')',
        'val_dataloader = dict(',
        f'    {dataset.format("test", "val")},',
        ')',
        'test_dataloader = val_dataloader',
        '',
        *write_learning_rate(lr, PSPNET_BATCH),
        'train_cfg = dict(max_iters=max_iters, val_interval=max(1, max_iters // 10))',
        'param_scheduler = _base_.param_scheduler',
        'param_scheduler[0].end = max_iters',
        "default_hooks = dict(checkpoint=dict(interval=train_cfg['val_interval'], max_keep_ckpts=3))",
    ]
    files[out] = '\n'.join(lines) + '\n'
    counts = [f'{len(split.names)} images' for split in splits.values()]
    return Output(files, _notes(recipe, data.classes, counts, is_split, batch, epochs, lr * batch / PSPNET_BATCH))


def _make_classifier(recipe: Recipe, paths: Paths, out: Path) -> Findings[Output]:
    data = yield from _unless_wrong(read_class_folders(paths))
    if data is None:
        return None
    splits = data.splits
    is_split = 'val' not in splits
    if is_split:
        splits = split_classes(splits['train'])
    base = _read_base(recipe)
    batch, epochs = _choose(recipe, base.train_dataloader.batch_size, base.train_cfg.max_epochs)
    base_epochs, warmup = base.train_cfg.max_epochs, base.param_scheduler[0].end
    lr, base_batch = base.optim_wrapper.optimizer.lr, base.auto_scale_lr.base_batch_size
    short = min(find_typical_size(splits['train'].sizes, 10**6, 10**6))
    crop = min(LARGEST_CROP, max(SMALLEST_SIZE, short // 32 * 32))
    files, parts = {}, []
    for name, split in splits.items():
        listed = ''
        if split.needs_list:
            path = out.with_name(f'{out.stem}_{name}.txt')
            files[path] = _write_list([f'{image} {label}' for image, label in split.images])
            listed = f'ann_file={write_path(path)}, '
        parts.append(f'{name} = dict({listed}data_prefix={write_path(split.folder)})')
    channels = list_channels(recipe.arch)
    inputs = f'in_channels={channels[3]}, ' if channels != list_channels('m') else ''
    dataset = "dataset=dict(_delete_=True, type='CustomDataset', metainfo=metainfo, pipeline={}_pipeline, **{})"
    lines = [
        *write_head(recipe, paths, out),
        *write_metainfo(data.classes, palette=False),
        *parts,
        f'crop_size = {crop}',
        f'batch_size = {batch}  # on each GPU',
        f'max_epochs = {epochs}',
        '',
        f'data_preprocessor = dict(num_classes={len(data.classes)})',
        'model = dict(',
        *write_backbone(recipe),
        f'    head=dict({inputs}num_classes={len(data.classes)}),',
        ')',
        '',
        'train_pipeline = _base_.train_pipeline',
        'train_pipeline[1].scale = crop_size',
        'test_pipeline = _base_.test_pipeline',
        'test_pipeline[1].scale = crop_size * 256 // 224',
        'test_pipeline[2].crop_size = crop_size',
        'train_dataloader = dict(',
        '    batch_size=batch_size,',
        f'    {dataset.format("train", "train")},',
        ')',
        'val_dataloader = dict(',
        '    batch_size=batch_size,',
        f'    {dataset.format("test", "val")},',
        ')',
        'test_dataloader = val_dataloader',
        f'val_evaluator = dict(topk={(1, 5) if len(data.classes) > 5 else (1,)})',
        'test_evaluator = val_evaluator',
        '',
        *write_learning_rate(lr, base_batch),
        'train_cfg = dict(max_epochs=max_epochs)',
        'param_scheduler = _base_.param_scheduler',
        f'param_scheduler[0].end = {max(1, round(warmup * epochs / base_epochs))}  # epochs of warm-up',
        'param_scheduler[1].T_max = max_epochs',
        'default_hooks = dict(checkpoint=dict(max_keep_ckpts=3))',
    ]
    files[out] = '\n'.join(lines) + '\n'
    counts = [f'{len(split.images)} images' for split in splits.values()]
    return Output(files, _notes(recipe, data.classes, counts, is_split, batch, epochs, lr * batch / base_batch))


def _write_list(names: Sequence[str]) -> str:
    """Names on lines of their own, which the toolboxes strip.

    Raises:
        ValueError: One of them would not come back as it is.
    """
    for name in names:
        if not name.isprintable() or name != name.strip():
            raise ValueError(f'{name!r} cannot stand in a list: rename it')
    return ''.join(f'{name}\n' for name in names)


def _choose(recipe: Recipe, batch: int, epochs: int) -> Tuple[int, int]:
    return recipe.batch or batch, recipe.epochs or epochs


def _milestones(base: Config) -> List[int]:
    return base.param_scheduler[1].milestones


def _notes(
    recipe: Recipe, classes: Sequence[str], counts: List[str], is_split: bool, batch: int, epochs: int, lr: float
) -> List[str]:
    how = f', split off from the training images by seed {SEED}' if is_split else ''
    lines = [
        f'{TITLES[recipe.model]} with {name_network(recipe.arch)}, {len(classes)} classes: {", ".join(classes)}',
        f'training: {counts[0]}; validation: {counts[1]}{how}',
        f'epochs: {epochs}, {batch} images a step, learning rate {lr:g}',
    ]
    if recipe.weights is None and recipe.arch not in RESNETS:
        lines.append('The backbone starts from random weights; --weights FILE starts it from those of ImageNet')
    return lines
