"""The configs that are compared: what they may differ in, and how they are trained."""

import filecmp
import os
from reprlib import Repr
from typing import Any, Dict, Iterator, List, Optional

from mmengine.config import Config

from ..toolboxes import check_torchvision, find_entry_point, read_config
from ..weights.pretrained import is_pretrained

# What the models must have in common, besides the toolbox.
RECIPE = (
    'default_scope',
    'train_dataloader',
    'val_dataloader',
    'test_dataloader',
    'val_evaluator',
    'test_evaluator',
    'data_preprocessor',
    'train_cfg',
    'val_cfg',
    'test_cfg',
    'optim_wrapper',
    'param_scheduler',
    'auto_scale_lr',
    'custom_hooks',
    'load_from',
)
# What schedulers count in epochs from their begin.
DURATIONS = {'T_max', 'milestones', 'periods', 'step_size', 'total_steps'}
# Those that tools/train.py adds to all.
OWN_HOOKS = ('ExactResumeHook', 'FiniteHook', 'StrictLoadHook')
SHORT = Repr()
SHORT.maxother = SHORT.maxstring = 60
SHORT.maxlevel = 1


def prepare_config(path: str, options: Dict[str, Any], epochs: Optional[int]) -> Config:
    """Reads a config and changes what a comparison needs: a checkpoint after each epoch, of which the last is kept.

    Args:
        path (str): The config.
        options (dict): Changes, as of ``--cfg-options``.
        epochs (int | None): How long to train; the schedule is shortened or stretched. None leaves it.

    Raises:
        ImportError: Its toolbox is not installed.
        ValueError: It cannot be trained and tested.
    """
    cfg = read_config(path, options)
    find_entry_point(cfg, 'train.py')
    check_torchvision(cfg)
    missing = [part for part in ('model', 'train_dataloader', 'train_cfg', 'test_dataloader') if not cfg.get(part)]
    if missing:
        raise ValueError(f'{path} sets no {" and no ".join(missing)}; a comparison trains and tests')
    by_epoch = bool(cfg.train_cfg.get('max_epochs'))
    if epochs:
        if not by_epoch:
            raise ValueError(f'--epochs: {path} counts iterations; use --cfg-options train_cfg.max_iters=N')
        set_epochs(cfg, epochs)
    hooks = cfg.get('default_hooks') or {}
    often = dict(max_keep_ckpts=1, by_epoch=by_epoch, **(dict(interval=1) if by_epoch else {}))
    hooks['checkpoint'] = {'type': 'CheckpointHook', **(hooks.get('checkpoint') or {}), **often}
    # By which the report finds when something was measured.
    hooks['logger'] = {'type': 'LoggerHook', **(hooks.get('logger') or {}), 'log_metric_by_epoch': by_epoch}
    cfg.default_hooks = hooks
    cfg.log_processor = {**(cfg.get('log_processor') or {}), 'by_epoch': by_epoch}
    return cfg


def set_epochs(cfg: Config, epochs: int) -> None:
    """Sets the number of epochs, and scales what the schedule counts in epochs; what becomes too short is dropped."""
    before = cfg.train_cfg.max_epochs
    cfg.train_cfg.max_epochs = epochs
    schedulers = cfg.get('param_scheduler') or []
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    if schedulers:
        cfg.param_scheduler = [one for one in schedulers if not one.get('by_epoch', True) or _fit(one, before, epochs)]


def _fit(scheduler: Dict[str, Any], before: int, epochs: int) -> bool:
    """Scales a scheduler from so many epochs to others; returns whether enough is left of it to have its effect."""
    span = min(scheduler.get('end', before), before) - scheduler.get('begin', 0)
    scheduler.update({name: _move(scheduler[name], before, epochs) for name in ('begin', 'end') if name in scheduler})
    left = min(scheduler.get('end', epochs), epochs) - scheduler.get('begin', 0)
    for name in DURATIONS & set(scheduler):
        scheduler[name] = left if scheduler[name] == span else _scale(scheduler[name], epochs / before)
    if 'milestones' in scheduler:
        scheduler['milestones'] = sorted(set(scheduler['milestones']))
    # One that changes by whole epochs needs two: in a single one it takes its first value, a warm-up for good.
    shortest = 1 if scheduler.get('convert_to_iter_based') else 2
    return left >= min(shortest, span)


def _move(epoch: int, before: int, epochs: int) -> int:
    """A point of the schedule, scaled; what is inside of the training stays inside where there is room."""
    moved = _scale(epoch, epochs / before)
    return min(moved, epochs - 1) if epoch < before else moved


def _scale(epochs: Any, scale: float) -> Any:
    """Epochs scaled, each to at least one; 0 stays."""
    if isinstance(epochs, (list, tuple)):
        return [_scale(epoch, scale) for epoch in epochs]
    return max(1, round(scale * epochs)) if epochs else epochs


def find_differences(first: Config, other: Config) -> List[str]:
    """What differs in two configs besides their models, and is not this package's hooks, one line each."""
    pairs = {name: [_clean(cfg.get(name)) or None for cfg in (first, other)] for name in RECIPE}  # No hooks are [].
    pairs['default_hooks.checkpoint.interval'] = [_checkpoint_interval(cfg) for cfg in (first, other)]
    pairs['weights'] = ['pretrained' if is_pretrained(cfg.model) else 'random' for cfg in (first, other)]
    return [line for name, pair in pairs.items() for line in _compare(*pair, name)]


def _checkpoint_interval(cfg: Config) -> Optional[int]:
    """After how many iterations the data start in a new order, see ExactResumeHook; None where they do by epoch."""
    if cfg.train_cfg.get('max_epochs'):
        return None
    interval = ((cfg.get('default_hooks') or {}).get('checkpoint') or {}).get('interval')
    return interval if interval and interval > 0 else cfg.train_cfg.get('max_iters')


def _clean(part: Any) -> Any:
    """A part of a config without hooks that all trainings have, and without the scopes that inheriting leaves."""
    if isinstance(part, dict):
        return {key: _clean(value) for key, value in part.items() if key != '_scope_'}
    if isinstance(part, (list, tuple)):
        return [_clean(value) for value in part if not (isinstance(value, dict) and value.get('type') in OWN_HOOKS)]
    return part


def _compare(first: Any, other: Any, name: str) -> Iterator[str]:
    if isinstance(first, dict) and isinstance(other, dict):
        for key in {**first, **other}:
            yield from _compare(first.get(key), other.get(key), f'{name}.{key}')
    elif isinstance(first, list) and isinstance(other, list) and len(first) == len(other):
        for index, pair in enumerate(zip(first, other)):
            yield from _compare(*pair, f'{name}[{index}]')
    elif first != other and not _are_same_files(first, other):
        yield f'{name}: {SHORT.repr(first)} and {SHORT.repr(other)}'


def _are_same_files(first: Any, other: Any) -> bool:
    """Whether these are files of the same content, as two calls of tools/make_config.py write them."""
    paths = (first, other)
    return all(isinstance(path, str) and os.path.isfile(path) for path in paths) and filecmp.cmp(*paths, shallow=False)
