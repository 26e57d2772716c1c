# SPDX-License-Identifier: GPL-2.0-only
"""Monitors beside the truth: the figures of made-up files, what is refused, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damon.cli.accuracy import study_of
from damon.cli.main import main, parser
from damon.errors import InvalidInput
from damon.guests.accuracy import compare, figures, kept
from damon.guests.accuracy.run import Ran, Study, run
from damon.report import differences
from damon.results.records import record_to_run
from tests import raw_truth
from tests.raw_truth import MS, mark, touched, window

PAGE = 4096
FIRST = 0x400


def truth(path: Path, rows: dict[int, list[int]], windows: int = 40) -> Path:
    """A process (9) with 16 pages from ``FIRST`` on, on frames 100 and more; windows of 100 ms from 1 s on."""
    chunk, line = mark(1, 1000 * MS)
    text = f"agent 1 9\n{line}look {1000 * MS:x}\nprocess 1 9 60 {1000 * MS:x} prog\nareas\n"
    text += f"{FIRST:x}000-{FIRST + 16:x}000 rw-p 00000000 00:00 0\n.\n+{FIRST:x} 64 10\nend {1001 * MS:x}\n"
    chunks = [window((10 + number) * 100 * MS, rows) for number in range(windows)]
    return raw_truth.raw(path, [chunk, form_text(text), *chunks])


def form_text(text: str) -> bytes:
    from vmtest.truth import form

    return form.text_chunk(text.encode())


def region(low: int, high: int, samples: int, age: int) -> dict[str, Any]:
    return {
        "start": (FIRST + low) * PAGE, "end": (FIRST + high) * PAGE,
        "nr_accesses": {"samples": samples, "percent": None}, "age": {"usec": None, "aggr_intervals": str(age)},
        "probe_hits": [], "sz_filter_passed": "0 B",
    }  # fmt: skip


def record(path: Path, regions: list[list[dict[str, Any]]], targets: int = 1) -> Path:
    """Snapshots of 200 ms from 1.2 s on, 40 samples each."""
    whole = [
        {
            "kdamond_idx": 0, "context_idx": 0, "scheme_idx": None, "target_id": target, "scheme_filters": [],
            "intervals": {"sample_us": "5 ms", "aggr_us": "200 ms", "ops_update_us": "1 s"},
            "snapshots": [
                {"start_time": str((1200 + 200 * n) * MS), "end_time": str((1400 + 200 * n) * MS), "regions": found}
                for n, found in enumerate(regions)
            ],
        }
        for target in range(targets)
    ]  # fmt: skip
    path.write_text(json.dumps(whole))
    return path


def compared(tmp_path: Path, rows: dict[int, list[int]], regions: list[list[dict[str, Any]]]) -> compare.Compared:
    ran = Ran(record(tmp_path / "x.data", regions), (9,), truth(tmp_path / "x.raw", rows))
    return compare.compare(ran, 0.5)


def test_a_perfect_monitor(tmp_path: Path) -> None:
    rows = {100 + page: touched(20) for page in range(4)}
    regions = [[region(0, 4, 40, n + 1), region(4, 16, 0, n + 1)] for n in range(10)]
    one = figures.figures(compared(tmp_path, rows, regions))
    assert one.snapshot_s == pytest.approx(0.2)
    assert (one.snapshots, one.recall, one.precision) == (10, 1.0, 1.0)
    assert (one.used, one.used_error) == ((4 * PAGE,) * 3, (0.0,) * 3)
    assert one.idle_error_s == pytest.approx(0.0, abs=1e-6)


def test_a_huge_page_counts_as_a_whole(tmp_path: Path) -> None:
    """One hot page of 16, reported as 16."""
    one = figures.figures(compared(tmp_path, {103: touched(20)}, [[region(0, 16, 40, 3)]] * 10))
    assert (one.recall, one.precision) == (1.0, 1 / 16)
    assert one.used_error == (15.0,) * 3
    assert one.idle_bias_s < 0


def test_what_is_hidden_is_not_recalled(tmp_path: Path) -> None:
    found = compared(tmp_path, {100: touched(20)}, [[region(0, 16, 0, n)] for n in range(10)])
    one = figures.figures(found)
    assert (one.recall, one.precision, one.used_error) == (0.0, None, (-1.0,) * 3)
    ((_, size, true, seen),) = figures.areas(found, 5)
    assert (size, seen) == (16 * PAGE, 0.0)
    assert true == pytest.approx(1 / 16)


def test_half_of_a_window_counts_half(tmp_path: Path) -> None:
    """Windows of 100 ms with 10 of 20 intervals: frequency 0.5, whatever part of them a snapshot has."""
    found = compared(tmp_path, {100: touched(10)}, [[region(0, 1, 20, 1), region(1, 16, 0, 1)]] * 5)
    assert list(figures.areas(found, 1)[0][2:]) == pytest.approx([0.5 / 16, 0.5 / 16])


def test_snapshots_outside_of_the_truth_do_not_count(tmp_path: Path) -> None:
    regions = [[region(0, 16, 0, 1)]] * 30
    ran = Ran(record(tmp_path / "x.data", regions), (9,), truth(tmp_path / "x.raw", {100: touched(1)}, windows=10))
    assert len(compare.compare(ran, 0.5).moments) == 4
    late = Ran(ran.record, (9,), truth(tmp_path / "y.raw", {100: touched(1)}, windows=1))
    with pytest.raises(InvalidInput, match="no snapshot"):
        compare.compare(late, 0.5)
    with pytest.raises(InvalidInput, match="process 8"):
        compare.compare(Ran(ran.record, (8,), ran.raw), 0.5)


def test_processes_of_one_time_are_summed_up(tmp_path: Path) -> None:
    path = record(tmp_path / "x.data", [[region(0, 16, 40, 1)]] * 4, targets=2)
    found = compare.compare(Ran(path, (9, 9), truth(tmp_path / "x.raw", {100: touched(20)})), 0.5)
    assert [(one.regions, one.hot, one.pages) for one in found.moments] == [(2, 2 * PAGE, 32)] * 4


def test_the_first_seconds_can_be_left_out(tmp_path: Path) -> None:
    """A monitor that finds the hot pages after a second: recall is 1/2 of 10 snapshots, and 1 of the last 5."""
    regions = [[region(0, 16, 0 if n < 5 else 40, n)] for n in range(10)]
    ran = Ran(record(tmp_path / "x.data", regions), (9,), truth(tmp_path / "x.raw", {100: touched(20)}))
    whole, late = (compare.compare(ran, 0.5, skip_s) for skip_s in (0.0, 1.2))
    assert [(figures.figures(one).snapshots, figures.figures(one).recall) for one in (whole, late)] == [
        (10, 0.5), (5, 1.0),
    ]  # fmt: skip
    assert len(late.truth) == 10


def test_the_page_is_that_of_a_report(tmp_path: Path) -> None:
    """Truth and report as maps of the same cells: of 16 pages the first is accessed in half of the intervals."""
    pytest.importorskip("plotly")
    from damon.report.gather import gather
    from damon.results.run import Run

    regions = [[region(0, 1, 20, n), region(1, 16, 0, n)] for n in range(10)]
    ran = Ran(record(tmp_path / "x.data", regions), (9,), truth(tmp_path / "x.raw", {100: touched(10)}))
    found = compare.compare(ran, 0.5)
    kept.keep(ran, found, figures.figures(found), tmp_path / "run")
    gathered = gather(Run.open(tmp_path / "run"), "rwp")
    (one,) = gathered.maps
    assert one.truth is not None
    assert [named.name for named in one.named] == ["prog.anon"]
    first = round(len(one.grid.edges) / 16) - 1
    for cells in (one.truth, one.share):
        assert cells[:, :first] == pytest.approx(0.5, abs=0.01)
        assert cells[:, first + 1 :] == pytest.approx(0.0, abs=0.01)
    rows = {row.name: row.values for row in differences.figures([gathered])}
    assert rows["recall of hot bytes"] == (100.0,)


def test_the_driver_has_command_and_monitor_apart() -> None:
    study = Study(command=["prog", "--", "a b"], program="p", since="ready", seconds=2.5, attrs=["--aggr-us", "5"])
    words = study.driver("rwp")
    assert words[3:7] == ["sh", "ready", "p", "2.5"]
    assert words[7:].index("--") == words[7:].index("5") + 1
    assert words[-3:] == ["prog", "--", "a b"]
    assert "rwp" in words


def test_what_is_refused_before_anything_starts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidInput):
        run(Study(command=["x"]), "perf", tmp_path)
    for words in (["--engines", "perf"], ["--engines", "rwp,rwp"], ["--tree", "x"], ["--aggr-us", "10"],
                  ["--memory", "1x"], ["--hot", "2"]):  # fmt: skip
        with pytest.raises(SystemExit) if words[0] == "--hot" else pytest.MonkeyPatch.context():
            assert main(["accuracy", *words, "--", "prog"]) == 2
        assert words[0].lstrip("-") in capsys.readouterr().err.replace("accuracy: ", "").replace("aggr_us", "aggr-us")


def test_what_would_fail_after_the_runs_is_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rwp").mkdir()
    page = str(tmp_path / "page.html")

    def guest(*_: object) -> None:
        raise AssertionError("a guest was started")

    monkeypatch.setattr("damon.guests.accuracy.run.run", guest)
    monkeypatch.setattr("damon.cli.report_runs.find_spec", lambda name: None if name == "plotly" else object())
    for words, code, said in (
        (["--out", str(tmp_path), "--engines", "host,rwp"], 2, "is there already; give a new directory"),
        (["--skip", "8s", "--duration", "8s"], 2, "--skip: 8: leaves nothing of 8 s"),
        (["-o", page], 3, "plotly: is not installed; install pydamon[report]"),
    ):
        assert main(["accuracy", "--quiet", *words, "--", "prog"]) == code
        assert said in capsys.readouterr().err


def test_a_table_of_truth_that_was_changed_does_no_harm(tmp_path: Path) -> None:
    """Cells stay shares, whatever a foreign directory has: times and ranges the wrong way round, numbers too large."""
    pytest.importorskip("plotly")
    from damon.report.gather import gather
    from damon.results.run import Run

    path = record(tmp_path / "x.data", [[region(0, 16, 20, n)] for n in range(10)])
    record_to_run(path, tmp_path / "run", form="jsonl")
    most, low = (1 << 64) - 1, FIRST * PAGE
    rows = [(most, 0, 0, 0, 0, most, 7.0), (5, most, 0, 0, low, low + PAGE, 1.0), (400 * MS, 0, 0, 0, most, low, -1.0),
            (800 * MS, 0, 0, 63, low, most, 1.0), (10**9, 0, 0, 0, low, low + PAGE, 0.5)]  # fmt: skip
    names = ("time_ns", "begin_ns", "context", "target", "start", "end", "share")
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    (tmp_path / "run/truth.jsonl").write_text(json.dumps(columns) + "\n")
    (one,) = gather(Run.open(tmp_path / "run"), "x").maps
    assert one.truth is not None
    known = one.truth[~np.isnan(one.truth)]
    assert len(known)
    assert ((known >= 0) & (known <= 1)).all()


def test_truth_that_is_kept_has_no_pages_that_are_not_there(tmp_path: Path) -> None:
    """Neighbours of the same share are one range; what lies between two areas is in none."""
    chunk, line = mark(1, 1000 * MS)
    text = f"agent 1 9\n{line}look {1000 * MS:x}\nprocess 1 9 60 {1000 * MS:x} prog\nareas\n"
    for first in (FIRST, FIRST + 100):
        text += f"{first:x}000-{first + 4:x}000 rw-p 00000000 00:00 0\n"
    text += f".\n+{FIRST:x} 64 4\n+{FIRST + 100:x} 68 4\nend {1001 * MS:x}\n"
    windows = [window((10 + number) * 100 * MS, {100: touched(20)}) for number in range(40)]
    raw = raw_truth.raw(tmp_path / "x.raw", [chunk, form_text(text), *windows])
    path = record(tmp_path / "x.data", [[region(0, 104, 20, n)] for n in range(10)])
    found = compare.compare(Ran(path, (9,), raw), 0.5)
    one = found.truth[3]
    pages = [(start // PAGE - FIRST, end // PAGE - FIRST) for start, end in zip(one.starts, one.ends, strict=True)]
    assert pages == [(0, 1), (1, 4), (100, 104)]


def test_truth_is_shown_in_the_time_of_its_snapshot_only(tmp_path: Path) -> None:
    """Memory is accessed from 3 s on: the cells before have none of it."""
    pytest.importorskip("plotly")
    from damon.report.gather import gather
    from damon.results.run import Run

    regions = [[region(0, 16, 0, n)] for n in range(10)]
    ran = Ran(record(tmp_path / "x.data", regions), (9,), truth(tmp_path / "x.raw", {100: touched(20)}))
    found = compare.compare(ran, 0.5)
    quiet = [replace(one, shares=[0.0] * len(one.shares)) for one in found.truth[:5]]
    record_to_run(ran.record, tmp_path / "run", truth=[*quiet, *found.truth[5:]])
    (one,) = gather(Run.open(tmp_path / "run"), "x").maps
    assert one.truth is not None
    before = one.grid.times[1:] <= 5 * 200 * MS
    assert not np.nansum(one.truth[before])
    assert np.nanmax(one.truth[~before]) == pytest.approx(1.0)


def test_the_address_space_is_looked_at_each_second() -> None:
    """The kernel's 60 s would miss all that a program maps after the monitor's begin."""
    words = parser().parse_args(["accuracy", "--", "prog"])
    attrs = list(study_of(words).attrs)
    assert attrs[attrs.index("--update-us") + 1] == "1000000"
