# SPDX-License-Identifier: GPL-2.0-only
"""Tables and the live view: what fits a narrow terminal, and how often a log gets a line."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from damon.cli import progress
from damon.cli.output import make_table
from damon.cli.progress import Progress

COLUMNS = ("module", "tried", "applied", "state")
ROW = ("damon_reclaim", "4.6 GiB", "224.0 MiB", "waits: free memory is 1000 per mille, above wmarks_high=500")


@pytest.mark.parametrize("width", [32, 40, 60, 80, 120])
def test_no_word_of_a_table_is_cut_by_a_narrow_terminal(width: int) -> None:
    file = io.StringIO()
    Console(file=file, width=width).print(make_table(COLUMNS, [ROW, ROW], width))
    text = file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for word in (*COLUMNS, "damon_reclaim", "224.0", *(("wmarks_high=500",) if width >= 40 else ())):
        assert word in text


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    made = SimpleNamespace(now=100.0)
    made.monotonic = lambda: made.now
    monkeypatch.setattr(progress, "time", made)
    return made


def _lines(clock: SimpleNamespace, total: float | None, seconds: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    view = Progress(("x",), total)
    for second in range(1, seconds + 1):
        clock.now += 1
        if view.due(float(second)):
            view.show(float(second), "here", [("1",)])
    view.close()
    return capsys.readouterr().err.splitlines()


def test_a_log_gets_a_line_for_each_tenth(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _lines(clock, 1000, 1000, capsys)
    assert len(lines) == 11
    assert lines[0] == "2.0 of 1000 s (0%, 1 s a second, 16:38 left): here; x 1"
    assert lines[5].startswith("500.0 of 1000 s (50%, 1 s a second, 8:20 left): here")
    assert lines[-1].startswith("1000.0 of 1000 s (100%, 1 s a second, 0 s left)")


def test_short_runs_and_endless_ones(clock: SimpleNamespace, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(_lines(clock, 10, 10, capsys)) == 5  # none sooner than two seconds after the last
    assert _lines(clock, 1.5, 1, capsys) == []
    lines = _lines(clock, None, 600, capsys)
    assert [line.partition(":")[0] for line in lines[:3]] == ["2.0 s", "62.0 s", "122.0 s"]
    assert len(lines) == 10
