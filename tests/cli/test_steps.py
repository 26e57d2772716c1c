# SPDX-License-Identifier: GPL-2.0-only
"""Several beats at a time give the result of one at a time, also where a worker wakes at beats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from damon.cli import steps
from damon.cli.main import main


def _result(tmp_path: Path, *words: str) -> dict[str, Any]:
    file = tmp_path / "r.json"
    assert main(["run", *words, "--quiet", "--json", str(file)]) == 0
    result: dict[str, Any] = json.loads(file.read_text())
    del result["timing"]
    return result


@pytest.mark.parametrize(("sample", "aggr"), [(100, 2000), (100, 100), (60, 120), (150, 300), (200, 1000), (5, 100)])
@pytest.mark.parametrize("seconds", ["10.05", "33.3"])
def test_many_beats_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: int, aggr: int, seconds: str
) -> None:
    intervals = f"sample_interval={1000 * sample}", f"aggr_interval={1000 * aggr}"
    marks = "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0"
    words = "--module", "damon_reclaim", "min_age=2000000", *intervals, *marks, "--sim", "phases", "--duration", seconds
    many = _result(tmp_path, *words)
    monkeypatch.setattr(steps, "MOST", 1)
    assert _result(tmp_path, *words) == many
    assert many["modules"]["damon_reclaim"]["tried_bytes"] > 0
