"""Checks of arguments, by type and range."""

import operator
from numbers import Real
from typing import Any, Callable, Container, Optional, Tuple

import numpy as np


def check(name: str, value: Any, convert: Callable[[Any], Any], expected: str) -> Any:
    """Returns an argument as a plain Python value.

    Args:
        name (str): Name of the argument.
        value: What was given.
        convert (Callable): One of the functions below.
        expected (str): What is allowed, for the message.

    Raises:
        ValueError: It is something else.
    """
    try:
        return convert(value)
    except (TypeError, ValueError):
        raise ValueError(f'{name} is {value!r}; expected {expected}') from None


def choice(allowed: Container[str]) -> Callable[[Any], str]:
    """A string out of several."""

    def convert(value: Any) -> str:
        return _require(value, isinstance(value, str) and value in allowed)

    return convert


def flag(value: Any) -> bool:
    """A bool."""
    return bool(_require(value, isinstance(value, (bool, np.bool_))))


def integer(allowed: Container[int]) -> Callable[[Any], int]:
    """An integer in a range; bools are none."""

    def convert(value: Any) -> int:
        number = operator.index(_require(value, not isinstance(value, (bool, np.bool_))))
        return _require(number, number in allowed)

    return convert


def rate(value: Any) -> float:
    """A number from 0 on and below 1."""
    number = isinstance(value, Real) and not isinstance(value, (bool, np.bool_))
    return float(_require(value, number and 0 <= value < 1))


def several(convert: Callable[[Any], Any], length: Optional[int] = None) -> Callable[[Any], Tuple[Any, ...]]:
    """A tuple or list, of the given length if there is one."""

    def convert_all(values: Any) -> Tuple[Any, ...]:
        _require(values, isinstance(values, (tuple, list)) and (length is None or len(values) == length))
        return tuple(map(convert, values))

    return convert_all


def _require(value: Any, holds: bool) -> Any:
    if not holds:
        raise ValueError
    return value
