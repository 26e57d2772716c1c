# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: PT012 - blocks that raise at their end are what is tested
"""The library face: what it starts it stops, what goes wrong in a user's function reaches the user, nothing is left."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

import damon
from damon.mm.sim import SimulatedMachine

WORKLOAD = "workloads/hot-cold.yaml"


class Broken(Exception):
    pass


def broken(*_: Any) -> Any:
    raise Broken("on purpose")


@pytest.fixture
def machine() -> Iterator[SimulatedMachine]:
    with damon.open_machine(sim=WORKLOAD, seed=1) as opened:
        assert isinstance(opened, SimulatedMachine)
        yield opened


def context(machine: SimulatedMachine, *schemes: damon.Damos) -> tuple[damon.Damon, damon.DamonCtx]:
    kernel = damon.Damon(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "vaddr")
    damon.add_process(ctx, machine.pids["main"])
    ctx.schemes = list(schemes)
    return kernel, ctx


def test_every_name_is_there_and_none_is_loaded_before_it_is_used() -> None:
    script = (
        "import sys, damon; print([name for name in sys.modules if name.startswith('damon.')]); print(damon.nothing)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n"
    assert "module 'damon' has no attribute 'nothing'" in done.stderr
    for name in damon.__all__:
        assert getattr(damon, name) is not None
    assert set(damon.__all__) <= set(dir(damon))


@pytest.mark.parametrize("words", [{}, {"sim": WORKLOAD, "linux": True}])
def test_one_machine_is_asked_for(words: dict[str, Any]) -> None:
    with pytest.raises(damon.InvalidInput, match="sim=FILE or linux=True"):
        damon.open_machine(**words)


def test_each_aggregation_comes_once_and_in_order(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine)
    times = []
    with damon.running(kernel, ctx):
        for result in damon.aggregations(kernel, ctx):
            times.append(result.time_ns)
            assert result.max_nr_accesses == 20
            assert result.lost == 0
            assert all(region.nr_accesses <= 20 for region in result.regions)
            if len(times) == 30:
                break
    assert [later - earlier for earlier, later in zip(times, times[1:], strict=False)] == [100_000_000] * 29


def test_a_reader_that_is_late_loses_the_oldest_and_gets_a_count(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine)
    with damon.running(kernel, ctx):
        results = damon.aggregations(kernel, ctx)
        first = next(results)
        machine.clock.sleep_us(10_000_000)
        later = [next(results) for _ in range(64)]
    lost = [result.lost for result in later]
    assert lost[0] > 0
    assert lost == sorted(lost)
    # What was lost and what came are all that there was.
    assert (later[-1].time_ns - first.time_ns) // 100_000_000 == 64 + lost[-1]


def test_no_result_within_the_time(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine)
    ctx.pause = True
    with damon.running(kernel, ctx):
        assert list(damon.aggregations(kernel, ctx, timeout_us=3_000_000)) == []
        assert machine.clock.now_ns() >= 3_000_000_000


@pytest.mark.parametrize(
    "scheme",
    [
        damon.Damos(action=damon.DamosCustomAction("broken", on_region=broken)),
        damon.Damos(action=damon.DamosCustomAction("broken", on_folios=broken)),
        damon.Damos(core_filters=[damon.DamosRegionFilter(broken)]),
        damon.Damos(ops_filters=[damon.DamosFolioFilter(broken)]),
        damon.Damos(
            quota=damon.DamosQuota(
                reset_interval=200, goals=[damon.DamosQuotaGoal(damon.DamosCustomMetric("broken", broken), 1)]
            )
        ),
    ],
    ids=["region action", "folio action", "region filter", "folio filter", "metric"],
)
def test_an_error_in_a_users_function_ends_the_worker_and_is_raised(
    machine: SimulatedMachine, scheme: damon.Damos
) -> None:
    kernel, ctx = context(machine, scheme)
    with pytest.raises(Broken), damon.running(kernel, ctx):
        machine.clock.sleep_us(2_000_000)
        assert not kernel.is_running(ctx)
    assert isinstance(ctx.error, Broken)
    assert kernel.nr_running_ctxs == 0

    kernel, ctx = context(machine, scheme)
    with pytest.raises(Broken), damon.running(kernel, ctx):
        for _ in damon.aggregations(kernel, ctx):
            pass
        raise AssertionError("aggregations() should have raised it")


def test_an_error_in_the_block_stops_the_worker(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine)
    with pytest.raises(Broken), damon.running(kernel, ctx):
        broken()
    assert kernel.nr_running_ctxs == 0
    assert not kernel.is_running(ctx)


def test_a_process_that_ends_ends_the_results(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine)
    with damon.running(kernel, ctx):
        for nr, _ in enumerate(damon.aggregations(kernel, ctx)):
            if nr == 3:
                machine._play.exit("main", machine.clock.now_ns())
        assert not kernel.is_running(ctx)


def test_targets_are_refused_without_a_trace(machine: SimulatedMachine) -> None:
    kernel = damon.Damon(machine)
    ctx = kernel.new_ctx()
    for words in ((4711,), (machine.pids["main"], [(8192, 4096)]), (machine.pids["main"], [(0, 8192), (4096, 16384)])):
        with pytest.raises(damon.DamonError) as refused:
            damon.add_process(ctx, *words)
        assert refused.value.errno == errno.EINVAL
    assert ctx.targets == []
    target = damon.add_memory(ctx)
    assert target.regions.ranges() == [(machine.system_ram()[0][0], machine.system_ram()[-1][1])]


def test_changes_are_committed_and_what_was_survives(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine, damon.Damos())
    with damon.running(kernel, ctx):
        machine.clock.sleep_us(5_000_000)
        tried, ages = ctx.schemes[0].stat.sz_tried, max(region.age for region in ctx.targets[0].regions)
        with damon.changes(kernel, ctx) as wanted:
            wanted.schemes[0].pattern = damon.DamosAccessPattern(min_nr_accesses=1)
            wanted.schemes.append(damon.Damos(action=damon.DamosAction.PAGEOUT))
            wanted.attrs.max_nr_regions = 50
        assert [scheme.action.value for scheme in ctx.schemes] == ["stat", "pageout"]
        assert ctx.schemes[0].stat.sz_tried >= tried > 0
        assert ctx.attrs.max_nr_regions == 50
        assert max(region.age for region in ctx.targets[0].regions) >= ages > 40
        assert ctx.targets[0].pid == machine.pids["main"]


def test_changes_that_are_refused_or_given_up_change_nothing(machine: SimulatedMachine) -> None:
    kernel, ctx = context(machine, damon.Damos())
    pid = machine.pids["main"]
    with damon.running(kernel, ctx):
        with pytest.raises(damon.InvalidInput, match="min_nr_regions"), damon.changes(kernel, ctx) as wanted:
            wanted.schemes.clear()
            damon.add_process(wanted, pid)
            wanted.attrs.min_nr_regions = 2
        with pytest.raises(Broken), damon.changes(kernel, ctx) as wanted:
            wanted.schemes.clear()
            broken()
        machine.clock.sleep_us(1_000_000)
        assert len(ctx.schemes) == len(ctx.targets) == 1
        assert kernel.is_running(ctx)
    with pytest.raises(damon.DamonError) as refused, damon.changes(kernel, ctx):
        pass
    assert refused.value.errno == errno.ECANCELED
