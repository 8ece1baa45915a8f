"""Loading pretrained weights into the backbone, all of them or none."""

import logging
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule, PretrainedInit, update_init_info
from mmengine.registry import WEIGHT_INITIALIZERS

from ..missing_hooks import warn_in_run
from .comparison import LEFT_OVER, compare, format_problems
from .reading import get_state_dict, read_checkpoint

EXAMPLE = "dict(type='Pretrained', checkpoint=FILE, prefix='backbone.')"
HOW_TO_GET = (
    "Convert the authors' checkpoint: python tools/convert_checkpoint.py OFFICIAL.pth {file}; or train on ImageNet "
    '(configs/cont*_imagenet.py) and name the checkpoint: --cfg-options model.backbone.init_cfg.checkpoint=FILE'
)


def warn_of_start(init_cfg: Any) -> None:
    """Warns about random weights, and about hooks that the run that begins here lacks.

    Args:
        init_cfg (dict | list[dict] | None): Configs of mmengine's initializers.
    """
    if init_cfg is None:
        print_log(
            'ConTNet has no pretrained weights: unless a checkpoint is loaded, training starts from random weights. '
            f'To load some, set init_cfg={EXAMPLE}, where FILE comes from tools/convert_checkpoint.py.',
            logger='current',
            level=logging.WARNING,
        )
    warn_in_run()


def split_init_cfg(init_cfg: Any) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    """Splits ``init_cfg`` into arguments of :func:`load_pretrained` and configs of other initializers.

    Args:
        init_cfg (dict | list[dict] | None): Configs of mmengine's initializers.

    Raises:
        ValueError: It is something else, or one that loads weights has wrong fields.
    """
    pretrained, others = [], []
    for cfg in _listed(init_cfg):
        if not isinstance(cfg, dict) or 'type' not in cfg:
            raise ValueError(f'init_cfg is {init_cfg!r}; expected {EXAMPLE}, another initializer, or a list of them')
        if _loads(cfg):
            _check_fields(cfg)
            pretrained.append({key: value for key, value in cfg.items() if key != 'type'})
        else:
            _check_initializer(cfg)
            others.append(cfg)
    return pretrained, others


def check_files(init_cfg: Any) -> None:
    """Looks for the files that ``init_cfg`` names, before anything else of it is read.

    Args:
        init_cfg (dict | list[dict] | None): Configs of mmengine's initializers. URLs are skipped.

    Raises:
        ValueError: A file is missing; the message says how to get it.
    """
    for cfg in _listed(init_cfg):
        if isinstance(cfg, dict) and _loads(cfg) and isinstance(cfg.get('checkpoint'), (str, Path)):
            _check_file(cfg['checkpoint'])


def is_pretrained(model: Dict[str, Any]) -> bool:
    """Whether a toolbox's model starts its backbone from weights, by its config."""
    cfgs = _listed((model.get('backbone') or {}).get('init_cfg'))
    return bool(model.get('pretrained')) or any(isinstance(cfg, dict) and _loads(cfg) for cfg in cfgs)


def load_pretrained(
    backbone: BaseModule, checkpoint: Union[str, Path], prefix: Optional[str] = None, map_location: str = 'cpu'
) -> None:
    """Loads the weights of a backbone from a file, and refuses a file that does not fit.

    Args:
        backbone (ConTNet): Where to load them.
        checkpoint (str | Path): Path or URL.
        prefix (str | None): What the backbone's names begin with in the file; ``'backbone.'`` in files written by
            ``tools/convert_checkpoint.py`` and by training. Defaults to None, nothing.
        map_location (str): See ``torch.load``. Defaults to ``'cpu'``.

    Raises:
        ValueError: The file is missing or cannot be read; a weight is missing in it, has another shape or type there,
            is not finite, or is left over. Weights past the last output of the backbone may be left over.
    """
    _check_file(checkpoint)
    every = get_state_dict(read_checkpoint(checkpoint, map_location), checkpoint)
    prefix = f'{prefix.rstrip(".")}.' if prefix else ''
    weights = {key[len(prefix) :]: value for key, value in every.items() if key.startswith(prefix)}
    weights = {key: value for key, value in weights.items() if not _is_unbuilt(key, backbone)}
    problems = compare(backbone.state_dict(), weights)
    if problems:
        raise ValueError(
            f'init_cfg: the weights of {checkpoint} with prefix={prefix!r} do not fit the backbone.\n'
            f'  {format_problems(problems, chr(10) + "  ")}\n{_remedy(every, checkpoint, prefix, problems)}'
        )
    backbone.load_state_dict(weights, strict=False)  # Old files lack the batch norms' counters.
    if hasattr(backbone, '_params_init_info'):
        update_init_info(backbone, f'Loaded from {checkpoint}')
    print_log(f'Loaded the weights of ConTNet from {checkpoint}', logger='current')


def is_official(state_dict: Dict[str, Any]) -> bool:
    """Whether the names are those of the authors' release."""
    return any('.ConTBlock' in str(key) for key in state_dict)


def _check_file(checkpoint: Union[str, Path]) -> None:
    if '://' not in str(checkpoint) and not os.path.exists(checkpoint):
        raise ValueError(
            f'init_cfg: {checkpoint} cannot be read: there is no such file. {HOW_TO_GET.format(file=checkpoint)}'
        )


def _listed(init_cfg: Any) -> Sequence[Any]:
    return init_cfg if isinstance(init_cfg, (list, tuple)) else [] if init_cfg is None else [init_cfg]


def _loads(cfg: Dict[str, Any]) -> bool:
    kind = cfg.get('type')
    return kind is PretrainedInit or str(kind).rpartition('.')[2] in ('Pretrained', 'PretrainedInit')


def _check_initializer(cfg: Dict[str, Any]) -> None:
    overrides = cfg.get('override') or []
    for override in overrides if isinstance(overrides, (list, tuple)) else [overrides]:
        if isinstance(override, dict) and _loads(override):
            raise ValueError(f'init_cfg: an override loads no weights; give the whole backbone {EXAMPLE}')
    try:
        WEIGHT_INITIALIZERS.build({key: value for key, value in cfg.items() if key != 'override'})
    except Exception as error:  # Initializers raise anything.
        raise ValueError(f'init_cfg is {cfg!r}; expected {EXAMPLE} or another initializer: {error!r}') from error


def _check_fields(cfg: Dict[str, Any]) -> None:
    unknown = sorted(set(cfg) - {'type', 'checkpoint', 'prefix', 'map_location'}, key=str)
    if unknown:
        raise ValueError(f'init_cfg has unknown fields {unknown}; expected {EXAMPLE}')
    if not (isinstance(cfg.get('checkpoint'), (str, Path)) and str(cfg['checkpoint'])):
        raise ValueError(f'init_cfg: checkpoint is {cfg.get("checkpoint")!r}; expected a path or a URL: {EXAMPLE}')
    if not isinstance(cfg.get('prefix', ''), (str, type(None))):
        raise ValueError(f'init_cfg: prefix is {cfg["prefix"]!r}; expected a string: {EXAMPLE}')
    device = cfg.get('map_location')
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError, TypeError) as error:
        raise ValueError(f'init_cfg: map_location is {device!r}; expected a device that is there: {error}') from error


# The convolutions that end a block, and the blocks themselves.
_LAST = r'(?:conv\.weight|shortcut(?:\.1)?\.weight)'
_BLOCK = (
    rf'norm\.\w+|{_LAST}|encoders\.[01]\.(?:position\.(?:rows|columns|table)'
    r'|(?:attn\.(?:qkv|proj)|mlp\.fc[12]|norm[12])\.(?:weight|bias))'
)


def _is_unbuilt(key: str, backbone: BaseModule) -> bool:
    """Whether a weight belongs past the last output of the backbone, which builds only what its outputs need."""
    match = re.fullmatch(rf'stages\.([0-3])\.(\d+)\.({_BLOCK})', key)
    if match is None:
        return False
    stage, block, weight = int(match[1]), int(match[2]), match[3]
    stages: Any = backbone.stages
    last = len(stages) - 1
    ends = stage == last and block == len(stages[last]) - 1 and stages[last][-1].conv is None
    return stage > last or (ends and re.fullmatch(_LAST, weight) is not None)


def _remedy(state_dict: Dict[str, Any], checkpoint: Union[str, Path], prefix: str, problems: Dict[str, Any]) -> str:
    for container in (state_dict, state_dict.get('model')):
        if isinstance(container, dict) and is_official(container):
            return (
                "It is a file of the authors' release. Convert it: python tools/convert_checkpoint.py "
                f"{checkpoint} DST, and load DST with prefix='backbone.'."
            )
    found = sorted({key.partition('stem.')[0] for key in state_dict if re.search(r'(^|\.)stem\.\d', key)})
    if found and prefix not in found:
        return f'Its backbone is found with prefix={found[0]!r}.'
    if found and not set(problems) & {'missing', 'of another shape', LEFT_OVER}:
        return 'The file is damaged; get it anew.'
    if found:
        return 'It is of another architecture; give the backbone the arguments that it was trained with.'
    return 'It holds no ConTNet.'
