# SPDX-License-Identifier: GPL-2.0-only
"""``damon validate`` with the simulator in place of the guest."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from damon.cli import as_guest, compare_guests, validate
from damon.cli.as_guest import Policy, slowed
from damon.cli.main import exit_code, parser
from damon.cli.simulate import simulate
from damon.guests.engine import GuestFailed
from damon.mm.frames import FrameRun
from damon.mm.sim import SimulatedMachine
from damon.results.frames import Frames
from damon.results.run import Run
from damon.results.sim_to_real import Measured
from damon.workload.load import load_workload

WORKLOAD = """\
areas:
  hot: {size: 4 MiB}
  cold: {size: 16 MiB}
phases:
  - {duration: 60s, access: [{area: hot, rate: 20k}]}
machine: {memory: 128 MiB}
"""
AWAKE = (
    "damon_reclaim.quota_ms=0 damon_reclaim.wmarks_high=1000 damon_reclaim.wmarks_mid=1000 damon_reclaim.wmarks_low=0"
)
POLICIES = f"""\
none: damon_reclaim.enabled=N
soon: damon_reclaim.min_age=1000000 {AWAKE}
late: damon_reclaim.min_age=5000000 {AWAKE}
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "w.yaml").write_text(WORKLOAD)
    (tmp_path / "p.yaml").write_text(POLICIES)
    monkeypatch.setattr(compare_guests, "prepare", _prepare)
    return tmp_path


def _prepare(arguments: Any, engine: object, workload: str, *, files: bool, icount: int) -> _Job:
    assert files
    return _Job(arguments, workload, arguments.seed, icount=icount)


@dataclass(frozen=True)
class _Job:
    """Stands for a job of a guest."""

    arguments: Any
    workload: str
    seed: int
    place: Path | None = None
    every_s: float = 1.0
    frames: bool = False
    icount: int = 0
    #: Not emulated: what it takes is what the simulated machine takes.
    config: Any = field(default_factory=lambda: SimpleNamespace(icount=None))


def _guest(jobs: Sequence[Any], label: str, quiet: bool) -> list[dict[str, Any]]:
    found = []
    for job in jobs:
        arguments = argparse.Namespace(**{**vars(job.arguments), "seed": job.seed})
        result = simulate(
            arguments,
            as_guest.files_in_memory(load_workload(job.workload)),
            job.place,
            every_s=validate.rows_s(job.every_s),
        )
        found.append({**result, "guest": {"kernel": "none", "counted": True, "warnings": []}})
    return found


def _run(files: Path, *words: str, guest: Any = _guest) -> int:
    given = ["validate", str(files / "w.yaml"), "--policies", str(files / "p.yaml"), "--duration", "8"]
    given += ["--seeds", "1", "--others", "none", *words]
    arguments = parser(["validate"]).parse_args(given)
    return exit_code(lambda: validate.validate(arguments, guest))


def test_a_guest_that_does_what_was_predicted(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "out"
    found = files / "found.json"
    words = ("--require", "rss<0.1%,refaults<=1,spearman>=1", "-o", str(out), "--json", str(found))
    assert _run(files, *words) == 0
    said = capsys.readouterr().out
    assert "rank correlation by resident: 1.00" in said
    assert {path.name for path in out.iterdir()} == {"none", "soon", "late"}
    assert (out / "soon/predicted/run.json").exists()
    assert (out / "soon/measured/run.json").exists()
    whole = json.loads(found.read_text())
    assert [one["name"] for one in whole["policies"]] == ["none", "soon", "late"]
    none, soon, late = (one["measured"] for one in whole["policies"])
    assert soon["mean_resident_bytes"] < late["mean_resident_bytes"] < none["mean_resident_bytes"]
    assert whole["figures"]["spearman"] == 1
    assert all(one["met"] for one in whole["require"])


@pytest.mark.parametrize(("words", "guests"), [((), [1, 1, 1]), (("--one-guest",), [3])])
def test_each_policy_has_a_fresh_guest_unless_one_is_wanted(
    words: tuple[str, ...], guests: list[int], files: Path
) -> None:
    seen: list[int] = []

    def guest(jobs: Sequence[Any], label: str, quiet: bool) -> list[dict[str, Any]]:
        seen.append(len(jobs))
        return _guest(jobs, label, quiet)

    assert _run(files, "--quiet", *words, guest=guest) == 0
    assert seen == guests


@pytest.mark.parametrize(("words", "kinds"), [((), 6), (("--one-guest",), 2)])
def test_several_guests_have_a_seed_each_and_share_the_predictions(
    words: tuple[str, ...], kinds: int, files: Path
) -> None:
    seen: list[list[tuple[int, int]]] = []

    def guest(jobs: Sequence[Any], label: str, quiet: bool) -> list[dict[str, Any]]:
        seen.append([(job.seed, job.icount) for job in jobs])
        return _guest(jobs, label, quiet)

    found = files / "found.json"
    given = ("--guests", "2", "--seeds", "2", "--seed", "5", "--icount", "1", "-o", str(files / "out"))
    assert _run(files, "--quiet", *given, "--json", str(found), *words, guest=guest) == 0
    assert len(seen) == kinds
    assert sorted({one for jobs in seen for one in jobs}) == [(5, 1), (6, 1)]
    soon = json.loads(found.read_text())["policies"][1]
    assert (files / "out/soon/measured-1/run.json").exists()
    assert soon["rss"] == 0, "the same seeds on both sides: the means are the same"
    assert soon["rss_itself"] > 0
    assert soon["measured"]["refaults_range"] == soon["predicted"]["refaults_range"]


def test_files_are_memory_that_is_swapped(files: Path) -> None:
    """As on a guest's file system, which has no disk."""
    (files / "w.yaml").write_text(WORKLOAD.replace("cold: {", "cold: {kind: file, "))
    assert _run(files, "--require", "rss<0.1%", "-o", str(files / "out"), "--quiet") == 0
    rows = Run.open(files / "out/soon/predicted").table("machine").columns
    assert rows["swapped_bytes"][-1] > 8 << 20


def test_short_intervals_see_more(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = files / "found.json"
    assert _run(files, "--quiet", "--every", "500ms", "--json", str(found), "--require", "rss<0.1%") == 0
    soon = json.loads(found.read_text())["policies"][1]
    for series in (soon["measured"]["over_time"], soon["predicted"]["over_time"]):
        assert series["seconds"] == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8]
        assert len(series["resident_bytes"]) == 17
    assert _run(files, "--every", "5s") == 2
    assert "--every: 5: is more than half of the run's 8 s; give less" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        _run(files, "--every", "100ms")
    assert "--every: '100ms': is too short for an emulated guest; give at least 200ms" in capsys.readouterr().err


def test_another_guest_ends_with_4(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It accesses four times as much, so that nothing of what is cold here is so there."""

    def guest(jobs: Sequence[Any], label: str, quiet: bool) -> list[dict[str, Any]]:
        path = files / "other.yaml"
        path.write_text(WORKLOAD.replace("area: hot", "area: cold"))
        return _guest([replace(job, workload=str(path)) for job in jobs], label, quiet)

    assert _run(files, "--require", "rss<5%", guest=guest) == 4
    assert "damon: --require: rss<5%: is " in capsys.readouterr().err


def test_a_slow_guest_is_simulated_as_slow(files: Path) -> None:
    """Intervals and accesses as the guest reached them, where they were longer and fewer."""
    policy = Policy("p", "", parser(["run"]).parse_args(
        ["run", "--sim", "x", "--duration", "10", "--module", "damon_reclaim", "min_age=5", "aggr_interval=200000"]
    ))  # fmt: skip
    result = {"timing": {"kdamond_cpu_seconds": {"damon_reclaim": 2.0}}}
    measured = Measured((0,), (0,), (0,), (0,), 0.0, 2.0, 0.3)
    slow, workload = slowed(policy, load_workload(files / "w.yaml"), measured, result)
    assert slow.arguments.module == [["damon_reclaim", "min_age=5", "sample_interval=7500", "aggr_interval=300000"]]
    assert workload.phases[0].accesses[0].rate == 10_000
    fast = Measured((0,), (0,), (0,), (0,), 0.0, 1.0, 0.1)
    assert slowed(policy, workload, fast, result)[0].arguments.module[0][2:] == [
        "sample_interval=5000", "aggr_interval=200000"
    ]  # fmt: skip
    unknown = Measured((0,), (0,), (0,), (0,), 0.0, 1.0, None)  # 2 of 10 s of work
    assert slowed(policy, workload, unknown, result)[0].arguments.module[0][2:] == [
        "sample_interval=6250", "aggr_interval=250000"
    ]  # fmt: skip


def test_other_programs_are_no_part_of_the_workload(files: Path) -> None:
    found = files / "found.json"
    assert _run(files, "--others", "8M@1k", "--json", str(found), "--quiet") == 0
    none, soon, _ = json.loads(found.read_text())["policies"]
    assert none["predicted"]["mean_resident_bytes"] == 20 << 20 == none["measured"]["mean_resident_bytes"]
    assert soon["predicted"]["mean_resident_bytes"] != soon["measured"]["mean_resident_bytes"]


def _measured_guest(jobs: Sequence[Any], label: str, quiet: bool) -> list[dict[str, Any]]:
    found = _guest(jobs, label, quiet)
    for job in jobs:
        assert job.frames
        places, beside = {"hot": [(0, 5000, 1024)]}, [FrameRun(9000, 512, 3.0, False)]
        Frames(9.5, [(0, 128 << 20)], places, beside, free=[(12_000, 9000)], unrecorded_s=1.5).write(job.place)
    return found


def test_what_a_guest_had_beside_the_workload_is_simulated(files: Path) -> None:
    """With its lead: the prediction differs from a run that has neither."""
    assert _run(files, "--others", "measured", "-o", str(files / "out"), "--quiet", guest=_measured_guest) == 0
    run = json.loads((files / "out/soon/predicted/run.json").read_text())
    asked, memory = run["request"]["workload"], run["result"]["memory"]
    assert [area["name"] for area in asked["areas"]] == ["beside the workload 0", "hot", "cold"]
    assert asked["phases"][0]["accesses"][-1]["rate"] == 1536
    assert run["result"]["virtual_seconds"] == pytest.approx(9.5, abs=0.2), "rows begin late, and so many more are made"
    assert 1 << 20 < memory["free_bytes_start"] <= 9000 * 4096, "the kernel has the rest"


def test_the_worker_of_an_emulated_guest(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its costs are the simulated machine's, but for what the file gives; another engine's are not known."""
    counted = SimpleNamespace(icount=1)
    monkeypatch.setattr(
        compare_guests, "prepare", lambda *given, **more: replace(_prepare(*given, **more), config=counted)
    )
    (files / "w.yaml").write_text(WORKLOAD.replace("{memory: 128 MiB}", "{memory: 128 MiB, scan_us: 0.2}"))
    for engine, costs in (
        ("guest:host", (5.4, 20.0, 0.2, 24.0)), ("guest:pydamon", (0.0, 0.0, 0.2, 1.0)),
    ):  # fmt: skip
        out = files / engine.partition(":")[2]
        assert _run(files, "--engine", engine, "--others", "none", "-o", str(out), "--quiet") == 0
        asked = json.loads((out / "soon/predicted/run.json").read_text())["request"]["workload"]["machine"]
        assert tuple(asked[f"{name}_us"] for name in ("check", "wake", "scan", "reclaim")) == costs


def test_measured_intervals_have_the_pace_of_the_worker_in_them(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So neither what an emulated worker takes nor how late sleeps end is counted again."""

    def guest(jobs: Sequence[Any], label: str, quiet: bool) -> list[dict[str, Any]]:
        found = _measured_guest(jobs, label, quiet)
        for job in jobs:
            frames = Frames.read(job.place)
            assert frames is not None
            replace(frames, late_us=700.0, run_delay=1.0).write(job.place)
        return found

    counted = SimpleNamespace(icount=0)
    monkeypatch.setattr(
        compare_guests, "prepare", lambda *given, **more: replace(_prepare(*given, **more), config=counted)
    )
    for words, paces in (([], (5.4, 6.0, 24.0, 710.0)), (["--as-measured"], (0.0, 0.1, 1.0, 0.0))):
        out = files / f"out{len(words)}"
        assert _run(files, "--others", "measured", "-o", str(out), "--quiet", *words, guest=guest) == 0
        asked = json.loads((out / "soon/predicted/run.json").read_text())["request"]["workload"]["machine"]
        assert tuple(asked[f"{name}_us"] for name in ("check", "scan", "reclaim", "wake")) == paces


def test_a_guest_that_measured_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(files, "--others", "measured") == 2
    assert "has no frames.json; give a size and a rate, or none" in capsys.readouterr().err


def test_a_lost_guest_is_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def guest(*_: object) -> Any:
        raise GuestFailed("the guest was lost", 1)

    assert _run(files, guest=guest) == 1
    assert "damon: w with guest:host: the guest was lost" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("policies", "words", "said"),
    [
        ("", (), "is not a mapping of names to command lines"),
        ("a b: damon_reclaim.min_age=1", (), "'a b': is not a name"),
        ("a: 5", (), "a: 5: is not a command line"),
        ("a: min_age=5", (), "a: 'min_age=5': names no module"),
        ('a: damon_reclaim.x="5', (), "a quotation is not closed"),
        ("a: damon_reclaim=5", (), "has no dot"),
        ("a: [", (), "line"),
        (POLICIES, ("--engine", "host"), "--engine: 'host': is not in a guest"),
        (POLICIES, ("--require", "rs<5%"), "--require: 'rs': is not a figure; give one of rss, mean_rss"),
        (POLICIES, ("--duration", "2h"), "is too long for guests"),
        (POLICIES, ("-o", "."), "is there already"),
    ],
)
def test_refusals(
    policies: str, words: tuple[str, ...], said: str, files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (files / "p.yaml").write_text(policies)
    assert _run(files, *words, guest=None) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("others", ["8M", "@1k", "8M@", "4097@1k", "8M@0"])
def test_other_programs_have_a_size_and_a_rate(others: str, files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _run(files, "--others", others)
    assert "is not memory and a rate; give SIZE@RATE" in capsys.readouterr().err


def test_what_is_beside_a_workload_in_a_guest(files: Path) -> None:
    """Two thirds of other programs before it; the tables of the program after its areas, in its cgroup."""
    text = WORKLOAD.replace("{size: 4 MiB}", "{size: 4 MiB, memcg: box}").replace(
        "rate: 20k", "rate: 20k, pattern: zipf"
    )
    (files / "w.yaml").write_text(text)
    workload = as_guest.beside(load_workload(files / "w.yaml"), (3 << 20, 100.0))
    assert [(area.name, area.size >> 10, area.process, area.memcg) for area in workload.areas] == [
        ("programs before", 2048, "programs before", ""), ("hot", 4096, "main", "box"), ("cold", 16384, "main", ""),
        ("tables of main", 28, "main", "box"), ("programs after", 1024, "programs after", ""),
    ]  # fmt: skip
    rates = {one.area: one.rate for one in workload.phases[0].accesses}
    assert rates == {"hot": 2e4, "programs before": 50.0, "programs after": 50.0, "tables of main": 2e4}
    with SimulatedMachine(workload, 1) as machine:
        assert machine.areas()[3].resident_bytes == 28 << 10


def test_a_policy_that_is_given_twice(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(files, "--policies", str(files / "p.yaml"), str(files / "p.yaml")) == 2
    assert "is given twice" in capsys.readouterr().err
