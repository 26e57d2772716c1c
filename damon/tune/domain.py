# SPDX-License-Identifier: GPL-2.0-only
"""The values that a parameter takes in a study: a finite list in order, alone or as factors of another parameter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import msgspec

from damon.errors import DamonError
from damon.modules.params import ParamSpec, Value, parse_value, show_value
from damon.tune.schema import STRUCTS, TAKES, CoupledFields, RangeFields
from damon.units import as_plain
from damon.workload.quantities import refusal
from damon.workload.schema import convert

#: Of one parameter.
MOST_VALUES: Final = 10_000
#: Names of the units of a parameter, each so many times the one before.
_UNITS: Final[Mapping[str, tuple[Sequence[str], int]]] = {
    "us": (("us", "ms", "s"), 1000), "ms": (("ms", "s"), 1000), "bytes": (("B", "KiB", "MiB", "GiB"), 1024),
}  # fmt: skip
#: Digits that are kept of the inner values of a logarithmic range.
_DIGITS: Final = 3


@dataclass(frozen=True)
class Domain:
    """What a study tries for one parameter of a module.

    ``values`` has what the parameter is given, or with ``of`` the factors of that other parameter. One value: fixed.
    """

    module: str
    name: str
    values: tuple[Value | Fraction, ...]
    of: str | None = None
    ordered: bool = True  #: numbers from the least to the largest; else the order means nothing
    unit: str = ""  #: of the parameter

    @property
    def label(self) -> str:
        """``damon_reclaim.min_age``; of factors ``damon_reclaim.aggr_interval/sample_interval``."""
        return f"{self.module}.{self.name}" + (f"/{self.of}" if self.of is not None else "")

    def show(self, index: int) -> str:
        """The value of this index for people, or the factor."""
        value = self.values[index]
        if isinstance(value, Fraction):
            return f"{float(value):g}"
        if isinstance(value, bool) or not isinstance(value, int):
            return show_value(value)
        names, many = _UNITS.get(self.unit, ((), 1))
        exact = float(value)
        for name in names[:-1]:
            if exact < many:
                return f"{exact:.3g} {name}"
            exact /= many
        return f"{exact:.4g} {names[-1]}" if names else str(value)


#: Of each free domain of a space the index of its value.
Point = tuple[int, ...]


@dataclass(frozen=True)
class Space:
    """All domains of a study, in the order of the file."""

    domains: tuple[Domain, ...]
    free: tuple[Domain, ...] = field(init=False)  #: those with more than one value

    def __post_init__(self) -> None:
        object.__setattr__(self, "free", tuple(domain for domain in self.domains if len(domain.values) > 1))

    def __len__(self) -> int:
        return math.prod(len(domain.values) for domain in self.free)

    def points(self) -> Iterator[Point]:
        """Every combination."""
        return itertools.product(*(range(len(domain.values)) for domain in self.free))

    def values(self, point: Point) -> dict[tuple[str, str], Value]:
        """Module and parameter -> its value, with factors applied, in the order of the file."""
        index = dict(zip((domain.label for domain in self.free), point, strict=True))
        found: dict[tuple[str, str], Value] = {}
        late: list[tuple[Domain, Fraction]] = []
        for domain in self.domains:
            value = domain.values[index.get(domain.label, 0)]
            if isinstance(value, Fraction):
                late.append((domain, value))
                found[domain.module, domain.name] = 0  # keeps its place
            else:
                found[domain.module, domain.name] = value
        for domain, factor in late:
            found[domain.module, domain.name] = round(found[domain.module, str(domain.of)] * factor)  # type: ignore[operator]
        return found


def read_domain(module: str, spec: ParamSpec, raw: Any, field: str, specs: Mapping[str, ParamSpec]) -> Domain:
    """The domain that a study file gives at ``field``.

    Args:
        module: its name.
        spec: of the parameter.
        raw: plain YAML: a value, a list, a range or a coupling.
        field: the path in the file.
        specs: all parameters of the module.

    Raises:
        InvalidInput: it is none; ``field`` or one below it is named.
    """
    if isinstance(raw, dict) and "of" in raw:
        coupled = convert(raw, CoupledFields, field, TAKES, STRUCTS)
        other = specs.get(coupled.of)
        if other is None or not _is_number(other) or not _is_number(spec) or coupled.of == spec.name:
            raise refusal(f"{field}.of", coupled.of, "is not another number of the module; name one")
        factors = _values(coupled.times, f"{field}.times", _factor)
        return Domain(module, spec.name, tuple(sorted(set(factors))), coupled.of)
    if isinstance(raw, dict) and not _is_number(spec):
        raise refusal(field, raw, f"is a range, and {spec.name} is of type {spec.type}; give a value or a list")
    values = _values(raw, field, lambda value, place: _value(spec, value, place))
    if _is_number(spec):
        return Domain(module, spec.name, tuple(sorted(set(values))), unit=spec.unit)
    return Domain(module, spec.name, tuple(dict.fromkeys(values)), ordered=False)


def _is_number(spec: ParamSpec) -> bool:
    return spec.type in ("ulong", "long", "int")


def _values(raw: Any, field: str, one: Any) -> Sequence[Any]:
    """``one(value, field)`` of a value, of each of a list, or of each of a range."""
    if isinstance(raw, list):
        if not 1 <= len(raw) <= MOST_VALUES:
            raise refusal(field, raw, f"has {len(raw)} values; give 1 to {MOST_VALUES}")
        return [one(value, f"{field}[{index}]") for index, value in enumerate(raw)]
    if isinstance(raw, dict):
        return _range(convert(raw, RangeFields, field, TAKES, STRUCTS), field, one)
    return [one(raw, field)]


def _range(raw: RangeFields, field: str, one: Any) -> Sequence[Any]:
    start, end = one(raw.start, f"{field}.from"), one(raw.end, f"{field}.to")
    if not start < end:
        raise refusal(f"{field}.to", raw.end, "is not above from; give a larger one")
    if (raw.step is msgspec.UNSET) == (raw.log is msgspec.UNSET):
        raise refusal(field, msgspec.to_builtins(raw), "is not a range; give either step or log")
    if isinstance(raw.log, int):
        if start <= 0:
            raise refusal(f"{field}.from", raw.start, "has no logarithm; give one above 0, or step")
        return _logarithmic(start, end, raw.log)
    step = one(raw.step, f"{field}.step")
    if step <= 0 or (end - start) / step >= MOST_VALUES:
        raise refusal(f"{field}.step", raw.step, f"makes no list; give one above 0 that makes at most {MOST_VALUES}")
    return [start + step * nr for nr in range(int((end - start) // step) + 1)]


def _logarithmic(start: Any, end: Any, number: int) -> Sequence[Any]:
    """``number`` values from ``start`` to ``end``, each as many times the one before; whole if those are."""
    found = [start]
    for nr in range(1, number - 1):
        exact = float(start) * (float(end) / float(start)) ** (nr / (number - 1))
        digits = _DIGITS - 1 - math.floor(math.log10(exact))
        found.append(round(round(exact, digits)) if isinstance(start, int) else Fraction(str(round(exact, digits))))
    return [*(value for value in dict.fromkeys(found) if value < end), end]


def _value(spec: ParamSpec, raw: Any, field: str) -> Value:
    """As the parameter's own parser takes it; a text may have a unit."""
    if isinstance(raw, bool):
        text = "Y" if raw else "N"
    elif isinstance(raw, float) and raw.is_integer() and abs(raw) < 1e18:
        text = str(int(raw))
    elif isinstance(raw, (int, str)):
        text = str(raw)[:1000] if not isinstance(raw, int) or abs(raw) < 1 << 100 else "-"
        plain = as_plain(text, spec.unit) if isinstance(raw, str) and not text.isdecimal() else None
        text = text if plain is None else str(plain)
    else:
        raise refusal(field, raw, f"is not a value; give {TAKES['values']}")
    try:
        return parse_value(spec.type, text, spec.length)
    except DamonError as error:
        raise refusal(field, raw, str(error.strerror)) from None


def _factor(raw: Any, field: str) -> Fraction:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)) or not 0 < raw < 1e9:
        raise refusal(field, raw, "is not a factor; give a number above 0")
    return Fraction(str(raw))
