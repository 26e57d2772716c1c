# SPDX-License-Identifier: GPL-2.0-only
"""What is made in the directory for temporary files is removed: by its owner, or by the next when that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vmtest.qemu import run_directory

OWNER = """
import sys, time
from vmtest.qemu import run_directory
with run_directory.temporary("job") as directory:
    (directory / "artifacts").mkdir()
    print(directory, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


def _owner() -> tuple[subprocess.Popen[bytes], Path]:
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().decode().strip())


def test_a_killed_owners_is_removed_by_the_next(tmp_path: Path) -> None:
    process, directory = _owner()
    process.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert directory.is_dir()
    mine = run_directory.make()
    process.communicate()
    assert list(tmp_path.iterdir()) == [mine]
    assert mine.stat().st_mode & 0o777 == 0o700


def test_a_living_owners_stays_until_it_ends(tmp_path: Path) -> None:
    process, directory = _owner()
    with run_directory.temporary("junit") as mine:
        assert {directory, mine} == set(tmp_path.iterdir())
        assert run_directory.of(process.pid) == [directory]
    assert list(tmp_path.iterdir()) == [directory]
    process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_another_process_with_a_dead_owners_number_is_no_owner(tmp_path: Path) -> None:
    start = run_directory.started(os.getppid())
    assert start > 0
    kept = tmp_path / f"vmtest.{os.getppid()}.{start}.run.abc"
    for path in (kept, tmp_path / f"vmtest.{os.getppid()}.{start - 1}.run.abc", tmp_path / "vmtest.notes.1.run"):
        path.mkdir()
    run_directory.sweep()
    assert {path.name for path in tmp_path.iterdir()} == {kept.name, "vmtest.notes.1.run"}


def test_a_link_is_not_gone_through(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    (tmp_path / f"vmtest.{dead.pid}.1.run.abc").symlink_to(tmp_path / "mine")
    (tmp_path / f"vmtest.{dead.pid}.1.run.file").touch()
    run_directory.sweep()
    assert (tmp_path / "mine/file").exists()
    assert len(list(tmp_path.iterdir())) == 3, "no directory of its making"
