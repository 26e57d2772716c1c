# SPDX-License-Identifier: GPL-2.0-only
"""Why a scheme did what it did: the stage at which most eligible memory was left out, its cause, and a remedy.

The rules of ``explain()`` are asked in order; ``docs/how-to/why.md`` lists the causes.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from damon.errors import InvalidInput
from damon.quoting import cut, quoted
from damon.results.facts import Facts, size, span
from damon.results.funnel import STAGES
from damon.results.run import Run

#: A scheme that has applied to this share of what was eligible has done its work.
_DONE: Final = 0.9
#: More than this share makes a cause.
_HALF: Final = 0.5
#: Of swap: the rest is what other processes gave back since.
_FULL: Final = 0.9
#: Less than this share is not mentioned.
_LITTLE: Final = 0.01
#: Memory that no advice reaches, by its name in a run's result.
_UNREACHED: Final = {
    "missing": "whose process /proc does not show", "own": "of pydamon itself", "stale": "moved meanwhile",
    "shared": "mapped by several processes", "unmapped": "of page cache that no process maps",
    "unevictable": "locked in memory",
}  # fmt: skip
_LOCKED: Final = "unlock it (munlock), or leave it out (addr filters): the kernel's own DAMON does not act on it either"


class Cause(enum.Enum):
    """What kept a scheme from its work."""

    WORKS = "works"
    NOTHING = "nothing is eligible"
    INTERVALS_LONG = "intervals too long"
    INTERVALS_SHORT = "intervals too short"
    UNREACHED = "memory outside of the monitored ranges"
    WATERMARKS = "watermarks"
    MIXED = "regions mix areas"
    FREQUENCY = "frequency"
    AGE = "age too high"
    SIZE = "size bounds"
    GOAL = "goal reached"
    PRIORITY = "priority"
    QUOTA = "quota"
    CORE_FILTERS = "core filters"
    OPS_FILTERS = "operations filters"
    NO_SWAP = "no swap"
    WRONG_NODE = "wrong node"
    UNREACHABLE = "out of reach from user space"
    ACTION = "action fails"


@dataclass(frozen=True)
class Explanation:
    """Of one scheme: ``stages`` are mean bytes at each stage, over all aggregations; None: not known."""

    context: int
    scheme: int
    action: str
    cause: Cause
    sentence: str
    remedy: str
    stages: Mapping[str, float | None]
    applied_bytes: int

    def as_object(self) -> dict[str, Any]:
        """For machines."""
        return {
            "context": self.context, "scheme": self.scheme, "action": self.action, "cause": self.cause.value,
            "sentence": self.sentence, "remedy": self.remedy, "stages": dict(self.stages),
            "applied_bytes": self.applied_bytes,
        }  # fmt: skip


_Found = tuple[Cause, str, str]


def explain(run: Run) -> Iterator[Explanation]:
    """An explanation for each scheme of ``run``, which was recorded with ``--why``."""
    for context, ctx in enumerate(run.contexts):
        for number, scheme in enumerate(_schemes(run, ctx)):
            facts = Facts.of(run, context, number)
            try:
                cause, sentence, remedy = _find(facts)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:
                raise InvalidInput(f"{run.name}: {cut(str(error))}: is missing or not valid; it was changed") from None
            yield Explanation(
                context, number, str(scheme["action"]), cause, sentence, remedy, facts.means, facts.applied
            )


def _schemes(run: Run, ctx: Any) -> list[Any]:
    found = ctx.get("schemes") if isinstance(ctx, dict) else None
    if not isinstance(found, list):
        raise InvalidInput(f"{run.name}: contexts: {quoted(ctx)}: has no schemes; it was changed")
    return found


def _find(facts: Facts) -> _Found:
    for rule in (_no_results, _came_back, _works, _nothing, _filtered, _failed):
        found = rule(facts)
        if found is not None:
            return found
    stage, lost = facts.narrowest()
    return _STOCK[stage](facts, lost)


# -- rules on what happened to bytes that were tried


def _no_results(facts: Facts) -> _Found | None:
    wanted = max(facts.min_age, 1) + 2
    if facts.nr_rows >= wanted or facts.aggr_us * 4e-6 < facts.seconds:
        return None
    shorter = span(facts.seconds / (2 * wanted))
    return (
        Cause.INTERVALS_LONG,
        f"{facts.nr_rows} aggregation intervals of {span(facts.aggr_us / 1e6)} ended in {span(facts.seconds)}; the "
        f"scheme needs {wanted} to find memory",
        f"shorten aggr_interval to {shorter} or less, and sample_interval with it",
    )


def _came_back(facts: Facts) -> _Found | None:
    back = facts.total("came_back")
    if back is None or not facts.applied or back < _HALF * facts.applied:
        return None
    area, seconds = facts.sparse_area()
    idle = max(facts.min_age, 1) * facts.aggr_us / 1e6
    detail = f"; a page of {area} is accessed every {span(seconds)}" if area else ""
    longer = f" to {span(4 * seconds)} together" if area and 4 * seconds > idle else ""
    return (
        Cause.INTERVALS_SHORT,
        f"{size(facts.applied)} applied, and {size(back)} came back: what was not accessed for {span(idle)} is in use"
        f"{detail}",
        f"lengthen aggr_interval, or raise the minimum age{longer}",
    )


def _works(facts: Facts) -> _Found | None:
    left = facts.last("eligible")
    if left is None:
        # What was tried in vain is young again, and not of what is left.
        if facts.applied < _HALF * (facts.total("ops_passed") or 0):
            return None
        left = facts.last("right_size")
    left = left or 0.0
    if facts.action != "pageout":  # what it was applied to still is in memory
        left = max(left - facts.applied, 0.0)
    if not facts.applied or facts.applied < _DONE * (facts.applied + left):
        return None
    return Cause.WORKS, f"{size(facts.applied)} applied, {size(left)} eligible at the end", "none is needed"


def _nothing(facts: Facts) -> _Found | None:
    if facts.means["eligible"] is None or facts.means["eligible"] > 0:
        return None
    if facts.min_age * facts.aggr_us > facts.most("oldest_us") > 0:
        return _age(facts, 0.0)
    area, seconds = facts.sparse_area()
    if facts.min_nr_accesses and area is not None:
        return (
            Cause.INTERVALS_SHORT,
            f"no memory has {facts.min_nr_accesses} of {facts.max_samples} samples accessed in "
            f"{span(facts.aggr_us / 1e6)}: a page of {area} is accessed every {span(seconds)}",
            f"lengthen sample_interval to {span(seconds)}, and aggr_interval to {span(20 * seconds)}",
        )
    return (
        Cause.NOTHING,
        "no memory fits the scheme's access pattern in truth",
        "change the pattern (nr_accesses, age), or look at damon report for what the areas do",
    )


def _filtered(facts: Facts) -> _Found | None:
    tried, passed = facts.total("tried_present") or 0, facts.total("ops_passed") or 0
    if not tried or not facts.ops_filters or passed >= _HALF * tried or not _tried_enough(facts):
        return None
    return (
        Cause.OPS_FILTERS,
        f"{1 - passed / tried:.0%} of the bytes that the action was tried on are rejected by the filters of the "
        f"operations set: {', '.join(facts.ops_filters)}",
        f"remove or change the filter {facts.ops_filters[-1]}",
    )


def _failed(facts: Facts) -> _Found | None:
    passed = facts.total("ops_passed") or 0
    if not passed or facts.applied >= _HALF * passed or not _tried_enough(facts):
        return None
    what = f"{size(passed)} passed all filters, and the action applied to {size(facts.applied)}"
    unreached = {name: count for name, count in facts.unreached.items() if name in _UNREACHED and count}
    if sum(unreached.values()) > _HALF * facts.unreached.get("wanted", 0):
        most_first = sorted(unreached.items(), key=lambda item: -item[1])
        shown = [f"{size(count)} {_UNREACHED[name]}" for name, count in most_first if count > _LITTLE * passed]
        return (
            Cause.UNREACHABLE,
            f"{what}: no advice from user space reached the rest ({', '.join(shown)})",
            _LOCKED if most_first[0][0] == "unevictable" else "run the kernel's own DAMON on it (--engine host)",
        )
    if facts.action == "pageout" and (facts.swap_bytes is None or facts.swap_used >= _FULL * facts.swap_bytes):
        return Cause.NO_SWAP, f"{what}: {_swap(facts)}", "give the machine more swap"
    if facts.action.startswith("migrate"):
        return (
            Cause.WRONG_NODE,
            f"{what}: the memory is on the target node {facts.target_nid} already, or that node has no room",
            "change target_nid",
        )
    return Cause.ACTION, f"{what}", "look at the trace events (--event damos_before_apply)"


def _swap(facts: Facts) -> str:
    if facts.swap_bytes is None:
        return "swap is full, or there is none (/proc/swaps)"
    return f"swap is full ({size(facts.swap_bytes)}, {size(facts.swap_used)} used)" if facts.swap_bytes else "no swap"


def _tried_enough(facts: Facts) -> bool:
    """Was most of what a scheme may act on tried at least once?"""
    return (facts.total("tried_present") or 0) >= _HALF * facts.most("right_size")


# -- rules on what was never tried


def _unreached(facts: Facts, lost: float) -> _Found:
    return (
        Cause.UNREACHED,
        f"{_share(facts, lost)} of the eligible bytes are in no region: {facts.text('outside_areas')}",
        f"monitor more: {facts.monitored} is monitored (monitor_region_start and monitor_region_end of a module, the "
        "targets of a context)",
    )


def _watermarks(facts: Facts, lost: float) -> _Found:
    marks = facts.watermarks
    return (
        Cause.WATERMARKS,
        f"watermarks kept the scheme inactive {facts.inactive:.0%} of the time: free memory was "
        f"{facts.free_per_mille:.0f} per mille, the marks are high {marks['high']}, mid {marks['mid']}, "
        f"low {marks['low']}",
        f"set the high and mid marks above {facts.free_per_mille:.0f}, or low below it",
    )


def _frequency(facts: Facts, lost: float) -> _Found:
    if facts.sum("mixed") > _HALF * lost * facts.nr_rows:
        more = max(2 * facts.max_nr_regions, facts.regions_needed) if facts.crowded else None
        remedy = (
            f"raise max_nr_regions to {more}" if more is not None
            else f"raise min_nr_regions to {max(4 * facts.min_nr_regions, facts.regions_needed)}"
        )  # fmt: skip
        return (
            Cause.MIXED,
            f"{_share(facts, lost)} of the eligible bytes are in regions that mix the areas "
            f"{facts.text('mixed_areas')}; the largest is {size(facts.most('largest_mixed'))}",
            remedy,
        )
    if facts.min_nr_accesses:
        return (
            Cause.INTERVALS_SHORT,
            f"{_share(facts, lost)} of the eligible bytes are in regions with fewer than {facts.min_nr_accesses} of "
            f"{facts.max_samples} samples accessed in {span(facts.aggr_us / 1e6)}",
            "lengthen sample_interval and aggr_interval, or lower min_nr_accesses",
        )
    return (
        Cause.FREQUENCY,
        f"{_share(facts, lost)} of the eligible bytes are in regions with another nr_accesses",
        "look at damon report for the regions",
    )


def _age(facts: Facts, lost: float) -> _Found:
    wanted, oldest = facts.min_age * facts.aggr_us / 1e6, facts.most("oldest_us") / 1e6
    most = f"{_share(facts, lost)} of the eligible bytes are not" if lost else "no memory is"
    return (
        Cause.AGE,
        f"{most} old enough: the scheme needs {span(wanted)}, the oldest region reached {span(oldest)} in "
        f"{span(facts.seconds)}",
        f"lower the minimum age below {span(min(oldest, wanted))}, or let it run for longer",
    )


def _size(facts: Facts, lost: float) -> _Found:
    low, high = facts.sizes
    return (
        Cause.SIZE,
        f"{_share(facts, lost)} of the eligible bytes are in regions outside of the size bounds, {size(low)} to "
        f"{size(high)}",
        "widen the bounds (min_sz_region, max_sz_region)",
    )


def _quota(facts: Facts, lost: float) -> _Found:
    reached = facts.goal_reached()
    if reached is not None:
        return (
            Cause.GOAL,
            f"the goal {reached[0]} is reached ({reached[1]} of {reached[2]}): the effective quota is "
            f"{size(facts.last('esz'))}",
            "none is needed; raise the goal's target for more",
        )
    what = f"{_share(facts, lost)} of the eligible bytes wait for the quota of {size(facts.most('esz'))} in " \
        f"{span(facts.window_s)}"  # fmt: skip
    charged, kept = facts.charged, facts.sum("tried")
    if charged and kept < _HALF * charged:
        return (
            Cause.PRIORITY,
            f"{what}, and {1 - kept / charged:.0%} of the quota went to other memory, which has the higher priority "
            f"({size(max(charged - facts.sum('tried_present'), 0))} of it to ranges that hold none)",
            "leave that memory out (addr filters, monitored ranges), or change the weights of the quota",
        )
    return Cause.QUOTA, what, f"raise the quota to {size(facts.most('right_size'))} in that time, or shorten its window"


def _core_filters(facts: Facts, lost: float) -> _Found:
    return (
        Cause.CORE_FILTERS,
        f"{_share(facts, lost)} of the eligible bytes are rejected by the core filters: "
        f"{', '.join(facts.core_filters)}",
        f"remove or change the filter {facts.core_filters[-1] if facts.core_filters else ''}".rstrip(),
    )


def _share(facts: Facts, lost: float) -> str:
    whole = facts.means["eligible"] or facts.means["monitored"] or 1.0
    return f"{min(lost / whole, 1.0):.0%}"


_STOCK: Final = {
    "monitored": _unreached, "active": _watermarks, "observed": _frequency, "old_enough": _age, "right_size": _size,
    "in_quota": _quota, "tried": _core_filters,
}  # fmt: skip
assert set(_STOCK) < set(STAGES)
