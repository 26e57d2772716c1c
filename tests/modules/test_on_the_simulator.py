# SPDX-License-Identifier: GPL-2.0-only
"""The states of a module over a memory that really gets reclaimed, in virtual time."""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from damon.core import Damon
from damon.errors import DamonError
from damon.mm.sim import SimulatedMachine
from damon.modules.loader import Loader
from damon.workload.model import Access, Area, MachineSpec, Pattern, Phase, Swap, Workload
from tests.modules.loaded import counts
from tests.refusals import refused

MIB = 1 << 20
WORKLOAD = Workload(
    name="small",
    areas=(Area("hot", 2 * MIB), Area("cold", 6 * MIB)),
    phases=(Phase("steady", 1_000_000, (Access("hot", 150_000.0, Pattern.SEQUENTIAL),)),),
    machine=MachineSpec(memory=64 * MIB, swap=Swap(16 * MIB)),
)
OPEN = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "quota_ms=0")


@pytest.fixture
def machine() -> Iterator[SimulatedMachine]:
    machine = SimulatedMachine(WORKLOAD, seed=5)
    yield machine
    machine.close()


def _resident(machine: SimulatedMachine) -> dict[str, int]:
    return {area.name: area.resident_bytes for area in machine.areas()}


# Long: the life of two modules, each step in the state that those before left.
def test_states(machine: SimulatedMachine) -> None:
    damon = Damon(machine, seed=5)
    loader = Loader(damon)
    reclaim = loader.prepare("reclaim", [*OPEN, "min_age=500000"])
    sort = loader.prepare("lru_sort", OPEN)
    for module in (reclaim, sort):
        loader.load(module)
    enabled, commit = reclaim.parameters["enabled"], reclaim.parameters["commit_inputs"]

    machine.clock.sleep_us(1_000_000)
    assert _resident(machine) == {"hot": 2 * MIB, "cold": 6 * MIB}
    enabled.store("Y\n")
    with pytest.raises(DamonError) as caught:
        sort.parameters["enabled"].store("Y")
    assert (caught.value.errno, sort.parameters["enabled"].show()) == (errno.EBUSY, "N\n")
    other = damon.new_ctx()
    damon.select_ops(other, "paddr")
    with refused(errno.EBUSY):
        damon.start([other])

    machine.clock.sleep_us(3_000_000)
    resident, stats = _resident(machine), counts(reclaim)
    assert resident["cold"] <= 0.1 * 6 * MIB
    assert resident["hot"] >= 0.98 * 2 * MIB
    gone = 8 * MIB - sum(resident.values())
    assert stats["bytes_reclaimed_regions"] == gone

    reclaim.parameters["min_nr_regions"].store("2")
    with pytest.raises(DamonError, match="min_nr_regions: 2: "):
        commit.store("Y")
    assert enabled.show() == "Y\n"
    reclaim.parameters["min_nr_regions"].store("20")
    commit.store("Y")
    assert reclaim.ctx is not None
    assert reclaim.ctx.attrs.min_nr_regions == 20
    machine.clock.sleep_us(100_000)
    assert len(reclaim.ctx.targets[0].regions) >= 20

    enabled.store("N")
    kept = counts(reclaim)
    assert kept["bytes_reclaimed_regions"] >= gone
    with refused(errno.ECANCELED):
        commit.store("Y")
    sort.parameters["enabled"].store("Y")
    machine.clock.sleep_us(1_000_000)
    assert counts(sort)["nr_lru_sorted_hot_regions"] > 0
    sort.parameters["enabled"].store("N")
    assert counts(reclaim) == kept

    enabled.store("Y")
    machine.clock.sleep_us(1_000_000)
    again = counts(reclaim)
    assert again["bytes_reclaim_tried_regions"] > kept["bytes_reclaim_tried_regions"]
    assert all(again[name] >= kept[name] for name in kept)
    loader.unload_all()
    assert damon.nr_running_ctxs == 0


@pytest.mark.parametrize(("first", "last"), [(1, 2), (16, 32)])
def test_autotuning(machine: SimulatedMachine, first: int, last: int) -> None:
    """Memory that is used a lot is sampled as often as allowed; unused memory less and less often."""
    loader = Loader(Damon(machine, seed=5))
    bounds = (f"monitor_region_start={first * MIB}", f"monitor_region_end={last * MIB}")
    module = loader.prepare("lru_sort", [*OPEN, "autotune_monitoring_intervals=Y", "enabled=Y", *bounds])
    loader.load(module)
    machine.clock.sleep_us(3_000_000)
    assert module.ctx is not None
    attrs = module.ctx.attrs
    assert attrs.sample_interval == (5000 if first == 1 else 40000)
    assert attrs.aggr_interval == 20 * attrs.sample_interval
    assert (module.parameters["sample_interval"].value, module.parameters["aggr_interval"].value) == (5000, 100000)
    loader.unload_all()


def _used(area: str) -> Access:
    """Every page of the 16 MiB in each sampling interval of 5 ms."""
    return Access(area, 2_000_000.0, Pattern.SEQUENTIAL)


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_stat_knows_how_long_memory_was_idle(seed: int) -> None:
    """A quarter is in use, a quarter was until 20 s ago, the rest never was: seen in the percentiles, 30 s after.

    What is used is more than the 4 % that sampling aims at, so the intervals stay. What was and what was not is not
    adjacent: regions of different ages merge as long as they are not accessed.
    """
    workload = Workload(
        name="idle",
        areas=(Area("once", 16 * MIB), Area("hot", 16 * MIB), Area("never", 16 * MIB)),
        phases=(
            Phase("both", 10_000_000, (_used("hot"), _used("once"))),
            Phase("one", 30_000_000, (_used("hot"),)),
        ),
        machine=MachineSpec(memory=64 * MIB, swap=Swap(16 * MIB)),
    )
    machine = SimulatedMachine(workload, seed)
    damon = Damon(machine, seed=seed)
    loader = Loader(damon)
    module = loader.prepare("stat")
    loader.load(module)
    machine.clock.sleep_us(30_100_000)  # the sixth refresh was after 30.03 s
    percentiles = module.parameters["memory_idle_ms_percentiles"].value
    assert isinstance(percentiles, tuple)
    assert module.parameters["aggr_interval_us"].value == 100_000
    assert 20 <= sum(value < 0 for value in percentiles) <= 30
    assert -30_100 <= percentiles[0] <= -28_000
    assert 19_000 <= percentiles[45] <= 21_500
    assert 29_900 <= percentiles[95] <= percentiles[100] <= 30_100
    # 6 samples of the window's 20 by then.
    assert module.parameters["estimated_memory_bandwidth"].number == pytest.approx(16 * MIB * 10 * 6, rel=0.1)
    areas = {area.name: area.resident_bytes for area in machine.areas()}
    assert set(areas.values()) == {16 * MIB}
    loader.unload_all()
    assert damon.nr_running_ctxs == 0
    machine.close()
