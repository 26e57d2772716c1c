# SPDX-License-Identifier: GPL-2.0-only
"""What a run costs must not grow unnoticed: counts, the same on every machine, beside the last of ``history.csv``."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest

from tests.performance.counting import COUNT, COUNTS, HISTORY, ROOT, history

FIELDS = ["date", "commit", "count", "value", "reason"]
#: Another version of Python or of an allocator makes so much difference; a change to the code usually makes more.
TOLERANCE = 0.02


def counted(name: str) -> float:
    """In a process of its own, where nothing is loaded yet."""
    words = [sys.executable, "-m", "tests.performance.counting", name]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.rpartition(COUNT)[2])


@pytest.mark.parametrize("name", COUNTS)
def test_it_costs_no_more_than_before(name: str) -> None:
    last = [row for row in history() if row["count"] == name][-1]
    before, now = float(last["value"]), counted(name)
    said = f"{name}: {now:g}, {before:g} at {last['commit']} ({last['reason']})"
    print(said)
    row = f"{HISTORY.name}: DATE,COMMIT,{name},{now:g},WHY"
    assert now <= before * (1 + TOLERANCE), f"{said}; make it as cheap again, or say why it costs more in {row}"
    if now < before * (1 - TOLERANCE):
        warnings.warn(f"{said}; it costs less: keep it so by a line in {row}", stacklevel=1)


def test_the_history_is_whole() -> None:
    rows = history()
    assert list(rows[0]) == FIELDS
    assert {row["count"] for row in rows} == set(COUNTS)
    assert all(row["reason"] and float(row["value"]) > 0 for row in rows)
    assert [row["date"] for row in rows] == sorted(row["date"] for row in rows)
