# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_STAT: its numbers, when they are fresh, and its states (DAMON spec, modules 5)."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from damon.core import Damon
from damon.model.attrs import DamonIntervalsGoal
from damon.modules.loader import Loader
from damon.modules.params import Value, show_value
from damon.modules.stat import Stat
from damon.ops.paddr import Paddr
from tests.contexts import selected
from tests.fakes import FakeMachine
from tests.modules.loaded import new_loader
from tests.refusals import refused

MIB = 1 << 20
PARAMETERS = f"""
enabled bool 0600 Y
estimated_memory_bandwidth ulong 0400 0
memory_idle_ms_percentiles array of long 0400 {",".join(["0"] * 101)}
aggr_interval_us ulong 0400 0
kdamond_pid int 0400 -1
"""
NUMBERS = ("estimated_memory_bandwidth", "memory_idle_ms_percentiles", "aggr_interval_us")


def _loaded(
    *words: str, hot: Callable[[int], bool] = lambda addr: False, hz: int = 0
) -> tuple[FakeMachine, Damon, Stat]:
    machine, damon, loader = new_loader(hot, hz)
    machine.ram = [(0, 1000 * MIB)]  # in ten parts of 100 MiB, the most that a region can have
    module = loader.prepare("damon_stat", words)
    assert isinstance(module, Stat)
    loader.load(module)
    return machine, damon, module


def _number(module: Stat, name: str = "estimated_memory_bandwidth") -> int:
    return module.parameters[name].number


def _percentiles(module: Stat) -> tuple[int, ...]:
    value = module.parameters["memory_idle_ms_percentiles"].value
    assert isinstance(value, tuple)
    return value


def test_every_parameter_of_the_specification_and_no_other() -> None:
    specs = Stat.specs()
    ours = [f"{spec.name} {spec.type} {spec.perm:04o} {show_value(spec.default)}" for spec in specs]
    assert ours == PARAMETERS.split("\n")[1:-1]
    _, _, module = _loaded("enabled=N")
    assert [module.parameters[spec.name].show() for spec in specs[1:]] == [
        show_value(s.default) + "\n" for s in specs[1:]
    ]
    assert all(spec.description for spec in specs)


def test_the_context() -> None:
    machine, _, module = _loaded("enabled=N")
    machine.ram = [(0x1000, 0x9F000), (0x100000, 1 << 30)]
    module.parameters["enabled"].store("Y")
    ctx = module.ctx
    assert ctx is not None
    attrs = ctx.attrs
    assert (attrs.sample_interval, attrs.aggr_interval, attrs.ops_update_interval) == (5000, 100_000, 60_000_000)
    assert (attrs.min_nr_regions, attrs.max_nr_regions) == (10, 1000)
    assert attrs.intervals_goal == DamonIntervalsGoal(400, 3, 5000, 10_000_000)
    assert isinstance(ctx.ops, Paddr)
    assert (ctx.schemes, len(ctx.targets), ctx.addr_unit, ctx.min_region_sz) == ([], 1, 1, 4096)
    ranges = ctx.targets[0].regions.ranges()
    assert (ranges[0][0], ranges[-1][1]) == (0x1000, 1 << 30)
    assert module.needs() == ("paddr", ())
    module.exit()


def test_numbers_to_the_digit_and_only_every_five_seconds() -> None:
    """Half of the memory is used in each of the samples, 5 ms apart; the other half never.

    A refresh comes with the first sample after 5 s, which is the 1001st, and so on; it sees the counts of the window
    that runs (1 sample, then 2, ...), and at a window's end, with the 20020th sample, the whole window.
    Ages: in the first window what is in use begins, and what is idle has been so for one aggregation already.
    """
    machine, _, module = _loaded(hot=lambda addr: addr < 500 * MIB)
    half = 500 * MIB

    machine.clock.sleep_us(5_001_000)
    assert [module.parameters[name].value for name in NUMBERS] == [0, (0,) * 101, 0]
    machine.clock.sleep_us(5_000)
    assert _number(module) == half * 1 * 10
    assert _number(module, "aggr_interval_us") == 100_000
    assert _percentiles(module) == (-5000,) * 51 + (5100,) * 50
    assert module.parameters["memory_idle_ms_percentiles"].show() == "-5000," * 51 + ",".join(["5100"] * 50) + "\n"

    machine.clock.sleep_us(5_003_000)  # 10.009 s: the second comes with the 2002nd sample
    assert _number(module) == half * 1 * 10
    machine.clock.sleep_us(2_000)
    assert _number(module) == half * 2 * 10
    assert _percentiles(module) == (-10000,) * 51 + (10100,) * 50

    machine.clock.sleep_us(20 * 5_005_000 + 1_000 - 10_011_000)
    assert _number(module) == half * 20 * 10
    assert _percentiles(module) == (-100_100,) * 51 + (100_200,) * 50
    module.exit()


@pytest.mark.parametrize(("hz", "first_us", "second_us"), [(0, 5_005_000, 10_010_000), (100, 5_010_000, 10_020_000)])
def test_a_refresh_comes_after_more_than_five_seconds_of_ticks(hz: int, first_us: int, second_us: int) -> None:
    machine, _, module = _loaded(hot=lambda addr: True, hz=hz)
    seen = []
    for at_us in (first_us, second_us):
        for left_us in (-1000, 1000):
            machine.clock.sleep_until((at_us + left_us) * 1000)
            seen.append(module.parameters["memory_idle_ms_percentiles"].value)
    assert seen[0] != seen[1] == seen[2] != seen[3]
    module.exit()


def test_idle_memory_is_sampled_less_often() -> None:
    """Nothing is accessed: intervals double at each tuning; refreshes come with the first sample after 5 s each."""
    machine, _, module = _loaded()
    machine.clock.sleep_us(60_000_000)
    assert module.ctx is not None
    attrs = module.ctx.attrs
    assert attrs.sample_interval > 100_000
    assert attrs.aggr_interval == 20 * attrs.sample_interval
    assert _number(module, "aggr_interval_us") in (attrs.aggr_interval, attrs.aggr_interval // 2)
    assert _number(module) == 0
    percentiles = _percentiles(module)
    assert len(set(percentiles)) == 1
    # Each change of intervals drops what is left of an age below the new interval; they double, so that is all.
    assert 60_000 - 5_000 - 3 * attrs.aggr_interval / 1000 < percentiles[0] <= 60_000 + attrs.aggr_interval / 1000
    assert percentiles[0] % (_number(module, "aggr_interval_us") // 1000) == 0
    module.exit()


@pytest.mark.parametrize(
    ("words", "runs"),
    [((), True), (("enabled",), True), (("enabled=1",), True), (("enabled=N",), False),
     (("enabled=Y", "enabled=0"), False)],
)  # fmt: skip
def test_it_runs_unless_enabled_is_off(words: tuple[str, ...], runs: bool) -> None:
    _, damon, loader = new_loader()
    module = loader.prepare("stat", words)
    assert (module.wanted, module.parameters["enabled"].show(), damon.nr_running_ctxs) == (runs, "N\n", 0)
    loader.load(module)
    assert (module.parameters["enabled"].show(), damon.nr_running_ctxs) == ("Y\n" if runs else "N\n", int(runs))
    assert (module.parameters["kdamond_pid"].number > 0) == runs
    loader.unload_all()
    assert (module.parameters["enabled"].show(), damon.nr_running_ctxs) == ("N\n", 0)


def test_values_stay_and_monitoring_starts_afresh() -> None:
    machine, damon, module = _loaded(hot=lambda addr: addr < 500 * MIB)
    enabled = module.parameters["enabled"]
    first = module.ctx
    machine.clock.sleep_us(5_006_000)
    enabled.store("Y")
    assert module.ctx is first
    kept: dict[str, Value] = module.stats()
    assert kept["estimated_memory_bandwidth"]
    enabled.store("N")
    enabled.store("N")
    assert (module.ctx, damon.nr_running_ctxs, enabled.show()) == (None, 0, "N\n")
    machine.clock.sleep_us(60_000_000)
    assert module.stats() == kept
    enabled.store("Y")
    assert module.ctx is not first
    machine.clock.sleep_us(5_001_000)
    assert module.stats() == kept  # 5 s count from the start, not from the last refresh
    machine.phys.hot = lambda addr: False
    machine.clock.sleep_us(5_006_000)
    assert _percentiles(module)[0] > 0
    module.exit()


@pytest.mark.parametrize("name", [spec.name for spec in Stat.specs() if spec.name != "enabled"])
def test_read_only_parameters(name: str) -> None:
    _, _, module = _loaded("enabled=N")
    text = module.parameters[name].show()
    with refused(errno.EACCES):
        module.parameters[name].store(text)
    assert module.parameters[name].show() == text


def test_malformed_words() -> None:
    loader = Loader(Damon(FakeMachine()))
    for word, message in (
        ("enabled=maybe", "damon_stat.enabled: 'maybe': "),
        ("memory_idle_ms_percentiles=1,x", "damon_stat.memory_idle_ms_percentiles: '1,x': "),
        ("memory_idle_ms_percentiles=" + ",".join(["1"] * 102), "102 elements"),
        ("commit_inputs=Y", "parameter of damon_stat: 'commit_inputs': is unknown"),
    ):
        with refused(errno.EINVAL) as caught:
            loader.prepare("stat", [word])
        assert message in str(caught.value)
    module = loader.prepare("stat", ["memory_idle_ms_percentiles=1,-2", "aggr_interval_us=7"])
    assert module.parameters["aggr_interval_us"].show() == "0\n"  # well formed and ignored


def test_exclusive_both_ways() -> None:
    _, damon, loader = new_loader()
    stat, reclaim = loader.prepare("stat"), loader.prepare("reclaim")
    for module in (stat, reclaim):
        loader.load(module)
    with refused(errno.EBUSY):
        reclaim.parameters["enabled"].store("Y")
    other = selected(damon)
    with refused(errno.EBUSY):
        damon.start([other])
    stat.parameters["enabled"].store("N")
    reclaim.parameters["enabled"].store("Y")
    with refused(errno.EBUSY):
        stat.parameters["enabled"].store("Y")
    assert (stat.ctx, stat.parameters["enabled"].show(), stat.state()) == (None, "N\n", "off")
    reclaim.parameters["enabled"].store("N")
    damon.start([other])
    with refused(errno.EBUSY):
        stat.parameters["enabled"].store("Y")
    damon.stop([other])
    stat.parameters["enabled"].store("Y")
    loader.unload_all()
    assert damon.nr_running_ctxs == 0


@pytest.mark.parametrize("ram", [[], [(4096, 4096)], [(4096, 4097), (0, 0)]])
def test_what_cannot_be_monitored_is_out_of_memory(ram: list[tuple[int, int]]) -> None:
    machine, damon, module = _loaded("enabled=N")
    machine.ram = ram
    with refused(errno.ENOMEM):
        module.check()
    with refused(errno.ENOMEM):
        module.parameters["enabled"].store("Y")
    assert (module.ctx, module.parameters["enabled"].show(), damon.nr_running_ctxs) == (None, "N\n", 0)
    machine.ram = [(0, MIB)]
    module.check()
    assert damon.nr_running_ctxs == 0
    module.parameters["enabled"].store("Y")
    module.exit()


def test_a_failed_init_leaves_it_off() -> None:
    machine, _, loader = new_loader()
    machine.ram = []
    module = loader.prepare("stat")
    with refused(errno.ENOMEM):
        loader.load(module)
    assert (module.wanted, module.parameters["enabled"].show(), dict(loader.loaded)) == (False, "N\n", {})


def test_a_second_start_beside_the_first() -> None:
    """Two writers that both saw it off: the later one gets EAGAIN, and the first one's worker goes on."""
    machine, damon, module = _loaded(hot=lambda addr: True)
    first = module.ctx
    with refused(errno.EAGAIN) as caught:
        module._turn_on()
    assert "enabled: Y: " in str(caught.value)
    assert (module.ctx, damon.nr_running_ctxs) == (first, 1)
    machine.clock.sleep_us(5_006_000)
    assert _number(module, "aggr_interval_us") == 100_000
    module.exit()


def test_a_worker_that_ended_by_itself_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, damon, module = _loaded()
    broken = module.ctx

    def die(ctx: object) -> int:
        raise ZeroDivisionError("broken")

    assert broken is not None
    with monkeypatch.context() as patch:
        patch.setattr(broken.ops, "check_accesses", die)
        machine.clock.sleep_us(10_000)
    assert (module.parameters["enabled"].show(), damon.nr_running_ctxs) == ("N\n", 0)
    assert module.ctx is broken  # its error stays readable there
    assert isinstance(broken.error, ZeroDivisionError)
    module.parameters["enabled"].store("N")
    other = selected(damon)
    damon.start([other])
    with refused(errno.EBUSY):
        module.parameters["enabled"].store("Y")
    assert module.ctx is None  # a stale one is gone also when its successor could not start
    damon.stop([other])
    module.parameters["enabled"].store("Y")
    assert module.ctx is not None
    module.exit()


def test_state_and_summary() -> None:
    machine, _, module = _loaded("enabled=N", hot=lambda addr: addr < 300 * MIB)
    assert (module.state(), module.progress()) == ("off", None)
    assert module.summary() == [("memory_idle_ms_percentiles", "none yet: they come after 5 s")]
    module.parameters["enabled"].store("Y")
    assert module.state() == "active; its first numbers come after 5 s"
    machine.clock.sleep_us(100_200_000)
    assert module.state() == "active; 60000.0 MiB/s; half of the memory idle for 1.7 min"
    summary = dict(module.summary())
    assert summary["estimated_memory_bandwidth"] == "60000.0 MiB/s"
    assert summary["memory_idle_ms_percentiles[0] (least idle)"] == "in use for 1.7 min"
    assert summary["memory_idle_ms_percentiles[25]"] == "in use for 1.7 min"
    assert summary["memory_idle_ms_percentiles[100] (most idle)"] == "idle for 1.7 min"
    assert summary["aggr_interval_us"] == "100000"
    module.exit()
    assert dict(module.summary()) == summary
