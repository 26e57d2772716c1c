# SPDX-License-Identifier: GPL-2.0-only
"""Conditions on the figures of a run: ``saved>=50%,refaults_per_s<10,slowdown<1.02``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.results.figures import FIGURES, Figure
from damon.units import size

_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq,
}  # fmt: skip
_NUMBER: Final = r"\d{1,18}(?:\.\d{1,9})?(?:[eE][+-]?\d{1,2})?"
_CONDITION: Final = re.compile(rf"([A-Za-z_]{{1,40}}) ?(<=|>=|==|<|>) ?({_NUMBER}) ?(%|[A-Za-z]{{1,3}})?", re.ASCII)
_MOST: Final = 100
_BOUNDS: Final = {"share": "a share, e.g. 50% or 0.5", "bytes": "bytes, e.g. 4096, 64K, 512M, 2G", "": "a number"}


@dataclass(frozen=True)
class Condition:
    """One of them. ``compare``: ``<``, ``<=``, ``>``, ``>=`` or ``==``; ``bound``: in the figure's unit."""

    text: str
    figure: Figure
    compare: str
    bound: float

    def holds(self, value: float | None) -> bool:
        """None, a figure that is not known, keeps no condition."""
        return value is not None and _COMPARE[self.compare](value, self.bound)

    def excess(self, value: float) -> float:
        """By how much ``value`` is beyond the bound, by the bound (absolute where that is 0); at most 0 when kept."""
        over = value - self.bound if self.compare[0] == "<" else self.bound - value
        if self.compare == "==":
            over = abs(over)
        elif over == 0 and len(self.compare) == 1:
            return 1e-12
        return over / (abs(self.bound) or 1.0)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Checked:
    """A condition, the figure's value in a run, and whether that keeps it."""

    condition: Condition
    value: float | None
    met: bool

    def as_object(self) -> dict[str, Any]:
        """For JSON, which has no infinity: null."""
        value = self.value if self.value is not None and isfinite(self.value) else None
        return {"condition": self.condition.text, "figure": self.condition.figure.name, "value": value, "met": self.met}

    def __str__(self) -> str:
        value = "not known" if self.value is None else self.condition.figure.show(self.value)
        return f"{self.condition.text}: is {value}"


def read_conditions(text: str, field: str) -> Sequence[Condition]:
    """The conditions in ``text``, parted by commas.

    Args:
        text: as in a command line or file.
        field: where it stands, for the message.

    Raises:
        InvalidInput: it is not valid; the message names what is.
    """
    parts = text.split(",", _MOST)
    if len(parts) > _MOST:
        raise InvalidInput(f"{field}: {quoted(text)}: has too many conditions; give at most {_MOST}")
    return [read_condition(part, field) for part in parts]


def read_condition(text: str, field: str, known: Mapping[str, Figure] = FIGURES) -> Condition:
    """One condition, on a figure of ``known``; else as ``read_conditions``."""
    text = text.strip()
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InvalidInput(
            f"{field}: {quoted(text)}: is not a condition; give FIGURE<VALUE, with <, <=, >, >= or ==, e.g. saved>=50%"
        )
    name, compare, number, unit = match[1], match[2], match[3], match[4] or ""
    if name not in known:
        raise InvalidInput(f"{field}: {quoted(name)}: is not a figure; give one of {', '.join(known)}")
    figure = known[name]
    bound: float | None = None
    if figure.unit == "bytes":
        exact = size(number + unit)
        bound = None if exact is None else float(exact)
    elif not unit or (unit == "%" and figure.unit == "share"):
        bound = float(number) / (100 if unit else 1)
    if bound is None or not isfinite(bound):
        raise InvalidInput(
            f"{field}: {quoted(text)}: {number + unit} is no bound of {name}; give {_BOUNDS[figure.unit]}"
        )
    return Condition(text, figure, compare, bound)


def check(conditions: Sequence[Condition], figures: Mapping[str, float | None]) -> Sequence[Checked]:
    """Each condition with the value that a run has (``damon.results.figures.figures``)."""
    found = ((condition, figures[condition.figure.name]) for condition in conditions)
    return [Checked(condition, value, condition.holds(value)) for condition, value in found]
