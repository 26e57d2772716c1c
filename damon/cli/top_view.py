# SPDX-License-Identifier: GPL-2.0-only
"""The tables of ``damon top``, which fit into 80 columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Any, Final

from damon.cli.output import make_table, short_size, size
from damon.damond.snapshot import Context, Kdamond, Scheme, Snapshot
from damon.library.results import Region
from damon.units import SECOND_US

_NAME: Final = 14
_WORKERS: Final = ("kdamond", "pid", "cpu", "ops", "intervals", "regions", "working set")
_SCHEMES: Final = ("scheme", "action", "tried", "applied", "/s", "quota", "goal")
_REGIONS: Final = ("target", "most accessed", "size", "accesses", "age")


def parts(now: Snapshot, before: Snapshot | None, width: int, regions: int) -> Iterator[Any]:
    """What rich prints: a title, and the tables that have rows.

    Args:
        before: an earlier snapshot, for rates.
        width: columns of the terminal.
        regions: how many are shown.
    """
    from rich.text import Text

    clock = f", {now.now_ns / 1e9:.1f} virtual seconds" if now.virtual else ""
    memory = f"free {size(now.free_bytes)} of {size(now.total_bytes)}"
    yield Text(f"damond {now.pid}, machine {now.machine}{clock}; {memory}")
    for columns, rows in (
        (_WORKERS, [_worker(kdamond) for kdamond in now.kdamonds]),
        (_SCHEMES, list(_schemes(now, before))),
        (_REGIONS, list(_regions(now, regions))),
    ):
        if rows:
            yield make_table(columns, rows, width)
    for kdamond in now.kdamonds:
        if kdamond.error is not None:
            yield Text(f"{kdamond.name} ended: {kdamond.error}")


def _cut(name: str, longest: int = _NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _time(us: float) -> str:
    """``5ms``, ``1.5s``, ``12min``."""
    for unit, name, most in ((1, "us", 1000), (1000, "ms", 1000), (SECOND_US, "s", 120), (60 * SECOND_US, "min", 120)):
        if us < unit * most:
            return f"{us / unit:.3g}{name}"
    return f"{us / SECOND_US / 3600:.0f}h"


def _worker(kdamond: Kdamond) -> Sequence[str]:
    context = kdamond.contexts[0] if kdamond.contexts else None
    pid = str(kdamond.pid) if kdamond.running else "off"
    cpu = _time(kdamond.cpu_s * SECOND_US) if kdamond.cpu_s is not None else "-"
    if context is None or not kdamond.running:
        return _cut(kdamond.name), pid, cpu, "-", "-", "-", "-"
    known = context.regions_age_s is not None
    sizes = (short_size(one * context.addr_unit) for one in (context.working_set_sz, context.monitored_sz))
    intervals = f"{_time(context.sample_us)} {_time(context.aggr_us)}"
    return (
        _cut(kdamond.name), pid, cpu, _cut(context.operations, 7), intervals,
        "paused" if context.pause else str(context.nr_regions), " of ".join(sizes) if known else "-",
    )  # fmt: skip


@dataclass(frozen=True)
class _Place:
    """One scheme of a snapshot."""

    kdamond: Kdamond
    context: Context
    scheme: Scheme


def _places(snapshot: Snapshot) -> dict[tuple[str, int, int, str], _Place]:
    return {
        (kdamond.name, number, index, scheme.action): _Place(kdamond, context, scheme)
        for kdamond in snapshot.kdamonds
        for number, context in enumerate(kdamond.contexts)
        for index, scheme in enumerate(context.schemes)
    }


def _schemes(now: Snapshot, before: Snapshot | None) -> Iterator[Sequence[str]]:
    earlier = _places(before) if before is not None else {}
    seconds = (now.now_ns - before.now_ns) / 1e9 if before is not None else 0.0
    for key, place in _places(now).items():
        scheme, unit = place.scheme, place.context.addr_unit
        was = earlier.get(key)
        rate = "-"
        if was is not None and seconds > 0 and place.kdamond.running:
            rate = short_size(max(scheme.stat.sz_applied - was.scheme.stat.sz_applied, 0) * unit / seconds)
        if not scheme.wmarks.activated:
            rate = "inactive"
        score = scheme.quota.score_bp
        yield (
            f"{_cut(key[0])}/{key[2]}", _cut(scheme.action, 12), short_size(scheme.stat.sz_tried * unit),
            short_size(scheme.stat.sz_applied * unit), rate,
            short_size(scheme.quota.esz * unit) if scheme.quota.is_set else "-",
            f"{score / 100:.0f}%" if score is not None else "-",
        )  # fmt: skip


def _joined(regions: Sequence[Region]) -> list[Region]:
    """Neighbours with the same counts are one range."""
    found: list[Region] = []
    for region in regions:
        last = found[-1] if found else None
        if last and (last.end, last.nr_accesses, last.age) == (region.start, region.nr_accesses, region.age):
            found[-1] = replace(last, end=region.end)
        else:
            found.append(region)
    return found


def _regions(now: Snapshot, most: int) -> Iterator[Sequence[str]]:
    """Those with accesses, the most frequent and then the longest first."""
    found = [
        (kdamond, context, target.pid, region)
        for kdamond in now.kdamonds
        for context in kdamond.contexts
        for target in context.targets
        for region in _joined(target.regions)
        if region.nr_accesses
    ]

    def order(one: tuple[Kdamond, Context, int | None, Region]) -> tuple[float, int, int]:
        _, context, _, region = one
        share = region.nr_accesses / max(context.max_nr_accesses, 1)
        return share, region.age * context.aggr_us, region.size * context.addr_unit

    for kdamond, context, pid, region in nlargest(most, found, key=order):
        share, us, sz = order((kdamond, context, pid, region))
        start, end = region.start * context.addr_unit, region.end * context.addr_unit
        name = _cut(kdamond.name) if pid is None else f"{_cut(kdamond.name, 8)} {pid}"
        yield name, f"{start:#x}-{end:#x}", short_size(sz), f"{min(share, 1.0):.0%}", _time(us)
