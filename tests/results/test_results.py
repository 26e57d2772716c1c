# SPDX-License-Identifier: GPL-2.0-only
"""Run directories: what is in them, in both forms, whole, cut short, and damaged."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.cli.main import main
from damon.core.results import REGION
from damon.errors import DamonError, InvalidInput
from damon.model.attrs import DamonAttrs
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction
from damon.results.arrow import buffers
from damon.results.directory import DirectorySink
from damon.results.regions import Budget, Encoder, Region, decode
from damon.results.run import Run
from damon.results.tables import TABLES, Kind
from tests.results.runs import machine_of, recorded

_RUN: Final = ("run", "--module", "damon_reclaim", "min_age=2000000", "--sim", "hot-cold", "--quiet")


def _run(out: Path, *more: str) -> Run:
    assert main([*_RUN, "--out", str(out), *more]) == 0
    return Run.open(out)


def _tables(run: Run) -> dict[str, Any]:
    return {name: run.table(name).columns for name in TABLES}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run with everything."""
    place = tmp_path_factory.mktemp("runs") / "run"
    _run(place, "--duration", "6", "--regions", "--why", "--event", "damon_aggregated", "--out-form", "jsonl")
    return place


def test_both_forms_have_the_same(run: Path, tmp_path: Path) -> None:
    arrow = _run(
        tmp_path / "a", "--duration", "6", "--regions", "--why", "--event", "damon_aggregated", "--out-form", "arrow"
    )
    lines = Run.open(run)
    assert _tables(arrow) == _tables(lines)
    assert (arrow.request, arrow.contexts) == (lines.request, lines.contexts)
    assert [one.regions for one in arrow.snapshots()] == [one.regions for one in lines.snapshots()]


def test_the_same_request_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    _run(again, "--duration", "6", "--regions", "--why", "--event", "damon_aggregated", "--out-form", "jsonl")
    names = sorted(path.name for path in run.iterdir())
    assert names == sorted(path.name for path in again.iterdir())
    different = [name for name in names if (run / name).read_bytes() != (again / name).read_bytes()]
    assert different == ["timing.json"]


def test_recording_changes_nothing(run: Path, tmp_path: Path) -> None:
    result = tmp_path / "result.json"
    assert main([*_RUN, "--duration", "6", "--json", str(result)]) == 0
    plain = json.loads(result.read_text())
    del plain["timing"]
    assert plain == Run.open(run).result


def test_the_last_row_is_the_result(run: Path) -> None:
    found = Run.open(run)
    assert found.result is not None
    assert found.state == "complete"
    memory, machine = found.result["memory"], found.table("machine").columns
    assert machine["time_ns"][0] == 0
    assert machine["time_ns"][-1] == 6_000_000_000
    assert machine["free_bytes"][-1] == memory["free_bytes"]
    assert machine["resident_bytes"][-1] == memory["resident_bytes"]
    assert machine["refaults"][-1] == memory["refaults"]
    schemes = found.table("schemes").columns
    assert schemes["sz_applied"][-1] == found.result["modules"]["damon_reclaim"]["applied_bytes"] > 0
    for name, area in found.result["areas"].items():
        assert found.table("areas").where(area=name).columns["resident_bytes"][-1] == area["resident_bytes_end"]


def test_actions_sum_up(run: Path) -> None:
    found = Run.open(run)
    assert found.result is not None
    applied = sum(found.table("actions").columns["applied_bytes"])
    assert applied == found.result["modules"]["damon_reclaim"]["applied_bytes"]


def test_snapshots_are_the_events(run: Path) -> None:
    """Regions before schemes act, and the kernel's tracepoint after: the same but for ages and cuts by actions."""
    found = Run.open(run)
    events = found.table("events").columns
    seen: dict[int, int] = {}  # by time, which passes while schemes act
    for time_ns, text in zip(events["time_ns"], events["fields"], strict=True):
        start, end = (int(at) for at in text.split()[2].rstrip(":").split("-"))
        seen[time_ns] = seen.get(time_ns, 0) + end - start
    sizes = [sum(end - start for start, end, *_ in snapshot.regions) for snapshot in found.snapshots()]
    assert sizes == list(seen.values())


def _has(path: Path) -> bool:
    """Has a whole line been written to it?"""
    return path.exists() and b"\n" in path.read_bytes()


def test_a_killed_run_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = [sys.executable, "-m", "damon", *_RUN, "--duration", "1000000", "--out", str(out), "--regions"]
    process = subprocess.Popen([*words, "--out-form", "jsonl"])
    try:
        while process.poll() is None and not _has(out / "snapshots.jsonl"):
            pass
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    found = Run.open(out)
    assert found.state == "running"
    assert found.result is None
    times = found.table("machine").columns["time_ns"]
    assert times == sorted(times)
    assert sum(1 for _ in found.snapshots()) > 0


_COUNTS: Final = [column.name for column in TABLES["cgroups"][2:]]


@pytest.mark.parametrize("form", ["jsonl", "arrow"])
@pytest.mark.parametrize("cut", [1, 7, 100])
def test_the_end_of_a_table_is_missing(tmp_path: Path, form: str, cut: int) -> None:
    sink = DirectorySink(tmp_path / "run", {}, form)
    for row in range(3):
        sink.append(
            "cgroups", {"time_ns": [row] * 9000, "cgroup": ["a"] * 9000, **dict.fromkeys(_COUNTS, [row] * 9000)}
        )
        sink.flush()
    sink.close()
    (path,) = [path for path in (tmp_path / "run").iterdir() if path.name != "run.json"]
    path.write_bytes(path.read_bytes()[: -cut - 20])
    found = Run.open(tmp_path / "run")
    rows = len(found.table("cgroups"))
    assert rows in (18000, 27000)
    assert (found.damaged is None) == (rows == 27000)


def test_damaged_directories_are_refused_or_read(run: Path, tmp_path: Path) -> None:
    """Whatever is changed in a file, the only error is the documented one."""
    rnd = random.Random(7)
    for number in range(60):
        place = tmp_path / str(number)
        shutil.copytree(run, place)
        path = rnd.choice([path for path in sorted(place.iterdir()) if path.name != "timing.json"])
        data = bytearray(path.read_bytes())
        for _ in range(rnd.choice([1, 3, 20])):
            data[rnd.randrange(len(data))] = rnd.randrange(256)
        path.write_bytes(data[: rnd.choice([len(data), rnd.randrange(1, len(data))])])
        try:
            found = Run.open(place)
            _tables(found)
            list(found.snapshots())
        except InvalidInput as error:
            assert len(str(error)) < 1000
        shutil.rmtree(place)


def test_links_and_pipes_are_refused(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(run, place)
    (place / "machine.jsonl").unlink()
    (place / "machine.jsonl").symlink_to(run / "machine.jsonl")
    with pytest.raises(OSError, match="symbolic"):
        Run.open(place).table("machine")
    (place / "machine.jsonl").unlink()
    (place / "machine.jsonl").mkdir()
    with pytest.raises(InvalidInput, match=r"machine\.jsonl"):
        Run.open(place).table("machine")


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: (path / "x").mkdir(parents=True)])
def test_a_place_that_is_taken(tmp_path: Path, make: Any, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "run")
    assert main([*_RUN, "--duration", "1", "--out", str(tmp_path / "run")]) == 2
    assert "--out" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--regions"], ["--every", "1s"], ["--why"], ["--out-form", "jsonl"]])
def test_options_without_a_place(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_RUN, "--duration", "1", *options]) == 2
    assert options[0] in capsys.readouterr().err


def test_a_later_format_is_refused(run: Path, tmp_path: Path) -> None:
    place = tmp_path / "run"
    shutil.copytree(run, place)
    head = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps({**head, "format": 2}))
    with pytest.raises(InvalidInput, match="format: 2"):
        Run.open(place)


def test_a_full_disk_ends_recording_and_not_the_run(tmp_path: Path) -> None:
    class Full(DirectorySink):
        def append(self, table: str, columns: Any) -> None:
            raise OSError(28, "No space left on device")

    from damon.core import Damon
    from damon.mm.sim.counters import Counters
    from damon.results.recorder import ResultsRecorder

    with machine_of({"areas": {"a": {"size": "8M"}}, "phases": [{"duration": "1s"}]}) as machine:
        recorder = ResultsRecorder(Damon(machine), Full(tmp_path / "run", {}), Counters(machine))
        recorder.sample()
        assert recorder.error is not None
        with pytest.raises(OSError, match="No space"):
            recorder.finish()


def test_several_contexts_and_a_grid_of_time() -> None:
    workload = {"areas": {"a": {"size": "8M"}}, "phases": [{"duration": "1s", "access": [{"area": "a", "rate": 1000}]}]}
    with machine_of(workload) as machine:
        run = recorded(machine, [], 10, every_ns=10**9, regions=True, attrs=DamonAttrs(5000, 100_000, 10**6, 10, 100))
    assert len(run.table("contexts")) in (10, 11, 12)
    assert len(run.table("machine")) == len(run.table("contexts"))


def test_times_count_from_when_recording_began() -> None:
    """On a machine that has run for a minute before."""
    workload = {"areas": {"a": {"size": "8M"}}, "phases": [{"duration": "1s", "access": [{"area": "a", "rate": 10}]}],
                "machine": {"memory": "64M", "swap": {"size": "64M"}}}  # fmt: skip
    pattern = DamosAccessPattern(4096, 1 << 40, 0, 0, 0, 1 << 20)
    with machine_of(workload) as machine:
        machine.clock.sleep_us(60_000_000)
        run = recorded(machine, [Damos(pattern=pattern, action=DamosAction.PAGEOUT)], 5, regions=True)
    for name in ("actions", "snapshots", "contexts", "machine", "schemes"):
        times = run.table(name).columns["time_ns"]
        assert times, name
        assert 0 <= min(times) <= max(times) <= 5_000_000_000, name


@given(st.data())
def test_a_column_with_unknown_values_comes_back(data: st.DataObject) -> None:
    """Arrow's own reading of the buffers that are handed over."""
    pa = pytest.importorskip("pyarrow")
    kind, values = data.draw(st.sampled_from([
        (Kind.INT, st.integers(0, 2**64 - 1)), (Kind.FLOAT, st.floats(allow_nan=False)),
        (Kind.TEXT, st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    ]))  # fmt: skip
    column = data.draw(st.lists(st.one_of(st.none(), values), min_size=1, max_size=40))
    types = {Kind.INT: pa.uint64(), Kind.FLOAT: pa.float64(), Kind.TEXT: pa.string()}
    parts = [None if part is None else pa.py_buffer(part) for part in buffers(column, kind)]
    found = pa.Array.from_buffers(types[kind], len(column), parts)
    found.validate(full=True)
    assert found.to_pylist() == column


def test_tables_do_not_depend_on_what_else_is_recorded(run: Path, tmp_path: Path) -> None:
    """Whether results come one by one, with regions, or as columns of words."""
    plain, full = _run(tmp_path / "plain", "--duration", "6"), Run.open(run)
    for name in ("machine", "areas", "processes", "cgroups", "nodes", "contexts", "schemes"):
        assert plain.table(name).columns == full.table(name).columns, name


_REGION = st.tuples(st.integers(1, 40), st.integers(0, 3), st.integers(0, 5), st.booleans())


@given(st.lists(st.lists(_REGION, min_size=1, max_size=12), min_size=1, max_size=20))
def test_coded_regions_are_the_regions(snapshots: list[list[tuple[int, int, int, bool]]]) -> None:
    """Any snapshots, with gaps, come back as they were."""
    from array import array

    encoder, before = Encoder(), list[Region]()
    for sizes in snapshots:
        regions, at = [], 0
        for size, nr, age, gap in sizes:
            at += 4096 * gap
            regions.append((at, at + 4096 * size, nr, age))
            at += 4096 * size
        words = array("Q", [value for region in regions for value in region])
        assert len(words) == len(REGION) * len(regions)
        new, aged = encoder.encode(words, 1)
        rows = list(zip(*(new[place::4] for place in range(4)), strict=True))
        before = decode(before, rows, aged)
        assert before == regions


def test_what_does_not_change_takes_no_rows() -> None:
    from array import array

    encoder = Encoder()
    sizes = []
    for age in range(300):
        words = array("Q", [value for at in range(100) for value in (at * 4096, (at + 1) * 4096, 0, age)])
        sizes.append(len(encoder.encode(words, 1)[0]) // len(REGION))
    assert sizes[0] == sizes[256] == 100
    assert sum(sizes) == 200


@given(st.integers(1, 10**4), st.integers(1, 200))
def test_a_run_has_a_bounded_number_of_rows(budget: int, rows: int) -> None:
    kept, used = Budget(budget), 0
    for _ in range(5000):
        if kept.keeps():
            kept.spend(rows)
            used += rows
    assert used <= budget + rows * 20


def test_an_unknown_table_is_refused(run: Path) -> None:
    with pytest.raises(DamonError, match="table: 'cpu'"):
        Run.open(run).table("cpu")
