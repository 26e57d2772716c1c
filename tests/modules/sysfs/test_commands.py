# SPDX-License-Identifier: GPL-2.0-only
"""Commands written to ``state``: what they do, and what they refuse (sysfs 3.4 to 5)."""

from __future__ import annotations

import errno
from collections.abc import Callable

import pytest

from damon.errors import DamonError
from damon.model.context import DamonCallControl, DamonCtx
from damon.modules.sysfs import File
from damon.modules.sysfs.kdamonds import COMMANDS, Kdamond
from tests.contexts import selected
from tests.modules.sysfs.conftest import PAGE, C, S, Tree

REGION = (0, 64 * PAGE)


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
    assert tree.ctx.nr_regions() == 0


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


BAD_ADDR = {"type": "addr", "addr_start": 5}
BAD_GOAL = {"target_metric": "node_memcg_used_bp", "target_value": 5, "path": "/none"}


@pytest.mark.parametrize(
    ("directory", "files"),
    [
        ("filters/0", BAD_ADDR),
        ("filters/0", {"type": "hugepage_size", "min": 5}),
        ("filters/0", {"type": "memcg", "memcg_path": "/none"}),
        ("filters/0", {"type": "memcg"}),
        ("quotas/goals/0", BAD_GOAL),
    ],
)
def test_a_scheme_that_cannot_be_built_is_enomem(tree: Tree, directory: str, files: dict[str, object]) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.write(f"{S}/filters/nr_filters", 1)
    tree.write(f"{S}/quotas/goals/nr_goals", 1)
    tree.state("on")
    tree.fill(f"{S}/{directory}", files)
    tree.refuse(errno.ENOMEM, "kdamonds/0/state", "commit")
    tree.state("off")
    tree.refuse(errno.ENOMEM, "kdamonds/0/state", "on")


def test_memcg_errors_of_probes_and_of_goals_alone_are_einval(tree: Tree) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.write(f"{S}/quotas/goals/nr_goals", 1)
    tree.state("on")
    tree.fill(f"{S}/quotas/goals/0", BAD_GOAL)
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "commit_schemes_quota_goals")
    tree.write(f"{S}/quotas/goals/nr_goals", 0)
    probes = f"{C}/monitoring_attrs/probes"
    tree.fill(probes, {"nr_probes": 1, "0/filters/nr_filters": 1, "0/filters/0/type": "memcg"})
    tree.refuse(errno.EINVAL, "kdamonds/0/state", "commit")
    tree.machine.memcg_ids["/a"] = 4
    tree.write(f"{probes}/0/filters/0/path", "/a")
    tree.state("commit")
    assert tree.ctx.probes[0].filters[0].memcg_id == 4


def test_commit_changes_the_running_context_and_keeps_its_results(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    tree.state("on")
    tree.aggregations(5)
    ctx = tree.ctx
    ages = [region.age for region in ctx.targets[0].regions]
    assert min(ages) >= 3
    tree.write(f"{C}/monitoring_attrs/nr_regions/max", 20)
    tree.write(f"{C}/targets/0/regions/nr_regions", 0)
    tree.write(f"{C}/schemes/nr_schemes", 1)
    assert ctx.attrs.max_nr_regions == 1000  # staged only
    tree.state("commit")
    assert ctx is tree.ctx
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
    second = tree.ctx.targets[1]
    tree.write(f"{C}/targets/0/obsolete_target", 1)
    tree.state("commit")
    assert tree.ctx.targets == [second]


def test_commit_schemes_quota_goals_takes_goals_only(tree: Tree) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.write(f"{S}/quotas/goals/nr_goals", 2)
    tree.write(f"{S}/quotas/goals/1/target_value", 100)
    tree.state("on")
    quota = tree.ctx.schemes[0].quota
    assert len(quota.goals) == 1  # a goal without target value is none
    tree.write(f"{S}/quotas/goals/1/current_value", 55)
    tree.write(f"{S}/quotas/ms", 77)
    tree.state("commit_schemes_quota_goals")
    assert (quota.goals[0].current_value, quota.ms) == (55, 0)


def test_directories_can_go_under_a_running_worker(tree: Tree) -> None:
    tree.stage("paddr", schemes=2, regions=(REGION,))
    tree.any_pattern()
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


def test_an_exclusive_user_and_many_workers(tree: Tree) -> None:
    tree.write("kdamonds/nr_kdamonds", 3)
    for index in range(3):
        tree.write(f"kdamonds/{index}/contexts/nr_contexts", 1)
        tree.write(f"kdamonds/{index}/contexts/0/operations", "paddr")
        tree.write(f"kdamonds/{index}/state", "on")
    assert len({tree.read(f"kdamonds/{index}/pid") for index in range(3)}) == 3
    tree.admin.stop()
    ctx = selected(tree.damon)
    tree.damon.start([ctx], exclusive=True)
    tree.refuse(errno.EBUSY, "kdamonds/0/state", "on")
    tree.damon.stop([ctx])
    tree.state("on")


def test_a_start_that_fails_releases_the_processes(tree: Tree) -> None:
    tree.stage(schemes=1)
    tree.write(f"{S}/filters/nr_filters", 1)
    tree.fill(f"{S}/filters/0", BAD_ADDR)
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
    tree.damon.call(tree.ctx, DamonCallControl(seen.append))
    tree.state("commit")
    assert seen == [tree.ctx]
