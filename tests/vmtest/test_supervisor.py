# SPDX-License-Identifier: GPL-2.0-only
"""The supervisor with a stand-in for QEMU: the process and the folder are gone, however the parent ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vmtest import supervisor

SECONDS = 10.0
# Says its number, then stays: deaf to the polite signals, as a stopped or busy QEMU is.
STUBBORN = ["sh", "-c", "trap '' TERM HUP INT; echo $$ > \"$0\"; while :; do sleep 1; done"]
PARENT = """
import os, sys, time
from pathlib import Path
from vmtest import supervisor
here, there = os.pipe()
supervisor.spawn(Path(sys.argv[1]), (there,), sys.argv[2:])
if not os.fork():  # a child of the parent's own, which holds the supervisor's standard input open
    time.sleep(15)
    os._exit(0)
print("started", flush=True)
time.sleep(60)
"""


def _wait_for(path: Path) -> int:
    deadline = time.monotonic() + SECONDS
    while not (path.exists() and path.read_text().strip()):
        assert time.monotonic() < deadline, "the command did not start"
        time.sleep(0.02)
    return int(path.read_text())


def _gone(pid: int, folder: Path) -> bool:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if not Path(f"/proc/{pid}").exists() and not folder.exists():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    (made / "seed.tar").write_text("secret")
    return made


def test_closing_standard_input_ends_both(folder: Path, tmp_path: Path) -> None:
    _, there = os.pipe()
    process = supervisor.spawn(folder, (there,), [*STUBBORN, str(tmp_path / "pid")])
    pid = _wait_for(tmp_path / "pid")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(SECONDS) == 0
    assert _gone(pid, folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_parent_killed(folder: Path, tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        ["env", "--default-signal=TERM", sys.executable, "-c", PARENT, str(folder), *STUBBORN, str(tmp_path / "pid")],
        stdout=subprocess.PIPE,
    )
    pid = _wait_for(tmp_path / "pid")
    parent.send_signal(number)
    parent.wait(SECONDS)
    assert _gone(pid, folder), "though something else of the parent's lives on"


def test_supervisor_itself_killed(folder: Path, tmp_path: Path) -> None:
    _, there = os.pipe()
    process = supervisor.spawn(folder, (there,), [*STUBBORN, str(tmp_path / "pid")])
    pid = _wait_for(tmp_path / "pid")
    process.kill()
    process.wait(SECONDS)
    deadline = time.monotonic() + SECONDS
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline, "the command outlived its supervisor"
        time.sleep(0.02)


def test_the_end_of_the_command_is_recorded_and_seen(folder: Path) -> None:
    here, there = os.pipe()
    process = supervisor.spawn(folder, (there,), ["sh", "-c", "echo complaint >&2; exit 7"])
    os.close(there)
    assert os.read(here, 1) == b"", "end of file once the command is gone, though the supervisor stays"
    deadline = time.monotonic() + SECONDS
    while not (folder / supervisor.EXIT_FILE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert (folder / supervisor.EXIT_FILE).read_text() == "7"
    assert (folder / supervisor.LOG_FILE).read_text() == "complaint\n"
    assert process.poll() is None, "the folder stays for the parent to read"
    assert process.stdin is not None
    process.stdin.close()
    process.wait(SECONDS)
    assert not folder.exists()


def test_a_terminal_interrupt_is_not_for_the_supervisor(folder: Path, tmp_path: Path) -> None:
    _, there = os.pipe()
    process = supervisor.spawn(folder, (there,), [*STUBBORN, str(tmp_path / "pid")])
    _wait_for(tmp_path / "pid")
    assert os.getpgid(process.pid) != os.getpgid(0)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(SECONDS) == 0
