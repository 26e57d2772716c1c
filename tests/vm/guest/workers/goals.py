# SPDX-License-Identifier: GPL-2.0-only
"""Quota goals of running schemes: memory leaves while the goal is missed and stays when it is met, by pagemap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from damon.library import changes
from damon.model.scheme import (
    DamosAction,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
)
from tests.vm.guest.linux_mm.measuring import zones
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, victim
from tests.vm.guest.workers.stage import (
    check,
    gone,
    here,
    on_processes,
    scheme,
    span,
    stalled_us,
    until,
    vmstat,
)

OUT = DamosAction.PAGEOUT
CGROUP = Path("/sys/fs/cgroup/pressure-test")
LIMIT = 16 << 20
#: Each window may do twice as much as the one before while there is no pressure: from a byte to some MiB.
WINDOWS = 22


@contextmanager
def pressure() -> Iterator[Victim]:
    """A process that uses three times as much as its control group may have: it waits for memory all the time."""
    (CGROUP.parent / "cgroup.subtree_control").write_text("+memory")
    CGROUP.mkdir(exist_ok=True)
    try:
        with victim(3 * LIMIT >> 20) as other:
            (CGROUP / "cgroup.procs").write_text(str(other.pid))
            (CGROUP / "memory.max").write_text(str(LIMIT))
            other.tell(f"write 0 {other.pages} 1")
            other.tell(f"keep 0 {other.pages} 1")
            before, swapped_in = stalled_us(), vmstat("pswpin")
            until("there is pressure", lambda: stalled_us() > before + 100_000 and vmstat("pswpin") > swapped_in + 1000)
            yield other
    finally:
        until("the control group is empty", lambda: not (CGROUP / "cgroup.procs").read_text())
        CGROUP.rmdir()


@check
def pressure_goal() -> dict[str, Any]:
    """A goal of 1 % stalled time: nothing leaves while the kernel counts much more, and all does afterwards."""
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.SOME_MEM_PSI_US, 1000)
    quota = DamosQuota(reset_interval=50, goals=[goal])
    with ExitStack() as stack:
        other, ours = stack.enter_context(victim(16)), stack.enter_context(machine())
        filled(other)
        cause = stack.enter_context(pressure())
        worker = stack.enter_context(
            on_processes(ours, [(other, [span(other)])], scheme(OUT, quota=quota), sample_us=5000)
        )
        before = stalled_us()
        worker.aggregations(WINDOWS)
        stalled, kept = stalled_us() - before, here(other)
        cause.process.kill()
        until("without pressure it leaves", lambda: gone(other))
        calm = stalled_us()
        worker.aggregations(5)
        calm = stalled_us() - calm
    assert stalled > 5 * WINDOWS * goal.target_value, stalled
    assert kept == other.pages, kept
    return {"kept_under_pressure": kept, "stalled_us": stalled, "stalled_us_in_5_windows_after": calm}


@check
def temporal_tuner() -> dict[str, Any]:
    """All or nothing: whole shares leave until zoneinfo says that the goal is met, then none; a higher goal, and on."""

    def free_bp() -> float:
        node = zones()[0]
        return node["free"] * 10000 / node["total"]

    size = 2 << 20
    with victim(48) as other, machine() as ours:
        filled(other)
        wanted_bp = int(free_bp()) + 150  # 14 MiB of 940
        goal = DamosQuotaGoal(DamosQuotaGoalMetric.NODE_MEM_FREE_BP, wanted_bp)
        quota = DamosQuota(
            sz=size, reset_interval=100, goals=[goal], goal_tuner=DamosQuotaGoalTuner.TEMPORAL
        )  # fmt: skip
        with on_processes(ours, [(other, [span(other)])], scheme(OUT, quota=quota)) as worker:
            until("the goal is met", lambda: free_bp() >= wanted_bp)
            worker.aggregations(2)
            met = other.pages - here(other)
            worker.aggregations(10)
            later = other.pages - here(other)
            with changes(worker.damon, worker.ctx) as wanted:
                wanted.schemes[0].quota.goals[0].target_value = 10000
            until("a goal out of reach takes all", lambda: gone(other))
    assert (10 << 20) <= met * PAGE <= (24 << 20), met
    assert (later - met) * PAGE <= 2 * size, (met, later)
    return {"left_mib": [met * PAGE >> 20, later * PAGE >> 20], "goal_bp": wanted_bp}
