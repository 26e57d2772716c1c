# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_RECLAIM and DAMON_LRU_SORT: tables of parameters, schemes, states, errors (DAMON spec, modules)."""

from __future__ import annotations

import errno

import pytest

from damon.core import Damon
from damon.errors import DamonError
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonIntervalsGoal
from damon.model.scheme import (
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.modules.common import DamonModule
from damon.modules.loader import Loader
from tests.fakes import FakeMachine

COMMON = """
enabled bool 0600 N
commit_inputs bool 0600 N
quota_ms ulong 0600 10
quota_reset_interval_ms ulong 0600 1000
wmarks_interval ulong 0600 5000000
sample_interval ulong 0600 5000
aggr_interval ulong 0600 100000
min_nr_regions ulong 0600 10
max_nr_regions ulong 0600 1000
monitor_region_start ulong 0600 0
monitor_region_end ulong 0600 0
addr_unit ulong 0600 1
autotune_monitoring_intervals bool 0600 N
kdamond_pid int 0400 -1
"""
RECLAIM = """
wmarks_high ulong 0600 500
wmarks_mid ulong 0600 400
wmarks_low ulong 0600 200
min_age ulong 0600 120000000
quota_sz ulong 0600 134217728
quota_mem_pressure_us ulong 0600 0
quota_autotune_feedback ulong 0600 0
skip_anon bool 0600 N
nr_reclaim_tried_regions ulong 0400 0
bytes_reclaim_tried_regions ulong 0400 0
nr_reclaimed_regions ulong 0400 0
bytes_reclaimed_regions ulong 0400 0
nr_quota_exceeds ulong 0400 0
"""
LRU_SORT = """
wmarks_high ulong 0600 200
wmarks_mid ulong 0600 150
wmarks_low ulong 0600 50
hot_thres_access_freq ulong 0600 500
cold_min_age ulong 0600 120000000
active_mem_bp ulong 0600 0
filter_young_pages bool 0600 N
nr_lru_sort_tried_hot_regions ulong 0400 0
bytes_lru_sort_tried_hot_regions ulong 0400 0
nr_lru_sorted_hot_regions ulong 0400 0
bytes_lru_sorted_hot_regions ulong 0400 0
nr_hot_quota_exceeds ulong 0400 0
nr_lru_sort_tried_cold_regions ulong 0400 0
bytes_lru_sort_tried_cold_regions ulong 0400 0
nr_lru_sorted_cold_regions ulong 0400 0
bytes_lru_sorted_cold_regions ulong 0400 0
nr_cold_quota_exceeds ulong 0400 0
"""


def _loader() -> tuple[FakeMachine, Damon, Loader]:
    machine = FakeMachine()
    machine.free = (300, 1000)
    damon = Damon(machine)
    return machine, damon, Loader(damon)


def _loaded(name: str, *words: str) -> tuple[FakeMachine, Damon, DamonModule]:
    machine, damon, loader = _loader()
    module = loader.prepare(name, words)
    loader.load(module)
    assert isinstance(module, DamonModule)
    return machine, damon, module


@pytest.mark.parametrize(("name", "table"), [("damon_reclaim", RECLAIM), ("damon_lru_sort", LRU_SORT)])
def test_every_parameter_of_the_specification_and_no_other(name: str, table: str) -> None:
    _, _, module = _loaded(name)
    ours = {f"{p.spec.name} {p.spec.type} {p.spec.perm:04o} {p.show().strip()}" for p in module.parameters.values()}
    assert ours == {line for line in (COMMON + table).splitlines() if line}
    assert all(p.spec.description for p in module.parameters.values())


def test_reclaims_scheme() -> None:
    """Modules 2.1 with the defaults, then with everything set."""
    _, _, module = _loaded("reclaim", "enabled=Y")
    assert module.ctx is not None
    (scheme,) = module.ctx.schemes
    assert scheme.action is DamosAction.PAGEOUT
    assert scheme.pattern == DamosAccessPattern(4096, ULONG_MAX, 0, 0, 1200, U32_MAX)
    assert (scheme.apply_interval_us, scheme.target_nid) == (0, -1)
    quota = scheme.quota
    assert (quota.ms, quota.sz, quota.reset_interval) == (10, 134217728, 1000)
    assert (quota.weight_sz, quota.weight_nr_accesses, quota.weight_age, quota.goals) == (0, 0, 1, [])
    assert scheme.wmarks == DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 5000000, 500, 400, 200)
    assert module.ctx.attrs.ops_update_interval == 0
    module.exit()

    words = ("min_age=2000000", "aggr_interval=200000", "skip_anon", "quota_mem_pressure_us=50",
             "quota_autotune_feedback=9000", "enabled=1")  # fmt: skip
    _, _, module = _loaded("reclaim", *words)
    assert module.ctx is not None
    (scheme,) = module.ctx.schemes
    assert scheme.pattern.min_age_region == 10
    assert scheme.quota.goals == [
        DamosQuotaGoal(DamosQuotaGoalMetric.SOME_MEM_PSI_US, 50),
        DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 10000, 9000),
    ]
    assert scheme.ops_filters == [DamosFilter(DamosFilterType.ANON, matching=True, allow=False)]
    assert module.needs() == ("paddr", ("pageout:file",))
    module.exit()


def test_lru_sorts_schemes() -> None:
    """Modules 2.2."""
    _, _, module = _loaded("lru_sort", "enabled=Y", "active_mem_bp=6000", "filter_young_pages=Y", "quota_ms=11")
    assert module.ctx is not None
    hot, cold = module.ctx.schemes
    assert (hot.action, cold.action) == (DamosAction.LRU_PRIO, DamosAction.LRU_DEPRIO)
    assert hot.pattern == DamosAccessPattern(4096, ULONG_MAX, 10, U32_MAX, 0, U32_MAX)
    assert cold.pattern == DamosAccessPattern(4096, ULONG_MAX, 0, 0, 1200, U32_MAX)
    for scheme in (hot, cold):
        quota = scheme.quota
        assert (quota.ms, quota.sz, quota.weight_nr_accesses, quota.weight_age) == (5, 0, 1, 1)
    assert hot.quota.goals == [DamosQuotaGoal(DamosQuotaGoalMetric.ACTIVE_MEM_BP, 6000)]
    assert cold.quota.goals == [DamosQuotaGoal(DamosQuotaGoalMetric.INACTIVE_MEM_BP, 4002)]
    assert hot.ops_filters == [DamosFilter(DamosFilterType.YOUNG, matching=False, allow=False)]
    assert cold.ops_filters == [DamosFilter(DamosFilterType.YOUNG, matching=True, allow=False)]
    module.exit()


def test_autotune_ignores_the_given_intervals() -> None:
    _, _, module = _loaded(
        "reclaim", "enabled=Y", "autotune_monitoring_intervals=Y", "sample_interval=9", "aggr_interval=99"
    )
    assert module.ctx is not None
    attrs = module.ctx.attrs
    assert (attrs.sample_interval, attrs.aggr_interval) == (5000, 100000)
    assert attrs.intervals_goal == DamonIntervalsGoal(40, 3, 5000, 10_000_000)
    module.exit()


def test_the_region_found_is_written_back() -> None:
    machine, _, module = _loaded("reclaim")
    machine.ram = [(0x1000, 0x9F000), (0x100000, 1 << 30)]
    module.parameters["enabled"].store("Y")
    assert module.parameters["monitor_region_start"].show() == "4096\n"
    assert module.parameters["monitor_region_end"].show() == f"{1 << 30}\n"
    assert module.ctx is not None
    assert module.ctx.targets[0].regions.ranges()[0][0] == 0x1000
    module.exit()


def test_addr_unit_scales_the_region() -> None:
    _, _, module = _loaded("reclaim", "addr_unit=1024", "enabled=Y")
    assert module.ctx is not None
    assert (module.ctx.addr_unit, module.ctx.min_region_sz) == (1024, 4)
    assert module.parameters["monitor_region_end"].value == 1 << 20
    module.exit()


def test_enabled_reads_the_workers_state() -> None:
    _machine, damon, module = _loaded("reclaim", "enabled=N")
    enabled, pid = module.parameters["enabled"], module.parameters["kdamond_pid"]
    assert (enabled.show(), pid.show()) == ("N\n", "-1\n")
    enabled.store("N")
    enabled.store("Y\n")
    enabled.store("Y")
    assert (enabled.show(), damon.nr_running_ctxs) == ("Y\n", 1)
    assert int(pid.show()) > 0
    enabled.store("N")
    assert (enabled.show(), pid.show(), damon.nr_running_ctxs) == ("N\n", "-1\n", 0)


def test_a_second_module_gets_ebusy_and_stays_off() -> None:
    _, damon, loader = _loader()
    loader.load(loader.prepare("reclaim", ["enabled=Y"]))
    second = loader.prepare("lru_sort")
    loader.load(second)
    with pytest.raises(DamonError) as caught:
        second.parameters["enabled"].store("Y")
    assert caught.value.errno == errno.EBUSY
    assert second.parameters["enabled"].show() == "N\n"
    assert damon.nr_running_ctxs == 1
    loader.unload_all()
    assert damon.nr_running_ctxs == 0


def test_statistics_survive_a_restart_and_regions_start_afresh() -> None:
    machine, _, module = _loaded("reclaim", "enabled=Y", "min_age=200000", "wmarks_low=0")
    machine.clock.sleep_us(2_000_000)
    tried = module.stats()["nr_reclaim_tried_regions"]
    assert tried > 0
    module.parameters["enabled"].store("N")
    assert module.stats()["nr_reclaim_tried_regions"] >= tried
    module.parameters["enabled"].store("Y")
    assert module.ctx is not None
    assert all(region.age == 0 for region in module.ctx.targets[0].regions)
    machine.clock.sleep_us(2_000_000)
    assert module.stats()["nr_reclaim_tried_regions"] > tried
    module.exit()


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("reclaim", ["nr_reclaim_tried_regions", "bytes_reclaim_tried_regions", "nr_reclaimed_regions",
                     "bytes_reclaimed_regions", "nr_quota_exceeds"]),
        ("lru_sort", [name.format(kind) for kind in ("hot", "cold") for name in (
            "nr_lru_sort_tried_{}_regions", "bytes_lru_sort_tried_{}_regions", "nr_lru_sorted_{}_regions",
            "bytes_lru_sorted_{}_regions", "nr_{}_quota_exceeds")]),
    ],
)  # fmt: skip
def test_which_statistic_is_which(name: str, names: list[str]) -> None:
    machine, _, module = _loaded(name, "enabled=Y")
    assert module.ctx is not None
    fields = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")
    values = iter(range(101, 111))
    for scheme in module.ctx.schemes:
        for field in fields:
            setattr(scheme.stat, field, next(values))
    machine.clock.sleep_us(5_100_000)  # lru_sort's watermarks are closed here; it looks every 5 s
    assert module.stats() == dict(zip(names, range(101, 101 + len(names)), strict=True))
    module.exit()


def test_statistics_are_fresh_also_while_inactive() -> None:
    machine, _, module = _loaded("reclaim", "enabled=Y", "min_age=200000", "wmarks_interval=300000")
    machine.free = (450, 1000)
    machine.clock.sleep_us(600_000)
    machine.free = (900, 1000)
    machine.clock.sleep_us(1_000_000)
    assert module.ctx is not None
    assert not module.ctx.schemes[0].wmarks.activated
    module.ctx.schemes[0].stat.nr_tried = 777
    machine.clock.sleep_us(400_000)
    assert module.stats()["nr_reclaim_tried_regions"] == 777
    module.exit()


@pytest.mark.parametrize(
    ("free", "state"),
    [(300, "active"), (600, "waits: free memory is 600 per mille, above wmarks_high=500"),
     (100, "waits: free memory is 100 per mille, below wmarks_low=200"),
     (450, "waits: free memory is 450 per mille, not below wmarks_mid=400")],
)  # fmt: skip
def test_it_says_what_it_waits_for(free: int, state: str) -> None:
    machine, _, loader = _loader()
    machine.free = (free, 1000)
    module = loader.prepare("reclaim", ["enabled=Y"])
    assert module.state() == "off"
    loader.load(module)
    machine.clock.sleep_us(10_000)
    if free == 450:  # between mid and high an active scheme stays active; make it inactive first
        machine.free = (501, 1000)
        machine.clock.sleep_us(10_000)
        machine.free = (free, 1000)
    assert module.state() == state
    module.exit()
    assert module.state() == "off"


def test_commit_inputs() -> None:
    """[7.x] synchronous: refused before the first start, applied while running, ECANCELED after the worker's end."""
    machine, _damon, module = _loaded("reclaim")
    commit = module.parameters["commit_inputs"]
    commit.store("N")
    with pytest.raises(DamonError) as caught:
        commit.store("Y")
    assert caught.value.errno == errno.EINVAL
    module.parameters["enabled"].store("Y")
    module.parameters["min_age"].store("7000000")
    assert module.ctx is not None
    assert module.ctx.schemes[0].pattern.min_age_region == 1200
    commit.store("Y")
    assert commit.show() == "N\n"
    assert module.ctx.schemes[0].pattern.min_age_region == 70
    module.parameters["min_nr_regions"].store("1")
    module.parameters["min_age"].store("9000000")
    with pytest.raises(DamonError) as caught:
        commit.store("Y")
    assert caught.value.errno == errno.EINVAL
    assert module.ctx.schemes[0].pattern.min_age_region == 70
    machine.clock.sleep_us(100_000)
    assert module.running
    module.parameters["enabled"].store("N")
    with pytest.raises(DamonError) as caught:
        commit.store("Y")
    assert caught.value.errno == errno.ECANCELED


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("reclaim", ["aggr_interval=0"], "aggr_interval=0"),
        ("lru_sort", ["sample_interval=0"], "sample_interval=0"),
        ("reclaim", ["min_nr_regions=2"], "min_nr_regions 2"),
        ("reclaim", ["min_nr_regions=50", "max_nr_regions=49"], "max_nr_regions 49"),
        ("reclaim", ["sample_interval=100001"], "sample_interval 100001"),
        ("lru_sort", ["active_mem_bp=10001"], "active_mem_bp=10001"),
        ("reclaim", ["monitor_region_start=4096", "monitor_region_end=4096"], "monitor_region_start=4096"),
        ("reclaim", ["monitor_region_start=8192", "monitor_region_end=4096"], "monitor_region_end=4096"),
        ("reclaim", ["addr_unit=3"], "addr_unit 3"),
    ],
)
def test_contradictions_are_refused_on_enable(name: str, words: list[str], message: str) -> None:
    _, damon, loader = _loader()
    module = loader.prepare(name, [*words, "enabled=Y"])
    for refused in (module.check, lambda: loader.load(module)):
        with pytest.raises(DamonError, match=message) as caught:
            refused()
        assert caught.value.errno == errno.EINVAL
        assert "\n" not in str(caught.value)
    assert damon.nr_running_ctxs == 0
    assert not loader.loaded


@pytest.mark.parametrize(
    ("name", "least", "regions"),
    [("reclaim", "min_age", 0), ("lru_sort", "cold_min_age", 1)],
)
def test_an_age_beyond_any_region_is_not_wrapped_around(name: str, least: str, regions: int) -> None:
    """2**64 - 1 us are more aggregations than an age can count: never, not some short age."""
    _, _, module = _loaded(name, "enabled=Y", f"{least}={2**64 - 1}", "aggr_interval=5000")
    assert module.ctx is not None
    assert module.ctx.schemes[regions].pattern.min_age_region == U32_MAX
    module.exit()


def test_every_parameter_refuses_malformed_text() -> None:
    for name in ("damon_reclaim", "damon_lru_sort"):
        _, _, loader = _loader()
        for parameter in list(loader.prepare(name).parameters.values()):
            if parameter.spec.writable:
                with pytest.raises(DamonError, match=rf"{name}\.{parameter.spec.name}=") as caught:
                    loader.prepare(name, [f"{parameter.spec.name}=bogus"])
                assert caught.value.errno == errno.EINVAL
            if parameter.spec.writable and parameter.spec.type == "ulong":
                with pytest.raises(DamonError) as caught:
                    loader.prepare(name, [f"{parameter.spec.name}={2**64}"])
                assert caught.value.errno == errno.ERANGE
                with pytest.raises(DamonError, match="needs a value"):
                    loader.prepare(name, [parameter.spec.name])


def test_addr_unit_zero_is_refused_at_the_write() -> None:
    _, _, module = _loaded("reclaim")
    with pytest.raises(DamonError, match="addr_unit=0"):
        module.parameters["addr_unit"].store("0")
    assert module.parameters["addr_unit"].value == 1


def test_no_system_ram() -> None:
    machine, _, module = _loaded("reclaim")
    machine.ram = []
    with pytest.raises(DamonError, match="System RAM"):
        module.parameters["enabled"].store("Y")
