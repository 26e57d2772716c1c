# SPDX-License-Identifier: GPL-2.0-only
"""What a study asks for: objectives and constraints on figures, and whether a run can still keep a constraint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.results.conditions import Condition, read_condition
from damon.results.figures import FIGURES, Figure
from damon.tune.measure import Measured, counts

#: These grow with memory that is reclaimed, all others with what is counted.
_SAVED: Final = ("saved", "saved_bytes", "net_saved", "net_saved_bytes")
_COUNTED: Final = (
    "resident_bytes", "refaults", "refaults_per_s", "refaulted_wss_per_min", "slowdown", "psi_some_us", "psi_some",
    "samples_per_s",
)  # fmt: skip
#: The figures that runs of a study have, by name.
KNOWN: Final[Mapping[str, Figure]] = {name: FIGURES[name] for name in (*_SAVED, *_COUNTED)}
_OBJECTIVE: Final = re.compile(r"(maximi[sz]e|minimi[sz]e) +([A-Za-z_]{1,40})")


class Objective(msgspec.Struct, frozen=True):
    """A figure to be as large or as small as can be."""

    figure: str
    maximize: bool

    def __str__(self) -> str:
        return f"{'maximize' if self.maximize else 'minimize'} {self.figure}"


def read_objective(text: str, field: str) -> Objective:
    """Of ``maximize saved_bytes``."""
    match = _OBJECTIVE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{field}: {quoted(text)}: is not an objective; give e.g. maximize saved_bytes")
    if match[2] not in KNOWN:
        raise InvalidInput(f"{field}: {quoted(match[2])}: is not a figure; give one of {', '.join(KNOWN)}")
    return Objective(match[2], match[1].startswith("max"))


def read_constraint(text: str, field: str) -> Condition:
    """Of ``refaulted_wss_per_min <= 0.2%``: a condition of ``damon run --require``, but with ``==``."""
    found = read_condition(text, field, KNOWN)
    if found.compare == "==":
        raise InvalidInput(f"{field}: {quoted(text)}: no search meets a value exactly; give <, <=, > or >=")
    return found


@lru_cache(1000)
def constraint(text: str) -> Condition:
    """One that was read before."""
    return read_constraint(text, "constraint")


def value(figure: str, run: Measured, base: Measured) -> float:
    """A figure of ``KNOWN``; 0 where there was nothing to divide by."""
    return KNOWN[figure].of(counts(run, base)) or 0.0


def values(run: Measured, base: Measured) -> dict[str, float]:
    """All of them."""
    found = counts(run, base)
    return {name: figure.of(found) or 0.0 for name, figure in KNOWN.items()}


def is_lost(kept: Condition, run: Measured, now: Measured, end: Measured) -> bool:
    """Is a constraint broken, whatever comes?

    Args:
        kept: the constraint.
        run: the counts so far.
        now: those without a module, at this moment.
        end: and at the run's end.
    """
    if (kept.compare[0] == "<") == (kept.figure.name in _SAVED):
        return False  # what is missing can still come
    more = sum(getattr(end, name) - getattr(now, name) for name in ("resident_byte_s", "evicted_byte_s"))
    # At best nothing more is counted, and all memory is gone from now on.
    best = replace(
        run, seconds=end.seconds, wss_byte_s=end.wss_byte_s, evicted_byte_s=run.evicted_byte_s + max(more, 0.0)
    )
    return kept.excess(value(kept.figure.name, best, end)) > 0
