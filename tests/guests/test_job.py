# SPDX-License-Identifier: GPL-2.0-only
"""One run in a guest, of which vmtest's part is dictated."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from damon.errors import InvalidInput, MissingCapability
from damon.guests import job as guests
from damon.guests.engine import GuestEngine, GuestFailed
from damon.guests.job import Job
from damon.guests.result import MOST
from tests.guests.standin import StandIn, output
from tests.workload.traces import random_trace
from vmtest import GuestConfig
from vmtest import errors as harness

SMALL = "areas: {a: {size: 1 MiB}}\nphases: [{duration: 1s}]\n"


def _job(path: Path, **other: Any) -> Job:
    workload = path / "small.yaml"
    workload.write_text(SMALL)
    words = ["--module", "damon_reclaim", "min_age=1"]
    given = {"reserved": 0, "words": words, "seconds": 3.0, "seed": 7, **other}
    return Job(GuestEngine("host"), GuestConfig(icount=2), workload, **given)


def _run(path: Path, guest: StandIn, **other: Any) -> dict[str, Any]:
    return guests.run(_job(path, **other), lambda line: None, guest)


def test_the_same_words_run_in_the_guest(tmp_path: Path) -> None:
    guest = StandIn(warnings=["a stall\x1b[31m"])
    found = _run(tmp_path, guest, reserved=500 << 20)
    assert guest.files == {"/run/workload.yaml": SMALL.encode()}
    shell, dash_c, _, _, free, *words = guest.commands[0]
    assert (shell, dash_c) == ("sh", "-c")
    assert int(free) == (1 << 20) - (500 << 10) + guests.MONITOR_BYTES // 1024, "KiB, of the guest's 1 GiB"
    text = " ".join(words)
    assert "damon run --linux --engine host --workload /run/workload.yaml --duration 3.000000 --seed 7" in text
    assert text.endswith("--json - --module damon_reclaim min_age=1")
    assert guest.open == 0
    assert found["guest"] == {"kernel": "page-idle", "counted": True, "warnings": ["a stall [31m"]}
    assert {key: value for key, value in found.items() if key != "guest"} == output()


def test_files_are_in_memory_where_that_is_asked_for(tmp_path: Path) -> None:
    for files in (False, True):
        assert ("--files-in-memory" in _job(tmp_path, files=files).command("w.yaml")) is files


def test_traces_come_with_the_workload(tmp_path: Path) -> None:
    """Where the workload's file looks for them."""
    (tmp_path / "below").mkdir()
    made = [random_trace(tmp_path / name, 1) for name in ("t.trace", "below/u.trace")]
    lines = [f"  {name}: {{trace: {path}}}" for name, path in (("a", "t.trace"), ("b", "below/u.trace"))]
    job = _job(tmp_path)
    job.workload.write_text("\n".join(["areas:", *lines, "machine: {memory: 1 GiB}", ""]))
    guest = StandIn()
    guests.run(job, lambda line: None, guest)
    assert set(guest.files) == {"/run/workload.yaml", "/run/t.trace", "/run/below/u.trace"}
    assert guest.files["/run/below/u.trace"] == made[1].read_bytes()
    job.workload.write_text(f"areas: {{a: {{trace: {made[0]}}}}}\n")
    guest = StandIn()
    guests.run(job, lambda line: None, guest)
    assert set(guest.files) == {"/run/workload.yaml", str(made[0])}
    guest = StandIn()
    guests.run(replace(job, workload=made[0]), lambda line: None, guest)
    assert set(guest.files) == {"/run/workload.trace"}


def test_several_runs_in_one_guest(tmp_path: Path) -> None:
    """Memory is reserved once, and each run directory is copied out before the next run."""
    guest = StandIn(gives=lambda place: place.write_text("a run"))
    jobs = [replace(_job(tmp_path, reserved=500 << 20), place=tmp_path / f"run {n}", every_s=0.5) for n in range(2)]
    said: list[str] = []
    found = guests.run_all(jobs, said.append, guest)
    assert [one["machine"] for one in found] == ["linux", "linux"]
    ran = [words for words in guest.commands if "run" in words]
    assert [words[0] for words in ran] == ["sh", "python3"]
    assert all("--out /run/damon-out --every 0.5s --out-form jsonl" in " ".join(words) for words in ran)
    assert guest.taken == [("/run/damon-out", job.place) for job in jobs]
    assert [words[0] for words in guest.commands] == ["sh", "rm", "python3", "rm"]
    assert "run 2 of 2: the workload starts" in said
    assert guest.open == 0


def test_what_it_prints_there_is_passed_on_as_plain_lines(tmp_path: Path) -> None:
    said: list[str] = []
    guest = StandIn(err=b"1.0 of 3 s\n\x1b[2J" + b"x" * 500 + b"\nno end")
    guests.run(_job(tmp_path), said.append, guest)
    assert said[0] == "booting"
    assert "1.0 of 3 s" in said
    assert all(line.isprintable() and len(line) <= 200 for line in said)


@pytest.mark.parametrize(
    ("guest", "code", "said"),
    [
        (StandIn(code=3, err=b"damon: swap: there is none; add some\n"), 3, "there is none; add some"),
        (StandIn(code=1), 1, "ended with code 1: it printed nothing"),
        (StandIn(code=137), 1, "code 137"),
        (StandIn(out=b""), 1, "the guest's result: is not one of damon run"),
        (StandIn(out=b"{" * 100), 1, "the guest's result: is not one of damon run"),
        (StandIn(out=json.dumps(output(slowdown="fast")).encode()), 1, "slowdown"),
        (StandIn(out=json.dumps(output(areas={"a": {"size_bytes": -1}})).encode()), 1, "areas"),
        (StandIn(out=json.dumps(output(machine="m" * 300)).encode()), 1, "machine"),
        (StandIn(out=b" " * (MOST + 1) + json.dumps(output()).encode()), 1, "ended with code 0"),
        (StandIn(fails=harness.GuestLost(harness.Verdict.PANIC, "it paniced")), 1, "guest panic: it paniced"),
        (StandIn(at_boot=harness.GuestLost(harness.Verdict.SILENT, "nothing")), 1, "guest silent"),
        (StandIn(fails=harness.CommandTimeout("it did not end")), 1, "it did not end"),
    ],
)
def test_a_guest_that_fails_or_lies_has_no_result(guest: StandIn, code: int, said: str, tmp_path: Path) -> None:
    with pytest.raises(GuestFailed, match=said) as failed:
        _run(tmp_path, guest)
    assert failed.value.code == code
    assert str(failed.value).startswith("guest:host: ")
    assert guest.open == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (harness.MachineLacks("memory: too little; free some"), MissingCapability),
        (harness.BuildFailed("snapshot: no room; make some"), MissingCapability),
        (harness.InvalidInput("cpus 99 must be 1 to 16"), InvalidInput),
    ],
)
def test_what_the_harness_refuses_is_refused(error: Exception, kind: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(kind, match="guest:host: "):
        _run(tmp_path, StandIn(at_boot=error))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_an_interrupt_ends_the_guest_first(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = StandIn()

    def interrupted(timeout: float | None = None) -> None:
        assert guest.open == 1
        signal.raise_signal(number)  # in this thread, so that it is taken before the next instruction

    monkeypatch.setattr(guest, "wait", interrupted)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored
    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        with pytest.raises(KeyboardInterrupt):
            _run(tmp_path, guest)
        assert {one: signal.getsignal(one) for one in before} == before
    finally:
        signal.signal(signal.SIGHUP, hangup)
    assert guest.open == 0
