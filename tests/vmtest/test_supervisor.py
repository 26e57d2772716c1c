# SPDX-License-Identifier: GPL-2.0-only
"""The supervisor with a stand-in for QEMU: the process and the directory are gone, however the parent ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import HANG_S, until
from vmtest.qemu import supervisor

# Says its number, then stays: deaf to the polite signals, as a stopped or busy QEMU is.
STUBBORN = ["sh", "-c", "trap '' TERM HUP INT; echo $$ > \"$0\"; while :; do sleep 1; done"]
PARENT = """
import os, signal, sys
from pathlib import Path
from vmtest.qemu import supervisor
here, there = os.pipe()
supervisor.spawn(Path(sys.argv[1]), (there,), sys.argv[2:])
child = os.fork()  # of the parent's own; it holds the supervisor's standard input open
if child:
    print(child, flush=True)
signal.pause()
"""


def _wait_for(path: Path) -> int:
    until(lambda: path.exists() and path.read_text().strip(), "the command did not start")
    return int(path.read_text())


def _until_gone(pid: int, directory: Path, otherwise: str = "one of both is still there") -> None:
    until(lambda: not Path(f"/proc/{pid}").exists() and not directory.exists(), otherwise)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    (made / "seed.tar").write_text("secret")
    return made


def test_closing_standard_input_ends_both(directory: Path, tmp_path: Path) -> None:
    _, there = os.pipe()
    process = supervisor.spawn(directory, (there,), [*STUBBORN, str(tmp_path / "pid")])
    pid = _wait_for(tmp_path / "pid")
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(HANG_S) == 0
    _until_gone(pid, directory)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_parent_killed(directory: Path, tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [
            "env",
            "--default-signal=TERM",
            sys.executable,
            "-c",
            PARENT,
            str(directory),
            *STUBBORN,
            str(tmp_path / "pid"),
        ],
        stdout=subprocess.PIPE,
    )
    pid = _wait_for(tmp_path / "pid")
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        try:
            parent.send_signal(number)
            parent.wait(HANG_S)
            _until_gone(pid, directory, "though something else of the parent's lives on")
            assert Path(f"/proc/{child}").exists()
        finally:
            os.kill(child, signal.SIGKILL)


def test_supervisor_itself_killed(directory: Path, tmp_path: Path) -> None:
    _, there = os.pipe()
    process = supervisor.spawn(directory, (there,), [*STUBBORN, str(tmp_path / "pid")])
    pid = _wait_for(tmp_path / "pid")
    process.kill()
    process.wait(HANG_S)
    until(lambda: not Path(f"/proc/{pid}").exists(), "the command outlived its supervisor")


def test_the_end_of_the_command_is_recorded_and_seen(directory: Path) -> None:
    here, there = os.pipe()
    process = supervisor.spawn(directory, (there,), ["sh", "-c", "echo complaint >&2; exit 7"])
    os.close(there)
    assert os.read(here, 1) == b"", "end of file once the command is gone, though the supervisor stays"
    until((directory / supervisor.EXIT_FILE).exists)
    assert (directory / supervisor.EXIT_FILE).read_text() == "7"
    assert (directory / supervisor.LOG_FILE).read_text() == "complaint\n"
    assert process.poll() is None, "the directory stays for the parent to read"
    assert process.stdin is not None
    process.stdin.close()
    process.wait(HANG_S)
    assert not directory.exists()


def test_a_terminal_interrupt_is_not_for_the_supervisor(directory: Path, tmp_path: Path) -> None:
    _, there = os.pipe()
    process = supervisor.spawn(directory, (there,), [*STUBBORN, str(tmp_path / "pid")])
    _wait_for(tmp_path / "pid")
    assert os.getpgid(process.pid) != os.getpgid(0)
    (ignored,) = re.findall(r"^SigIgn:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text(), re.MULTILINE)
    assert int(ignored, 16) >> (signal.SIGINT - 1) & 1
    process.send_signal(signal.SIGINT)
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(HANG_S) == 0
