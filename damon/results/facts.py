# SPDX-License-Identifier: GPL-2.0-only
"""What the explanation of one scheme is based on: sums of its funnel, its parameters, and the machine's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from damon.errors import InvalidInput
from damon.model.machine import PAGE_SIZE
from damon.results.funnel import STAGES
from damon.results.run import Run
from damon.results.truth import kept_rates, truth_of

#: The stages that lose stock: bytes that are never tried.
_STOCK: Final = STAGES[1 : STAGES.index("tried") + 1]
_PARAMETERS: Final = (
    "action", "target_nid", "aggr_us", "max_samples", "min_age", "min_nr_accesses", "sizes", "watermarks", "window_s",
    "min_nr_regions", "max_nr_regions", "regions_needed", "monitored", "core_filters", "ops_filters",
)  # fmt: skip
#: The last part of a run, whose mean is what is left at the end.
_END: Final = 10
#: Those behind the ages.
_AGED: Final = STAGES[STAGES.index("old_enough") + 1 : STAGES.index("tried") + 1]
#: A stage that passes less than this share lets next to nothing pass, if more than it of the eligible bytes get there.
_LITTLE: Final = 0.05


def size(count: float | None) -> str:
    """Bytes in a readable unit."""
    value = float(count or 0)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def span(seconds: float) -> str:
    """A duration in a readable unit."""
    if seconds >= 120:
        return f"{seconds / 60:.4g} min"
    return f"{seconds:.4g} s" if seconds >= 1 else f"{1000 * seconds:.4g} ms"


def _number(text: object) -> int:
    """The number in a value of damo's form, such as ``50 aggr_intervals``."""
    match = re.match(r"\d{1,20}", str(text))
    return int(match[0]) if match is not None else 0


@dataclass
class Facts:
    """Of one scheme."""

    run: Run
    context: int
    scheme: int
    rows: Mapping[str, list[Any]]

    @classmethod
    def of(cls, run: Run, context: int, scheme: int) -> Facts:
        """From the tables of ``run``.

        Raises:
            InvalidInput: it was recorded without ``--why``, or its parameters are not those of a context.
        """
        rows = run.table("funnel").where(context=context, scheme=scheme).columns
        if not rows["time_ns"] and not len(run.table("contexts")):
            raise InvalidInput(f"{run.name or 'run'}: has no rows of a context; record one with --why")
        facts = cls(run, context, scheme, rows)
        try:
            facts.check()
        except (KeyError, TypeError, IndexError) as error:
            raise InvalidInput(f"{run.name}: contexts: {error}: is missing or not valid; it was changed") from None
        return facts

    def check(self) -> None:
        """Read every parameter once."""
        for name in _PARAMETERS:
            getattr(self, name)

    # -- sums of the funnel

    @property
    def nr_rows(self) -> int:
        return len(self.rows["time_ns"])

    def sum(self, name: str) -> float:
        return float(sum(value or 0 for value in self.rows[name]))

    def total(self, name: str) -> float | None:
        """The sum; None where it is not known."""
        return None if any(value is None for value in self.rows[name]) else self.sum(name)

    def most(self, name: str) -> float:
        return float(max((value or 0 for value in self.rows[name]), default=0))

    def last(self, name: str) -> float | None:
        """The mean of the last part of the run; None where it is not known."""
        values = self.rows[name][-max(self.nr_rows // _END, 1) :]
        return None if None in values or not values else sum(values) / len(values)

    def text(self, name: str) -> str:
        """The most frequent one."""
        values = [value for value in self.rows[name] if value]
        return max(set(values), key=values.count) if values else "none known"

    @cached_property
    def means(self) -> dict[str, float | None]:
        """Of each stage."""
        nr = max(self.nr_rows, 1)
        return {stage: None if None in self.rows[stage] else sum(self.rows[stage]) / nr for stage in STAGES}

    def narrowest(self) -> tuple[str, float]:
        """The stage that leaves out most, and its mean bytes; or one behind the ages that next to nothing passes.

        What is too young is on its way, so that most bytes can be there for most of the time, whatever comes next.
        """
        means = self.means
        whole = before = (means["eligible"] if means["eligible"] is not None else means["monitored"]) or 0.0
        lost, blocks = dict[str, float](), list[str]()
        for stage in _STOCK:
            mean = means[stage] or 0.0
            lost[stage] = max(before - mean, 0.0)
            if stage in _AGED and mean < _LITTLE * before and before > _LITTLE * whole:
                blocks.append(stage)
            before = mean
        stage = blocks[0] if blocks else max(lost, key=lambda name: lost[name])
        return stage, lost[stage]

    # -- the machine

    @property
    def seconds(self) -> float:
        """That the run took, of the machine's time."""
        times = self.run.table("machine").columns["time_ns"]
        return (times[-1] - times[0]) / 1e9 if times else 0.0

    @cached_property
    def _machine(self) -> Mapping[str, list[Any]]:
        return self.run.table("machine").columns

    @property
    def _memory(self) -> Mapping[str, Any]:
        result = self.run.result
        return result["memory"] if result is not None else {"total_bytes": 0}

    @property
    def memory_bytes(self) -> int:
        return int(self._memory["total_bytes"])

    @property
    def free_per_mille(self) -> float:
        free = self._machine["free_bytes"]
        return 1000.0 * sum(free) / len(free) / self.memory_bytes if free and self.memory_bytes else 0.0

    @property
    def unreached(self) -> Mapping[str, int]:
        """On a real machine: bytes that passed filters (``wanted``), and of these what no advice reached, by reason."""
        found = (self.run.result or {}).get("unreached_bytes") or {}
        return {str(name): _number(count) for name, count in found.items()} if isinstance(found, dict) else {}

    @property
    def swap_bytes(self) -> int | None:
        """All swap of the machine; None: not known, as of runs of earlier versions."""
        return int(self._memory["swap_bytes"]) if "swap_bytes" in self._memory else None

    @property
    def swap_used(self) -> int:
        return int(self._memory.get("swap_used_bytes", 0))

    def sparse_area(self) -> tuple[str | None, float]:
        """The largest area that is accessed in the middle of the run, less than four times a page in an aggregation
        interval or the minimum age, and the seconds between accesses to one of its pages."""
        truth, interval = truth_of(self.run), self.aggr_us * max(self.min_age, 1) / 1e6
        rates = kept_rates(self.run)
        if truth is not None:
            middle = self.seconds * 5e5
            rates = {name: (truth.accesses_per_page(name, middle, 1e6), one.size) for name, one in truth.areas.items()}
        sparse = [name for name, (rate, _) in rates.items() if 0 < rate * interval < 4]
        area = max(sparse, key=lambda name: rates[name][1], default=None)
        return area, 1.0 / rates[area][0] if area is not None else 0.0

    # -- parameters

    @property
    def _ctx(self) -> Mapping[str, Any]:
        return self.run.contexts[self.context]  # type: ignore[no-any-return]

    @property
    def _scheme(self) -> Mapping[str, Any]:
        return self._ctx["schemes"][self.scheme]  # type: ignore[no-any-return]

    @property
    def action(self) -> str:
        return str(self._scheme["action"])

    @property
    def target_nid(self) -> object:
        return self._scheme["target_nid"]

    @property
    def aggr_us(self) -> int:
        intervals = self.run.table("contexts").where(context=self.context).columns["aggr_us"]
        return int(intervals[-1]) if intervals else _number(self._ctx["intervals"]["aggr_us"])

    @property
    def max_samples(self) -> int:
        return max(self.aggr_us // max(_number(self._ctx["intervals"]["sample_us"]), 1), 1)

    @property
    def min_age(self) -> int:
        """In aggregation intervals."""
        return _number(self._scheme["access_pattern"]["age"]["min"])

    @property
    def min_nr_accesses(self) -> int:
        return _number(self._scheme["access_pattern"]["nr_accesses"]["min"])

    @property
    def sizes(self) -> tuple[int, int]:
        bounds = self._scheme["access_pattern"]["sz_bytes"]
        return _number(bounds["min"]), _number(bounds["max"])

    @property
    def watermarks(self) -> dict[str, int]:
        marks = self._scheme["watermarks"]
        return {name: _number(marks[f"{name}_permil"]) for name in ("high", "mid", "low")}

    @property
    def inactive(self) -> float:
        """The share of the run in which watermarks kept the scheme inactive."""
        active = self.run.table("schemes").where(context=self.context, scheme=self.scheme).columns["active"]
        return 1.0 - sum(active) / len(active) if active else 0.0

    @property
    def min_nr_regions(self) -> int:
        return _number(self._ctx["nr_regions"]["min"])

    @property
    def max_nr_regions(self) -> int:
        return _number(self._ctx["nr_regions"]["max"])

    @property
    def crowded(self) -> bool:
        """Is the number of regions limited by its maximum?"""
        counts = self.run.table("contexts").where(context=self.context).columns["nr_regions"]
        return bool(counts) and 3 * max(counts) >= self.max_nr_regions

    @property
    def regions_needed(self) -> int:
        """So many regions of the same size are no larger than half of the largest area."""
        areas = (self.run.request.get("workload") or {}).get("areas", ())
        whole = sum(_number(one["end"]) - _number(one["start"]) for t in self._ctx["targets"] for one in t["regions"])
        least = min((area["size"] for area in areas), default=PAGE_SIZE)
        return max(whole * 2 // max(least, PAGE_SIZE), 1)

    @property
    def window_s(self) -> float:
        return _number(self._scheme["quotas"]["reset_interval_ms"]) / 1000

    @property
    def charged(self) -> float:
        """Bytes that quotas were charged for: what the scheme tried."""
        tried = self.run.table("schemes").where(context=self.context, scheme=self.scheme).columns["sz_tried"]
        return float(tried[-1] - tried[0]) if tried else 0.0

    @property
    def applied(self) -> int:
        """Bytes that the action applied to."""
        counts = self.run.table("schemes").where(context=self.context, scheme=self.scheme).columns["sz_applied"]
        return int(counts[-1] - counts[0]) if counts else 0

    def goal_reached(self) -> tuple[str, int, int] | None:
        """Metric, value and target of a goal that was reached when it was measured last."""
        table = self.run.table("goals").where(context=self.context, scheme=self.scheme).columns
        last = dict(zip(table["goal"], zip(table["current_value"], table["target_value"], strict=True), strict=True))
        for number, goal in enumerate(self._scheme["quotas"]["goals"]):
            current, target = last.get(number, (0, 1))
            if target and current >= target:
                return str(goal["metric"]), current, target
        return None

    @property
    def monitored(self) -> str:
        """The ranges that are monitored."""
        ranges = [f"{one['start']}-{one['end']}" for target in self._ctx["targets"] for one in target["regions"]]
        return ", ".join(ranges[:4]) or "nothing"

    @property
    def core_filters(self) -> list[str]:
        return [_filter(one) for one in self._scheme["filters"] if one.get("filter_type", one.get("type")) in _CORE]

    @property
    def ops_filters(self) -> list[str]:
        return [_filter(one) for one in self._scheme["filters"] if one.get("filter_type", one.get("type")) not in _CORE]


_CORE: Final = ("addr", "target", "probe_hits_wsum")


def _filter(given: Mapping[str, Any]) -> str:
    words = "allow" if given.get("allow") else "reject"
    return f"{words}{'' if given.get('matching') else ' none'} {given.get('filter_type', given.get('type'))}"
