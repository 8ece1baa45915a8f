"""Looks at the data of a config for what would break training or evaluation, or spoil it in silence."""

import inspect
import re
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DATA_SAMPLERS, DATASETS, METRICS, DefaultScope, Registry
from torch.utils.data import DataLoader

from .classification import check_classification
from .coco import check_coco
from .findings import Finding, Findings, Source, attempt, guard
from .segmentation import check_segmentation, check_unused_maps

CHECKS = {'mmdet': check_coco, 'mmseg': check_segmentation, 'mmpretrain': check_classification}
HEADS = re.compile(r'\b(bbox_head|mask_head|decode_head|auxiliary_head|head)\b')
# What mmengine and torch know of a loader.
LOADER_KEYS = {'num_batch_per_epoch', *inspect.signature(DataLoader).parameters}
MOST_WORKERS = 64  # Each holds a whole image.


def check_config(cfg: Config, workers: int) -> List[Finding]:
    """Checks all data of a config of mmdet (layout of COCO), mmseg or mmpretrain, showing progress.

    Args:
        cfg (Config): The config; its relative paths start at the current folder.
        workers (int): Threads that read images, 1 to 64.

    Raises:
        ValueError: The config is for another toolbox, its data are in another layout, or workers is out of range.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise ValueError(f'{workers} workers: expected 1 to {MOST_WORKERS}')
    if cfg.get('default_scope') not in CHECKS:
        raise ValueError(f'default_scope is {cfg.get("default_scope")!r}; expected one of {list(CHECKS)}')
    with DefaultScope.overwrite_default_scope(cfg.default_scope), ThreadPool(workers) as pool:
        return list(_check_splits(cfg, pool))


def summarize(findings: List[Finding]) -> str:
    """The findings as text, a few of each kind, each on a line of its own."""
    lines = []
    for title, harmless in (('Problems', False), ('Remarks', True)):
        kinds: Dict[str, List[str]] = {}
        for finding in findings:
            if finding.harmless == harmless:
                kinds.setdefault(finding.kind, []).append(finding.line)
        lines.append(f'{title}:' if kinds else f'{title}: none')
        for kind, details in kinds.items():
            lines += [f'  {kind}: {len(details)}', *(f'    {detail}' for detail in details[:5])]
            lines += ['    ...'] if len(details) > 5 else []
    return '\n'.join(lines)


def _check_splits(cfg: Config, pool: ThreadPool) -> Findings:
    """Checks the splits, equal ones once, and what they must have in common."""
    seen: List[tuple] = []
    sources: List[Source] = []
    for split in ('train', 'val', 'test'):
        loader, metrics = cfg.get(f'{split}_dataloader'), cfg.get(f'{split}_evaluator') or []
        if loader is None:
            continue
        dataset = loader.get('dataset') if isinstance(loader, dict) else loader
        yield from guard(_check_loader(loader, metrics, split), 'Loader cannot be checked', split)
        if (dataset, metrics) in seen:
            continue
        seen.append((dataset, metrics))
        levels = yield from attempt(partial(_levels, dataset), 'Data set cannot be built', split)
        for config in levels or []:
            source = yield from guard(_build(split, config, metrics), 'Data set cannot be built', split)
            if source is None:
                continue
            sources.append(source)
            print(f'{split}: {type(source.dataset).__name__}, {source.name}', flush=True)
            check = CHECKS[cfg.default_scope](source, pool)
            yield from guard(_check_source(source, check, cfg.get('model')), 'Data cannot be checked', source.name)
    if not seen:
        yield Finding('Config has no data', f'{cfg.filename}: no train_dataloader, val_dataloader or test_dataloader')
    yield from guard(check_unused_maps(sources), 'Label maps cannot be listed', str(cfg.filename))
    yield from _check_folders(sources)


def _check_loader(loader: Any, metrics: Any, split: str) -> Findings:
    """What reads the data set and measures on it, as far as it can be checked without the data."""
    if not isinstance(loader, dict):
        return
    yield from (
        Finding('Loader has an unknown part', f'{split}_dataloader.{key}') for key in sorted(set(loader) - LOADER_KEYS)
    )
    for key, least in (('batch_size', 1), ('num_workers', 0)):
        value = loader.get(key, least)
        if not (type(value) is int and value >= least) and not (key == 'batch_size' and value is None):
            detail = f'{split}_dataloader.{key} is {value!r:.80}; expected an integer from {least}'
            yield Finding('Loader has a number that is out of range', detail)
    for key in ('sampler', 'batch_sampler'):
        yield from _check_type(DATA_SAMPLERS, loader.get(key), f'{split}_dataloader.{key}')
    for metric in metrics if isinstance(metrics, (list, tuple)) else [metrics]:
        yield from _check_type(METRICS, metric, f'{split}_evaluator')


def _check_type(registry: Registry, config: Any, where: str) -> Findings:
    """Whether the registry knows the type that a config names."""
    if isinstance(config, dict):
        kind = config.get('type')
        with registry.switch_scope_and_registry(config.get('_scope_')) as scoped:
            if (isinstance(kind, str) and scoped.get(kind) is None) or kind is None:
                yield Finding('Type is unknown', f'{where}.type is {kind!r:.80}')


def _levels(config: dict) -> List[dict]:
    """A data set, and those inside it if it is a wrapper such as RepeatDataset or ConcatDataset."""
    return [config, *(level for part in _inside(config) for level in _levels(part))]


def _inside(config: dict) -> List[dict]:
    return config.get('datasets') or ([config['dataset']] if 'dataset' in config else [])


def _build(split: str, config: dict, metrics: Any) -> Findings[Source]:
    """Builds a data set that reads nothing yet, and its transforms; of a wrapper, the transforms alone."""
    transforms = []
    for transform in config.get('pipeline') or []:
        name = transform.get('type') if isinstance(transform, dict) else transform
        built = yield from attempt(partial(Compose, [transform]), 'Transform cannot be built', f'{split}: {name}')
        transforms += built.transforms if built else []
    if _inside(config):
        yield from _check_type(DATASETS, config, f'{split}: wrapper')
        return None
    build = partial(DATASETS.build, {**config, 'pipeline': [], 'lazy_init': True, 'serialize_data': False})
    dataset = yield from attempt(build, 'Data set cannot be built', f'{split}: {config.get("type")}')
    if dataset is None:
        return None
    metrics = [metrics] if isinstance(metrics, dict) else metrics
    if not (isinstance(metrics, list) and all(isinstance(metric, dict) for metric in metrics)):
        yield Finding('Metrics cannot be read', f'{split}_evaluator: {metrics!r:.80}')
        metrics = []
    source = Source(dataset, transforms, metrics)
    if not source.paths:
        yield Finding('Data set has neither a file nor a folder', f'{split}: {config.get("type")}')
        return None
    return source


def _check_source(source: Source, check: Findings, model: Any) -> Findings:
    """A data set, the heads that learn it and the metrics that are measured on it."""
    missing = [path for path in source.paths if not (Path(path).is_file() or Path(path).is_dir())]
    yield from (Finding('File or folder is missing', path) for path in missing)
    if not missing:
        yield from guard(check, 'Data cannot be checked', source.name)
    yield from _check_heads(source, model)
    yield from _check_metrics(source)


def _class_counts(part: Any, name: str = 'model') -> Iterator[Tuple[str, int]]:
    """The ``num_classes`` of the heads of a model's config, with their names there."""
    if isinstance(part, dict):
        if 'num_classes' in part and HEADS.search(name):
            yield f'{name}.num_classes', part['num_classes']
        for key, value in part.items():
            yield from _class_counts(value, f'{name}.{key}')
    elif isinstance(part, (list, tuple)):
        for number, value in enumerate(part):
            yield from _class_counts(value, f'{name}.{number}')


def _check_heads(source: Source, model: Any) -> Findings:
    """The heads' numbers of classes."""
    for name, count in _class_counts(model):
        if source.classes and count != len(source.classes):
            detail = f'{name} is {count}, {source.name} has {len(source.classes)} classes'
            yield Finding('Head has another number of classes than the data', detail)


def _check_metrics(source: Source) -> Findings:
    """The files that the metrics read."""
    for metric in source.metrics:
        for path in (metric.get('ann_file'), metric.get('seg_prefix')):
            if path and not Path(path).exists():
                yield Finding('File or folder is missing', f'{path}, of {metric.type}')
        path = metric.get('ann_file')
        if path and Path(path).resolve() != Path(source.dataset.ann_file).resolve():
            detail = f'{metric.type} reads {path}, the data set {source.dataset.ann_file}'
            yield Finding('Metric reads other annotations than the data set', detail)


def _check_folders(sources: List[Source]) -> Findings:
    """The folders of classes, which mmpretrain numbers anew in each data set."""
    folders: Dict[str, Set[str]] = {
        source.name: set(source.dataset.folder_to_idx) for source in sources if hasattr(source.dataset, 'folder_to_idx')
    }
    for name, others in folders.items():
        missing = set().union(*folders.values()) - others
        yield from (Finding('Class has no folder: labels shift', f'{name}: {folder!r}') for folder in sorted(missing))
