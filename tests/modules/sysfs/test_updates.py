# SPDX-License-Identifier: GPL-2.0-only
"""Results that commands and ``refresh_ms`` write into the tree (sysfs 4 and 5)."""

from __future__ import annotations

import errno

import pytest

from damon.model.arrays import FOLIO_ANON
from damon.model.context import NEVER
from damon.modules.sysfs import File
from tests.modules.sysfs.conftest import PAGE, C, S, Tree
from tests.refusals import refused

REGION = (0, 64 * PAGE)
INTERVALS_GOAL = {"access_bp": 400, "aggrs": 2, "min_sample_us": 5000, "max_sample_us": 40000}
STATISTICS = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds", "sz_ops_filter_passed", "nr_snapshots")


def test_stats_and_effective_quotas_on_request(tree: Tree) -> None:
    tree.machine.phys.pages = dict.fromkeys(range(64), FOLIO_ANON)
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern()
    tree.write(f"{S}/quotas/bytes", 16 * PAGE)
    tree.write(f"{S}/quotas/reset_interval_ms", 1000)
    tree.write(f"{S}/action", "pageout")
    tree.state("on")
    tree.aggregations(25)
    assert tree.read(f"{S}/stats/nr_tried") == "0\n"
    tree.state("update_schemes_stats")
    stat = tree.ctx.schemes[0].stat
    assert stat.sz_tried
    for name in STATISTICS:
        assert tree.read(f"{S}/stats/{name}") == f"{getattr(stat, name)}\n"
    assert tree.read(f"{S}/quotas/effective_bytes") == "0\n"
    tree.state("update_schemes_effective_quotas")
    assert tree.read(f"{S}/quotas/effective_bytes") == f"{16 * PAGE}\n"


def test_tuned_intervals_on_request(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    tree.fill(f"{C}/monitoring_attrs/intervals/intervals_goal", INTERVALS_GOAL)
    tree.state("on")
    tree.aggregations(30)
    tree.state("update_tuned_intervals")
    assert tree.read(f"{C}/monitoring_attrs/intervals/sample_us") == "40000\n"  # nothing is accessed: as long as may be
    assert tree.read(f"{C}/monitoring_attrs/intervals/aggr_us") == "800000\n"


def test_tried_regions(tree: Tree) -> None:
    """One directory a region of each scheme's next pass, by address; the ages are those before the action."""
    tree.machine.phys.hot = lambda addr: addr < 32 * PAGE
    tree.stage("paddr", schemes=2, regions=(REGION,))
    tree.any_pattern()
    tree.state("on")
    tree.aggregations(8)
    tree.state("update_schemes_tried_regions")
    tried = f"{S}/tried_regions"
    rows: list[list[int]] = []
    while tree.has(f"{tried}/{len(rows)}"):
        at = f"{tried}/{len(rows)}"
        rows.append([int(tree.read(f"{at}/{name}")) for name in ("start", "end", "nr_accesses", "age")])
        assert tree.read(f"{at}/sz_filter_passed") == "0\n"
    assert rows[0][0] == 0
    assert rows[-1][1] == 64 * PAGE
    assert all(a[1] == b[0] for a, b in zip(rows, rows[1:], strict=False))
    assert rows[0][2] == 20
    assert rows[-1][2:] == [0, rows[-1][3]]
    assert rows[-1][3] > 3
    assert tree.read(f"{tried}/total_bytes") == f"{64 * PAGE}\n"
    other = f"{C}/schemes/1/tried_regions"
    assert tree.read(f"{other}/total_bytes") == "0\n"  # its pattern matches nothing
    assert not tree.has(f"{other}/0")
    first = tree.admin.find(f"{tried}/0/start")
    tree.state("update_schemes_tried_bytes")
    assert tree.read(f"{tried}/total_bytes") == f"{64 * PAGE}\n"
    assert not tree.has(f"{tried}/0")
    assert isinstance(first, File)
    with refused(errno.ENODEV):
        first.read()
    tree.state("clear_schemes_tried_regions")
    assert tree.read(f"{tried}/total_bytes") == "0\n"


def test_probe_hits_of_tried_regions(tree: Tree) -> None:
    tree.machine.phys.pages = dict.fromkeys(range(64), FOLIO_ANON)
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern()
    tree.fill(f"{C}/monitoring_attrs/probes", {"nr_probes": 1, "0/filters/nr_filters": 1})
    tree.fill(f"{C}/monitoring_attrs/probes/0/filters/0", {"matching": "Y", "allow": "Y"})
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


def test_refresh(tree: Tree) -> None:
    """Sysfs 5: at once, without commit; not the tried regions; a round is lost while the lock is held."""
    tree.machine.phys.pages = dict.fromkeys(range(64), FOLIO_ANON)
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern()
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
    tree.any_pattern()
    tree.write("kdamonds/0/refresh_ms", 550)
    tree.state("on")
    tree.aggregations(5)
    assert tree.read(f"{S}/stats/nr_tried") == "0\n"
    tree.aggregations(1)
    assert tree.read(f"{S}/stats/nr_tried") != "0\n"


@pytest.mark.parametrize("refresh_ms", [2**31, 2**32 - 1])
def test_a_refresh_interval_of_half_its_range_never_ends(tree: Tree, refresh_ms: int) -> None:
    tree.stage("paddr", schemes=1, regions=(REGION,))
    tree.any_pattern()
    tree.state("on")
    tree.aggregations(2)
    tree.write("kdamonds/0/refresh_ms", refresh_ms)
    tree.aggregations(0.1)
    assert tree.read(f"{S}/stats/nr_tried") != "0\n"
    (kdamond,) = tree.admin.kdamonds.made()
    assert kdamond._control.due_ns == NEVER


def test_intervals_that_refresh_wrote_are_committed(tree: Tree) -> None:
    tree.stage("paddr", regions=(REGION,))
    tree.fill(f"{C}/monitoring_attrs/intervals/intervals_goal", INTERVALS_GOAL)
    tree.write("kdamonds/0/refresh_ms", 100)
    tree.state("on")
    tree.aggregations(30)
    tree.state("commit")
    assert tree.ctx.attrs.sample_interval == 40000
