# SPDX-License-Identifier: GPL-2.0-only
"""Others that use userfaultfd, monitors without root, and monitors that are killed."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from damon.errors import DamonError
from damon.mm.linux.access import Access
from tests.vm.guest.rwp.stage import Victim, check, observed, protected, registered, victim, watched

UNPRIVILEGED = 65534


@check
def a_second_monitor() -> dict[str, Any]:
    """The first one keeps the memory; the second one sees it by page_idle, and logs a warning."""
    with victim(4) as other, observed(other) as first:
        other.tell(f"write 0 {other.pages} 1")
        watched(first, other, [0])
        with observed(other) as second:
            seen = watched(second, other, range(0, 512, 8), "touch 0 256 1")
            tracker = second.tracker()
            assert tracker is not None
            assert tracker.unseen
        again = watched(first, other, range(64), "touch 0 32 1")
    assert seen == list(range(0, 256, 8)), seen
    assert again == list(range(32)), again
    return {"seen": len(seen)}


@check
def a_process_with_a_userfaultfd_of_its_own() -> dict[str, Any]:
    """auto leaves it alone."""
    with victim(4) as other:
        other.tell(f"write 0 {other.pages} 1")
        other.tell("uffd")
        with observed(other, "auto") as space:
            seen = watched(space, other, range(0, 512, 8), "touch 0 256 1")
            assert space.access is Access.PAGE_IDLE
            assert registered(other.pid) == 0
    assert seen == list(range(0, 256, 8)), seen
    return {"seen": len(seen)}


@check
def auto_takes_rwp() -> dict[str, Any]:
    with victim(4) as other, observed(other, "auto") as space:
        other.tell(f"write 0 {other.pages} 1")
        watched(space, other, range(64))
        there = registered(other.pid)
    assert there > 0
    return {"registered": there}


WITHOUT_ROOT = """
import errno, json, os, sys
from damon import DamosAction, DamosFilter, DamosFilterType, Damos, Damon, DamonTarget
from damon.errors import DamonError, MissingCapability
from damon.mm.linux import LinuxMachine
from tests.vm.guest.rwp.stage import victim, watched
found = {"uid": os.getuid()}
with victim(8) as other, LinuxMachine(access=sys.argv[1]) as machine:
    other.tell(f"write 0 {other.pages} 1")
    machine.require("vaddr", ["pageout"])
    for ops, actions in (("paddr", []), ("vaddr", ["migrate_hot"])):
        try:
            machine.require(ops, actions)
        except MissingCapability as error:
            found[f"{ops} {actions}"] = str(error)
    damon = Damon(machine)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "vaddr")
    ctx.targets.append(DamonTarget(space=machine.open_process(other.pid)))
    ctx.schemes.append(Damos(action=DamosAction.STAT, ops_filters=[DamosFilter(DamosFilterType.ANON, matching=True)]))
    try:
        damon.start([ctx])
        damon.stop()
    except DamonError as error:
        found["filter"] = [error.errno, str(error)]
    space = machine.open_process(other.pid)
    found["seen"] = watched(space, other, range(64), "touch 0 32 1")
    found["pageout"] = space.madvise(other.base, other.pages * 4096, 21)
    found["gone"] = other.pages - other.present()
    try:
        machine.open_process(int(sys.argv[2]))
        found["roots"] = "opened"
    except DamonError as error:
        found["roots"] = error.errno
    space.close()
    found["verify"] = other.tell("verify")
print(json.dumps(found))
"""


@check
def without_root() -> dict[str, Any]:
    """The user's own processes are seen, and acted on by a call from within. Others', and page frames, are refused."""
    words = [sys.executable, "-c", WITHOUT_ROOT, "rwp", str(os.getpid())]
    done = subprocess.run(
        words, user=UNPRIVILEGED, group=UNPRIVILEGED, extra_groups=[], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["uid"] == UNPRIVILEGED, found
    assert found["seen"] == list(range(32)), found
    assert found["pageout"] == 0, found
    assert found["gone"] > 1024, found
    assert found["verify"] == "same", found
    assert found["filter"][0] == 1, found
    assert found["roots"] == 1, found
    assert "paddr []" in found, found
    assert "vaddr ['migrate_hot']" in found, found
    return found


MONITOR = """
import random, sys, time
from damon.mm.linux import LinuxMachine
from tests.buffers import addresses, young
pids = [(int(pid), int(base)) for pid, base in (word.split(":") for word in sys.argv[1:])]
machine = LinuxMachine(access="rwp")
print("ready", flush=True)
spaces = [(machine.open_process(pid), base) for pid, base in pids]
while True:
    for space, base in spaces:
        batch = space.mkold(addresses([base + page * 4096 for page in range(0, 1024, 7)]), 147)
        young(space, batch)
"""


def _is_alone(other: Victim) -> bool:
    """What a monitor had begun inside of a process when it was killed is ended by a process of its own."""
    state = Path(f"/proc/{other.pid}/status").read_text()
    return (protected(other), registered(other.pid)) == (0, 0) and "TracerPid:\t0" in state


def until(what: str, holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def kills(times: int, victims: int, seed: int) -> dict[str, Any]:
    """Kill a monitor of so many processes so often, at random moments; each process goes on, and is right."""
    rng = random.Random(seed)
    others = [Victim(4, f"/dev/shm/area{n}" if n % 5 == 4 else "") for n in range(victims)]
    sent = 0
    try:
        for other in others:
            other.tell(f"write 0 {other.pages} 1")
        for other in others[1::4]:
            other.tell("spin 0 1024 3")
        for other in others[2::4]:
            other.tell("share")
        for _ in range(times):
            words = [sys.executable, "-c", MONITOR, *(f"{other.pid}:{other.base}" for other in others)]
            monitor = subprocess.Popen(words, stdout=subprocess.PIPE)
            assert monitor.stdout is not None
            assert monitor.stdout.readline() == b"ready\n"
            time.sleep(rng.uniform(0, 1.0))
            monitor.send_signal(signal.SIGKILL)
            monitor.wait()
            monitor.stdout.close()
            sent += 1
            for other in others:
                until(f"process {other.pid} is left alone", partial(_is_alone, other))
        for other in others:
            assert other.tell("verify") == "same"
            assert os.listdir(f"/proc/{other.pid}/fd"), other.pid
    finally:
        for n, other in enumerate(others):
            other.process.kill()
            other.process.wait()
            if n % 5 == 4:
                os.unlink(f"/dev/shm/area{n}")
    return {"kills": sent, "processes": victims}


@check
def monitors_that_are_killed() -> dict[str, Any]:
    return kills(4, 8, 1)


#: PTRACE_SEIZE.
TRACER = """
import ctypes, sys, time
assert ctypes.CDLL(None).ptrace(0x4206, int(sys.argv[1]), None, None) == 0
print("holds", flush=True)
time.sleep(600)
"""


@check
def a_process_under_a_debugger() -> dict[str, Any]:
    """rwp refuses it, auto takes page_idle."""
    with victim(4) as other:
        other.tell(f"write 0 {other.pages} 1")
        tracer = subprocess.Popen([sys.executable, "-c", TRACER, str(other.pid)], stdout=subprocess.PIPE)
        try:
            assert tracer.stdout is not None
            assert tracer.stdout.readline() == b"holds\n"
            with observed(other, "auto") as space:
                seen = watched(space, other, range(0, 512, 8), "touch 0 256 1")
                assert space.access is Access.PAGE_IDLE
            refused = 0
            with observed(other) as space:
                try:
                    watched(space, other, [0])
                except DamonError as error:
                    refused = error.errno or 0
        finally:
            tracer.kill()
            tracer.wait()
    assert seen == list(range(0, 256, 8)), seen
    assert refused == errno.EPERM, refused
    return {"seen": len(seen)}
