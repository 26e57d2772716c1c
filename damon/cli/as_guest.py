# SPDX-License-Identifier: GPL-2.0-only
"""A simulated run that is more like the one in a guest: its pace, and the memory of other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.model import Access, Area, Workload
from damon.workload.quantities import parse_rate, parse_size

if TYPE_CHECKING:
    from damon.results.sim_to_real import Measured


@dataclass(frozen=True)
class Policy:
    """One policy, its command line, and that as the modules of ``damon run``."""

    name: str
    line: str
    arguments: argparse.Namespace


def others(text: str) -> tuple[int, float]:
    """Bytes and page accesses a second of ``32M@20k``."""
    size, _, rate = text.partition("@")
    try:
        return parse_size(size, "--others"), parse_rate(rate, "--others")
    except InvalidInput:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not memory and a rate; give SIZE@RATE, e.g. 32M@20k"
        ) from None


def beside(workload: Workload, more: tuple[int, float] | None) -> Workload:
    """With other programs' memory, which is there first."""
    if more is None:
        return workload
    area = Area(_OTHERS, more[0], process=_OTHERS)
    access = Access(_OTHERS, more[1])
    phases = tuple(replace(phase, accesses=(*phase.accesses, access)) for phase in workload.phases)
    return replace(workload, areas=(area, *workload.areas), phases=phases)


#: No area or process of a workload file has that name.
_OTHERS: Final = "other programs"


def slowed(policy: Policy, workload: Workload, measured: Measured, result: dict[str, Any]) -> tuple[Policy, Workload]:
    """With accesses as rarely, and intervals as long, as they were in the guest.

    A worker sleeps for its sampling interval after its work: where aggregations are not counted, intervals are longer
    by the processor time of it.
    """
    cpu, seconds = sum(result["timing"]["kdamond_cpu_seconds"].values()), policy.arguments.duration
    stretch = seconds / max(seconds - cpu, seconds / 10)
    phases = tuple(
        replace(phase, accesses=tuple(replace(one, rate=one.rate / measured.slowdown) for one in phase.accesses))
        for phase in workload.phases
    )
    modules = [_stretched(name, words, measured.aggregation_s, stretch) for name, *words in policy.arguments.module]
    changed = argparse.Namespace(**{**vars(policy.arguments), "module": modules})
    return replace(policy, arguments=changed), replace(workload, phases=phases)


_TIMES: Final = ("sample_interval", "aggr_interval")


def _stretched(name: str, words: Sequence[str], aggregation_s: float | None, stretch: float) -> list[str]:
    """A module and its parameters, with intervals as long as the guest's if they were longer.

    Args:
        name: of the module.
        words: its parameters.
        aggregation_s: mean time between two aggregations, if they are counted.
        stretch: factor of the intervals, if not.
    """
    from damon.modules.loader import find_module

    now = {spec.name: int(str(spec.default)) for spec in find_module(name).specs() if spec.name in _TIMES}
    if len(now) < len(_TIMES):
        return [name, *words]
    given = dict(word.partition("=")[::2] for word in words)
    now |= {one: int(given[one], 0) for one in _TIMES if one in given}
    if aggregation_s is not None:
        stretch = max(aggregation_s * 1e6 / now["aggr_interval"], 1.0)
    longer = [f"{one}={round(value * stretch)}" for one, value in now.items()]
    return [name, *(word for word in words if word.partition("=")[0] not in _TIMES), *longer]
