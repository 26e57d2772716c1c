# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots that no service took."""

from __future__ import annotations

from dataclasses import replace

from damon.damond.snapshot import Context, Goal, Kdamond, Quota, Scheme, Snapshot, Target, Watermarks
from damon.library.results import Region
from damon.model.scheme import DamosStat

MIB = 1 << 20
GOAL = Goal("node_mem_used_bp", 9000, 4500, 1)
QUOTA = Quota(ms=10, sz=128 * MIB, reset_interval=1000, esz=64 * MIB, charged_sz=4096, goals=(GOAL,))
STAT = DamosStat(4, 200 * MIB, 3, 100 * MIB, 99 * MIB, 2, 9)
SCHEME = Scheme("pageout", STAT, QUOTA, Watermarks("none", 0, 0, 0, True))
REGIONS = (Region(4096, 8192, 20, 3), Region(8192, 16384, 20, 3), Region(16384, 20480, 0, 7))
CONTEXT = Context(
    operations="paddr", addr_unit=1, sample_us=5000, aggr_us=100_000, update_us=1_000_000, min_nr_regions=10,
    max_nr_regions=1000, nr_regions=3, max_nr_accesses=20, pause=False, nr_schemes=1, schemes=(SCHEME,),
    targets=(Target(None, 3, REGIONS),), monitored_sz=16384, working_set_sz=12288, regions_age_s=0.25,
)  # fmt: skip
EMPTY = replace(
    CONTEXT, schemes=(), nr_schemes=0, targets=(), monitored_sz=0, working_set_sz=0, regions_age_s=None
)  # fmt: skip
SNAPSHOT = Snapshot(
    pid=7, mount="/tmp/sys", machine="sim", version="1.2.3", engine="kernel", engine_version="7.3.4",
    virtual=True, now_ns=2_500_000_000, free_bytes=256 * MIB, total_bytes=1024 * MIB,
    kdamonds=(
        Kdamond("0", None, True, 77, 1.5, None, (CONTEXT,)),
        Kdamond("damon_reclaim", "damon_reclaim", False, -1, None, None, (EMPTY,)),
        Kdamond("5", None, False, -1, None, None, ()),
    ),
)  # fmt: skip


def with_context(context: Context) -> Snapshot:
    """With one worker that runs."""
    return replace(SNAPSHOT, kdamonds=(replace(SNAPSHOT.kdamonds[0], contexts=(context,)),))
