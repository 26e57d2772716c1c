# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_STAT: its numbers, when they are fresh, and its states (DAMON spec, modules 5)."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import Damon
from damon.errors import DamonError
from damon.mm.clock import VirtualClock
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonIntervalsGoal
from damon.model.ticks import Ticks
from damon.modules.loader import Loader
from damon.modules.params import Value, show_value
from damon.modules.stat import Stat
from damon.modules.stat.idle import idle_ms_percentiles, memory_bandwidth
from damon.ops.paddr import Paddr
from tests.fakes import FakeMachine

MIB = 1 << 20
PARAMETERS = f"""
enabled bool 0600 Y
estimated_memory_bandwidth ulong 0400 0
memory_idle_ms_percentiles array of long 0400 {",".join(["0"] * 101)}
aggr_interval_us ulong 0400 0
kdamond_pid int 0400 -1
"""
NUMBERS = ("estimated_memory_bandwidth", "memory_idle_ms_percentiles", "aggr_interval_us")


def _regions(*rows: tuple[int, int, int]) -> RegionArray:
    """One after the other, from ``(bytes, nr_accesses, age)``."""
    regions, start = RegionArray(), 0x1000
    for size, nr_accesses, age in rows:
        region = regions.append(start, start + size)
        region.nr_accesses, region.age = nr_accesses, age
        start += size
    return regions


def _loaded(
    *words: str, hot: Callable[[int], bool] = lambda addr: False, hz: int = 0
) -> tuple[FakeMachine, Damon, Stat]:
    machine = FakeMachine(hot)
    machine.clock = VirtualClock(ticks=Ticks(hz))
    machine.ram = [(0, 1000 * MIB)]  # in ten parts of 100 MiB, the most that a region can have
    damon = Damon(machine)
    loader = Loader(damon)
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


def _refused(function: Callable[[], Any], code: int) -> str:
    with pytest.raises(DamonError) as caught:
        function()
    assert caught.value.errno == code
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The numbers.


def test_percentiles_of_the_specification() -> None:
    regions = _regions((600, 0, 9), (300, 5, 1), (100, 0, 49))
    expected = (-200,) * 31 + (1000,) * 60 + (5000,) * 10
    assert idle_ms_percentiles(regions, 100_000) == expected
    assert memory_bandwidth([regions], 100_000) == 15000


@pytest.mark.parametrize(
    ("rows", "aggr", "expected"),
    [
        ([(4096, 0, 0)], 100_000, [(101, 100)]),
        ([(4096, 1, 0)], 100_000, [(101, -100)]),
        # Among those in use, the one that is it longest is the least idle; one region can be less than a percent.
        ([(5, 0, 7), (990, 3, 2), (5, 20, 9)], 100_000, [(1, -1000), (99, -300), (1, 800)]),
        ([(999, 0, 3), (1, 1, 0)], 100_000, [(1, -100), (100, 400)]),
        # Just short of a percent, and just a whole one.
        ([(1009, 1, 0), (99_991, 0, 0)], 100_000, [(1, -100), (100, 100)]),
        ([(1010, 1, 0), (99_990, 0, 0)], 100_000, [(2, -100), (99, 100)]),
        # Milliseconds are rounded towards zero on either side of it, as C does.
        ([(500, 1, 2), (500, 0, 2)], 100_060, [(51, -300), (50, 300)]),
        ([(500, 1, 0), (500, 0, 0)], 100_999, [(51, -100), (50, 100)]),
        ([(1, 0, 0), (1, 0, 1), (1, 0, 2)], 5000, [(34, 5), (33, 10), (34, 15)]),
        ([(1 << 62, 0, 4_294_967_295), (1 << 62, 1, 4_294_967_294)], 200_000_000,
         [(51, -(2**32 - 1) * 200_000), (50, 2**32 * 200_000)]),
    ],
)  # fmt: skip
def test_percentiles_by_hand(rows: list[tuple[int, int, int]], aggr: int, expected: list[tuple[int, int]]) -> None:
    flat = tuple(value for count, value in expected for _ in range(count))
    assert idle_ms_percentiles(_regions(*rows), aggr) == flat


def test_no_regions_no_percentiles() -> None:
    assert idle_ms_percentiles(RegionArray(), 100_000) == ()
    assert memory_bandwidth([RegionArray()], 100_000) == 0


@pytest.mark.parametrize(
    ("rows", "aggr", "expected"),
    [
        ([(4096, 20, 0)], 100_000, 819_200),
        ([(4096, 20, 0), (8192, 0, 3), (4096, 1, 0)], 100_000, 860_160),
        ([(1, 1, 0)], 3_000_000, 0),  # floor of 1/3
        ([(7, 1, 0)], 3_000_000, 2),  # multiplied first, then divided
        ([(4096, 20, 5)], 200_000_000, 409),
    ],
)
def test_bandwidth_by_hand(rows: list[tuple[int, int, int]], aggr: int, expected: int) -> None:
    assert memory_bandwidth([_regions(*rows)], aggr) == expected
    assert memory_bandwidth([_regions(*rows), RegionArray(), _regions(*rows)], 2 * aggr) == expected


ROWS = st.lists(
    st.tuples(st.integers(1, 1 << 44), st.sampled_from([0, 0, 1, 20]), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=40,
)


@given(ROWS, st.integers(1, 400_000_000))
def test_percentiles_by_definition(rows: list[tuple[int, int, int]], aggr: int) -> None:
    """Percentile p: the least idle time such that memory with no more of it makes up p percent or more."""
    keys = [-(age + 1) if nr else age + 1 for _, nr, age in rows]
    total = sum(size for size, _, _ in rows)
    result = idle_ms_percentiles(_regions(*rows), aggr)
    assert len(result) == 101
    for percent, value in enumerate(result):
        enough = [
            key
            for key in keys
            if 100 * sum(rows[i][0] for i, other in enumerate(keys) if other <= key) >= percent * total
        ]
        us = min(enough) * aggr
        assert value == (us // 1000 if us >= 0 else -(-us // 1000))
    assert list(result) == sorted(result)


# The context, and when the numbers are fresh.


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


# States.


@pytest.mark.parametrize(
    ("words", "runs"),
    [((), True), (("enabled",), True), (("enabled=1",), True), (("enabled=N",), False),
     (("enabled=Y", "enabled=0"), False)],
)  # fmt: skip
def test_it_runs_unless_told_otherwise(words: tuple[str, ...], runs: bool) -> None:
    damon = Damon(FakeMachine())
    loader = Loader(damon)
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
    _refused(lambda: module.parameters[name].store(text), errno.EACCES)
    assert module.parameters[name].show() == text


def test_malformed_words() -> None:
    loader = Loader(Damon(FakeMachine()))
    for word, message in (
        ("enabled=maybe", "damon_stat.enabled="),
        ("memory_idle_ms_percentiles=1,x", "damon_stat.memory_idle_ms_percentiles="),
        ("memory_idle_ms_percentiles=" + ",".join(["1"] * 102), "102 elements"),
        ("commit_inputs=Y", "unknown parameter of damon_stat"),
    ):
        assert message in _refused(lambda word=word: loader.prepare("stat", [word]), errno.EINVAL)  # type: ignore[misc]
    module = loader.prepare("stat", ["memory_idle_ms_percentiles=1,-2", "aggr_interval_us=7"])
    assert module.parameters["aggr_interval_us"].show() == "0\n"  # well formed and ignored


def test_exclusive_both_ways() -> None:
    machine = FakeMachine()
    machine.free = (300, 1000)
    damon = Damon(machine)
    loader = Loader(damon)
    stat, reclaim = loader.prepare("stat"), loader.prepare("reclaim")
    for module in (stat, reclaim):
        loader.load(module)
    _refused(lambda: reclaim.parameters["enabled"].store("Y"), errno.EBUSY)
    other = damon.new_ctx()
    damon.select_ops(other, "paddr")
    _refused(lambda: damon.start([other]), errno.EBUSY)
    stat.parameters["enabled"].store("N")
    reclaim.parameters["enabled"].store("Y")
    _refused(lambda: stat.parameters["enabled"].store("Y"), errno.EBUSY)
    assert (stat.ctx, stat.parameters["enabled"].show(), stat.state()) == (None, "N\n", "off")
    reclaim.parameters["enabled"].store("N")
    damon.start([other])
    _refused(lambda: stat.parameters["enabled"].store("Y"), errno.EBUSY)
    damon.stop([other])
    stat.parameters["enabled"].store("Y")
    loader.unload_all()
    assert damon.nr_running_ctxs == 0


@pytest.mark.parametrize("ram", [[], [(4096, 4096)], [(4096, 4097), (0, 0)]])
def test_what_cannot_be_monitored_is_out_of_memory(ram: list[tuple[int, int]]) -> None:
    machine, damon, module = _loaded("enabled=N")
    machine.ram = ram
    _refused(module.check, errno.ENOMEM)
    _refused(lambda: module.parameters["enabled"].store("Y"), errno.ENOMEM)
    assert (module.ctx, module.parameters["enabled"].show(), damon.nr_running_ctxs) == (None, "N\n", 0)
    machine.ram = [(0, MIB)]
    module.check()
    assert damon.nr_running_ctxs == 0
    module.parameters["enabled"].store("Y")
    module.exit()


def test_a_failed_init_leaves_it_off() -> None:
    machine = FakeMachine()
    machine.ram = []
    damon = Damon(machine)
    loader = Loader(damon)
    module = loader.prepare("stat")
    _refused(lambda: loader.load(module), errno.ENOMEM)
    assert (module.wanted, module.parameters["enabled"].show(), dict(loader.loaded)) == (False, "N\n", {})


def test_a_second_start_beside_the_first() -> None:
    """Two writers that both saw it off: the later one is told to try again, and the first one's worker goes on."""
    machine, damon, module = _loaded(hot=lambda addr: True)
    first = module.ctx
    assert "enabled=Y" in _refused(module._turn_on, errno.EAGAIN)
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
    assert module.ctx is broken  # whoever watches finds the error there
    assert isinstance(broken.error, ZeroDivisionError)
    module.parameters["enabled"].store("N")
    other = damon.new_ctx()
    damon.select_ops(other, "paddr")
    damon.start([other])
    _refused(lambda: module.parameters["enabled"].store("Y"), errno.EBUSY)
    assert module.ctx is None  # a stale one is gone also when its successor could not start
    damon.stop([other])
    module.parameters["enabled"].store("Y")
    assert module.ctx is not None
    module.exit()


# For people.


def test_what_a_person_is_told() -> None:
    machine, _, module = _loaded("enabled=N", hot=lambda addr: addr < 300 * MIB)
    assert (module.state(), module.progress()) == ("off", None)
    assert module.summary() == [("memory_idle_ms_percentiles", "none yet: they come after 5 s")]
    module.parameters["enabled"].store("Y")
    assert module.state() == "active; its first numbers come after 5 s"
    machine.clock.sleep_us(100_200_000)
    assert module.state() == "active; 60000.0 MiB/s; half of the memory idle for 1.7 min"
    said = dict(module.summary())
    assert said["estimated_memory_bandwidth"] == "60000.0 MiB/s"
    assert said["memory_idle_ms_percentiles[0] (least idle)"] == "in use for 1.7 min"
    assert said["memory_idle_ms_percentiles[25]"] == "in use for 1.7 min"
    assert said["memory_idle_ms_percentiles[100] (most idle)"] == "idle for 1.7 min"
    assert said["aggr_interval_us"] == "100000"
    module.exit()
    assert dict(module.summary()) == said
