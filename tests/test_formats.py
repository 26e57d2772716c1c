# SPDX-License-Identifier: GPL-2.0-only
"""Stored files of each version of each format are read to the content they had; a later version is refused in a line.

``docs/reference/compatibility.md`` lists the formats. A stored file is never changed: a new version gets a new one.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from damon.damond.client import Client
from damon.damond.control import ControlServer
from damon.errors import InvalidInput
from damon.guests import result
from damon.guests.kept import Kept
from damon.host import journal
from damon.host.found import Found
from damon.records.checked import Record, Snapshot
from damon.records.form import Key
from damon.records.read import read as read_records
from damon.results.run import Run as RunDirectory
from damon.results.tables import TABLES
from damon.tune.goals import Objective, constraint
from damon.tune.measure import Measured
from damon.tune.request import Request, Result, Rules
from damon.tune.results import Results
from damon.tune.results import read as read_study_results
from damon.tune.study import Stage, load_study
from damon.workload.load import load_workload
from damon.workload.model import Access, Area, Event, Kind, MachineSpec, Phase, PhaseEvent, ProcessSpec, Workload
from damon.workload.tracefile.form import TracedArea, unpack_rows
from damon.workload.tracefile.reader import Trace
from tests.guests.standin import output
from vmtest.errors import HarnessError
from vmtest.results import manifest, writers
from vmtest.results.job import Limits
from vmtest.suite.load import load as load_suite
from vmtest.suite.model import Expectation, FullMachine, Kernel, Suite
from vmtest.suite.model import Test as SuiteTest

FORMATS = Path(__file__).parent / "formats"


def test_a_workload_of_format_1() -> None:
    access = Access("hot", 1000.0, write_share=0.5)
    assert load_workload(FORMATS / "workload-1.yaml") == Workload(
        name="two-areas",
        areas=(Area("cold", 8 << 20), Area("hot", 2 << 20, Kind.FILE, "server")),
        phases=(Phase("warm", 500_000, (access,), (PhaseEvent(Event.MUNMAP, "cold"),)),),
        machine=MachineSpec(memory=256 << 20, swap=None),
        process_specs=(ProcessSpec("server", "web"),),
    )


def test_a_trace_of_format_1() -> None:
    trace = Trace(FORMATS / "trace-1.trace")
    what = trace.description
    assert (what.duration_ns, what.loop, what.origin) == (2000, True, "records")
    assert [(space.process, space.nr_pages) for space in what.spaces] == [("web", 20)]
    assert what.areas == (
        TracedArea("heap", 0, 0, 8, "anon", 0x10000, ((0, 1000), (1500, 2000))),
        TracedArea("data", 0, 8, 12, "file", 0, ((0, 2000),)),
    )
    assert [(t0, t1, unpack_rows(rows)) for t0, t1, rows in trace.windows(0)] == [
        (n * 100, n * 100 + 100, [(n % 3, n % 3 + 2, 0.5, 0.2), (10, 12 + n % 2, 3.0, 1.0)]) for n in range(18)
    ]
    assert [area.name for area in load_workload(FORMATS / "trace-1.trace").areas] == ["heap", "data"]


def test_a_later_trace_is_refused(tmp_path: Path) -> None:
    data = bytearray((FORMATS / "trace-1.trace").read_bytes())
    data[8] = 2
    (tmp_path / "later").write_bytes(data)
    with pytest.raises(InvalidInput, match="format: 2: is not known here; 1 is"):
        Trace(tmp_path / "later")


def test_a_study_of_format_1() -> None:
    study = load_study(FORMATS / "study-1.yaml")
    assert (study.name, study.seeds, study.default) == ("small", (3,), False)
    assert (len(study.space), study.stage.duration_us) == (8, 60_000_000)
    assert study.words((1, 1), study.stage) == {
        "damon_reclaim": [
            "quota_ms=0", "min_age=2000000", "sample_interval=10000", "aggr_interval=200000", "enabled=Y",
        ]
    }  # fmt: skip
    assert (study.objectives, study.constraints) == ((Objective("saved", True),), (constraint("slowdown < 1.02"),))
    assert study.coarse == Stage(60_000_000, {"max_nr_regions": 0.5})
    assert msgspec.structs.asdict(study.tune) | {"coarse": None} == {
        "trials": 5, "batch": 2, "startup": 3, "seed": 9, "prune": False, "coarse": None, "refine": 0,
    }  # fmt: skip


def test_results_of_a_study_of_format_1(tmp_path: Path) -> None:
    stored = FORMATS / "study-results-1.jsonl"
    base, pruned, refused = (line for _, line in read_study_results(stored))
    assert base.request == Request("0f", "hot-cold", "", "", {}, 3, 60_000_000)
    assert base.result == Result("complete", [Measured(60.0, 1e9, 3e8, 2e8, 0, 0, 0, 0.0, 0)])
    assert pruned.request.rules == Rules(("slowdown < 1.02",), Objective("saved", True), (None, 0.5))
    assert (pruned.result.outcome, refused.result.why) == ("pruned", "max_nr_regions: 2: no")
    copy = tmp_path / "copy"
    copy.write_bytes(stored.read_bytes())
    with Results(copy) as results:
        results.finish([base.request, pruned.request, refused.request])
    assert copy.read_bytes() == stored.read_bytes()


def test_results_of_guests_of_format_1(tmp_path: Path) -> None:
    stored = FORMATS / "guest-results-1.jsonl"
    copy = tmp_path / "copy"
    copy.write_bytes(stored.read_bytes())
    kept = Kept(copy)
    assert kept.known == {"00": output()}
    assert copy.read_bytes() == stored.read_bytes()


def test_a_configuration_of_masim() -> None:
    workload = load_workload(FORMATS / "masim.cfg")
    assert workload.areas == (Area("a", 2 << 20), Area("b", 1 << 20))
    assert [(phase.duration_us, [access.area for access in phase.accesses]) for phase in workload.phases] == [
        (500_000, ["a"])
    ]


def test_a_suite_of_format_1() -> None:
    assert load_suite(FORMATS / "suite-1.yaml") == Suite(
        name="smoke",
        kernels={"page-idle": Kernel()},
        machines={"small": FullMachine(memory="512M", cpus=1)},
        tests={"uname": SuiteTest(command="uname -r")},
        timeouts=Limits(boot=60.0, command=30.0),
        expect=(Expectation(test="uname", verdict="skip", reason="it is not here"),),
    )


@pytest.mark.parametrize(
    ("name", "read"),
    [("manifest-1.json", manifest.read), ("results-1.json", writers.read)],
    ids=["manifest", "results"],
)
def test_what_a_run_left_in_format_1(name: str, read: Callable[[Path], Any]) -> None:
    path = FORMATS / name
    assert json.loads(msgspec.json.encode(read(path))) == json.loads(path.read_text())


def test_a_run_directory_of_format_1() -> None:
    place = FORMATS / "run-directory-1"
    runs = [RunDirectory.open(place / form) for form in ("jsonl", "arrow")]
    for run in runs:
        assert (run.state, run.request["seconds"], run.request["every_ns"]) == ("complete", 1.0, 500_000_000)
        assert run.table("machine").columns["time_ns"] == [0, 500_422_000, 1_000_000_000]
        assert [(one.time_ns, len(one.regions)) for one in run.snapshots()] == [(500_422_000, 12)]
        assert run.damaged is None
    lines, streams = ([run.table(name) for name in TABLES] for run in runs)
    assert lines == streams
    assert [table.name for table in lines if not len(table)] == ["cgroups", "goals", "truth"]


def test_a_result_of_damon_run_of_format_1() -> None:
    data = (FORMATS / "run-result-1.json").read_bytes()
    assert result.parse(data) == json.loads(data)


def _journal(directory: Path, **more: Any) -> Path:
    """The stored journal, of the boot that is running."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    data = json.loads((FORMATS / "journal-1.json").read_text()) | {"boot": boot} | more
    path = directory / "journal.json"
    path.write_text(json.dumps(data))
    return path


def test_a_journal_of_format_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[Found] = []

    def restore(found: Found) -> list[str]:
        restored.append(found)
        return []

    monkeypatch.setattr(journal, "restore", restore)
    _journal(tmp_path)
    assert journal.repair(tmp_path) == []
    assert restored == [Found("ADMIN", "MODULES", parameters={"damon_reclaim": {"min_age": "120000000"}})]


@pytest.mark.parametrize(
    ("form", "intervals"), [("zlib", (5000, 100_000)), ("json", (5000, 100_000)), ("script", None)]
)
def test_records(form: str, intervals: tuple[int, int] | None) -> None:
    ((record, snapshot),) = read_records(FORMATS / f"records.{form}")
    rows = ((4096, 8192, 3, 1, ()), (8192, 65536, 0, 2, ()))
    assert record == Record(Key(0, 1), *(intervals or (None, None)))
    assert snapshot == Snapshot(0 if intervals else None, 100_000_000, rows)


@pytest.fixture
def control(tmp_path: Path) -> Any:
    server = ControlServer(tmp_path / "socket", {"add": add})
    yield tmp_path / "socket"
    server.close()


def add(a: int, b: int) -> int:
    return a + b


def test_requests_to_damond(control: Path) -> None:
    with Client(control) as client:
        assert client.call("add", a=1, b=2) == 3


def test_a_later_request_to_damond_is_refused(control: Path) -> None:
    with Client(control) as client:
        client._socket.sendall(b'{"format": 2, "call": "add", "args": {"a": 1, "b": 2}}\n')
        answer = json.loads(client._stream.readline())
    assert answer["errno"] == errno.EPROTONOSUPPORT
    _names_the_version(answer["error"])


def _names_the_version(message: str) -> None:
    assert "\n" not in message
    assert "format: 2: " in message


def _later(name: str, directory: Path) -> Path:
    """The stored file as a later version may write it: with a field that is not known."""
    text = (FORMATS / name).read_text()
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".json":
        path.write_text(json.dumps(json.loads(text) | {"format": 2, "new": []}))
    else:
        path.write_text(text.replace("format: 1\n", "format: 2\nnew: []\n"))
    return path


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("workload-1.yaml", load_workload),
        ("suite-1.yaml", load_suite),
        ("manifest-1.json", manifest.read),
        ("results-1.json", writers.read),
        ("run-result-1.json", lambda path: result.parse(path.read_bytes())),
        ("run-directory-1/jsonl/run.json", lambda path: RunDirectory.open(path.parent)),
    ],
)
def test_a_later_version_is_refused(name: str, read: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises((InvalidInput, HarnessError, ValueError)) as caught:
        read(_later(name, tmp_path))
    _names_the_version(str(caught.value))


def test_a_later_journal_is_not_restored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "restore", lambda found: pytest.fail("restored"))
    _journal(tmp_path, format=2, new=[])
    (problem,) = journal.repair(tmp_path)
    _names_the_version(problem)


@pytest.mark.parametrize("version", ["0", "-1", "true", "'1'", "1.0", "null", "[1]", "9" * 90], ids=lambda it: it[:8])
def test_what_is_no_version_is_refused(version: str, tmp_path: Path) -> None:
    path = tmp_path / "workload.yaml"
    path.write_text(f"format: {version}\nareas: {{}}\nphases: []\n")
    with pytest.raises(InvalidInput, match="format: "):
        load_workload(path)
