"""Looks at the data of a config for what would break training or evaluation, or spoil it in silence."""

import re
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Dict, Iterator, List, Set, Tuple

from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from .findings import Finding, Findings, Source, attempt, check_classification, check_coco, check_segmentation

CHECKS = {'mmdet': check_coco, 'mmseg': check_segmentation, 'mmpretrain': check_classification}
HEADS = re.compile(r'\b(bbox_head|mask_head|decode_head|auxiliary_head|head)\b')


def check_config(cfg: Config, workers: int) -> List[Finding]:
    """Checks all data of a config of mmdet (layout of COCO), mmseg or mmpretrain, showing progress.

    Args:
        cfg (Config): The config; its relative paths start at the current folder.
        workers (int): Threads that read images.

    Raises:
        ValueError: The config is for another toolbox, or its data are in another layout.
    """
    if cfg.get('default_scope') not in CHECKS:
        raise ValueError(f'default_scope is {cfg.get("default_scope")!r}; expected one of {list(CHECKS)}')
    with DefaultScope.overwrite_default_scope(cfg.default_scope), ThreadPool(workers) as pool:
        return list(_check_splits(cfg, pool))


def summarise(findings: List[Finding]) -> str:
    """The findings as text, a few of each kind."""
    lines = []
    for title, harmless in (('Problems', False), ('Remarks', True)):
        kinds: Dict[str, List[str]] = {}
        for finding in findings:
            if finding.harmless == harmless:
                kinds.setdefault(finding.kind, []).append(finding.detail)
        lines.append(f'{title}:' if kinds else f'{title}: none')
        for kind, details in kinds.items():
            lines += [f'  {kind}: {len(details)}', *(f'    {detail}' for detail in details[:5])]
            lines += ['    ...'] if len(details) > 5 else []
    return '\n'.join(lines)


def _check_splits(cfg: Config, pool: ThreadPool) -> Findings:
    """Checks the splits, equal ones once."""
    seen: List[tuple] = []
    folders: Dict[str, Set[str]] = {}
    for split in ('train', 'val', 'test'):
        loader, metrics = cfg.get(f'{split}_dataloader'), cfg.get(f'{split}_evaluator') or []
        if loader is None or (loader.dataset, metrics) in seen:
            continue
        seen.append((loader.dataset, metrics))
        for config in _innermost(loader.dataset):
            build = partial(DATASETS.build, {**config, 'pipeline': [], 'lazy_init': True, 'serialize_data': False})
            dataset = yield from attempt(build, 'Data set cannot be built', f'{split}: {config.type}')
            if dataset is None:
                continue
            metrics = [metrics] if isinstance(metrics, dict) else metrics
            source = Source(dataset, config.get('pipeline', []), metrics)
            print(f'{split}: {config.type}, {source.name}', flush=True)
            missing = [path for path in source.paths if not Path(path).exists()]
            yield from (Finding('File or folder is missing', path) for path in missing)
            if not missing:
                yield from CHECKS[cfg.default_scope](source, pool)
            yield from _check_heads(source, cfg.model)
            yield from _check_metrics(source)
            if hasattr(dataset, 'folder_to_idx'):
                folders[source.name] = set(dataset.folder_to_idx)
    yield from _check_folders(folders)


def _innermost(config: dict) -> Iterator[dict]:
    """The data sets inside wrappers such as RepeatDataset and ConcatDataset."""
    inside = config.get('datasets') or ([config['dataset']] if 'dataset' in config else [])
    if not inside:
        yield config
    for part in inside:
        yield from _innermost(part)


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


def _check_heads(source: Source, model: dict) -> Findings:
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


def _check_folders(folders: Dict[str, Set[str]]) -> Findings:
    """The folders of classes, which mmpretrain numbers anew in each data set."""
    for name, others in folders.items():
        missing = set().union(*folders.values()) - others
        yield from (Finding('Class has no folder: labels shift', f'{name}: {folder!r}') for folder in sorted(missing))
