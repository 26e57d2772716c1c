# SPDX-License-Identifier: GPL-2.0-only
"""The quota's feedback tuner as a control loop over memory that really comes back (DAMON spec, damos 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from damon.core import Damon
from damon.mm.sim import SimulatedMachine
from damon.model.scheme import DamosQuota
from damon.modules.common import DamonModule
from damon.modules.loader import Loader
from damon.workload.load import load_workload
from damon.workload.model import MachineSpec, Swap

PRESSURE = load_workload(str(Path(__file__).parents[2] / "workloads/pressure.yaml"))
#: Only goals limit, whatever is free.
OPEN = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "quota_ms=0", "quota_sz=0", "min_age=0", "enabled=Y")
WINDOW_US = 10_000_000
MIB = 1 << 20


@contextmanager
def _running(machine: SimulatedMachine, seed: int, *words: str) -> Iterator[DamonModule]:
    with machine:
        loader = Loader(Damon(machine, seed=seed))
        module = loader.prepare("damon_reclaim", [*OPEN, *words])
        loader.load(module)
        assert isinstance(module, DamonModule)
        yield module
        loader.unload_all()


def _stalls(seed: int, *words: str, windows: int = 60) -> tuple[list[int], list[int]]:
    """The stall (us) and the effective quota of each quota window. Tuned ones start at a byte and at most double."""
    machine = SimulatedMachine(PRESSURE, seed)
    totals, sizes = [0], []
    with _running(machine, seed, f"quota_reset_interval_ms={WINDOW_US // 1000}", *words) as module:
        for _ in range(windows):
            machine.clock.sleep_us(WINDOW_US)
            totals.append(machine.psi_some_us())
            sizes.append(_quota(module).esz)
        counters = machine.counters()
        assert counters["pgsteal_kswapd"] == counters["allocstall"] == 0  # every stall is of the scheme's making
    return [after - before for before, after in pairwise(totals)], sizes


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("target", [50_000, 200_000])
def test_pressure_settles_at_the_target(target: int, seed: int) -> None:
    stalls, sizes = _stalls(seed, f"quota_mem_pressure_us={target}")
    assert sizes[0] <= 4
    assert max(stalls[:10]) == 0  # less than a page: nothing is done
    settled = stalls[30:]
    assert sum(settled) / len(settled) == pytest.approx(target, rel=0.2)
    assert min(sizes[30:]) > MIB  # it stays there, and is never sent back to where it began
    assert min(settled) > 0


def test_pressure_is_of_the_tuners_making() -> None:
    """The same machine with a fixed quota is under another pressure, and with none under far more."""
    fixed, _ = _stalls(1, "quota_sz=16777216", windows=20)
    unlimited, _ = _stalls(1, windows=3)
    assert sum(fixed) / len(fixed) < 0.5 * 50_000
    assert sum(unlimited) / len(unlimited) > 2 * 200_000


@pytest.fixture
def fed() -> Iterator[tuple[SimulatedMachine, DamonModule]]:
    """A module whose user gives feedback every second; on memory that is all there."""
    workload = replace(PRESSURE, machine=MachineSpec(memory=1 << 30, swap=Swap(1 << 30)))
    machine = SimulatedMachine(workload, 1)
    with _running(machine, 1, "quota_reset_interval_ms=1000", "quota_autotune_feedback=1") as module:
        yield machine, module


def _quota(module: DamonModule) -> DamosQuota:
    assert module.ctx is not None
    return module.ctx.schemes[0].quota


def _under_feedback(machine: SimulatedMachine, module: DamonModule, feedback: int) -> tuple[int, int]:
    """Write the feedback; the effective quota before, and after the window that it is for."""
    before = _quota(module).esz
    module.parameters["quota_autotune_feedback"].store(str(feedback))
    module.parameters["commit_inputs"].store("Y")
    machine.clock.sleep_us(1_000_000)
    return before, _quota(module).esz


def _spec_next(esz: int, feedback: int) -> float:
    """Bytes of the next window: one and a share below 10000, that share less above."""
    if feedback >= 20_000:
        return 1
    return max(esz * (2 - feedback / 10_000), 1)


def test_effective_quota_follows_feedback(fed: tuple[SimulatedMachine, DamonModule]) -> None:
    machine, module = fed
    machine.clock.sleep_us(20_000_000)
    for feedback in (5_000, 9_000, 10_000, 10_500, 14_000, 100, 10_000, 19_000, 9_999):
        before, after = _under_feedback(machine, module, feedback)
        assert after == pytest.approx(_spec_next(before, feedback), rel=0.001)
        assert (after > before, after < before) == (feedback < 10_000, feedback > 10_000), feedback
    assert _under_feedback(machine, module, 20_000)[1] == 1
    assert _under_feedback(machine, module, 5_000)[1] == 1  # 1.5 bytes
    assert _under_feedback(machine, module, 5_000)[1] == 2


def test_effective_quota_settles_where_the_user_wants_it(fed: tuple[SimulatedMachine, DamonModule]) -> None:
    """The user looks at what was tried in the last second, and wants so much: up, then down, then up again."""
    machine, module = fed
    stat = module.ctx.schemes[0].stat if module.ctx else None
    assert stat is not None
    for wanted in (32 * MIB, 8 * MIB, 20 * MIB):
        began, tried, sizes = _quota(module).esz, stat.sz_tried, []
        for _ in range(45):
            done = stat.sz_tried - tried
            tried = stat.sz_tried
            sizes.append(_under_feedback(machine, module, min(max(done * 10_000 // wanted, 1), 19_000))[1])
        assert sum(sizes[-10:]) / 10 == pytest.approx(wanted, rel=0.05), sizes
        assert (sizes[-1] > began) == (wanted != 8 * MIB)
