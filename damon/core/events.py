# SPDX-License-Identifier: GPL-2.0-only
"""Names, formats and fields of the tracepoints (DAMON spec, sysfs 7). Nothing else is imported with them."""

from __future__ import annotations

from typing import Final

AGGREGATED: Final = "damon_aggregated"
REGION_AGGREGATED: Final = "damon_region_aggregated"
BEFORE_APPLY: Final = "damos_before_apply"
ESZ: Final = "damos_esz"
INTERVALS_TUNE: Final = "damon_monitor_intervals_tune"
STAT: Final = "damos_stat_after_apply_interval"
#: Text format of each event's fields; those of regions are filled in for each region.
FORMATS: Final = {
    AGGREGATED: "target_id={} nr_regions={} {}-{}: {} {}",
    REGION_AGGREGATED: "target_id={} nr_regions={} {}-{}: {} {} probe_hits={}",
    BEFORE_APPLY: "ctx_idx={} scheme_idx={} target_idx={} nr_regions={} {}-{}: {} {}",
    ESZ: "ctx_idx={} scheme_idx={} esz={}",
    INTERVALS_TUNE: "sample_us={}",
    STAT: "ctx_idx={} scheme_idx={} nr_tried={} sz_tried={} nr_applied={} sz_applied={} sz_ops_filter_passed={} "
    "qt_exceeds={} nr_snapshots={}",
}
EVENTS: Final = tuple(FORMATS)
#: Names of the fields, in the order of the text.
FIELDS: Final = {
    AGGREGATED: ("target_id", "nr_regions", "start", "end", "nr_accesses", "age"),
    REGION_AGGREGATED: ("target_id", "nr_regions", "start", "end", "nr_accesses", "age", "probe_hits"),
    BEFORE_APPLY: (
        "context_idx", "scheme_idx", "target_idx", "nr_regions", "start", "end", "nr_accesses", "age",
    ),
    ESZ: ("context_idx", "scheme_idx", "esz"),
    INTERVALS_TUNE: ("sample_us",),
    STAT: (
        "context_idx", "scheme_idx", "nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed",
        "qt_exceeds", "nr_snapshots",
    ),
}  # fmt: skip
