# SPDX-License-Identifier: GPL-2.0-only
"""Commands written to ``state``: what they do, and what they refuse (sysfs 3.4 to 5)."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from damon.errors import DamonError
from damon.model.arrays import FOLIO_ANON
from damon.model.context import NEVER, DamonCallControl, DamonCtx
from damon.model.scheme import DamosAction, DamosFilter, DamosFilterType, DamosQuotaGoalMetric, DamosQuotaGoalTuner
from damon.modules.sysfs import File
from damon.modules.sysfs.kdamonds import COMMANDS, Kdamond
from tests.modules.sysfs.conftest import PAGE, Tree

C = "kdamonds/0/contexts/0"
S = f"{C}/schemes/0"
REGION = (0, 64 * PAGE)


def _ctx(tree: Tree) -> DamonCtx:
    ctx = tree.admin.kdamonds[0].ctx
    assert ctx is not None
    return ctx


def test_the_shortest_way_to_monitor_a_process(tree: Tree) -> None:
    """Sysfs 8."""
    tree.stage()
    assert (tree.read("kdamonds/0/state"), tree.read("kdamonds/0/pid")) == ("off\n", "-1\n")
    tree.state("on")
    assert tree.read("kdamonds/0/state") == "on\n"
    assert int(tree.read("kdamonds/0/pid")) > 1
    tree.aggregations(3)
    assert tree.process.sampled
    tree.state("off")
    assert (tree.read("kdamonds/0/state"), tree.read("kdamonds/0/pid")) == ("off\n", "-1\n")
    tree.state("off")  # ended already: fine
    tree.state("on")
    assert tree.read("kdamonds/0/state") == "on\n"


def test_without_regions_paddr_starts_and_monitors_nothing(tree: Tree) -> None:
    tree.stage("paddr")
    tree.state("on")
    tree.aggregations(2)
    assert _ctx(tree).nr_regions() == 0


def test_unknown_commands_and_missing_contexts(tree: Tree) -> None:
    tree.write("kdamonds/nr_kdamonds", 1)
    for word in ("", "ON", "on ", "on\n", "nonsense", "o"):
        tree.refuse(errno.EINVAL, "kdamonds/0/state", word)
    for command in COMMANDS:  # no context yet; nothing was started
        tree.refuse(errno.EINVAL, "kdamonds/0/state", command)
    tree.stage()
    for command in COMMANDS[1:]:
        if command != "clear_schemes_tried_regions":  # needs no worker
            tree.refuse(errno.EINVAL, "kdamonds/0/state", command)
    tree.state("clear_schemes_tried_regions")


def test_commands_after_the_end(tree: Tree) -> None:
    tree.stage(schemes=1)
    tree.state("on")
    tree.state("off")
    for command in COMMANDS[2:]:
        if command != "clear_schemes_tried_regions":
            tree.refuse(errno.ECANCELED, "kdamonds/0/state", command)


def test_on_while_on_is_busy_and_a_refused_start_forgets_the_old_context(tree: Tree) -> None:
    tree.stage()
    tree.state("on")
    tree.refuse(errno.EBUSY, "kdamonds/0/state", "on")
    tree.state("off")
    tree.write(f"{C}/monitoring_attrs/nr_regions/min", 2)
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "on")
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "update_schemes_stats")  # as if never started


def test_a_worker_whose_targets_are_gone_reads_off(tree: Tree) -> None:
    tree.stage()
    tree.state("on")
    tree.process.exists = False
    tree.aggregations(1)
    assert (tree.read("kdamonds/0/state"), tree.read("kdamonds/0/pid")) == ("off\n", "-1\n")


@pytest.mark.parametrize(
    ("path", "value", "number"),
    [
        (f"{C}/monitoring_attrs/nr_regions/min", 2, errno.EINVAL),
        (f"{C}/monitoring_attrs/nr_regions/max", 5, errno.EINVAL),
        (f"{C}/monitoring_attrs/intervals/aggr_us", 4999, errno.EINVAL),
        (f"{C}/targets/0/pid_target", 8, errno.EINVAL),
        (f"{C}/targets/0/obsolete_target", "Y", errno.EINVAL),
        (f"{C}/targets/0/regions/0/end", PAGE, errno.EINVAL),
        (f"{C}/targets/0/regions/0/end", 0, errno.EINVAL),
        (f"{C}/addr_unit", 3, errno.EINVAL),
    ],
)
def test_what_on_refuses(tree: Tree, path: str, value: object, number: int) -> None:
    tree.stage("fvaddr", regions=((PAGE, 5 * PAGE), (6 * PAGE, 7 * PAGE)))
    before = tree.read(path)
    tree.write(path, value)
    tree.refuse(number, "kdamonds/0/state", "on")
    tree.write(path, before.encode())
    tree.state("on")
    tree.write(path, value)
    if "obsolete" in path:
        return  # an obsolete target is there to be removed
    tree.refuse(number, "kdamonds/0/state", "commit")
    tree.aggregations(2)
    assert tree.read("kdamonds/0/state") == "on\n"  # as if nothing had been
    tree.write(path, before.encode())
    tree.state("commit")


def test_regions_that_overlap_and_a_second_physical_target(tree: Tree) -> None:
    ctx = tree.stage("paddr", regions=((0, 5 * PAGE), (4 * PAGE, 8 * PAGE)))
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "on")
    tree.write(f"{ctx}/targets/0/regions/1/start", 5 * PAGE)
    tree.write(f"{ctx}/targets/nr_targets", 2)
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "on")


def _bad_addr(tree: Tree) -> None:
    tree.write(f"{S}/filters/0/type", "addr")
    tree.write(f"{S}/filters/0/addr_start", 5)


def _bad_size(tree: Tree) -> None:
    tree.write(f"{S}/filters/0/type", "hugepage_size")
    tree.write(f"{S}/filters/0/min", 5)


def _bad_memcg(tree: Tree) -> None:
    tree.write(f"{S}/filters/0/type", "memcg")
    tree.write(f"{S}/filters/0/memcg_path", "/nobody")


def _unwritten_memcg(tree: Tree) -> None:
    tree.write(f"{S}/filters/0/type", "memcg")


def _bad_goal(tree: Tree) -> None:
    tree.write(f"{S}/quotas/goals/0/target_metric", "node_memcg_used_bp")
    tree.write(f"{S}/quotas/goals/0/target_value", 5)
    tree.write(f"{S}/quotas/goals/0/path", "/nobody")


@pytest.mark.parametrize("spoil", [_bad_addr, _bad_size, _bad_memcg, _unwritten_memcg, _bad_goal])
def test_a_scheme_that_cannot_be_built_is_enomem(tree: Tree, spoil: Callable[[Tree], None]) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.write(f"{S}/filters/nr_filters", 1)
    tree.write(f"{S}/quotas/goals/nr_goals", 1)
    tree.state("on")
    spoil(tree)
    tree.refuse(errno.ENOMEM, "kdamonds/0/state", "commit")
    tree.state("off")
    tree.refuse(errno.ENOMEM, "kdamonds/0/state", "on")


def test_memcg_errors_of_probes_and_of_goals_alone_are_einval(tree: Tree) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.write(f"{S}/quotas/goals/nr_goals", 1)
    tree.state("on")
    _bad_goal(tree)
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "commit_schemes_quota_goals")
    tree.write(f"{S}/quotas/goals/nr_goals", 0)
    probes = f"{C}/monitoring_attrs/probes"
    tree.write(f"{probes}/nr_probes", 1)
    tree.write(f"{probes}/0/filters/nr_filters", 1)
    tree.write(f"{probes}/0/filters/0/type", "memcg")
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "commit")
    tree.machine.memcg_ids["/a"] = 4
    tree.write(f"{probes}/0/filters/0/path", "/a")
    tree.state("commit")
    assert _ctx(tree).probes[0].filters[0].memcg_id == 4


def test_everything_that_is_staged_arrives(tree: Tree) -> None:
    tree.machine.memcg_ids["/a"] = 9
    tree.stage("fvaddr", schemes=2, regions=((PAGE, 5 * PAGE),))
    values = {
        f"{C}/pause": "Y",
        f"{C}/monitoring_attrs/intervals/sample_us": 6000,
        f"{C}/monitoring_attrs/intervals/aggr_us": 120000,
        f"{C}/monitoring_attrs/intervals/update_us": 7,
        f"{C}/monitoring_attrs/intervals/intervals_goal/access_bp": 400,
        f"{C}/monitoring_attrs/intervals/intervals_goal/aggrs": 3,
        f"{C}/monitoring_attrs/intervals/intervals_goal/min_sample_us": 5000,
        f"{C}/monitoring_attrs/intervals/intervals_goal/max_sample_us": 9000,
        f"{C}/monitoring_attrs/nr_regions/min": 4,
        f"{C}/monitoring_attrs/nr_regions/max": 50,
        f"{S}/action": "migrate_hot",
        f"{S}/apply_interval_us": 8,
        f"{S}/target_nid": -1,
        f"{S}/access_pattern/sz/min": 1,
        f"{S}/access_pattern/sz/max": 2,
        f"{S}/access_pattern/nr_accesses/min": 3,
        f"{S}/access_pattern/nr_accesses/max": 3689348814741910528 + 4,
        f"{S}/access_pattern/age/min": 5,
        f"{S}/access_pattern/age/max": 2**64 - 1,
        f"{S}/quotas/ms": 10,
        f"{S}/quotas/bytes": 11,
        f"{S}/quotas/reset_interval_ms": 12,
        f"{S}/quotas/goal_tuner": "temporal",
        f"{S}/quotas/fail_charge_num": 13,
        f"{S}/quotas/fail_charge_denom": 14,
        f"{S}/quotas/weights/sz_permil": 15,
        f"{S}/quotas/weights/nr_accesses_permil": 16,
        f"{S}/quotas/weights/age_permil": 17,
        f"{S}/quotas/goals/nr_goals": 3,
        f"{S}/quotas/goals/1/target_value": 18,
        f"{S}/quotas/goals/1/current_value": 19,
        f"{S}/quotas/goals/2/target_metric": "node_memcg_free_bp",
        f"{S}/quotas/goals/2/target_value": 20,
        f"{S}/quotas/goals/2/nid": 21,
        f"{S}/quotas/goals/2/path": "/a",
        f"{S}/watermarks/metric": "free_mem_rate",
        f"{S}/watermarks/interval_us": 22,
        f"{S}/watermarks/high": 23,
        f"{S}/watermarks/mid": 24,
        f"{S}/watermarks/low": 25,
        f"{S}/dests/nr_dests": 1,
        f"{S}/dests/0/id": 26,
        f"{S}/dests/0/weight": 27,
        f"{S}/stats/max_nr_snapshots": 28,
        f"{S}/filters/nr_filters": 2,
        f"{S}/filters/0/type": "target",
        f"{S}/filters/0/damon_target_idx": 29,
        f"{S}/filters/1/type": "memcg",
        f"{S}/filters/1/memcg_path": "/a",
        f"{S}/core_filters/nr_filters": 1,
        f"{S}/core_filters/0/type": "addr",
        f"{S}/core_filters/0/addr_start": 30,
        f"{S}/core_filters/0/addr_end": 31,
        f"{S}/core_filters/0/matching": "Y",
        f"{S}/ops_filters/nr_filters": 1,
        f"{S}/ops_filters/0/type": "hugepage_size",
        f"{S}/ops_filters/0/min": 32,
        f"{S}/ops_filters/0/max": 33,
        f"{S}/ops_filters/0/allow": "Y",
    }
    for path, value in values.items():
        tree.write(path, value)
    tree.state("on")
    ctx = _ctx(tree)
    goal = ctx.attrs.intervals_goal
    assert ctx.pause
    assert (ctx.attrs.sample_interval, ctx.attrs.aggr_interval, ctx.attrs.ops_update_interval) == (6000, 120000, 7)
    assert (goal.access_bp, goal.aggrs, goal.min_sample_us, goal.max_sample_us) == (400, 3, 5000, 9000)
    assert (ctx.attrs.min_nr_regions, ctx.attrs.max_nr_regions) == (4, 50)
    scheme, quota, wmarks = ctx.schemes[0], ctx.schemes[0].quota, ctx.schemes[0].wmarks
    pattern = scheme.pattern
    assert scheme.action is DamosAction.MIGRATE_HOT
    assert (scheme.apply_interval_us, scheme.target_nid, scheme.max_nr_snapshots) == (8, -1, 28)
    assert (pattern.min_sz_region, pattern.max_sz_region) == (1, 2)
    assert (pattern.min_nr_accesses, pattern.max_nr_accesses) == (3, (3689348814741910528 + 4) % 2**32)
    assert (pattern.min_age_region, pattern.max_age_region) == (5, 2**32 - 1)
    assert (quota.ms, quota.sz, quota.reset_interval) == (10, 11, 12)
    assert quota.goal_tuner is DamosQuotaGoalTuner.TEMPORAL
    assert (quota.fail_charge_num, quota.fail_charge_denom) == (13, 14)
    assert (quota.weight_sz, quota.weight_nr_accesses, quota.weight_age) == (15, 16, 17)
    assert [(goal.metric, goal.target_value, goal.current_value, goal.nid, goal.memcg_id) for goal in quota.goals] == [
        (DamosQuotaGoalMetric.USER_INPUT, 18, 19, 0, 0),
        (DamosQuotaGoalMetric.NODE_MEMCG_FREE_BP, 20, 0, 21, 9),
    ]
    assert (wmarks.interval, wmarks.high, wmarks.mid, wmarks.low) == (22, 23, 24, 25)
    assert [(dest.node_id, dest.weight) for dest in scheme.migrate_dests] == [(26, 27)]
    core = [one for one in scheme.core_filters if isinstance(one, DamosFilter)]
    ops = [one for one in scheme.ops_filters if isinstance(one, DamosFilter)]
    assert (core, ops) == (scheme.core_filters, scheme.ops_filters)
    assert [(f.type, f.addr_start, f.addr_end, f.target_idx, f.matching) for f in core] == [
        (DamosFilterType.ADDR, 30, 31, 0, True),
        (DamosFilterType.TARGET, 0, 0, 29, False),
    ]
    assert [(f.type, f.sz_min, f.sz_max, f.memcg_id, f.allow) for f in ops] == [
        (DamosFilterType.HUGEPAGE_SIZE, 32, 33, 0, True),
        (DamosFilterType.MEMCG, 0, 0, 9, False),
    ]
    untouched = ctx.schemes[1].pattern
    assert (untouched.min_sz_region, untouched.max_sz_region, untouched.max_age_region) == (0, 0, 0)


def test_commit_changes_the_running_context_and_keeps_its_results(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    tree.state("on")
    tree.aggregations(5)
    ctx = _ctx(tree)
    ages = [region.age for region in ctx.targets[0].regions]
    assert min(ages) >= 3
    tree.write(f"{C}/monitoring_attrs/nr_regions/max", 20)
    tree.write(f"{C}/targets/0/regions/nr_regions", 0)
    tree.write(f"{C}/schemes/nr_schemes", 1)
    assert ctx.attrs.max_nr_regions == 1000  # staged only
    tree.state("commit")
    assert ctx is _ctx(tree)
    assert ctx.attrs.max_nr_regions == 20
    assert len(ctx.schemes) == 1
    assert ctx.nr_regions() >= 3
    assert max(region.age for region in ctx.targets[0].regions) >= 3


def test_an_obsolete_target_is_removed_by_commit(tree: Tree) -> None:
    tree.stage()
    tree.write(f"{C}/targets/nr_targets", 2)
    for index in (0, 1):
        tree.write(f"{C}/targets/{index}/pid_target", 7)
    tree.state("on")
    second = _ctx(tree).targets[1]
    tree.write(f"{C}/targets/0/obsolete_target", 1)
    tree.state("commit")
    assert _ctx(tree).targets == [second]


def test_commit_schemes_quota_goals_takes_goals_only(tree: Tree) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.write(f"{S}/quotas/goals/nr_goals", 2)
    tree.write(f"{S}/quotas/goals/1/target_value", 100)
    tree.state("on")
    quota = _ctx(tree).schemes[0].quota
    assert len(quota.goals) == 1  # a goal without target value is none
    tree.write(f"{S}/quotas/goals/1/current_value", 55)
    tree.write(f"{S}/quotas/ms", 77)
    tree.state("commit_schemes_quota_goals")
    assert (quota.goals[0].current_value, quota.ms) == (55, 0)


def test_stats_and_effective_quotas_on_request(tree: Tree) -> None:
    tree.machine.phys.pages = dict.fromkeys(range(64), FOLIO_ANON)
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern(S)
    tree.write(f"{S}/quotas/bytes", 16 * PAGE)
    tree.write(f"{S}/quotas/reset_interval_ms", 1000)
    tree.write(f"{S}/action", "pageout")
    tree.state("on")
    tree.aggregations(25)
    assert tree.read(f"{S}/stats/nr_tried") == "0\n"
    tree.state("update_schemes_stats")
    stat = _ctx(tree).schemes[0].stat
    assert stat.sz_tried
    for name in (
        "nr_tried",
        "sz_tried",
        "nr_applied",
        "sz_applied",
        "qt_exceeds",
        "sz_ops_filter_passed",
        "nr_snapshots",
    ):
        assert tree.read(f"{S}/stats/{name}") == f"{getattr(stat, name)}\n"
    assert tree.read(f"{S}/quotas/effective_bytes") == "0\n"
    tree.state("update_schemes_effective_quotas")
    assert tree.read(f"{S}/quotas/effective_bytes") == f"{16 * PAGE}\n"


def test_tuned_intervals_on_request(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    goal = f"{C}/monitoring_attrs/intervals/intervals_goal"
    for name, value in {"access_bp": 400, "aggrs": 2, "min_sample_us": 5000, "max_sample_us": 40000}.items():
        tree.write(f"{goal}/{name}", value)
    tree.state("on")
    tree.aggregations(30)
    tree.state("update_tuned_intervals")
    assert tree.read(f"{C}/monitoring_attrs/intervals/sample_us") == "40000\n"  # nothing is accessed: as long as may be
    assert tree.read(f"{C}/monitoring_attrs/intervals/aggr_us") == "800000\n"


def test_tried_regions(tree: Tree) -> None:
    """One directory a region of each scheme's next pass, by address; the ages are those before the action."""
    tree.machine.phys.hot = lambda addr: addr < 32 * PAGE
    tree.stage("paddr", schemes=2, regions=(REGION,))
    tree.any_pattern(S)
    tree.state("on")
    tree.aggregations(8)
    tree.state("update_schemes_tried_regions")
    folder = f"{S}/tried_regions"
    rows: list[list[int]] = []
    while tree.has(f"{folder}/{len(rows)}"):
        at = f"{folder}/{len(rows)}"
        rows.append([int(tree.read(f"{at}/{name}")) for name in ("start", "end", "nr_accesses", "age")])
        assert tree.read(f"{at}/sz_filter_passed") == "0\n"
    assert rows[0][0] == 0
    assert rows[-1][1] == 64 * PAGE
    assert all(a[1] == b[0] for a, b in zip(rows, rows[1:], strict=False))
    assert rows[0][2] == 20
    assert rows[-1][2:] == [0, rows[-1][3]]
    assert rows[-1][3] > 3
    assert tree.read(f"{folder}/total_bytes") == f"{64 * PAGE}\n"
    other = f"{C}/schemes/1/tried_regions"
    assert tree.read(f"{other}/total_bytes") == "0\n"  # its pattern matches nothing
    assert not tree.has(f"{other}/0")
    first = tree.admin.find(f"{folder}/0/start")
    tree.state("update_schemes_tried_bytes")
    assert tree.read(f"{folder}/total_bytes") == f"{64 * PAGE}\n"
    assert not tree.has(f"{folder}/0")
    assert isinstance(first, File)
    with tree.refused(errno.ENODEV):
        first.read()
    tree.state("clear_schemes_tried_regions")
    assert tree.read(f"{folder}/total_bytes") == "0\n"


def test_probe_hits_of_tried_regions(tree: Tree) -> None:
    tree.machine.phys.pages = dict.fromkeys(range(64), FOLIO_ANON)
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern(S)
    tree.write(f"{C}/monitoring_attrs/probes/nr_probes", 1)
    tree.write(f"{C}/monitoring_attrs/probes/0/filters/nr_filters", 1)
    tree.write(f"{C}/monitoring_attrs/probes/0/filters/0/matching", "Y")
    tree.write(f"{C}/monitoring_attrs/probes/0/filters/0/allow", "Y")
    tree.state("on")
    tree.aggregations(3)
    tree.state("update_schemes_tried_regions")
    assert tree.read(f"{S}/tried_regions/0/probes/0/hits") == "20\n"
    assert not tree.has(f"{S}/tried_regions/0/probes/1")


def test_walks_are_cancelled_without_schemes_while_inactive_and_paused(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    tree.state("on")
    tree.refuse(errno.ECANCELED, "kdamonds/0/state", "update_schemes_tried_regions")
    tree.write(f"{C}/schemes/nr_schemes", 1)
    tree.write(f"{S}/watermarks/metric", "free_mem_rate")  # 500 per mille are free, above all marks
    tree.write(f"{S}/watermarks/interval_us", 1000)
    tree.state("commit")
    tree.aggregations(1)
    tree.refuse(errno.ECANCELED, "kdamonds/0/state", "update_schemes_tried_regions")
    tree.write(f"{S}/watermarks/metric", "none")
    tree.write(f"{C}/pause", "Y")
    tree.state("commit")
    tree.refuse(errno.ECANCELED, "kdamonds/0/state", "update_schemes_tried_regions")
    tree.write(f"{C}/pause", "N")
    tree.state("commit")
    tree.state("update_schemes_tried_regions")


def test_directories_can_go_under_a_running_worker(tree: Tree) -> None:
    tree.stage("paddr", schemes=2, regions=(REGION,))
    tree.any_pattern(S)
    tree.state("on")
    tree.aggregations(2)
    tree.write(f"{C}/schemes/nr_schemes", 1)
    tree.state("update_schemes_stats")
    tree.state("update_schemes_tried_regions")
    assert tree.read(f"{S}/tried_regions/total_bytes") == f"{64 * PAGE}\n"  # the scheme goes on as it was
    tree.write("kdamonds/0/contexts/nr_contexts", 0)
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "update_schemes_stats")
    tree.refuse(errno.EBUSY, "kdamonds/nr_kdamonds", 0)
    tree.aggregations(2)
    assert tree.read("kdamonds/0/state") == "on\n"
    tree.state("off")
    tree.write("kdamonds/nr_kdamonds", 0)


def test_refresh(tree: Tree) -> None:
    """Sysfs 5: at once, without commit; not the tried regions; a round is lost while the lock is held."""
    tree.machine.phys.pages = dict.fromkeys(range(64), FOLIO_ANON)
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern(S)
    tree.write(f"{S}/quotas/bytes", 7 * PAGE)
    tree.state("on")
    tree.aggregations(3)
    assert tree.read(f"{S}/stats/nr_tried") == "0\n"
    tree.write("kdamonds/0/refresh_ms", 1000)
    tree.aggregations(0.1)
    first = int(tree.read(f"{S}/stats/nr_tried"))
    assert first
    assert tree.read(f"{S}/quotas/effective_bytes") == f"{7 * PAGE}\n"
    assert tree.read(f"{S}/tried_regions/total_bytes") == "0\n"
    tree.aggregations(9)
    assert int(tree.read(f"{S}/stats/nr_tried")) == first
    with tree.admin.lock.held():
        tree.aggregations(5)
    assert int(tree.read(f"{S}/stats/nr_tried")) == first
    tree.aggregations(8)
    assert int(tree.read(f"{S}/stats/nr_tried")) > first


def test_a_refresh_interval_counts_from_the_start_of_the_worker(tree: Tree) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern(S)
    tree.write("kdamonds/0/refresh_ms", 550)
    tree.state("on")
    tree.aggregations(5)
    assert tree.read(f"{S}/stats/nr_tried") == "0\n"
    tree.aggregations(1)
    assert tree.read(f"{S}/stats/nr_tried") != "0\n"


@pytest.mark.parametrize("refresh_ms", [2**31, 2**32 - 1])
def test_a_refresh_interval_of_half_its_range_never_ends(tree: Tree, refresh_ms: int) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern(S)
    tree.state("on")
    tree.aggregations(2)
    tree.write("kdamonds/0/refresh_ms", refresh_ms)
    tree.aggregations(0.1)
    assert tree.read(f"{S}/stats/nr_tried") != "0\n"
    (kdamond,) = tree.admin.kdamonds.made()
    assert kdamond._control.due_ns == NEVER


def test_intervals_that_refresh_wrote_are_committed(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    goal = f"{C}/monitoring_attrs/intervals/intervals_goal"
    for name, value in {"access_bp": 400, "aggrs": 2, "min_sample_us": 5000, "max_sample_us": 40000}.items():
        tree.write(f"{goal}/{name}", value)
    tree.write("kdamonds/0/refresh_ms", 100)
    tree.state("on")
    tree.aggregations(30)
    tree.state("commit")
    assert _ctx(tree).attrs.sample_interval == 40000


def test_an_exclusive_user_and_many_workers(tree: Tree) -> None:
    tree.write("kdamonds/nr_kdamonds", 3)
    for index in range(3):
        tree.write(f"kdamonds/{index}/contexts/nr_contexts", 1)
        tree.write(f"kdamonds/{index}/contexts/0/operations", "paddr")
        tree.write(f"kdamonds/{index}/state", "on")
    assert len({tree.read(f"kdamonds/{index}/pid") for index in range(3)}) == 3
    tree.admin.stop()
    ctx = tree.damon.new_ctx()
    tree.damon.select_ops(ctx, "paddr")
    tree.damon.start([ctx], exclusive=True)
    tree.refuse(errno.EBUSY, "kdamonds/0/state", "on")
    tree.damon.stop([ctx])
    tree.state("on")


def test_a_start_that_fails_releases_the_processes(tree: Tree) -> None:
    tree.stage(schemes=1)
    tree.write(f"{S}/filters/nr_filters", 1)
    _bad_addr(tree)
    tree.refuse(errno.ENOMEM, "kdamonds/0/state", "on")
    assert [handle.closed for handle in tree.machine.handles] == [True]
    tree.write(f"{S}/filters/nr_filters", 0)
    tree.state("on")
    tree.write(f"{C}/addr_unit", 3)
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "commit")
    assert [handle.closed for handle in tree.machine.handles] == [True, False, True]
    tree.state("off")
    assert all(handle.closed for handle in tree.machine.handles)


def test_commands_wait_through_the_runner(tree: Tree) -> None:
    """What waits for workers is run where it may wait; its error comes back."""
    ran = []

    def run(function: Callable[[], None]) -> None:
        ran.append(function)
        function()

    kdamond = Kdamond(tree.damon, tree.admin.lock, run)
    state = kdamond.find("state")
    assert isinstance(state, File)
    contexts = kdamond.find("contexts/nr_contexts")
    assert isinstance(contexts, File)
    contexts.write(b"1")
    with pytest.raises(DamonError):
        state.write(b"commit")
    assert len(ran) == 1


def test_a_request_of_another_kind_does_not_disturb(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    tree.state("on")
    seen: list[DamonCtx] = []
    tree.damon.call(_ctx(tree), DamonCallControl(seen.append))
    tree.state("commit")
    assert seen == [_ctx(tree)]
