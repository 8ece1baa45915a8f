"""Loading pretrained weights into the backbone, all of them or none."""

import re
from typing import Any, Dict, List, Optional

from mmengine.logging import print_log
from mmengine.model import BaseModule, update_init_info
from mmengine.runner.checkpoint import CheckpointLoader, load_state_dict
from torch import Tensor


def is_official(state_dict: Dict[str, Any]) -> bool:
    """Whether the names are those of the authors' release."""
    return any('.ConTBlock' in key for key in state_dict)


def first_few(items: List[str], number: int = 8) -> str:
    """The items in a line, cut short where there are many."""
    return ', '.join(items[:number]) + (f' and {len(items) - number} more' if len(items) > number else '')


def load_pretrained(
    backbone: BaseModule, checkpoint: str, prefix: Optional[str] = None, map_location: str = 'cpu'
) -> None:
    """Loads the weights of a backbone from a file, and refuses a file that does not fit.

    Args:
        backbone (ConTNet): Where to load them.
        checkpoint (str): Path or URL, whatever mmengine's ``CheckpointLoader`` takes.
        prefix (str | None): What the backbone's names begin with in the file; ``'backbone.'`` in files written by
            ``tools/convert_checkpoint.py`` and by training. Defaults to None, nothing.
        map_location (str): See ``torch.load``. Defaults to ``'cpu'``.

    Raises:
        ValueError: A weight is missing in the file, has another shape there, or is left over; what lies past the last
            output of the backbone may be left over.
    """
    file = CheckpointLoader.load_checkpoint(checkpoint, map_location=map_location, logger='silent')
    every = {re.sub(r'^module\.', '', key): value for key, value in file.get('state_dict', file).items()}
    prefix = f'{prefix.rstrip(".")}.' if prefix else ''
    weights = {key[len(prefix) :]: value for key, value in every.items() if key.startswith(prefix)}
    expected = backbone.state_dict()
    missing = [key for key in expected if key not in weights and not key.endswith('num_batches_tracked')]
    reshaped = [
        f'{key} {tuple(weights[key].shape)} for {tuple(value.shape)}'
        for key, value in expected.items()
        if isinstance(weights.get(key), Tensor) and weights[key].shape != value.shape
    ]
    left_over = [key for key in weights if key not in expected and not _unbuilt(key, len(backbone.stages))]
    if missing or reshaped or left_over:
        problems = {'missing': missing, 'of another shape': reshaped, 'left over': left_over}
        listed = ''.join(f'\n  {kind}: {first_few(keys)}' for kind, keys in problems.items() if keys)
        raise ValueError(
            f'init_cfg: the weights of {checkpoint} with prefix={prefix!r} do not fit the backbone.'
            f'{listed}\n{_remedy(every, checkpoint, prefix)}'
        )
    load_state_dict(backbone, weights, strict=False)
    if hasattr(backbone, '_params_init_info'):
        update_init_info(backbone, f'Loaded from {checkpoint}')
    print_log(f'Loaded the weights of ConTNet from {checkpoint}', logger='current')


def _unbuilt(key: str, stages: int) -> bool:
    """Whether a weight belongs past the last output of a backbone with so many of the four stages."""
    match = re.match(r'stages\.(\d)\.\d+\.(\w+)', key)
    if match is None:
        return False
    stage = int(match[1])
    return stage >= stages or (stage == stages - 1 and match[2] in ('conv', 'shortcut'))


def _remedy(state_dict: Dict[str, Any], checkpoint: str, prefix: str) -> str:
    if is_official(state_dict):
        return (
            "It is a file of the authors' release. Convert it: python tools/convert_checkpoint.py "
            f"{checkpoint} DST, and load DST with prefix='backbone.'."
        )
    found = sorted({key.partition('stem.')[0] for key in state_dict if re.search(r'(^|\.)stem\.\d', key)})
    if found and prefix not in found:
        return f'Its backbone is found with prefix={found[0]!r}.'
    if found:
        return 'It is of another architecture; give the backbone the arguments that it was trained with.'
    return 'It holds no ConTNet.'
