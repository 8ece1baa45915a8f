"""Refusing what cannot be exported, by its name in the model."""

from typing import Any, Sequence


def check_type(part: Any, allowed: Sequence[str], name: str) -> None:
    """Refuses a part of a model of a type that is not known here, subclasses too.

    Raises:
        ValueError: The message names the part, its type and what is allowed.
    """
    found = type(part).__name__
    if found not in allowed:
        raise ValueError(f'{name} is {found}, which cannot be exported; expected {" or ".join(allowed)}')


def check_option(value: Any, expected: Any, name: str) -> None:
    """Refuses a setting of a model that would change what it predicts.

    Raises:
        ValueError: The message names the setting.
    """
    if value != expected:
        raise ValueError(f'{name} is {value!r}, which cannot be exported; expected {expected!r}')
