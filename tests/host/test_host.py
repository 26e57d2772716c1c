# SPDX-License-Identifier: GPL-2.0-only
"""The host engine, on damond's tree in the place of the kernel's; guests show the same on a real kernel's."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.host import staging
from damon.host.engine import HostDamon
from damon.host.found import restore_parameters
from damon.host.journal import STATE
from damon.host.staging import Line
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.tried import Tried
from tests.damond.conftest import Damond, monitor
from tests.host.conftest import Kernel
from tests.host.victim import ENDED
from tests.waiting import until

ROOT = Path(__file__).parents[2]
COLD = DamosAccessPattern(min_sz_region=4096, max_nr_accesses=0, min_age_region=3)


def _process(served: Damond) -> int:
    """One that the workload has."""
    return int(served.damon("pid", "main").stdout.split()[0])


def test_contexts(kernel: Kernel) -> None:
    with kernel.open() as host:
        ctx = host.new_ctx()
        host.select_ops(ctx, "paddr")
        host.add_memory(ctx, 0x100000, 1 << 29)
        ctx.schemes.append(Damos(COLD, DamosAction.PAGEOUT, quota=DamosQuota(sz=1 << 20, reset_interval=200)))
        host.start([ctx])
        assert host.is_running(ctx)
        place = kernel.kdamonds / "0/contexts/0"
        assert (place / "operations").read_text() == "paddr\n"
        assert (place / "schemes/0/access_pattern/age/min").read_text() == "3\n"
        assert int((kernel.kdamonds / "0/pid").read_text()) == host.kdamond_pid(ctx) > 0
        until(lambda: host.stats(ctx)[0].sz_tried > 0)
        (stat,) = host.stats(ctx)
        assert stat.nr_tried >= stat.nr_applied
        regions = host.regions(ctx)
        assert (regions[0].start, regions[-1].end) == (0x100000, 1 << 29)
        assert all(one.end == other.start for one, other in zip(regions, regions[1:], strict=False))
        until(lambda: host.effective_quotas(ctx) == [1 << 20])
        assert host.tuned_intervals(ctx) == (5000, 100000)
        ctx.attrs.aggr_interval = 200000
        ctx.schemes[0].quota.sz = 2 << 20
        host.commit(ctx)
        until(lambda: host.effective_quotas(ctx) == [2 << 20])
        assert host.tuned_intervals(ctx) == (5000, 200000)
        host.stop()
        assert not host.is_running(ctx)
        with pytest.raises(DamonError, match="ECANCELED"):
            host.stats(ctx)


def test_processes_filters_and_goals(kernel: Kernel, served: Damond) -> None:
    pid = _process(served)
    with kernel.open() as host:
        ctx = host.new_ctx()
        host.select_ops(ctx, "vaddr")
        host.add_process(ctx, pid)
        goal = DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 1000, 10)
        scheme = Damos(quota=DamosQuota(sz=1 << 20, reset_interval=1000, weight_age=7, goals=[goal]))
        scheme.add_filter(DamosFilter(DamosFilterType.ADDR, True, addr_start=4096, addr_end=8192))
        scheme.add_filter(DamosFilter(DamosFilterType.ANON, False, allow=True))
        ctx.schemes.append(scheme)
        host.start([ctx])
        place = kernel.kdamonds / "0/contexts/0"
        assert (place / "targets/0/pid_target").read_text() == f"{pid}\n"
        scheme_place = place / "schemes/0"
        assert (scheme_place / "core_filters/0/addr_end").read_text() == "8192\n"
        assert (scheme_place / "ops_filters/0/allow").read_text() == "Y\n"
        assert (scheme_place / "quotas/goals/0/target_value").read_text() == "1000\n"
        assert (scheme_place / "quotas/weights/age_permil").read_text() == "7\n"
        assert len(host.regions(ctx)) >= 3
        goal.current_value = 20
        host.commit_goals(ctx)
        assert (scheme_place / "quotas/goals/0/current_value").read_text() == "20\n"


def test_watermarks_are_not_kept_from_their_work(kernel: Kernel) -> None:
    """The scheme that regions are read from has none: it would keep a worker awake that waits for its watermarks."""
    with kernel.open() as host:
        ctx = host.new_ctx()
        host.select_ops(ctx, "paddr")
        host.add_memory(ctx, 0x100000, 1 << 29)
        marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 1000000, 1000, 999, 0)
        ctx.schemes.append(Damos(wmarks=marks))
        host.start([ctx])
        assert (kernel.kdamonds / "0/contexts/0/schemes/nr_schemes").read_text() == "1\n"
        with pytest.raises(DamonError, match=r"all schemes have watermarks.*ENODATA"):
            host.regions(ctx)
        assert host.tried_regions(ctx, 0)


def test_a_kernel_that_gives_no_regions_is_asked_again(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """As 6.12 does when its own limit of two intervals has passed before the pass began."""
    found = Tried(0, 4096, 1, 2)
    answers: list[list[Tried]] = [[], [], [found]]
    with kernel.open() as host:
        ctx = host.new_ctx()
        host._snapshots[ctx] = 0
        monkeypatch.setattr(host, "tried_regions", lambda _ctx, _index: answers.pop(0))
        assert host.regions(ctx) == [found]
        monkeypatch.setattr(host, "tried_regions", lambda _ctx, _index: [])
        with pytest.raises(DamonError, match=r"the kernel gave none.*ENODATA"):
            host.regions(ctx)


def test_modules(kernel: Kernel) -> None:
    with kernel.open() as host:
        assert host.modules() == ["damon_lru_sort", "damon_reclaim", "damon_stat"]
        host.start_module("reclaim", ["min_age=1000000", "wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0"])
        assert host.module_runs("damon_reclaim")
        assert host.parameters("damon_reclaim")["min_age"] == "1000000"
        assert int(host.parameters("damon_reclaim")["monitor_region_end"]) > 0
        until(lambda: int(host.module_stats("damon_reclaim")["bytes_reclaimed_regions"]) > 0)
        host.commit_module("damon_reclaim", ["min-age=2000000"])
        host.stop_module("damon_reclaim")
        assert not host.module_runs("damon_reclaim")
        host.start_module("damon_lru_sort", ["enabled=N"])
        assert not host.module_runs("damon_lru_sort")
    assert kernel.parameter("damon_reclaim", "monitor_region_end").read_text() == "0\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["min_age=5s"], r"min_age: '5s': the kernel refuses it: Invalid argument; correct the value \(EINVAL\)"),
        (["quota_ms=1", "min_age=-1"], "EINVAL"),
        (["min_agee=1"], "damon_reclaim.min_agee: '1': this kernel's module has no such parameter; did you mean min_a"),
        (["min_age"], "damon_reclaim.min_age: it needs a value; write min_age=VALUE"),
        (["kdamond_pid=1"], "damon_reclaim.kdamond_pid: '1': it can only be read; leave it out"),
        (["min_nr_regions=2"], "EINVAL"),
    ],
)
def test_a_parameter_that_is_refused_changes_nothing(kernel: Kernel, words: list[str], message: str) -> None:
    before = kernel.look()
    with kernel.open() as host:
        with pytest.raises(DamonError, match=message):
            host.start_module("damon_reclaim", words)
        assert kernel.look() == before, "at once, not only at the end"


def test_a_module_that_there_is_not(kernel: Kernel) -> None:
    with kernel.open() as host, pytest.raises(MissingCapability, match="'nonesuch': this kernel has none such; it has"):
        host.start_module("nonesuch")


def test_one_thing_at_a_time(kernel: Kernel) -> None:
    with kernel.open() as host:
        ctx = host.new_ctx()
        with pytest.raises(InvalidInput, match=r"^DamonCtx.ops: None: "):
            host.start([ctx])
        host.select_ops(ctx, "paddr")
        host.add_memory(ctx, 0x100000, 1 << 28)
        host.start([ctx])
        with pytest.raises(DamonError, match=r"^start: contexts: .*EBUSY"):
            host.start([ctx])
        with pytest.raises(DamonError, match=r"^damon_reclaim: contexts: .*EBUSY"):
            host.start_module("reclaim")
        host.stop([ctx])
        host.start_module("reclaim")
        with pytest.raises(DamonError, match=r"^start: damon_reclaim: .*EBUSY"):
            host.start([ctx])
        with pytest.raises(DamonError, match=r"^damon_lru_sort: damon_reclaim: .*EBUSY"):
            host.start_module("lru_sort")


def test_a_context_that_the_kernel_refuses_leaves_nothing_running(kernel: Kernel) -> None:
    with kernel.open() as host:
        good, bad = host.new_ctx(), host.new_ctx()
        for ctx in (good, bad):
            host.select_ops(ctx, "paddr")
            host.add_memory(ctx, 0x100000, 1 << 28)
        bad.attrs.min_nr_regions = 2
        with pytest.raises(DamonError, match="state: 'on': the kernel refuses it: Invalid argument"):
            host.start([good, bad])
        assert not host.is_running(good)


def test_a_kdamond_of_another_user_is_refused_and_left_alone(kernel: Kernel, served: Damond) -> None:
    place = monitor(served)
    (place / "state").write_text("on\n")
    try:
        before = kernel.look()
        with pytest.raises(DamonError, match=r"kdamonds/0/state: on: kdamond \d+ belongs to another user.*EBUSY"):
            kernel.open()
        assert kernel.look() == before
    finally:
        (place / "state").write_text("off\n")
        (kernel.kdamonds / "nr_kdamonds").write_text("0\n")


def test_a_module_of_another_user_is_refused_and_left_alone(kernel: Kernel) -> None:
    enabled = kernel.parameter("damon_lru_sort", "enabled")
    enabled.write_text("Y\n")
    try:
        before = kernel.look()
        with pytest.raises(DamonError, match=r"damon_lru_sort.enabled: Y: it belongs to another user.*EBUSY"):
            kernel.open()
        assert kernel.look() == before
    finally:
        enabled.write_text("N\n")
        for name in ("start", "end"):
            kernel.parameter("damon_lru_sort", f"monitor_region_{name}").write_text("0\n")


def test_two_at_a_time_are_refused(kernel: Kernel) -> None:
    with kernel.open():
        places = ", ".join(f"Path({str(path)!r})" for path in (kernel.admin, kernel.modules, kernel.state))
        code = f"from pathlib import Path\nfrom damon.host.engine import HostDamon\nHostDamon({places})"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        assert f"the kernel's DAMON: process '{os.getpid()}' uses it; end that one first (EBUSY)" in done.stderr


def test_what_others_have_prepared_is_there_again(kernel: Kernel, served: Damond) -> None:
    """A tree that is written and not switched on, and parameters of modules that do not run."""
    place = monitor(served) / "contexts/0"
    (place / "schemes/0/filters/nr_filters").write_text("2\n")
    (place / "schemes/0/filters/1/memcg_path").write_text("/some where\n")
    (place / "monitoring_attrs/intervals/aggr_us").write_text("123456\n")
    kernel.parameter("damon_reclaim", "min_age").write_text("777\n")
    try:
        before = kernel.look()
        with kernel.open() as host:
            ctx = host.new_ctx()
            host.select_ops(ctx, "paddr")
            host.add_memory(ctx, 0x100000, 1 << 28)
            host.start([ctx])
            assert not (place / "schemes/0/filters/1").exists()
            host.stop()
            host.start_module("damon_reclaim", ["min_age=5000000"])
        assert kernel.look() == before
    finally:
        (kernel.kdamonds / "nr_kdamonds").write_text("0\n")
        kernel.parameter("damon_reclaim", "min_age").write_text("120000000\n")


def _victim(kernel: Kernel, pid: int, *words: str) -> subprocess.CompletedProcess[str]:
    places = (kernel.admin, kernel.modules, kernel.state)
    command = [sys.executable, "-m", "tests.host.victim", *map(str, places), str(pid)]
    return subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)


def test_killed_at_any_write(kernel: Kernel, served: Damond) -> None:
    """Before and after writes from the first to the last, with a configuration of others to be restored."""
    pid = _process(served)
    kernel.parameter("damon_reclaim", "quota_ms").write_text("77\n")
    (kernel.kdamonds / "nr_kdamonds").write_text("1\n")
    try:
        before = kernel.look()
        whole = _victim(kernel, pid, "0")
        assert whole.returncode == 0, whole.stderr
        assert kernel.look() == before
        writes = int(whole.stdout.split(f"{ENDED} ")[1])
        assert writes > 50
        chosen = random.Random(1).sample(range(1, writes + 1), 16)
        for number in sorted({1, 2, writes - 1, writes, *chosen}):
            done = _victim(kernel, pid, str(number))
            assert done.returncode == -signal.SIGKILL, (number, done.stderr)
            kernel.settled()
            assert kernel.look() == before, f"killed at write {number} of {writes}"
            assert sorted(path.name for path in kernel.state.iterdir()) == ["lock"]
    finally:
        (kernel.kdamonds / "nr_kdamonds").write_text("0\n")
        kernel.parameter("damon_reclaim", "quota_ms").write_text("10\n")


def test_killed_together_with_its_guardian(kernel: Kernel, served: Damond) -> None:
    """The next one that uses the engine restores first."""
    before = kernel.look()
    done = _victim(kernel, _process(served), "40", "guardian")
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert kernel.look() != before
    with kernel.open() as host:
        assert kernel.look() == before
        assert host.problems == []


def test_a_worker_that_is_another_by_now_is_left_alone(kernel: Kernel, capfd: pytest.CaptureFixture[str]) -> None:
    with kernel.open() as host:
        ctx = host.new_ctx()
        host.select_ops(ctx, "paddr")
        host.add_memory(ctx, 0x100000, 1 << 28)
        host.start([ctx])
        for command in ("off", "on"):
            (kernel.kdamonds / "0/state").write_text(f"{command}\n")
        assert not host.is_running(ctx)
    assert (kernel.kdamonds / "0/state").read_text() == "on\n"
    assert "was started by another user: left alone" in capfd.readouterr().err
    (kernel.kdamonds / "0/state").write_text("off\n")
    (kernel.kdamonds / "nr_kdamonds").write_text("0\n")


def test_a_damaged_journal_is_reported_and_nothing_is_written(kernel: Kernel) -> None:
    kernel.state.mkdir(mode=0o700)
    (kernel.state / "journal.json").write_text('{"boot": ')
    with kernel.open() as host:
        assert len(host.problems) == 1
        assert "it is damaged" in host.problems[0]


def test_a_journal_of_another_boot_is_forgotten(kernel: Kernel) -> None:
    kernel.state.mkdir(mode=0o700)
    (kernel.state / "journal.json").write_text('{"boot": "x", "parameters": {"damon_reclaim": {"min_age": "1"}}}')
    with kernel.open() as host:
        assert host.problems == []
    assert not (kernel.state / "journal.json").exists()


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_state_that_others_can_write_is_refused(mode: int, kernel: Kernel) -> None:
    kernel.state.mkdir()
    kernel.state.chmod(mode)
    with pytest.raises(MissingCapability, match="not a directory that only this user can write to; remove it"):
        kernel.open()


def test_a_kernel_without_damon(tmp_path: Path) -> None:
    with pytest.raises(MissingCapability, match="this kernel has no DAMON, or hides it"):
        HostDamon(tmp_path / "admin", tmp_path, tmp_path / "state")
    assert not (tmp_path / "state").exists()
    assert STATE.parent == Path("/run")


def test_a_file_that_a_kernel_lacks(tmp_path: Path) -> None:
    """What that kernel does anyway is no reason to refuse; anything else is."""
    (tmp_path / "there").write_text("1\n")
    staging.write(tmp_path, iter([Line("there", 2), Line("absent", False, False), Line("absent", 0, 0)]))
    assert (tmp_path / "there").read_text() == "2\n"
    for line in (Line("absent", True, False), Line("absent", 5)):
        with pytest.raises(MissingCapability, match=rf"^absent: {line.text}: this kernel's DAMON has no such file"):
            staging.write(tmp_path, iter([line]))


def test_filters_of_a_kernel_with_one_list() -> None:
    scheme = Damos()
    for kind in (DamosFilterType.ANON, DamosFilterType.TARGET, DamosFilterType.YOUNG):
        scheme.add_filter(DamosFilter(kind, True))
    lines = list(staging._filters("s", scheme, lambda _: False, str))
    types = [line.value for line in lines if line.path.endswith("/type")]
    assert (lines[0], types) == (Line("s/filters/nr_filters", 3), ["target", "anon", "young"])


def test_a_commit_that_was_asked_for_and_not_done_is_taken_back(tmp_path: Path) -> None:
    """6.12 has it done by the worker, which may have been stopped before."""
    for name, value in {"enabled": "N", "commit_inputs": "Y", "min_age": "5"}.items():
        (tmp_path / name).write_text(f"{value}\n")
    assert restore_parameters(tmp_path, {"min_age": "7"}) == []
    assert {path.name: path.read_text().strip() for path in tmp_path.iterdir()} == {
        "enabled": "N", "commit_inputs": "N", "min_age": "7"
    }  # fmt: skip


def test_what_came_after_7_3_is_written_where_the_kernel_has_it() -> None:
    """Preparations, and the ranges of filters; without any, an older kernel is asked for nothing that it lacks."""
    size = DamonFilter(DamonFilterType.HUGEPAGE_SIZE, True, range_min=1, range_max=2)
    scheme = Damos()
    scheme.add_filter(DamosFilter(DamosFilterType.PROBE_HITS_WSUM, True, range_min=3, range_max=4))
    probes = [DamonProbe(), DamonProbe(0, [size], [DamonPrep()])]
    p = "monitoring_attrs/probes"
    lines = {line.path: line for line in (*staging._probes(probes, str), *staging._filters("s", scheme, bool, str))}
    assert lines[f"{p}/0/preps/nr_preps"] == Line(f"{p}/0/preps/nr_preps", 0, 0)
    assert {path: lines[path].text for path in (
        f"{p}/1/preps/nr_preps", f"{p}/1/preps/0/prep_action", f"{p}/1/filters/0/min", f"{p}/1/filters/0/max",
        "s/core_filters/0/min", "s/core_filters/0/max",
    )} == {
        f"{p}/1/preps/nr_preps": "1", f"{p}/1/preps/0/prep_action": "set_pgidle", f"{p}/1/filters/0/min": "1",
        f"{p}/1/filters/0/max": "2", "s/core_filters/0/min": "3", "s/core_filters/0/max": "4",
    }  # fmt: skip
