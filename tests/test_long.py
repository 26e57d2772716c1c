# SPDX-License-Identifier: GPL-2.0-only
"""docs/explanation/testing.md beside what it speaks of: the parts of ``make test-long``, and the last counts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import long
from tests.performance.counting import COUNTS, history

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/explanation/testing.md").read_text()


def test_each_part_has_a_row() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(long.PARTS)


def test_the_counts_are_the_last_ones() -> None:
    table = PAGE[PAGE.index("| count | last value |") :].split("\n\n")[0]
    shown = [float(row.rpartition("| ")[2].strip(" |").replace(",", "")) for row in table.splitlines()[2:]]
    last = {row["count"]: float(row["value"]) for row in history()}
    assert shown == [pytest.approx(last[name], rel=0.005) for name in COUNTS]


def test_a_part_that_is_unknown_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert long.main(["nonsense"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_outcome_of_each_part_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(long, "PARTS", {"good": (["true"], {}), "bad": (["sh", "-c", "exit $X"], {"X": "3"})})
    assert long.main([]) == 1
    assert re.findall(r"^(\w+) +(ok|ended with 3) +\d{4}-\d\d-\d\d at ", capsys.readouterr().out, re.MULTILINE) == [
        ("good", "ok"), ("bad", "ended with 3"),
    ]  # fmt: skip
    assert long.main(["good"]) == 0
