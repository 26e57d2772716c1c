# SPDX-License-Identifier: GPL-2.0-only
"""``damon status --follow``: a damond's workers as results over time."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from damon.cli.follow import record
from damon.cli.main import main
from damon.damond.snapshot import Snapshot
from damon.results.run import Run
from damon.results.sink import MemorySink
from tests.damond.conftest import Damond
from tests.damond.snapshots import MIB, QUOTA, SCHEME, SNAPSHOT, with_context


def test_rows_of_snapshots() -> None:
    later = with_context(
        replace(
            SNAPSHOT.kdamonds[0].contexts[0], nr_regions=9, schemes=(replace(SCHEME, quota=replace(QUOTA, esz=MIB)),)
        )
    )
    snapshots: Iterator[Snapshot] = iter([replace(later, now_ns=SNAPSHOT.now_ns + 10**9)])
    sink = MemorySink()
    with pytest.raises(StopIteration):
        record(lambda: next(snapshots), sink, SNAPSHOT, lambda: None)
    tables = sink.tables
    assert tables["machine"]["time_ns"] == [0, 10**9]
    assert tables["machine"]["free_bytes"] == [256 * MIB, 256 * MIB]
    assert tables["contexts"]["nr_regions"] == [3, 9]
    assert tables["schemes"]["esz"] == [64 * MIB, MIB]
    assert tables["schemes"]["sz_applied"] == [100 * MIB, 100 * MIB]
    assert tables["goals"]["current_value"] == [4500, 4500]


def _has(path: Path) -> bool:
    """Has something been written to it?"""
    return path.exists() and path.stat().st_size > 0


def test_a_running_damond(damond: Damond, tmp_path: Path) -> None:
    """Until Ctrl-C, and what was written can be read."""
    out = tmp_path / "followed"
    words = [sys.executable, "-m", "damon", "status", "--mount", str(damond.mount), "--follow", "--out", str(out)]
    more = ["--every", "10ms", "--out-form", "jsonl"]
    process = subprocess.Popen([*words, *more], env=damond.environment)
    try:
        while process.poll() is None and not _has(out / "machine.jsonl"):
            pass
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 0
    run = Run.open(out)
    assert run.state == "complete"
    assert len(run.table("machine")) >= 1


@pytest.mark.parametrize("words", [["--follow"], ["--out", "x"], ["--every", "1s"]])
def test_options_that_belong_together(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", *words]) == 2
    assert words[0] in capsys.readouterr().err
