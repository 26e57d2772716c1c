# SPDX-License-Identifier: GPL-2.0-only
"""``damon run`` on the simulated machine: the result, its reproducibility, where it is written, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from damon.cli import progress, run
from damon.cli.observe import LinuxObserver, Seen
from damon.modules.loader import find_module
from tests.cli.conftest import OPEN, SMALL, Damon
from tests.fakes import FakeMachine

MIB = 1 << 20
RECLAIM = ("--module", "damon_reclaim", "min_age=500000", "quota_ms=0", *OPEN)


def _result(damon: Damon, path: Path, *arguments: str) -> dict[str, Any]:
    outcome = damon(["run", *arguments, "--quiet", "--json", str(path)])
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    result = json.loads(path.read_text())
    assert isinstance(result, dict)
    return result


def test_cold_memory_leaves_and_hot_memory_stays(damon: Damon, tmp_path: Path, small: str) -> None:
    result = _result(damon, tmp_path / "r.json", *RECLAIM, "--sim", small, "--seed", "7")
    assert (result["seed"], result["virtual_seconds"], result["machine"]) == (7, 3.0, "sim")
    hot, cold = result["areas"]["hot"], result["areas"]["cold"]
    assert list(hot) == [
        "size_bytes", "resident_bytes_start", "resident_bytes_end", "refaults", "hot", "resident_byte_seconds",
        "evicted_byte_seconds",
    ]  # fmt: skip
    assert hot["resident_byte_seconds"] + hot["evicted_byte_seconds"] == pytest.approx(2 * MIB * 3.0, rel=0.01)
    assert (hot["hot"], cold["hot"]) == (True, False)
    assert (hot["size_bytes"], hot["resident_bytes_start"]) == (2 * MIB, 2 * MIB)
    assert hot["resident_bytes_end"] >= 0.98 * 2 * MIB
    assert (cold["size_bytes"], cold["resident_bytes_start"], cold["refaults"]) == (6 * MIB, 6 * MIB, 0)
    assert cold["resident_bytes_end"] <= 0.1 * 6 * MIB
    memory = result["memory"]
    assert memory["resident_bytes_start"] == 8 * MIB
    assert memory["resident_bytes"] == hot["resident_bytes_end"] + cold["resident_bytes_end"]
    assert memory["free_bytes"] - memory["free_bytes_start"] == 8 * MIB - memory["resident_bytes"]
    assert result["slowdown"] >= 1.0
    module = result["modules"]["damon_reclaim"]
    assert list(module["parameters"]) == [spec.name for spec in find_module("reclaim").specs()]
    parameters, stats = module["parameters"], module["stats"]
    assert (parameters["enabled"], parameters["min_age"], parameters["kdamond_pid"]) == (True, 500000, -1)
    assert stats["bytes_reclaimed_regions"] == 8 * MIB - memory["resident_bytes"]
    assert {name: parameters[name] for name in stats} == stats
    assert set(result["timing"]) == {"seconds", "wall_seconds", "kdamond_cpu_seconds"}


def test_the_level_is_in_the_result(damon: Damon, tmp_path: Path, small: str) -> None:
    """It changes nothing of what 7.3 has, and is refused for an engine that has features of its own."""
    common = (*RECLAIM, "--sim", small, "--seed", "7")
    usual, later = (
        _result(damon, tmp_path / "r.json", *common, "--level", level) for level in ("7.3", "next")
    )  # fmt: skip
    assert (usual["engine"]["origin"], later["engine"]["origin"]) == ("pydamon", "pydamon, level next")
    for result in (usual, later):
        del result["engine"], result["timing"]
    assert usual == later
    refused = damon(["run", *common, "--level", "next", "--engine", "linux-source-7.3"])
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("damon: level: next: engine linux-source-7.3 ")


def test_one_seed_one_result(damon: Damon, tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether its state is read all the time, or never; another seed is another run."""
    arguments = ["run", *RECLAIM, "--sim", small, "--duration", "2"]
    files = [tmp_path / f"{number}.json" for number in range(3)]
    assert damon([*arguments, "--json", str(files[0]), "--quiet", "--seed", "3"]).code == 0
    monkeypatch.setattr(progress, "_LINE_S", 0.0)
    watched = damon([*arguments, "--json", str(files[1]), "--seed", "3"])
    assert watched.code == 0
    lines = watched.err.splitlines()
    assert 9 <= len(lines) <= 11  # of 20 steps: one for each tenth
    assert re.match(r"2\.0 of 2 s \(100%, [0-9.e+]+ s a second, 0 s left\): free ", lines[-1])
    assert "module damon_reclaim, tried " in lines[-1]
    assert damon([*arguments, "--json", str(files[2]), "--quiet", "--seed", "4"]).code == 0
    results = [json.loads(file.read_text()) for file in files]
    for result in results:
        assert result.pop("timing")
    texts = [json.dumps(result, indent=2) for result in results]
    assert texts[0] == texts[1]
    assert texts[0].replace('"seed": 3', '"seed": 4') != texts[2]


def test_command_line_and_module_say_the_same(damon: Damon, tmp_path: Path, small: str) -> None:
    one = _result(damon, tmp_path / "1", *RECLAIM, "--sim", small)
    words = ("enabled=Y", *RECLAIM[2:])
    line = " ".join(f"damon_reclaim.{word}" for word in words)
    two = _result(damon, tmp_path / "2", "--cmdline", line, "--sim", small)
    three = _result(damon, tmp_path / "3", "--cmdline", "damon-reclaim.min-age=7", *RECLAIM, "--sim", small)
    assert one["modules"] == two["modules"] == three["modules"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cmdline", "damon_reclaim.min_age=5"],
        ["--module", "reclaim", "enabled=N"],
        ["--module", "reclaim", "enabled=off"],
        ["--module", "reclaim", "enabled=N", "min_nr_regions=2"],  # to be refused when it is enabled
    ],
)
def test_a_module_that_is_not_enabled_does_nothing(damon: Damon, small: str, arguments: list[str]) -> None:
    outcome = damon(["run", *arguments, "--sim", small, "--json", "-"])
    assert outcome.code == 0
    assert outcome.err == "damon: no module is enabled; give enabled=Y for one to work\n"
    result = json.loads(outcome.out)
    assert set(result["modules"]["damon_reclaim"]["stats"].values()) == {0}
    assert result["modules"]["damon_reclaim"]["state"] == "off"
    assert result["areas"]["cold"]["resident_bytes_end"] == 6 * MIB


def test_two_modules_of_which_one_is_enabled(damon: Damon, tmp_path: Path, small: str) -> None:
    arguments = ("--module", "lru_sort", *OPEN, "--module", "reclaim", "enabled=0")
    result = _result(damon, tmp_path / "r", *arguments, "--sim", small)
    assert list(result["modules"]) == ["damon_lru_sort", "damon_reclaim"]
    assert [module["parameters"]["enabled"] for module in result["modules"].values()] == [True, False]


def test_summary(damon: Damon, small: str) -> None:
    outcome = damon(["run", *RECLAIM, "--sim", small])
    assert outcome.code == 0
    for part in ("bytes_reclaimed_regions", "hot", "cold", "100.0%", "damon_reclaim at the end: active", "refaults",
                 "estimated slowdown 1.", "3 virtual seconds in "):  # fmt: skip
        assert part in outcome.out
    waiting = damon(["run", "--module", "reclaim", "--sim", small])
    assert "above wmarks_high=500" in waiting.out


def test_duration_is_the_workloads_own(damon: Damon, tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(SMALL.replace("duration: 3s", "duration: 250ms"))
    arguments = ("--module", "reclaim", "--sim", str(path))
    assert _result(damon, tmp_path / "r", *arguments)["virtual_seconds"] == 0.25
    assert _result(damon, tmp_path / "r", *arguments, "--duration", "0.111111")["virtual_seconds"] == 0.111111
    path.write_text("repeat: true\n" + path.read_text())
    assert _result(damon, tmp_path / "r", *arguments)["virtual_seconds"] == 60


# Where the result goes.


def test_the_file_is_whole_and_has_the_usual_permissions(damon: Damon, tmp_path: Path, small: str) -> None:
    target, link = tmp_path / "target.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    old = os.umask(0o027)
    try:
        _result(damon, link, "--module", "reclaim", "--sim", small, "--duration", "0.1")
    finally:
        os.umask(old)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.json", "small.yaml", "target.json"]


def test_a_pipe_is_written_to_and_not_replaced(damon: Damon, tmp_path: Path, small: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[str] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_text()))
    reader.start()
    outcome = damon(["run", "--module", "reclaim", "--sim", small, "--duration", "0.1", "--quiet", "--json", str(pipe)])
    reader.join()
    assert outcome.code == 0
    assert json.loads(got[0])["virtual_seconds"] == 0.1
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_full_disk_costs_one_line_and_leaves_the_old_file(
    damon: Damon, tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")

    def full(source: str, destination: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    outcome = damon(["run", "--module", "reclaim", "--sim", small, "--quiet", "--json", str(target)])
    assert outcome.code == 1
    assert outcome.err == f"damon: --json: {str(target)!r}: could not be written: No space left on device\n"
    assert target.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "small.yaml"]


# How it ends.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_with_its_summary(tmp_path: Path, small: str, number: int) -> None:
    target = tmp_path / "r.json"
    command = [sys.executable, "-m", "damon.cli.main", "run", *RECLAIM, "--sim", small, "--duration", "1e9"]
    with subprocess.Popen(
        [*command, "--json", str(target)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "damon_reclaim" in process.stderr.readline()
        process.send_signal(number)
        out, _err = process.communicate(timeout=600)
    assert process.returncode == 0
    assert "bytes_reclaimed_regions" in out
    assert json.loads(target.read_text())["virtual_seconds"] < 1e9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.json", "small.yaml"]


def test_a_terminal_sees_a_live_table(small: str) -> None:
    mine, theirs = os.openpty()
    command = [sys.executable, "-m", "damon.cli.main", "run", *RECLAIM, "--sim", small, "--duration", "1000000"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment) as process:
        os.close(theirs)
        shown = b""
        while b"damon_reclaim" not in shown:
            shown += os.read(mine, 1000)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        out = process.stdout.read()
        while True:
            try:
                shown += os.read(mine, 1000)
            except OSError:  # the other side is closed
                break
    os.close(mine)
    assert process.returncode == 0
    assert "bytes_reclaimed_regions" in out
    assert re.search(rb" of 1000000 s \(\d+%, \S+ s a second, \S+(?: s)? left\): free ", shown)
    assert b"applied" in shown
    assert shown.rindex(b"\x1b[?25h") > shown.rindex(b"\x1b[?25l")  # the cursor is back


def test_a_second_signal_ends_a_run_that_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    left: list[int] = []
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "_exit", left.append)
    monkeypatch.setattr(os, "write", lambda fd, text: None)
    before = signal.getsignal(signal.SIGINT)
    with run.stop_flag() as stopped:
        signal.raise_signal(signal.SIGINT)
        assert stopped == [True]
        now[0] += 1
        signal.raise_signal(signal.SIGINT)  # an impatient second one changes nothing
        assert not left
        now[0] += 2
        signal.raise_signal(signal.SIGTERM)
        assert left == [1]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_worker_that_dies_ends_the_run(
    damon: Damon, tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: object, ctx: object) -> int:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr("damon.ops.paddr.Paddr.check_accesses", die)
    outcome = damon(["run", *RECLAIM, "--sim", small, "--json", str(tmp_path / "r.json")])
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "damon: a monitoring worker ended: ZeroDivisionError: broken"
    assert "bytes_reclaimed_regions" in outcome.out
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["virtual_seconds"] == 0.1
    assert result["modules"]["damon_reclaim"]["state"] == "off"


def test_whoever_reads_the_output_may_leave(small: str) -> None:
    command = [sys.executable, "-m", "damon.cli.main", "run", "--module", "reclaim", "--sim", small, "--json", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 0


def test_this_machines_own_counters(tmp_path: Path) -> None:
    vmstat = tmp_path / "vmstat"
    lines = "nr_anon_pages {}\nnr_mapped 3\nworkingset_refault_anon {}\nworkingset_refault_file 5\nnr_zone_x 9\n"
    vmstat.write_text(lines.format(10, 100))
    machine = FakeMachine()
    observer = LinuxObserver(machine, vmstat)
    vmstat.write_text(lines.format(7, 130))
    assert observer.look() == Seen(free=500 * 4096, total=1000 * 4096, resident=10 * 4096, refaults=30)
    assert (observer.areas(), observer.slowdown()) == ({}, None)
    assert LinuxObserver(machine, tmp_path / "none").look().refaults == 0


def test_the_module_of_the_documentation(damon: Damon, tmp_path: Path, small: str) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/modules.md").read_text()
    code = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "hot_stat").mkdir()
    (tmp_path / "hot_stat" / "__init__.py").write_text(code)
    module = f"{tmp_path}/hot_stat"
    assert "min_freq" in damon(["modinfo", module]).out
    result = _result(damon, tmp_path / "r", "--module", module, "min_freq=600", "--sim", small)
    stats = result["modules"]["hot_stat"]["stats"]
    windows = 3 * 10
    assert 0.8 * 2 * MIB <= stats["bytes_hot_regions"] / windows <= 1.2 * 2 * MIB


@pytest.mark.parametrize("words", [[], ["--json", "-"], ["--json", "r.json"], ["--quiet"]])
@pytest.mark.parametrize("reader", ["true", "head -n 1 >/dev/null"])
def test_a_worker_that_dies_is_seen_although_the_reader_leaves(
    tmp_path: Path, small: str, words: list[str], reader: str
) -> None:
    code = (
        "from damon.ops.paddr import Paddr\n"
        "def die(self, ctx): raise ZeroDivisionError('broken')\n"
        "Paddr.check_accesses = die\n"
        "from damon.command import damon\n"
        "damon()\n"
    )
    command = [sys.executable, "-c", code, "run", *RECLAIM, "--sim", small, *words]
    script = f'set -o pipefail; "$@" | {reader}'
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(
        ["bash", "-c", script, "bash", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "damon: a monitoring worker ended: ZeroDivisionError: broken"
    if "r.json" in words:
        assert json.loads((tmp_path / "r.json").read_text())["error"] == "ZeroDivisionError: broken"


def test_the_error_of_a_worker_is_in_the_result_on_standard_output(
    damon: Damon, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(self: object, ctx: object) -> int:
        raise ZeroDivisionError("broken")

    monkeypatch.setattr("damon.ops.paddr.Paddr.check_accesses", die)
    outcome = damon(["run", *RECLAIM, "--sim", small, "--json", "-"])
    assert (outcome.code, json.loads(outcome.out)["error"]) == (1, "ZeroDivisionError: broken")
