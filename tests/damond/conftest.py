# SPDX-License-Identifier: GPL-2.0-only
"""A damond with its own runtime directory and mount."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from damon.damond.fusemount import unmount
from tests.waiting import HANG_S, until

WORKLOAD = Path(__file__).parents[2] / "workloads/hot-cold.yaml"
#: Ends a script of ``damon exec`` unless these are the emulation's files.
SURE = '[ "$(stat -f -c %T /sys/kernel/mm/damon/admin /sys/module/damon_reclaim | sort -u)" = fuseblk ] || exit 99; '
PROBLEM = "" if os.access("/dev/fuse", os.R_OK | os.W_OK) else "/dev/fuse can't be opened here"


class Damond:
    """A running service, its tree and its command line clients."""

    def __init__(self, directory: Path, *words: str) -> None:
        self.mount = directory / "sys"
        self.log = directory / "log"
        self.runtime = directory / "run"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # clients may start damo
        own = {"RUNTIME_DIRECTORY": str(self.runtime), "DAMOND_MOUNT": str(self.mount), "PATH": path}
        self.environment = os.environ | own
        command = [sys.executable, "-m", "damon.cli.damond", *(words or ("--sim", str(WORKLOAD)))]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(command, env=self.environment, stderr=log)

    def wait(self) -> Damond:
        until(lambda: self.process.poll() is not None or "mounted at" in self.log.read_text(), self.log.read_text)
        assert self.process.poll() is None, self.log.read_text()
        return self

    @property
    def admin(self) -> Path:
        return self.mount / "kernel/mm/damon/admin"

    def parameter(self, module: str, name: str) -> Path:
        return self.mount / f"module/{module}/parameters/{name}"

    def damon(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "damon.cli.main", *words]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=2 * HANG_S, check=False
        )

    def sh(self, script: str, *options: str, code: int = 0, shell: str = "sh") -> tuple[str, str]:
        """Output and errors of a script in ``damon exec``."""
        done = self.damon("exec", *options, "--", shell, "-c", SURE + script)
        assert done.returncode == code, (script, done.stdout, done.stderr, self.log.read_text())
        assert "Traceback" not in done.stderr, done.stderr
        return done.stdout, done.stderr

    def out(self, script: str, *options: str) -> str:
        """The output; there are no errors."""
        out, err = self.sh(script, *options)
        assert err == ""
        return out

    def said(self, script: str, code: int = 0) -> str:
        """Output and errors together."""
        return "".join(self.sh(script, code=code))

    @property
    def nr(self) -> str:
        """How many kdamonds there are."""
        return (self.admin / "kdamonds/nr_kdamonds").read_text().strip()

    @property
    def pid(self) -> int:
        """Of the workload's only process."""
        (process,) = self.status()["processes"]
        return int(process["pid"])

    def status(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.damon("status", "--json").stdout)
        return result

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(HANG_S)


def staged(damond: Damond, files: Mapping[str, object]) -> Path:
    """A kdamond with one context, whose ``files`` have these values; its directory."""
    one = damond.admin / "kdamonds/0"
    (one.parent / "nr_kdamonds").write_text("1\n")
    (one / "contexts/nr_contexts").write_text("1")
    for name, given in files.items():
        (one / "contexts/0" / name).write_text(f"{given}\n")
    return one


def monitor(damond: Damond) -> Path:
    """A kdamond on all memory with one scheme that has everything; its directory."""
    memory = {"operations": "paddr", "targets/nr_targets": 1, "targets/0/regions/nr_regions": 1}
    span = {"targets/0/regions/0/start": 0x100000, "targets/0/regions/0/end": 1 << 30, "schemes/nr_schemes": 1}
    most = {f"schemes/0/access_pattern/{part}/max": 2**64 - 1 for part in ("sz", "nr_accesses", "age")}
    return staged(damond, {**memory, **span, **most})


@contextmanager
def serving(directory: Path) -> Iterator[Callable[..., Damond]]:
    """Starts services on ``directory``; those that still run are killed in the end."""
    if PROBLEM:
        pytest.skip(PROBLEM)
    started: list[Damond] = []

    def go(*words: str) -> Damond:
        started.append(Damond(directory, *words))
        return started[-1]

    try:
        yield go
    finally:
        for one in started:
            if one.process.poll() is None:
                one.process.kill()
                one.process.wait()
            unmount(one.mount)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Damond]]:
    with serving(tmp_path) as go:
        yield go


@pytest.fixture
def damond(start: Callable[..., Damond]) -> Damond:
    return start().wait()
