# SPDX-License-Identifier: GPL-2.0-only
"""States, statistics and refusals of DAMON_RECLAIM and DAMON_LRU_SORT (DAMON spec, modules 4 and 6)."""

from __future__ import annotations

import errno

import pytest

from damon.errors import DamonError
from damon.model.attrs import U32_MAX
from tests.modules.loaded import counts, loaded, new_loader
from tests.refusals import refused


def test_enabled_reads_the_workers_state() -> None:
    _machine, damon, module = loaded("reclaim", "enabled=N")
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
    _, damon, loader = new_loader()
    loader.load(loader.prepare("reclaim", ["enabled=Y"]))
    second = loader.prepare("lru_sort")
    loader.load(second)
    with refused(errno.EBUSY):
        second.parameters["enabled"].store("Y")
    assert second.parameters["enabled"].show() == "N\n"
    assert damon.nr_running_ctxs == 1
    loader.unload_all()
    assert damon.nr_running_ctxs == 0


def test_statistics_survive_a_restart_and_regions_start_afresh() -> None:
    machine, _, module = loaded("reclaim", "enabled=Y", "min_age=200000", "wmarks_low=0")
    machine.clock.sleep_us(2_000_000)
    tried = counts(module)["nr_reclaim_tried_regions"]
    assert tried > 0
    module.parameters["enabled"].store("N")
    assert counts(module)["nr_reclaim_tried_regions"] >= tried
    module.parameters["enabled"].store("Y")
    assert module.ctx is not None
    assert all(region.age == 0 for region in module.ctx.targets[0].regions)
    machine.clock.sleep_us(2_000_000)
    assert counts(module)["nr_reclaim_tried_regions"] > tried
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
    machine, _, module = loaded(name, "enabled=Y")
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
    machine, _, module = loaded("reclaim", "enabled=Y", "min_age=200000", "wmarks_interval=300000")
    machine.free = (450, 1000)
    machine.clock.sleep_us(600_000)
    machine.free = (900, 1000)
    machine.clock.sleep_us(1_000_000)
    assert module.ctx is not None
    assert not module.ctx.schemes[0].wmarks.activated
    module.ctx.schemes[0].stat.nr_tried = 777
    machine.clock.sleep_us(400_000)
    assert counts(module)["nr_reclaim_tried_regions"] == 777
    module.exit()


@pytest.mark.parametrize(
    ("free", "state"),
    [(300, "active"), (600, "waits: free memory is 600 per mille, above wmarks_high=500"),
     (100, "waits: free memory is 100 per mille, below wmarks_low=200"),
     (450, "waits: free memory is 450 per mille, not below wmarks_mid=400")],
)  # fmt: skip
def test_state_names_what_it_waits_for(free: int, state: str) -> None:
    machine, _, loader = new_loader()
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
    machine, _damon, module = loaded("reclaim")
    commit = module.parameters["commit_inputs"]
    commit.store("N")
    with refused(errno.EINVAL):
        commit.store("Y")
    module.parameters["enabled"].store("Y")
    module.parameters["min_age"].store("7000000")
    assert module.ctx is not None
    assert module.ctx.schemes[0].pattern.min_age_region == 1200
    commit.store("Y")
    assert commit.show() == "N\n"
    assert module.ctx.schemes[0].pattern.min_age_region == 70
    module.parameters["min_nr_regions"].store("1")
    module.parameters["min_age"].store("9000000")
    with refused(errno.EINVAL):
        commit.store("Y")
    assert module.ctx.schemes[0].pattern.min_age_region == 70
    machine.clock.sleep_us(100_000)
    assert module.running
    module.parameters["enabled"].store("N")
    with refused(errno.ECANCELED):
        commit.store("Y")


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("reclaim", ["aggr_interval=0"], "^aggr_interval: 0: "),
        ("lru_sort", ["sample_interval=0"], "^sample_interval: 0: "),
        ("reclaim", ["min_nr_regions=2"], "^min_nr_regions: 2: "),
        ("reclaim", ["min_nr_regions=50", "max_nr_regions=49"], "^min_nr_regions: 50: .*max_nr_regions, 49"),
        ("reclaim", ["sample_interval=100001"], "^sample_interval: 100001 us: "),
        ("lru_sort", ["active_mem_bp=10001"], "^active_mem_bp: 10001: "),
        (
            "reclaim",
            ["monitor_region_start=4096", "monitor_region_end=4096"],
            "^monitor_region_start, monitor_region_end: region: 4096-4096: ",
        ),
        (
            "reclaim",
            ["monitor_region_start=8192", "monitor_region_end=4096"],
            "^monitor_region_start, monitor_region_end: region: 8192-4096: ",
        ),
        ("reclaim", ["addr_unit=3"], "^min_region_sz: 1365: .*addr_unit 3"),
    ],
)
def test_contradictions_are_refused_on_enable(name: str, words: list[str], message: str) -> None:
    _, damon, loader = new_loader()
    module = loader.prepare(name, [*words, "enabled=Y"])
    for start in (module.check, lambda: loader.load(module)):
        with pytest.raises(DamonError, match=message) as caught:
            start()
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
    _, _, module = loaded(name, "enabled=Y", f"{least}={2**64 - 1}", "aggr_interval=5000")
    assert module.ctx is not None
    assert module.ctx.schemes[regions].pattern.min_age_region == U32_MAX
    module.exit()


def test_every_parameter_refuses_malformed_text() -> None:
    for name in ("damon_reclaim", "damon_lru_sort"):
        _, _, loader = new_loader()
        for parameter in list(loader.prepare(name).parameters.values()):
            if parameter.spec.writable:
                with pytest.raises(DamonError, match=rf"^{name}\.{parameter.spec.name}: ") as caught:
                    loader.prepare(name, [f"{parameter.spec.name}=bogus"])
                assert caught.value.errno == errno.EINVAL
            if parameter.spec.writable and parameter.spec.type == "ulong":
                with refused(errno.ERANGE):
                    loader.prepare(name, [f"{parameter.spec.name}={2**64}"])
                with pytest.raises(DamonError, match="needs a value"):
                    loader.prepare(name, [parameter.spec.name])


def test_addr_unit_zero_is_refused_at_the_write() -> None:
    _, _, module = loaded("reclaim")
    with pytest.raises(DamonError, match=r"^addr_unit: 0: "):
        module.parameters["addr_unit"].store("0")
    assert module.parameters["addr_unit"].value == 1


def test_no_system_ram() -> None:
    machine, _, module = loaded("reclaim")
    machine.ram = []
    with pytest.raises(DamonError, match="System RAM"):
        module.parameters["enabled"].store("Y")


@pytest.mark.parametrize("name", ["reclaim", "lru_sort"])
def test_after_a_failed_init_there_is_no_context(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules 4: EINVAL when paddr is not registered; enabled=Y is ENOMEM then, not remembered for some other time."""
    _, damon, loader = new_loader()
    module = loader.prepare(name, ["enabled=Y"])

    def unknown(ctx: object, ops: str) -> None:
        raise DamonError(errno.EINVAL, f"no operations set {ops}")

    with monkeypatch.context() as patch:
        patch.setattr(damon, "select_ops", unknown)
        with refused(errno.EINVAL):
            loader.load(module)
    assert (module.ctx, module.wanted, module.parameters["enabled"].show()) == (None, False, "N\n")
    with refused(errno.ENOMEM):
        module.parameters["enabled"].store("Y")
    module.parameters["enabled"].store("N")
    assert damon.nr_running_ctxs == 0
