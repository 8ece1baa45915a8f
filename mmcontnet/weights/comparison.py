"""Comparing the weights of a file with those of a network."""

from typing import Any, Dict, Iterable, Mapping, Tuple

import torch
from torch import Tensor, nn

# By kind: names of weights, with what was found.
Problems = Dict[str, Dict[str, str]]

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
        dict[str, dict[str, str]]: Names of weights, with what was found, by kind of problem; empty where the weights
        fit.
    """
    problems: Problems = {}
    for name, wanted in expected.items():
        if name in found:
            kind, detail = _find_problem(name, wanted, found[name])
            if kind:
                problems.setdefault(kind, {})[name] = detail
        elif not name.endswith(COUNTER):
            problems.setdefault(MISSING, {})[name] = ''
    left_over = {name: '' for name in found if name not in expected}
    return {**problems, LEFT_OVER: left_over} if left_over else problems


def compare_with_model(model: nn.Module, weights: Dict[str, Any]) -> Problems:
    """Lists what keeps a model from taking weights, whose names may be of older versions that its own modules know.

    Weights that fit are loaded where others do not.

    Args:
        model (nn.Module): The model.
        weights (dict): State dict of the file.

    Returns:
        dict[str, dict[str, str]]: As of :func:`compare`.
    """
    expected = model.state_dict()
    problems = compare(expected, weights)
    if MISSING in problems or LEFT_OVER in problems:
        bad = {name for names in problems.values() for name in names} - {*problems.get(LEFT_OVER, ())}
        result = model.load_state_dict({name: weights[name] for name in weights if name not in bad}, strict=False)
        for kind, names in ((MISSING, result.missing_keys), (LEFT_OVER, result.unexpected_keys)):
            kept = {name: '' for name in problems.pop(kind, {}) if name in names}
            problems.update({kind: kept} if kept else {})
    return problems


def format_problems(problems: Problems, separator: str = '; ') -> str:
    """The problems as text, a few of each kind."""
    return separator.join(f'{kind}: {list_weights(names)}' for kind, names in problems.items())


def list_weights(names: Dict[str, str]) -> str:
    """The weights of one kind of problem in a line."""
    return first_few(f'{name} {detail}'.strip() for name, detail in names.items())


def first_few(items: Iterable[Any], number: int = 8) -> str:
    """The items in a line, cut short where there are many."""
    items = [str(item) for item in items]
    return ', '.join(items[:number]) + (f' and {len(items) - number} more' if len(items) > number else '')


def _find_problem(name: str, expected: Tensor, found: Any) -> Tuple[str, str]:
    """The kind of the problem, empty where the weight fits, and what was found."""
    if not isinstance(found, Tensor):
        return 'no tensors', f'({type(found).__name__})'
    kind = _find_other_kind(found)
    if kind:
        return 'no dense tensors', f'({kind})'
    if found.shape != expected.shape:
        return RESHAPED, f'{tuple(found.shape)} for {tuple(expected.shape)}'
    if _family(found.dtype) != _family(expected.dtype):
        return 'of another type', f'{found.dtype} for {expected.dtype}'.replace('torch.', '')
    if found.is_floating_point() and not found.to(expected.dtype).isfinite().all():
        return 'not finite', ''
    if name.endswith('running_var') and (found < 0).any():
        return 'negative variances', ''
    return '', ''


def _find_other_kind(found: Tensor) -> str:
    """What a tensor is that does not hold a number in memory for each of its elements; empty where it does."""
    if found.is_meta or found.is_quantized or found.is_nested:
        return 'meta' if found.is_meta else 'quantized' if found.is_quantized else 'nested'
    if found.layout is not torch.strided:
        return 'sparse'
    return 'expanded' if found.nbytes > found.untyped_storage().nbytes() else ''


def _family(dtype: torch.dtype) -> str:
    """Types between which a conversion keeps the numbers, up to rounding."""
    if dtype.is_floating_point or dtype.is_complex:
        # Of 8 bits and fewer torch cannot compare all numbers.
        return 'complex' if dtype.is_complex else 'floating' if dtype.itemsize > 1 else 'narrow'
    return 'bool' if dtype is torch.bool else 'integer'
