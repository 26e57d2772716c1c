# SPDX-License-Identifier: GPL-2.0-only
"""A version that is too old to be compared: what its log must show all the same.

6.12 parts from 7.3 at the first sample of each case: it does not split the regions that a context starts with, and its
sleeps end elsewhere. So it is played twice, which shows what depends on uninitialized memory, and each observation
must be one that any version of DAMON can make.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, Final

from tests.differential.play import Entry
from tests.fakes import PAGE

#: They only grow, as long as the scheme is the same.
_COUNTS: Final = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds")


def impossible(log: list[Entry]) -> str | None:
    """The first observation that no version may make, in words."""
    before: dict[str, dict[str, Any]] = defaultdict(dict)
    commits = 0
    for time, where, values in log:
        if "passed_sample_intervals" not in values:
            if where in ("commit", "goals"):  # a scheme may be another one from here on
                before.clear()
                commits += 1
            continue
        context = where.split()[-1]
        found = _regions(values, commits) or _counts(before[context], values)
        if found:
            return f"at {time / 1000} us, {where}: {found}"
        before[context] = values
    return None


def _regions(values: dict[str, Any], commits: int) -> str | None:
    """Regions go by address, are not empty, do not overlap, begin and end at pages, and count no more than samples.

    After a commit a whole aggregation follows on what was counted until then.
    """
    sample, aggregation = values["attrs"][:2]
    most = max(aggregation // max(sample, 1), 1) * (commits + 1) + commits
    for name in (name for name in values if name.startswith("target ")):
        end = 0
        for row in values[name]:
            if row[0] < end or row[1] <= row[0] or row[0] % PAGE or row[1] % PAGE:
                return f"{name}: {row}: begins before {end}, is empty, or is not of whole pages"
            if row[2] > most:
                return f"{name}: {row}: {row[2]} accesses of {most} samples"
            end = row[1]
    return None


def _counts(before: dict[str, Any], values: dict[str, Any]) -> str | None:
    """No statistic falls, time does not go back, and no more is acted on than was tried."""
    if before and values["passed_sample_intervals"] < before["passed_sample_intervals"]:
        return f"passed_sample_intervals: {values['passed_sample_intervals']}: falls"
    for name, value in values.items():
        field = name.rpartition("stat.")[2]
        if ".stat" in name or " stat." in name:
            if field in _COUNTS and value < before.get(name, 0):
                return f"{name}: {value}: falls from {before[name]}"
            if field == "sz_applied" and value > values[name.replace("sz_applied", "sz_tried")]:
                return f"{name}: {value}: is above what was tried"
    return None
