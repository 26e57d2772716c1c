# SPDX-License-Identifier: GPL-2.0-only
"""Records as run directories: what the file has, and nothing else; and Parquet files of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.cli.main import main
from damon.errors import InvalidInput
from damon.results.records import Made, record_to_run
from damon.results.run import Run
from tests.examples import examples

PAGE, S, MS = 4096, 10**9, 10**6
Region = tuple[int, int, int, int]  # pages, count, age


def _record(
    snapshots: list[tuple[int, int, list[Region]]], target: int = 0, kdamond: int = 0, **more: Any
) -> dict[str, Any]:
    """Snapshots of ``(start, end, regions)`` in ms and pages."""
    return {
        "kdamond_idx": kdamond, "context_idx": 0, "scheme_idx": None, "target_id": target, "scheme_filters": [],
        "intervals": {"sample_us": "5000", "aggr_us": "100000"},
        "snapshots": [
            {
                "start_time": start * MS + 77 * S, "end_time": end * MS + 77 * S, "total_bytes": "0 B",
                "regions": [
                    {
                        "start": low * PAGE, "end": high * PAGE, "nr_accesses": {"samples": count, "percent": None},
                        "age": {"usec": None, "aggr_intervals": str(age)}, "probe_hits": [], "sz_filter_passed": "0 B",
                    }
                    for low, high, count, age in regions
                ],
                **more,
            }
            for start, end, regions in snapshots
        ],
    }  # fmt: skip


def _made(place: Path, records: list[dict[str, Any]], **beside: Any) -> tuple[Run, Made]:
    path = place / "records"
    path.write_text(json.dumps(records))
    for name, content in beside.items():
        (place / f"records.{name}").write_text(json.dumps(content))
    made = record_to_run(path, place / "run", "jsonl")
    return Run.open(place / "run"), made


FIRST: list[tuple[int, int, list[Region]]] = [
    (0, 100, [(0, 10, 3, 0), (10, 30, 0, 7)]),
    (100, 200, [(0, 10, 3, 1), (10, 30, 0, 8)]),
    (200, 300, [(0, 10, 0, 0), (10, 30, 0, 9)]),
]


def test_all_that_a_record_has(tmp_path: Path) -> None:
    second: list[tuple[int, int, list[Region]]] = [(start, end, [(50, 52, 1, 0)]) for start, end, _ in FIRST]
    run, made = _made(tmp_path, [_record(FIRST), _record(second, 1), _record(FIRST[:1], 0, 2)])
    assert (made.snapshots, made.skipped, made.damaged, run.state) == (7, 0, None, "complete")
    assert (run.request["machine"], run.request["seconds"]) == ("record", 0.3)
    found = {(one.context, one.target, one.time_ns): list(one.regions) for one in run.snapshots()}
    expected = {
        (context, target, end * MS): [(low * PAGE, high * PAGE, count, age) for low, high, count, age in regions]
        for context, target, snapshots in ((0, 0, FIRST), (0, 1, second), (1, 0, FIRST[:1]))
        for _, end, regions in snapshots
    }
    assert found == expected
    contexts = run.table("contexts").where(context=0).columns
    assert contexts["time_ns"] == [100 * MS, 200 * MS, 300 * MS]
    assert contexts["nr_regions"] == [3, 3, 3]
    assert contexts["accessed_bytes"] == [12 * PAGE, 12 * PAGE, 2 * PAGE]
    assert (contexts["sample_us"], contexts["aggr_us"]) == ([5000] * 3, [100_000] * 3)


pages = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9), st.integers(0, 20), st.integers(0, 3)), max_size=6)


@examples(40)
@given(drawn=st.lists(pages, min_size=1, max_size=12))
def test_any_regions_come_back(tmp_path_factory: pytest.TempPathFactory, drawn: list[list[Region]]) -> None:
    snapshots: list[tuple[int, int, list[Region]]] = []
    for number, one in enumerate(drawn):
        at, regions = 0, []
        for size, gap, count, age in one:
            regions.append((at + gap, at + gap + size, count, age))
            at += gap + size
        snapshots.append((100 * number, 100 * (number + 1), regions))
    run, _ = _made(tmp_path_factory.mktemp("run"), [_record(snapshots)])
    expected = [
        [(low * PAGE, high * PAGE, count, age) for low, high, count, age in regions] for *_, regions in snapshots
    ]
    assert [list(one.regions) for one in run.snapshots()] == expected


def test_what_lies_beside_it(tmp_path: Path) -> None:
    def look(time: float, free: object) -> dict[str, Any]:
        system = {"pid": None, "footprint": {"total": 9000, "free": free}}
        return {"time": time, "footprints": [{"pid": 7, "footprint": {"size": 9, "resident": 3}}, system]}

    run, _ = _made(
        tmp_path, [_record(FIRST)],
        kdamonds=[{"contexts": [{"ops": "vaddr", "targets": [{"pid": "7"}], "nr_regions": {"min": "10"}}]}],
        vmas=[{"procvmas": [{"vmas": [{"start": 0, "end": 10 * PAGE, "name": "heap"}]}]}],
        mem_footprint=[look(1000.0, 10), look(1000.1, 8), look(1000.2, "x")],
    )  # fmt: skip
    machine = run.table("machine").columns
    assert machine["time_ns"] == [0, 100_000_000]
    assert (machine["free_bytes"], machine["resident_bytes"]) == ([10240, 8192], [3 * PAGE] * 2)
    assert machine["refaults"] == [None, None]
    assert run.contexts[0]["nr_regions"] == {"min": "10"}
    assert run.contexts[0]["mappings"] == [[0, 0, 10 * PAGE, "heap"]]


@pytest.mark.parametrize("beside", [[], {}, [{"contexts": 3}], "x", [[1]], [{"procvmas": [{"vmas": [{}]}]}], None])
def test_what_lies_beside_it_is_foreign(tmp_path: Path, beside: Any) -> None:
    run, made = _made(tmp_path, [_record(FIRST)], kdamonds=beside, vmas=beside, mem_footprint=beside)
    assert made.snapshots == 3
    assert not len(run.table("machine"))
    assert run.contexts[0]["intervals"] == {"sample_us": "5000", "aggr_us": "100000"}


def test_a_damaged_end_and_snapshots_out_of_order(tmp_path: Path) -> None:
    run, made = _made(tmp_path, [_record([*FIRST, FIRST[1]])])
    assert (made.snapshots, made.skipped) == (3, 1)
    assert len(list(run.snapshots())) == 3
    with pytest.raises(InvalidInput, match="has no snapshots"):
        _made(tmp_path, [_record([])])


def test_the_command_and_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "records").write_text(json.dumps([_record(FIRST)]))
    assert main(["import", "records", "--run", "run"]) == 0
    assert "run: 3 snapshots" in capsys.readouterr().out
    assert main(["report", "run", "records"]) == 0
    text = capsys.readouterr().out
    assert "working set, mean (MiB)" in text
    assert "same" in text
    assert main(["report", "records", "--svg", "r.svg"]) == 0
    assert (tmp_path / "r.svg").read_text().count("<svg") == 1
    assert main(["report", "records", "--parquet", "tables"]) == 0
    tables = pytest.importorskip("pyarrow.parquet")
    assert tables.read_table(tmp_path / "tables" / "contexts.parquet").column("nr_regions").to_pylist() == [2, 2, 2]
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == [
        "contexts.parquet", "regions.parquet", "snapshots.parquet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["import", "records", "--run", "records"], "--run: 'records': is not a directory"),
        (["import", "nope", "--run", "r"], "record: 'nope': is not a file"),
        (["import", "records", "--run", "r", "--loop"], "--run: shows a record as it is"),
        (["report", "records", "records", "--parquet", "p"], "--parquet: is for one run, not for 2"),
        (["report", "records", "--parquet", "p", "--svg", "x"], "--parquet: writes tables only"),
        (["report", "records", "--parquet", "records"], "--parquet: 'records': is not a directory"),
        (["report", "other", "--svg", "x.svg"], "other: holds no records"),
    ],
)
def test_refusals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "records").write_text(json.dumps([_record(FIRST)]))
    (tmp_path / "other").write_text("x")
    assert main(words) == 2
    assert what in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "records"]


def test_curves_of_a_table(tmp_path: Path) -> None:
    run, _ = _made(tmp_path, [_record(FIRST)])
    axes = run.table("contexts").plot("nr_regions", "accessed_bytes")
    assert [list(line.get_ydata()) for line in axes.lines] == [[2, 2, 2], [10 * PAGE, 10 * PAGE, 0]]
    assert list(axes.lines[0].get_xdata()) == [0.1, 0.2, 0.3]
    assert axes.get_ylabel() == "count, bytes"
    with pytest.raises(InvalidInput, match="column: 'nope': is not one of contexts's; give some of context,"):
        run.table("contexts").plot("nope")
    with pytest.raises(InvalidInput, match="column: 'time_ns': is not one of regions's"):
        run.table("regions").plot("start")


def test_parquet_of_lines_and_of_streams_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("damon.results.directory._CHUNK", 2)  # several parts of each table
    parquet = pytest.importorskip("pyarrow.parquet")
    from damon.results.parquet import write_parquet

    (tmp_path / "records").write_text(json.dumps([_record(FIRST)]))
    tables = []
    for form in ("arrow", "jsonl"):
        record_to_run(tmp_path / "records", tmp_path / form, form)
        files = write_parquet(Run.open(tmp_path / form), tmp_path / f"{form}-tables")
        tables.append({path.name: parquet.read_table(path) for path in files})
    assert tables[0] == tables[1]
    run = Run.open(tmp_path / "jsonl")
    assert [tables[0][f"{name}.parquet"].to_pydict() for name in ("regions", "snapshots")] == [
        run.table(name).columns for name in ("regions", "snapshots")
    ]
    assert len(list(run.chunks("snapshots"))) > 1
