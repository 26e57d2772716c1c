# SPDX-License-Identifier: GPL-2.0-only
"""Running contexts on this kernel, conditions to wait for, and what the kernel's own accounts say."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from damon.core import Damon, set_regions
from damon.library import add_process, running
from damon.mm.linux import LinuxMachine
from damon.model.attrs import DamonAttrs
from damon.model.context import DAMON_MIN_REGION_SZ, DamonCallControl, DamonCtx
from damon.model.probe import DamonProbe
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosQuota
from damon.model.target import DamonTarget
from tests.vm.guest.checks import Checks
from tests.vm.guest.linux_mm.stage import PAGE, Victim
from tests.vm.guest.pages import PRESENT, count

CHECKS = check = Checks()
#: For one condition; a slow machine meets it in a twentieth of that.
GUARD_S = 200
#: 10 ms and 100 ms: fewer samples for an emulated processor than 5 ms.
SAMPLES = 10


def until(what: str, condition: Callable[[], object], *, guard_s: float = GUARD_S, longest_s: float = 0.3) -> None:
    """Wait for a condition; a guard ends what hangs."""
    deadline, pause = time.monotonic() + guard_s, 0.05
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {guard_s} s: {what}")
        time.sleep(pause)
        pause = min(1.5 * pause, longest_s)  # looking keeps the emulated processor from what is waited for


def span(other: Victim, first: int = 0, end: int | None = None) -> tuple[int, int]:
    """The addresses of its pages ``[first, end)``."""
    return other.base + first * PAGE, other.base + (other.pages if end is None else end) * PAGE


def here(other: Victim, first: int = 0, end: int | None = None) -> int:
    """How many of its pages ``[first, end)`` are present, by pagemap."""
    return count(other.entries()[first:end], PRESENT, PRESENT)


def gone(other: Victim, first: int = 0, end: int | None = None) -> bool:
    """Nearly all of its pages ``[first, end)`` are no longer present, by pagemap."""
    pages = (other.pages if end is None else end) - first
    return here(other, first, end) <= pages // 50


def scheme(action: DamosAction, *filters: DamosFilter, quota: DamosQuota | None = None) -> Damos:
    """A scheme on whatever is monitored."""
    new = Damos(action=action, quota=quota or DamosQuota())
    for wanted in filters:
        new.add_filter(wanted)
    return new


@dataclass
class Worker:
    """A kdamond that runs."""

    damon: Damon
    ctx: DamonCtx

    def rounds(self, count: int) -> None:
        """Wait for so many turns of its loop: one a sampling interval, also while it is paused."""
        for _ in range(count):
            self.damon.call(self.ctx, DamonCallControl(lambda _: None))

    def aggregations(self, count: int) -> None:
        self.rounds(count * SAMPLES)

    def thread(self) -> int:
        return self.damon.kdamond_pid(self.ctx)


def context(
    damon: Damon,
    ops: str,
    *schemes: Damos,
    sample_us: int = 10000,
    samples: int = SAMPLES,
    regions: int = 10,
    most: int = 200,
) -> DamonCtx:
    ctx = damon.new_ctx()
    damon.select_ops(ctx, ops)
    ctx.attrs = DamonAttrs(sample_us, samples * sample_us, min_nr_regions=max(regions, 3), max_nr_regions=most)
    ctx.schemes.extend(schemes)
    return ctx


@contextmanager
def on_processes(
    ours: LinuxMachine, spans: Sequence[tuple[Victim, Sequence[tuple[int, int]]]], *schemes: Damos, **attrs: int
) -> Iterator[Worker]:
    """A worker on ranges of processes, which stay as they are (fvaddr); one target a process."""
    damon = Damon(ours, seed=1)
    ctx = context(damon, "fvaddr", *schemes, **attrs)
    for other, ranges in spans:
        add_process(ctx, other.pid, ranges)
    with running(damon, ctx):
        yield Worker(damon, ctx)


@contextmanager
def on_memory(
    ours: LinuxMachine,
    ranges: Sequence[tuple[int, int]],
    *schemes: Damos,
    addr_unit: int = 1,
    probes: Sequence[DamonProbe] = (),
    level: str = "7.3",
    **attrs: int,
) -> Iterator[Worker]:
    """A worker on physical memory; ``ranges`` are in units of ``addr_unit``."""
    damon = Damon(ours, seed=1, level=level)
    ctx = context(damon, "paddr", *schemes, **attrs)
    ctx.probes.extend(probes)
    ctx.addr_unit, ctx.min_region_sz = addr_unit, max(DAMON_MIN_REGION_SZ // addr_unit, 1)
    target = DamonTarget()
    set_regions(target, ranges, ctx.min_region_sz)
    ctx.targets.append(target)
    with running(damon, ctx):
        yield Worker(damon, ctx)


def vmstat(*names: str) -> int:
    """The sum of these counters of /proc/vmstat."""
    counters = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return sum(int(counters[name]) for name in names)


def meminfo(name: str) -> int:
    """Bytes, from /proc/meminfo."""
    found = re.search(rf"^{name}: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def stalled_us() -> int:
    """Time that some process waited for memory so far, from /proc/pressure/memory."""
    found = re.search(r"^some .*total=(\d+)", Path("/proc/pressure/memory").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def major_faults(pid: int) -> int:
    """Faults of a process that had to bring memory back, from /proc/PID/stat."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[9])
