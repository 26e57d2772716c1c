# SPDX-License-Identifier: GPL-2.0-only
"""Advice that a process gives itself because we have it do so: the kernel has taken it, the process noticed nothing."""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from damon.mm.interface import Advice
from damon.mm.linux import inject

pytestmark = pytest.mark.skipif(not inject.available(), reason=f"advice by ptrace is for {inject.MACHINES} only")

HEAD = """
import ctypes, mmap, os, signal, sys, time
libc = ctypes.CDLL(None, use_errno=True)
area = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
print(ctypes.addressof(ctypes.c_char.from_buffer(area)), flush=True)
"""
IDLE = "sys.stdin.read()"
BUSY = "while True: pass"


@contextmanager
def child(program: str) -> Iterator[tuple[subprocess.Popen[str], int, int]]:
    """The process, its open folder in /proc, and the address of its 8 MiB."""
    words = [sys.executable, "-c", HEAD + program]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        directory = os.open(f"/proc/{process.pid}", os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield process, directory, int(process.stdout.readline())
        finally:
            os.close(directory)
            process.kill()


def flags_of(pid: int, address: int) -> set[str]:
    """VmFlags of the mapping at ``address``, by smaps."""
    for part in re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{pid}/smaps").read_text(), flags=re.M)[1:]:
        start, end = (int(edge, 16) for edge in part.split()[0].split("-"))
        if start <= address < end:
            return set(part[part.index("VmFlags:") :].split()[1:])
    raise AssertionError(f"{address:#x} is not mapped")


@pytest.mark.parametrize("program", [IDLE, BUSY], ids=["idle", "busy"])
def test_the_kernel_takes_the_advice(program: str) -> None:
    with child(program) as (process, directory, address):
        assert not {"hg", "nh"} & flags_of(process.pid, address)
        for advice, flag, other in ((Advice.HUGEPAGE, "hg", "nh"), (Advice.NOHUGEPAGE, "nh", "hg")):
            assert inject.madvise(directory, process.pid, address, 4 << 20, advice) == 0
            assert flag in flags_of(process.pid, address)
            assert other not in flags_of(process.pid, address)
            assert flag not in flags_of(process.pid, address + (4 << 20))
        assert process.poll() is None


def test_errors_are_those_of_the_call() -> None:
    with child(IDLE) as (process, directory, address):
        assert inject.madvise(directory, process.pid, address + 1, 4096, Advice.HUGEPAGE) == -errno.EINVAL
        assert inject.madvise(directory, process.pid, 4096, 4096, Advice.HUGEPAGE) == -errno.ENOMEM
        assert process.poll() is None


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("t = time.monotonic(); print(libc.usleep(600000), round(time.monotonic() - t, 1)); sys.stdin.read()", "0 0.6"),
        ("b = ctypes.create_string_buffer(9); print(libc.read(0, b, 9), b.value.decode())", "3 abc"),
        ("print(sum(i * i for i in range(3000000)), flush=True); sys.stdin.read()", "8999995500000500000"),
    ],
    ids=["sleeping", "reading", "computing"],
)
def test_an_interrupted_process_goes_on_as_it_was(program: str, said: str) -> None:
    with child(program) as (process, directory, address):
        for _ in range(40):
            assert inject.madvise(directory, process.pid, address, 8 << 20, Advice.HUGEPAGE) == 0
            time.sleep(0.005)
        out, _ = process.communicate("abc", timeout=20)
        assert out.strip() == said
        assert process.returncode == 0


def test_signals_wait_and_none_is_lost() -> None:
    program = """
got = []
signal.signal(signal.SIGRTMIN, lambda number, frame: got.append(number))
signal.signal(signal.SIGTRAP, signal.SIG_IGN)
print("ready", flush=True)
sys.stdin.readline()
print(len(got), signal.getsignal(signal.SIGTRAP) is signal.SIG_IGN)
"""
    with child(program) as (process, directory, address):
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        results = []
        for _ in range(100):
            process.send_signal(signal.SIGRTMIN)
            results.append(inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE))
        assert set(results) <= {0, -errno.EAGAIN}
        assert results.count(0) > 50
        time.sleep(0.1)
        assert process.poll() is None
        out, _ = process.communicate("\n", timeout=20)
        assert int(out.split()[0]) > 0
        assert out.split()[1] == "True"


def test_a_confined_process_is_left_alone() -> None:
    strict = (
        "b = ctypes.create_string_buffer(1); print('x', flush=True); libc.prctl(22, 1, 0, 0, 0); libc.read(0, b, 1)"
    )
    with child(strict) as (process, directory, address):
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 5
        while "Seccomp:\t1" not in Path(f"/proc/{process.pid}/status").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE) == -errno.EPERM
        assert process.poll() is None


def test_a_process_that_is_gone() -> None:
    with child(IDLE) as (process, directory, address):
        process.kill()
        process.wait()
        assert inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE) == -errno.ESRCH


TRACER = """
import os, sys
from damon.mm.interface import Advice
from damon.mm.linux import inject
pid, address = map(int, sys.argv[1:])
directory = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
print("ready", flush=True)
while True:
    inject.madvise(directory, pid, address, 8 << 20, Advice.HUGEPAGE)
"""


def test_a_tracer_that_is_killed_in_the_middle_does_the_process_no_harm() -> None:
    """What was begun is ended, so that the process never goes on with registers or signals that are not its own."""
    program = """
while "done" not in os.listdir("/proc/self/cwd"):
    assert sum(i * i for i in range(30000)) == 8999550005000
print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
"""
    with tempfile.TemporaryDirectory() as folder, child(f"os.chdir({folder!r})\n{program}") as (process, _, address):
        draw = random.Random(1)
        for _ in range(15):
            words = [sys.executable, "-c", TRACER, str(process.pid), str(address)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as tracer:
                assert tracer.stdout is not None
                assert tracer.stdout.readline() == "ready\n"
                time.sleep(draw.random() / 50)
                tracer.kill()
            assert process.poll() is None
        Path(folder, "done").touch()
        out, _ = process.communicate(timeout=20)
        assert (process.returncode, out) == (0, "set()\n")
