# SPDX-License-Identifier: GPL-2.0-only
"""Reading the whole tree: what it takes, what is asked for, and that nothing that is remembered is ever stale."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.damond_walk import build, walk
from damon.damond import fusefs
from damon.damond.client import Client
from damon.damond.fusemount import unmount
from damon.damond.runtime import socket_path
from damon.modules.sysfs import Directory, File
from tests.damond.conftest import PROBLEM, Damond, monitor

KDAMONDS, SCHEMES, FILES = 64, 8, 20737


def _errno(use: Callable[..., object], *args: Any, **more: Any) -> int:
    with pytest.raises(OSError) as caught:
        use(*args, **more)
    return caught.value.errno or 0


@pytest.fixture
def requests(damond: Damond, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(damond.runtime))

    def ask() -> dict[str, int]:
        with Client(socket_path(damond.mount)) as client:
            counts: dict[str, int] = client.call("requests")
            return counts

    return ask


@pytest.mark.parametrize("kind", ["grep -r", "find + cat", "Python"])
def test_what_reading_the_whole_tree_takes(damond: Damond, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """64 kdamonds with 8 schemes each: so many requests, and two system calls for each."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(damond.runtime))
    tree = build(damond.mount, KDAMONDS, SCHEMES)
    done = walk(kind, tree, damond.process.pid, damond.mount)
    requests = sum(done.requests.values())
    assert done.requests["OPEN"] == FILES, done
    assert requests < 7 * FILES, done
    assert done.requests.get("GETATTR", 0) + done.requests.get("LOOKUP", 0) < FILES / 20, done  # listings bring them
    assert done.requests.get("FLUSH", 0) <= 1, done
    assert done.calls < 2 * requests + FILES / 20, done  # one to read it, one to answer it


def test_no_setting_of_the_machine_is_held(damond: Damond) -> None:
    """Of the devices only /dev/fuse is open, however much is read: what others pay for power is not ours to change."""
    path = damond.parameter("damon_reclaim", "min_age")
    for _ in range(200):
        path.read_text()
    fds = Path(f"/proc/{damond.process.pid}/fd")
    held = {os.readlink(fd) for fd in fds.iterdir() if int(fd.name) > 2}
    assert {target for target in held if target.startswith(("/dev/", "/sys/", "/proc/"))} == {"/dev/fuse"}


def test_names_and_attributes_are_asked_for_once(damond: Damond, requests: Callable[[], dict[str, int]]) -> None:
    one = monitor(damond)
    path = one / "contexts/0/operations"
    path.stat()
    before = requests()
    for _ in range(50):
        path.stat()
    assert requests() == before
    missing = one / "contexts/1"
    for _ in range(3):
        assert not missing.exists()
    assert requests()["LOOKUP"] == before["LOOKUP"] + 3  # what is not there can come any moment


def test_what_a_write_removes_is_gone_when_it_returns(damond: Damond) -> None:
    one = monitor(damond)
    gone = [one / "contexts/0/schemes/0", one / "contexts/0/schemes/0/stats/nr_tried", one / "contexts/0/operations"]
    inside = os.open(one / "contexts/0/schemes", os.O_RDONLY)
    held = os.open(gone[2], os.O_RDWR)
    for path in gone:
        path.stat()
    os.stat("0/stats", dir_fd=inside)
    (one / "contexts/nr_contexts").write_text("0")
    for path in gone:
        assert not path.exists()
        assert _errno(os.open, path, os.O_RDONLY) == errno.ENOENT
    assert os.listdir(one / "contexts") == ["nr_contexts"]
    for name in ("0/stats", "0", "nr_schemes"):
        assert _errno(os.stat, name, dir_fd=inside) == errno.ENOENT
    assert _errno(os.pread, held, 10, 0) == errno.ENODEV
    assert _errno(os.stat, inside) == errno.ENOENT
    os.close(held)
    os.close(inside)


def test_what_is_made_anew_has_nothing_of_the_old(damond: Damond) -> None:
    one = monitor(damond)
    schemes = one / "contexts/0/schemes"
    action = schemes / "0/action"
    for count in (1, 3, 1, 2):
        action.write_text("pageout")
        assert action.read_text() == "pageout\n"
        held = os.open(action, os.O_RDWR)
        number = os.fstat(held).st_ino
        (schemes / "nr_schemes").write_text(str(count))
        assert sorted(os.listdir(schemes)) == [*map(str, range(count)), "nr_schemes"]
        assert action.read_text() == "stat\n"
        assert action.stat().st_ino != number  # not while the old one is open
        assert _errno(os.pwrite, held, b"cold", 0) == errno.ENODEV
        assert action.read_text() == "stat\n"
        assert not (schemes / str(count)).exists()
        os.close(held)


def test_values_are_asked_for_each_time(damond: Damond) -> None:
    one = monitor(damond)
    state, pid, tried = one / "state", one / "pid", one / "contexts/0/schemes/0/tried_regions"
    fd = os.open(state, os.O_RDONLY)
    for word in ("on", "off", "on"):
        state.write_text(word)
        assert os.pread(fd, 10, 0).decode() == f"{word}\n"
        assert (pid.read_text() == "-1\n") == (word == "off")
    os.close(fd)
    names = set()
    for _ in range(3):
        state.write_text("update_schemes_tried_regions")
        names = {entry.name for entry in tried.iterdir()} - {"total_bytes"}
        assert names
        assert all((tried / name / "start").read_text() for name in names)
    state.write_text("clear_schemes_tried_regions")
    assert os.listdir(tried) == ["total_bytes"]
    assert not any((tried / name).exists() for name in names)


def test_sizes_modes_and_truncation(damond: Damond) -> None:
    path = damond.parameter("damon_reclaim", "min_age")
    for _ in range(2):
        assert (path.stat().st_size, path.stat().st_mode & 0o777) == (4096, 0o600)
        with path.open("w") as file:  # truncates
            assert os.fstat(file.fileno()).st_size == 4096
            file.write("7\n")
        assert path.stat().st_size == 4096
        assert path.read_text() == "7\n"
    assert _errno(lambda: path.chmod(0o644)) == errno.EPERM
    os.utime(path)
    os.truncate(path, 0)
    assert path.read_text() == "7\n"


def test_a_module_that_is_unloaded_is_gone(damond: Damond) -> None:
    enabled = damond.parameter("damon_stat", "enabled")
    for _ in range(2):
        assert enabled.read_text() == "N\n"
        held = os.open(enabled, os.O_RDONLY)
        assert damond.damon("rmmod", "damon_stat").returncode == 0
        assert not enabled.exists()
        assert not enabled.parents[1].exists()
        assert "damon_stat" not in os.listdir(damond.mount / "module")
        assert _errno(os.pread, held, 10, 0) == errno.ENODEV
        os.close(held)
        assert damond.damon("modprobe", "damon_stat", "enabled=N").returncode == 0


def test_removal_and_re_creation_under_readers(damond: Damond) -> None:
    """Whatever readers have in their hands: after each write its writer sees exactly what it made."""
    one = monitor(damond)
    schemes = one / "contexts/0/schemes"
    stop = threading.Event()
    surprises: list[str] = []

    def read() -> None:
        while not stop.is_set():
            for directory, _, files in os.walk(schemes):
                for name in files:
                    try:
                        Path(directory, name).read_text()
                    except OSError as error:
                        if error.errno not in {errno.ENOENT, errno.ENODEV}:
                            surprises.append(f"{directory}/{name}: {error}")

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for turn in range(40):
            count = (3, 0, 1, 2)[turn % 4]
            (schemes / "nr_schemes").write_text(str(count))
            assert sorted(os.listdir(schemes)) == [*map(str, range(count)), "nr_schemes"]
            for index in range(3):
                action = schemes / str(index) / "action"
                assert action.exists() == (index < count), (turn, index)
                if index < count:
                    assert action.read_text() == "stat\n", (turn, index)
                    action.write_text("cold")
    finally:
        stop.set()
        for reader in readers:
            reader.join(60)
    assert surprises == []
    assert "Traceback" not in damond.log.read_text()


def test_a_slow_command_blocks_no_other_client(damond: Damond) -> None:
    """While one command waits for a worker others read as ever."""
    one = monitor(damond)
    (one / "contexts/0/schemes/0/apply_interval_us").write_text("5000000")
    (one / "state").write_text("on")
    waiting = threading.Thread(target=lambda: (one / "state").write_text("update_schemes_tried_regions"))
    waiting.start()
    try:
        while True:  # until it has the tree's lock
            try:
                (one / "pid").read_text()
            except OSError as error:
                assert error.errno == errno.EBUSY
                break
            assert waiting.is_alive()
        tree = subprocess.run(["grep", "-r", ".", damond.mount / "module"], capture_output=True, text=True, check=True)
        assert "min_age" in tree.stdout
        assert waiting.is_alive()
    finally:
        waiting.join(60)
    assert not waiting.is_alive()


def test_no_number_is_given_twice(damond: Damond) -> None:
    """A notice for a directory that the kernel has forgotten would wait for the lock of another node."""
    count = damond.admin / "kdamonds/nr_kdamonds"
    seen: set[int] = set()
    for _ in range(5):
        count.write_text("2")
        numbers = {Path(directory).stat().st_ino for directory, _, _ in os.walk(damond.admin / "kdamonds")}
        numbers |= {path.stat().st_ino for path in (damond.admin / "kdamonds").rglob("*") if path.is_file()}
        numbers -= {(damond.admin / "kdamonds").stat().st_ino, count.stat().st_ino}
        assert len(numbers) > 10
        assert not numbers & seen
        seen |= numbers
        count.write_text("0")


def test_whoever_writes_when_all_threads_wait_hears_busy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread always serves: those that wait for a lookup, or for a worker, could wait for ever without it."""
    if PROBLEM:
        pytest.skip(PROBLEM)
    monkeypatch.setattr(fusefs, "MAX_THREADS", 3)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def store(text: str) -> None:
        begun.release()
        go_on.wait()

    root = Directory()
    for name in "123":  # the kernel lets one at a time write to a file
        root.add(name, File(lambda: "text\n", store))
    mounted = fusefs.Mount(root, str(tmp_path))
    mounted.open()
    script = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text('1')"
    writers = []
    try:
        for name in "12":
            writers.append(subprocess.Popen([sys.executable, "-c", script, tmp_path / name]))
            begun.acquire()
        third = subprocess.run([sys.executable, "-c", script, tmp_path / "3"], capture_output=True, check=False)
        assert b"Errno 16" in third.stderr
        shown = subprocess.run(["cat", tmp_path / "3"], capture_output=True, check=True)
        assert shown.stdout == b"text\n"
    finally:
        go_on.set()
        ended = [writer.wait() for writer in writers]
        unmount(tmp_path)
        mounted.join()
    assert ended == [0, 0]
