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
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from damon.mm.linux import inject
from damon.model.machine import Advice
from tests.waiting import HANG_S, until

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
    """The process, its open directory in /proc, and the address of its 8 MiB."""
    words = [sys.executable, "-c", HEAD + program]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0) as process:
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
        ("t = time.monotonic(); print(libc.usleep(600000), time.monotonic() - t >= 0.6); sys.stdin.read()", "0 True"),
        ("b = ctypes.create_string_buffer(9); print(libc.read(0, b, 9), b.value.decode())", "3 abc"),
        ("print(sum(i * i for i in range(3000000)), flush=True); sys.stdin.read()", "8999995500000500000"),
    ],
    ids=["sleeping", "reading", "computing"],
)
def test_an_interrupted_process_goes_on_as_it_was(program: str, said: str) -> None:
    """A sleep is not cut short, a read reads, and a sum is what it is."""
    with child(program) as (process, directory, address):
        if "sum" not in program:
            until(lambda: "State:\tS" in Path(f"/proc/{process.pid}/status").read_text())
        for _ in range(40):
            assert inject.madvise(directory, process.pid, address, 8 << 20, Advice.HUGEPAGE) == 0
            os.sched_yield()
        out, _ = process.communicate("abc", timeout=HANG_S)
        assert out.strip() == said
        assert process.returncode == 0


def test_signals_wait_and_none_is_lost() -> None:
    """Realtime signals queue: each one that was sent arrives, counted in the handler that Python has in C."""
    program = """
arrived, wakes = os.pipe()
os.set_blocking(wakes, False)
signal.set_wakeup_fd(wakes)
signal.signal(signal.SIGRTMIN, lambda number, frame: None)
signal.signal(signal.SIGTRAP, signal.SIG_IGN)
print("ready", flush=True)
count = 0
while count < 300:
    count += len(os.read(arrived, 300))
print(count, signal.getsignal(signal.SIGTRAP) is signal.SIG_IGN)
sys.stdin.read()
"""
    with child(program) as (process, directory, address):
        assert process.stdout is not None
        process.stdout.readline()
        results = []
        for _ in range(300):
            process.send_signal(signal.SIGRTMIN)
            results.append(inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE))
        assert set(results) <= {0, -errno.EAGAIN}
        assert results.count(0) > 50
        out, _ = process.communicate(timeout=HANG_S)
        assert out.split() == ["300", "True"]


def wait_for(pid: int, flag: int) -> int:
    """The child's next change of state, as its parent sees it; fails when none comes."""
    deadline = time.monotonic() + HANG_S
    while time.monotonic() < deadline:
        changed, status = os.waitpid(pid, flag | os.WNOHANG)
        if changed:
            return status
        time.sleep(0.0005)
    raise AssertionError(
        f"the child {'was not stopped' if flag == os.WUNTRACED else 'did not go on'}: a signal is lost"
    )


@contextmanager
def injecting(process: subprocess.Popen[str], directory: int, address: int) -> Iterator[list[int]]:
    """System calls injected one after the other as fast as can be, until the end of the block: those that were made.

    One is not while the process is stopped, or about to be (EAGAIN).
    """
    done, made = threading.Event(), [0] * 0

    def loop() -> None:
        while not done.is_set():
            result = inject.madvise(directory, process.pid, address, 8 << 20, Advice.HUGEPAGE)
            if result == 0:
                made.append(len(made))

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield made
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("program", [IDLE, BUSY], ids=["idle", "busy"])
@pytest.mark.parametrize("stop", [signal.SIGSTOP, signal.SIGTSTP], ids=lambda stop: stop.name)
def test_a_stop_at_any_moment_of_the_call_stops_the_process(program: str, stop: signal.Signals) -> None:
    """The moments are random, what is waited for is not: the parent sees each stop, and each end of one."""
    with child(program) as (process, directory, address), injecting(process, directory, address) as made:
        draw = random.Random(stop)
        for _ in range(150):
            wanted = len(made) + draw.randrange(3)
            while len(made) < wanted:
                assert process.poll() is None
            process.send_signal(stop)
            status = wait_for(process.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            assert os.WSTOPSIG(status) == stop
            process.send_signal(signal.SIGCONT)
            assert os.WIFCONTINUED(wait_for(process.pid, os.WCONTINUED))
        assert process.poll() is None


def all_stopped(pid: int) -> bool:
    return all("State:\tT" in (task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir())


def test_a_stop_stays_when_the_tracer_has_let_go() -> None:
    """A process with several threads, all of which stop; advice for one that is stopped is refused until it goes on."""
    program = """
import threading
for _ in range(3):
    threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""
    with child(program) as (process, directory, address):
        assert process.stdout is not None
        process.stdout.readline()
        for _ in range(50):
            with injecting(process, directory, address) as made:
                while not made:
                    assert process.poll() is None
                process.send_signal(signal.SIGSTOP)
                wait_for(process.pid, os.WUNTRACED)
            until(lambda: all_stopped(process.pid))  # the one that was let go is on its way
            assert inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE) == -errno.EAGAIN
            process.send_signal(signal.SIGCONT)
            wait_for(process.pid, os.WCONTINUED)


def test_a_stop_that_was_taken_back_does_not_come_later() -> None:
    with child(IDLE) as (process, directory, address), injecting(process, directory, address):
        for _ in range(300):
            process.send_signal(signal.SIGSTOP)
            process.send_signal(signal.SIGCONT)
        process.communicate("", timeout=HANG_S)
        assert process.returncode == 0


def test_a_confined_process_is_left_alone() -> None:
    strict = (
        "b = ctypes.create_string_buffer(1); print('x', flush=True); libc.prctl(22, 1, 0, 0, 0); libc.read(0, b, 1)"
    )
    with child(strict) as (process, directory, address):
        assert process.stdout is not None
        process.stdout.readline()
        until(lambda: "Seccomp:\t1" in Path(f"/proc/{process.pid}/status").read_text())
        assert inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE) == -errno.EPERM
        assert process.poll() is None


def test_a_process_that_is_gone() -> None:
    with child(IDLE) as (process, directory, address):
        process.kill()
        process.wait()
        assert inject.madvise(directory, process.pid, address, 4096, Advice.HUGEPAGE) == -errno.ESRCH


TRACER = """
import os, sys
from damon.model.machine import Advice
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
    with (
        tempfile.TemporaryDirectory() as directory,
        child(f"os.chdir({directory!r})\n{program}") as (process, _, address),
    ):
        draw = random.Random(1)
        for _ in range(15):
            words = [sys.executable, "-c", TRACER, str(process.pid), str(address)]
            with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as tracer:
                assert tracer.stdout is not None
                assert tracer.stdout.readline() == "ready\n"
                for _ in range(draw.randrange(2000)):
                    os.sched_yield()
                tracer.kill()
            assert process.poll() is None
        Path(directory, "done").touch()
        out, _ = process.communicate(timeout=HANG_S)
        assert (process.returncode, out) == (0, "set()\n")
