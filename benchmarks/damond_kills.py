# SPDX-License-Identifier: GPL-2.0-only
"""SIGKILL of damond under load, and the next start: ``python -m benchmarks.damond_kills [--kills 200] [--seed 1]``.

Eight readers walk the tree while four writers remove directories of it and make them anew. At a random moment damond
is killed and started again for the same mount. A kill is fine when the next damond serves and when the old process and
all of its clients have ended. The exit code is 1 when one is not.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import mmap
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.damond_load import KDAMONDS, WORKLOAD

#: Whatever takes longer hangs.
PATIENCE_S = 60.0
READERS, WRITERS = 8, 4
LOST = (errno.ENOTCONN, errno.ECONNABORTED)
MNT_FORCE, MNT_DETACH = 1, 2


@dataclass
class Kill:
    """What one kill left, and whether the next start could do with it."""

    after_s: float  #: of load
    zombie: bool = False  #: the old process could not end by itself: one of its threads waited in the kernel
    start_s: float = 0.0  #: until the next damond served
    stuck: str = ""  #: what hung; empty: nothing


def _read(tree: Path) -> None:
    for directory, _, files in os.walk(tree, onerror=_lost):
        for name in files:
            try:
                Path(directory, name).read_bytes()
            except OSError as error:
                _lost(error)


def _write(tree: Path, draw: random.Random) -> None:
    """A directory comes or goes."""
    path = tree / draw.choice(("0", "1")) / draw.choice(("contexts/nr_contexts", "contexts/0/schemes/nr_schemes"))
    try:
        path.write_text(str(draw.randrange(2 if path.name == "nr_contexts" else 9)))
    except OSError as error:
        _lost(error)


def _lost(error: OSError) -> None:
    """Who loses the service ends; what only is not there, or busy, is part of the load."""
    if error.errno in LOST:
        raise error


def _client(work: Callable[[], None], stop: mmap.mmap) -> int:
    """A process that works until it loses the service, or comes out of a request and finds ``stop`` set; its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        while not stop[0]:
            work()
        code = 0
    except OSError as error:
        code = 0 if error.errno in LOST else 1
    finally:
        os._exit(code)


def ended(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def within(true: Callable[[], bool], seconds: float = PATIENCE_S) -> bool:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Rounds:
    """One mount, one damond after the other.

    Args:
        directory: of mount, log and runtime directory.
    """

    def __init__(self, directory: Path, seed: int) -> None:
        self.mount, self.log = directory / "sys", directory / "log"
        self.draw = random.Random(seed)
        self.environment = dict(os.environ, RUNTIME_DIRECTORY=str(directory / "run"))
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self.log.write_text("")
        command = [sys.executable, "-m", "damon.cli.damond", "--sim", str(WORKLOAD), "--mount", str(self.mount)]
        with self.log.open("a") as stream:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stream, env=self.environment)
        within(lambda: self._serves() or process.poll() is not None)
        return process

    def _serves(self) -> bool:
        return "mounted at" in self.log.read_text()

    def kill(self) -> Kill:
        """One round; the next damond runs afterwards, unless it is stuck."""
        tree = self.mount / KDAMONDS
        (tree / "nr_kdamonds").write_text("2")
        stop = mmap.mmap(-1, 1)  # shared
        clients = [_client(lambda: _read(tree), stop) for _ in range(READERS)]
        for seed in range(WRITERS):
            draw = random.Random(self.draw.randrange(1 << 30) + seed)
            clients.append(_client(lambda draw=draw: _write(tree, draw), stop))  # type: ignore[misc]
        result = Kill(self.draw.uniform(0.1, 0.5))
        time.sleep(result.after_s)
        old = self.process
        old.send_signal(signal.SIGKILL)
        result.zombie = not within(lambda: old.poll() is not None, 0.5)
        began = time.monotonic()
        self.process = self._start()
        result.start_s = time.monotonic() - began
        stop[0] = 1  # whoever does not hang ends now
        if not self._serves() or self.process.poll() is not None:
            result.stuck = f"the next start: {self.log.read_text().strip()[-200:]}"
        elif not within(lambda: old.poll() is not None):
            result.stuck = "the old process"
        elif not within(lambda: all(ended(pid) for pid in clients)):
            result.stuck = "a client"
        if result.stuck:
            self._free(clients)
        return result

    def _free(self, clients: list[int]) -> None:
        """By force, so that nothing of it stays on this machine."""
        for pid in clients:
            if not ended(pid):
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        ctypes.CDLL(None).umount2(os.fsencode(self.mount), MNT_FORCE | MNT_DETACH)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE_S)


def kills(directory: Path, number: int, seed: int) -> list[Kill]:
    """So many rounds in ``directory``, or fewer: the first one that is stuck is the last one."""
    rounds = Rounds(directory, seed)
    done: list[Kill] = []
    try:
        while len(done) < number and not (done and done[-1].stuck):
            done.append(rounds.kill())
    finally:
        rounds.close()
    return done


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kills", type=int, default=200)
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    with tempfile.TemporaryDirectory(prefix="damond-kills-", ignore_cleanup_errors=True) as directory:
        done = kills(Path(directory), given.kills, given.seed)
    stuck = [one for one in done if one.stuck]
    starts = sorted(one.start_s for one in done)
    print(f"{READERS} readers, {WRITERS} writers, seed {given.seed}")
    print(f"{'kills':<32}{len(done):>8} of {given.kills}")
    print(f"{'a thread waited in the kernel':<32}{sum(one.zombie for one in done):>8}")
    print(f"{'stuck':<32}{len(stuck):>8}")
    print(f"{'next start, median and longest':<32}{starts[len(starts) // 2]:>8.2f} s {starts[-1]:.2f} s")
    for one in stuck:
        print(f"after {one.after_s:.3f} s of load: {one.stuck}")
    return 1 if stuck or len(done) < given.kills else 0


if __name__ == "__main__":
    sys.exit(main())
