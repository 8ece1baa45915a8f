"""Comparing the weights of a file with those of a network."""

from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import torch
from torch import Tensor

Problems = Dict[str, List[str]]

MISSING = 'missing'
LEFT_OVER = 'left over'
RESHAPED = 'of another shape'
COUNTER = 'num_batches_tracked'  # of batch norms; files from before torch 0.4 lack it


def compare(expected: Mapping[str, Tensor], found: Mapping[str, Any]) -> Problems:
    """Lists what keeps a network from taking the weights of a file.

    Args:
        expected (Mapping[str, Tensor]): State dict of the network, on any device.
        found (Mapping[str, Any]): State dict of the file.

    Returns:
        dict[str, list[str]]: Names of weights, with what was found, by kind of problem; empty where the weights fit.
    """
    problems: Problems = {}
    for name, wanted in expected.items():
        if name not in found:
            if not name.endswith(COUNTER):
                problems.setdefault(MISSING, []).append(name)
            continue
        problem = _find_problem(name, wanted, found[name])
        if problem:
            kind, detail = problem
            problems.setdefault(kind, []).append(f'{name} {detail}'.strip())
    left_over = [name for name in found if name not in expected]
    return {**problems, LEFT_OVER: left_over} if left_over else problems


def format_problems(problems: Problems, separator: str = '; ') -> str:
    """The problems as text, a few of each kind."""
    return separator.join(f'{kind}: {first_few(names)}' for kind, names in problems.items())


def first_few(items: Iterable[Any], number: int = 8) -> str:
    """The items in a line, cut short where there are many."""
    items = [str(item) for item in items]
    return ', '.join(items[:number]) + (f' and {len(items) - number} more' if len(items) > number else '')


def _find_problem(name: str, expected: Tensor, found: Any) -> Optional[Tuple[str, str]]:
    """The kind of the problem and what was found; None where the weight fits."""
    if not isinstance(found, Tensor):
        return 'no tensors', f'({type(found).__name__})'
    if found.layout is not torch.strided or found.is_quantized or found.is_meta:
        kind = 'without data' if found.is_meta else 'quantized' if found.is_quantized else 'sparse'
        return 'no dense tensors', f'({kind})'
    if found.shape != expected.shape:
        return RESHAPED, f'{tuple(found.shape)} for {tuple(expected.shape)}'
    if _family(found.dtype) != _family(expected.dtype):
        return 'of another type', f'{found.dtype} for {expected.dtype}'.replace('torch.', '')
    if found.is_floating_point() and not found.to(expected.dtype).isfinite().all():
        return 'not finite', ''
    if name.endswith('running_var') and (found < 0).any():
        return 'negative variances', ''
    return None


def _family(dtype: torch.dtype) -> str:
    """Types between which a conversion keeps the numbers, up to rounding."""
    if dtype.is_floating_point or dtype.is_complex:
        return 'floating' if dtype.is_floating_point else 'complex'
    return 'bool' if dtype is torch.bool else 'integer'
