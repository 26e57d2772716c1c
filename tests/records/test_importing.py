# SPDX-License-Identifier: GPL-2.0-only
"""From records to trace files: rates by counts, areas by ranges and times, all forms, and there and back again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.cli.main import main
from damon.errors import InvalidInput
from damon.records.background import is_rare
from damon.records.coverage import MAX_AREAS, Coverage
from damon.records.importing import Imported, Options, import_records, touch_rate
from damon.workload.tracefile.form import unpack_rows
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.writer import TraceWriter
from tests.examples import examples

PAGE, S, MS = 4096, 10**9, 10**6


def _region(start: int, end: int, count: int) -> dict[str, Any]:
    return {
        "start": start * PAGE, "end": end * PAGE, "nr_accesses": {"samples": count, "percent": None},
        "age": {"usec": None, "aggr_intervals": "0"}, "probe_hits": [], "sz_filter_passed": "0 B",
    }  # fmt: skip


def _record(
    snapshots: list[tuple[int, int, list[tuple[int, int, int]]]], target: int = 0, **more: Any
) -> dict[str, Any]:
    """Snapshots of ``(start, end, regions)`` in ms and pages."""
    made = [
        {
            "start_time": start * MS + 77 * S, "end_time": end * MS + 77 * S, "total_bytes": "0 B",
            "regions": [_region(*region) for region in regions], **more,
        }
        for start, end, regions in snapshots
    ]  # fmt: skip
    return {
        "kdamond_idx": 0, "context_idx": 0, "scheme_idx": None, "target_id": target, "scheme_filters": [],
        "intervals": {"sample_us": "5000", "aggr_us": "100000"}, "snapshots": made,
    }  # fmt: skip


PLAIN = Options(spread_s=0.0)


def _imported(tmp_path: Path, records: list[dict[str, Any]], options: Options = PLAIN) -> tuple[Trace, Imported]:
    (tmp_path / "records").write_text(json.dumps(records))
    with TraceWriter(tmp_path / "trace") as writer:
        done = import_records(tmp_path / "records", writer, options)
    return Trace(tmp_path / "trace"), done


def _windows(trace: Trace, space: int = 0) -> list[tuple[int, int, list[Any]]]:
    """In ms, with the touches of a page in a second."""
    return [
        (t0 // MS, t1 // MS, [(a, b, each / (t1 - t0) * S, share) for a, b, each, share in unpack_rows(rows)])
        for t0, t1, rows in trace.windows(space)
    ]


@pytest.mark.parametrize(
    ("count", "most", "rate"),
    [
        (0, 20, 0.0),
        (1, 20, -math.log(19 / 20) / 5000),
        (10, 20, math.log(2) / 5000),
        (19, 20, math.log(20) / 5000),
        (20, 20, math.log(40) / 5000),  # half a sample is taken off
        (21, 20, math.log(40) / 5000),
        (1, 1, math.log(2) / 5000),
    ],
)
def test_rate_of_a_count(count: int, most: int, rate: float) -> None:
    assert touch_rate(count, most, 5000) == pytest.approx(rate, rel=1e-12, abs=0)


@given(st.integers(1, 10_000), st.integers(1, 10**6), st.data())
def test_that_rate_gives_that_count_again(most: int, sample_us: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, most - 1))
    rate = touch_rate(count, most, sample_us)
    assert most * -math.expm1(-rate * sample_us) == pytest.approx(count, rel=1e-9, abs=1e-9)


def test_regions_become_rates_of_pages(tmp_path: Path) -> None:
    record = _record([(0, 100, [(10, 20, 5), (20, 30, 0), (40, 50, 20)]), (100, 200, [(10, 30, 10), (40, 50, 0)])])
    trace, done = _imported(tmp_path, [record], Options(write_share=0.2, spread_s=0.0))
    assert done == Imported(2, 0, None)
    what = trace.description
    assert (what.duration_ns, what.origin, what.loop) == (200 * MS, "records", False)
    assert [(a.name, a.first, a.nr_pages, a.address, a.mapped) for a in what.areas] == [
        ("area-0", 0, 20, 10 * PAGE, ((0, 200 * MS),)),
        ("area-1", 20, 10, 40 * PAGE, ((0, 200 * MS),)),
    ]
    rate = {count: touch_rate(count, 20, 5000) * 1e6 for count in (5, 10, 20)}
    assert _windows(trace) == [
        (0, 100, [(0, 10, pytest.approx(rate[5]), 0.2), (20, 30, pytest.approx(rate[20]), 0.2)]),
        (100, 200, [(0, 20, pytest.approx(rate[10]), 0.2)]),
    ]


def test_ranges_that_come_and_go_are_areas_of_their_own(tmp_path: Path) -> None:
    """A heap that grows by half, and something that is there in the middle only."""
    record = _record(
        [
            (0, 100, [(100, 120, 1)]),
            (100, 200, [(100, 120, 1), (120, 130, 1), (200, 201, 1)]),
            (200, 300, [(100, 130, 1)]),
        ]
    )
    trace, _ = _imported(tmp_path, [record])
    assert [(a.address // PAGE, a.nr_pages, a.mapped) for a in trace.description.areas] == [
        (100, 20, ((0, 300 * MS),)),
        (120, 10, ((100 * MS, 300 * MS),)),
        (200, 1, ((100 * MS, 200 * MS),)),
    ]


def test_rates_hold_from_the_snapshot_before(tmp_path: Path) -> None:
    """A snapshot each second of a tenth of it; one that comes again, and one that is older, are left out."""
    regions = [(1, 2, 4)]
    record = _record([(0, 100, regions), (1000, 1100, regions), (1000, 1100, regions), (500, 600, regions)])
    trace, done = _imported(tmp_path, [record])
    assert (done.snapshots, done.skipped) == (2, 2)
    rate = pytest.approx(touch_rate(4, 20, 5000) * 1e6)
    assert _windows(trace) == [(0, 100, [(0, 1, rate, 1.0)]), (100, 1100, [(0, 1, rate, 1.0)])]


@pytest.mark.parametrize("sample", [20_000, "20,000", "20 ms", 20_000_000])
def test_tuned_intervals_of_a_snapshot(tmp_path: Path, sample: Any) -> None:
    """Its own sampling interval, in damo's nanoseconds too, and its own length."""
    trace, _ = _imported(tmp_path, [_record([(0, 400, [(1, 2, 5)])], sample_interval_us=sample)])
    assert _windows(trace)[0][2][0][2] == pytest.approx(touch_rate(5, 20, 20_000) * 1e6)


def test_a_worker_that_is_late_samples_less_often(tmp_path: Path) -> None:
    trace, _ = _imported(tmp_path, [_record([(0, 200, [(1, 2, 5)])])])
    assert _windows(trace)[0][2][0][2] == pytest.approx(touch_rate(5, 20, 10_000) * 1e6)


def test_text_of_perf_script_has_no_intervals(tmp_path: Path) -> None:
    """The gaps between snapshots are the aggregation interval, and the highest count all samples of it."""
    line = "kdamond.0  4452 [000] 8.{}00000: damon:damon_aggregated: target_id=0 nr_regions=1 4096-8192: {} 3\n"
    (tmp_path / "records").write_text("".join(line.format(n, [3, 10, 0, 5][n]) for n in range(4)))
    for options, sample_us in ((PLAIN, 10_000), (Options(sample_us=5000, aggr_us=50_000, spread_s=0.0), 5000)):
        with TraceWriter(tmp_path / "trace") as writer:
            import_records(tmp_path / "records", writer, options)
        found = _windows(Trace(tmp_path / "trace"))
        assert [window[:2] for window in found] == [(0, 100), (100, 200), (300, 400)]
        assert found[0][2] == [(0, 1, pytest.approx(touch_rate(3, 10, sample_us) * 1e6), 1.0)]


def test_targets_are_processes(tmp_path: Path) -> None:
    first, second = (_record([(0, 100, [(1, 3, target + 1)])], target) for target in range(2))
    trace, _ = _imported(tmp_path, [first, second])
    assert [space.process for space in trace.description.spaces] == ["target-0", "target-1"]
    assert [(area.name, area.space) for area in trace.description.areas] == [
        ("target-0.area-0", 0),
        ("target-1.area-0", 1),
    ]
    assert [len(_windows(trace, space)) for space in range(2)] == [1, 1]


def test_mappings_beside_a_record_name_its_areas(tmp_path: Path) -> None:
    """And what they do not have was not mapped: vaddr's three regions cover gaps."""
    libc = "/usr/lib/libc.so.6"
    known = [(10, 14, "[heap]"), (14, 16, "[heap]"), (30, 32, libc), (32, 33, libc)]
    vmas = [{"start": start * PAGE, "end": end * PAGE, "name": name} for start, end, name in known]
    (tmp_path / "records.vmas").write_text(json.dumps([{"time": 1, "procvmas": [{"pid": 1, "vmas": vmas}]}]))
    trace, _ = _imported(tmp_path, [_record([(0, 100, [(8, 40, 3)])])])
    assert [(a.name, a.address // PAGE, a.nr_pages) for a in trace.description.areas] == [
        ("heap", 10, 6),
        ("libc.so.6", 30, 3),
    ]
    assert [row[:2] for row in _windows(trace)[0][2]] == [(0, 9)]


def test_a_page_that_two_regions_share_is_the_first_ones(tmp_path: Path) -> None:
    record = _record([(0, 100, [(1, 2, 4)])])
    regions = record["snapshots"][0]["regions"]
    regions[:] = [{**regions[0], "end": 6144}, {**_region(2, 3, 8), "start": 6144}]
    trace, _ = _imported(tmp_path, [record])
    assert [row[:2] for row in _windows(trace)[0][2]] == [(0, 1), (1, 2)]


@pytest.mark.parametrize("step", [1, 7])
def test_many_ranges_become_few_areas(step: int) -> None:
    """Neighbours are taken together, and nothing that was there is missing."""
    coverage = Coverage()
    ranges = [(n * 3 * PAGE, (n * 3 + 1) * PAGE) for n in range(2000)]
    for t in range(10):
        coverage.add(t, ranges[t * step :])
    areas = coverage.areas(10, [])
    assert len(areas) <= MAX_AREAS
    for start, _ in ranges[9 * step :]:
        (area,) = [one for one in areas if one.start <= start // PAGE < one.end]
        assert area.periods[0][0] <= 0
        assert area.periods[-1][1] == 10


def test_endless_changes_of_ranges_are_bounded() -> None:
    coverage = Coverage()
    for t in range(20_000):
        coverage.add(t, [(0, (1 + t % 97) * PAGE)])
    assert len(coverage.steps) < 5000
    assert next((one.start, one.periods) for one in coverage.areas(20_000, [])) == (0, [(0, 20_000)])


@pytest.mark.parametrize("content", ["", "[]", "hello"])
def test_what_is_no_record_is_refused_and_leaves_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "records").write_text(content)
    with pytest.raises(InvalidInput), TraceWriter(tmp_path / "trace") as writer:
        import_records(tmp_path / "records", writer)
    assert [path.name for path in tmp_path.iterdir()] == ["records"]


def test_what_came_before_damage_is_imported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = _record([(0, 100, [(1, 2, 4)]), (100, 200, [(1, 2, 4)])])
    record["snapshots"][1]["regions"][0]["end"] = 0
    (tmp_path / "records").write_text(json.dumps([record]))
    assert main(["import", f"{tmp_path}/records", "-o", f"{tmp_path}/trace"]) == 1
    assert "; this is what came before" in capsys.readouterr().err
    assert len(_windows(Trace(tmp_path / "trace"))) == 1


def test_a_recording_and_the_recording_of_its_replay(tmp_path: Path) -> None:
    """The same working set and the same mean count, within a few percent: docs/explanation/measurements.md."""

    def run(*words: str) -> None:
        assert main([*words, "--quiet"]) == 0

    monitor = ("--ops", "vaddr", "--seed", "3", "-o")
    run("record", "--sim", "stairs", "--duration", "20", *monitor, f"{tmp_path}/first")
    run("import", f"{tmp_path}/first", "-o", f"{tmp_path}/trace")
    run("record", "--sim", f"{tmp_path}/trace", *monitor, f"{tmp_path}/second")
    (first, second) = (_mean(tmp_path / name) for name in ("first", "second"))
    assert second[0] == pytest.approx(first[0], rel=0.05)
    assert second[1] == pytest.approx(first[1], rel=0.1)


def _mean(path: Path) -> tuple[float, float]:
    """Bytes with accesses and count by bytes, over all snapshots."""
    from damon.records.read import read

    rows = [row for _, snapshot in read(path) for row in snapshot.rows]
    count = sum(1 for _ in read(path))
    return (
        sum(end - start for start, end, nr, *_ in rows if nr) / count,
        sum((end - start) * nr for start, end, nr, *_ in rows) / count,
    )


def test_rare_hits_are_spread(tmp_path: Path) -> None:
    """Over the snapshots of half a second, and cells of pages; what is not rare stays where it was."""
    snapshots = [(n * 100, (n + 1) * 100, [(0, 8, 8), (8, 520, 1 if n == 3 else 0)]) for n in range(10)]
    trace, _ = _imported(tmp_path, [_record(snapshots)], Options(spread_s=0.5))
    once, often = (touch_rate(count, 20, 5000) * 1e6 for count in (1, 8))
    hot, cold = (0, 8, pytest.approx(often), 1.0), (8, 520, pytest.approx(once / 5), 1.0)
    assert _windows(trace) == [(n * 100, (n + 1) * 100, [hot, cold] if n < 5 else [hot]) for n in range(10)]


@pytest.mark.parametrize(
    ("count", "most", "rare"), [(1, 20, 1), (3, 20, 1), (4, 20, 0), (1, 8, 1), (2, 8, 0), (1, 4, 0)]
)
def test_what_is_rare(count: int, most: int, rare: int) -> None:
    assert is_rare(count, most) == bool(rare)


@examples(30)
@given(
    st.lists(st.tuples(st.integers(1, 900), st.integers(0, 30), st.integers(0, 25)), min_size=1, max_size=20),
    st.sampled_from([0.0, 5.0]),
)
def test_no_access_gets_lost(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[tuple[int, int, int]], spread_s: float
) -> None:
    """Pages times rate of each snapshot are those of its regions."""
    tmp = tmp_path_factory.mktemp("t")
    regions, at = [], 0
    for size, gap, count in pieces:
        regions.append((at, at + size, count))
        at += size + gap
    trace, _ = _imported(tmp, [_record([(0, 100, regions)])], Options(spread_s=spread_s))
    expected = sum((end - start) * touch_rate(count, 20, 5000) * 1e5 for start, end, count in regions)
    assert sum(trace.window(0, n).total for n in range(trace.nr_windows(0))) == pytest.approx(expected, rel=1e-6)
