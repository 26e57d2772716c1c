# SPDX-License-Identifier: GPL-2.0-only
"""A simulated process that is killed for want of memory: every command reports it, time and reason, and ends with 1."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from damon.mm.sim import SimulatedMachine
from damon.workload.load import load_workload
from tests.cli.conftest import TOO_BIG, Damon


@pytest.fixture
def big(tmp_path: Path) -> str:
    path = tmp_path / "big.yaml"
    path.write_text(TOO_BIG)
    return str(path)


def test_the_machine_knows_its_kills(big: str) -> None:
    machine = SimulatedMachine(load_workload(big), 1)
    machine.clock.sleep_us(3_000_000)
    (kill,) = machine.kills()
    assert (kill.name, kill.pid) == ("main", machine.pids["main"])
    assert 0.5 < kill.seconds < 3
    assert (kill.swap_bytes, kill.swap_free_bytes) == (16 << 20, 0)
    assert kill.swapped_bytes == 15 << 20  # the other process is in swap as well
    assert kill.rss_bytes + kill.free_bytes <= 64 << 20
    assert kill.rss_bytes > 40 << 20
    assert machine.counters()["oom_kill"] == 1
    assert [process.alive for process in machine.processes()] == [True, False]
    assert machine.kills() == [kill]
    machine.close()


def test_a_run_reports_it_everywhere(damon: Damon, tmp_path: Path, big: str) -> None:
    result = tmp_path / "r.json"
    outcome = damon(["run", "--module", "stat", "--sim", big, "--json", str(result)])
    assert outcome.code == 1
    (kill,) = json.loads(result.read_text())["killed"]
    assert (kill["process"], list(kill)) == ("main", ["process", "pid", "when_s", "why"])
    assert "out of memory" in kill["why"]
    assert "0.0 MiB of 16.0 MiB swap free" in kill["why"]
    assert f"main ({kill['pid']}) was killed at {kill['when_s']:g} s: {kill['why']}\n" in outcome.out
    line = f"damon: process {kill['pid']} was killed at {kill['when_s']:g} s (main): {kill['why']}"
    assert outcome.err.startswith(line)
    assert outcome.err.endswith("give the workload's machine more memory or swap\n")
    quiet = damon(["run", "--module", "stat", "--sim", big, "--quiet", "--json", "-"])
    assert (quiet.code, json.loads(quiet.out)["killed"]) == (1, [kill])


def test_a_recording_reports_it(damon: Damon, tmp_path: Path, big: str) -> None:
    outcome = damon(["record", "--sim", big, "--ops", "vaddr", "-o", str(tmp_path / "data")])
    assert outcome.code == 1
    assert outcome.err.startswith("damon: process 1001 was killed at ")
    assert outcome.out.startswith("data: ")


def test_a_process_that_is_killed_at_once(damon: Damon, tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text(TOO_BIG.replace("populate: false", "populate: true").replace("100 MiB", "200 MiB"))
    outcome = damon(["record", "--sim", str(path), "--ops", "vaddr", "-o", str(tmp_path / "data")])
    assert outcome.code == 1
    assert outcome.err.startswith("damon: process 1001 was killed at 0 s (main): out of memory")
    assert not (tmp_path / "data").exists()
    assert damon(["run", "--module", "stat", "--sim", str(path), "--quiet"]).code == 1


def test_one_that_is_killed_and_starts_again_is_killed_twice(tmp_path: Path) -> None:
    path = tmp_path / "twice.yaml"
    path.write_text(
        TOO_BIG.replace("populate: false", "populate: false, mapped: false")
        .replace("duration: 3s", "duration: 3s\n    mmap: [grows]")
        .replace("machine:", "  - {duration: 1s, munmap: [grows]}\nrepeat: true\nmachine:")
    )
    machine = SimulatedMachine(load_workload(str(path)), 1)
    machine.clock.sleep_us(9_000_000)
    kills = machine.kills()
    assert [kill.name for kill in kills] == ["main"] * len(kills)
    assert len({kill.pid for kill in kills}) == len(kills) >= 2
    machine.close()
