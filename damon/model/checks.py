# SPDX-License-Identifier: GPL-2.0-only
"""Types and ranges of what a program hands in, refused where it does so: one line with the field, value and remedy.

Limits are those of the kernel's types. What the kernel accepts although it makes no sense is accepted.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Iterable
from typing import Final, SupportsIndex, TypeVar, cast

from damon.errors import InvalidInput

U32_MAX: Final = (1 << 32) - 1
ULONG_MAX: Final = (1 << 64) - 1
INT_MIN: Final = -(1 << 31)
INT_MAX: Final = (1 << 31) - 1

_NUMPY_BOOLS: Final = {("numpy", "bool"), ("numpy", "bool_")}

Member = TypeVar("Member", bound=enum.Enum)


def shown(value: object) -> str:
    """``value`` on one line, however long or broken it is."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"{type(value).__name__} whose repr() raises {type(error).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole(what: str, value: object, low: int = 0, high: int = ULONG_MAX) -> int:
    """``value`` as an integer of ``low``..``high``; EINVAL for anything else (``1.5``, ``"3"``, ``None``)."""
    try:
        number = operator.index(cast(SupportsIndex, value))
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        raise InvalidInput(f"{what}: {shown(value)}: is not an integer of {low}..{high}; give one")
    return number


def wholes(owner: object, names: Iterable[str], low: int = 0, high: int = ULONG_MAX) -> None:
    """Each of the fields ``names`` of ``owner`` is an integer of ``low``..``high``."""
    for name in names:
        value = getattr(owner, name)
        if type(value) is not int or not low <= value <= high:
            setattr(owner, name, whole(f"{type(owner).__name__}.{name}", value, low, high))


def truth(what: str, value: object) -> bool:
    """``value`` as a truth value: True, False, 1 or 0; EINVAL for anything else (``"yes"``)."""
    kind = type(value)
    if (isinstance(value, int) and value in (0, 1)) or (kind.__module__, kind.__name__) in _NUMPY_BOOLS:
        return bool(value)
    raise InvalidInput(f"{what}: {shown(value)}: is neither True nor False; give one of them")


def truths(owner: object, *names: str) -> None:
    """Each of the fields ``names`` of ``owner`` is a truth value."""
    for name in names:
        setattr(owner, name, truth(f"{type(owner).__name__}.{name}", getattr(owner, name)))


def member(what: str, value: object, kind: type[Member]) -> Member:
    """``value`` as a member of ``kind``, given as such or by the kernel's keyword; EINVAL for anything else."""
    if isinstance(value, kind):
        return value
    for known in kind:
        if type(value) is str and known.value == value:
            return known
    known_names = ", ".join(str(known.value) for known in kind)
    raise InvalidInput(f"{what}: {shown(value)}: is not a {kind.__name__}; give one of {known_names}")


def check_range(owner: str, low: int, high: int) -> None:
    """``range_min`` and ``range_max`` of ``owner`` are in order; EINVAL if not."""
    if low > high:
        raise InvalidInput(f"{owner}.range_min: {low}: is above range_max, {high}; lower it")


def instance(what: str, value: object, *kinds: type) -> None:
    """``value`` is of one of ``kinds``; EINVAL for anything else."""
    if not isinstance(value, kinds):
        names = " or ".join(kind.__name__ for kind in kinds)
        raise InvalidInput(f"{what}: {shown(value)}: is not a {names}; give one")


def function(what: str, value: object) -> None:
    """``value`` can be called; EINVAL for anything else."""
    if not callable(value):
        raise InvalidInput(f"{what}: {shown(value)}: cannot be called; give a function")


def called(what: str, given: Callable[..., object]) -> str:
    """Which function of the user's returned something: ``what`` and its name."""
    name = getattr(given, "__qualname__", None) or shown(given)
    return f"{what} {name}() returned"
