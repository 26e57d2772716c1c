# SPDX-License-Identifier: GPL-2.0-only
"""A guest that is dictated: what its command writes, how it ends; and what was asked of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmtest import GuestConfig, Result
from vmtest.ssh.process import Enough


def output(**other: Any) -> dict[str, Any]:
    """The result that ``damon run`` in a guest writes."""
    module = {"parameters": {"min_age": 1, "enabled": True}, "stats": {"bytes": 7, "ms": [1, -2]}, "state": "active"}
    memory = dict.fromkeys(("total_bytes", "free_bytes_start", "free_bytes", "resident_bytes"), 4096)
    areas = {
        "hot": {"size_bytes": 8192, "resident_bytes_start": 8192, "resident_bytes_end": 4096, "refaults": None},
        "cold": {"size_bytes": 8192, "resident_bytes_start": 8192, "resident_bytes_end": 0, "refaults": None},
    }
    return {
        "format": 1,
        "seed": 0,
        "engine": {"engine": "host", "version": "6.12", "origin": "the running kernel", "sha256": None},
        "machine": "linux",
        "virtual_seconds": None,
        "modules": {"damon_reclaim": {**module, "tried_bytes": 5 << 20, "applied_bytes": 3 << 20}},
        "error": None,
        "killed": [],
        "areas": {name: {**area, "hot": name == "hot"} for name, area in areas.items()},
        "slowdown": 1.25,
        "memory": {**memory, "resident_bytes_start": 16384, "refaults": 9},
        "psi_some_us": 0,
        "timing": {"seconds": 3.0, "wall_seconds": 3.5, "kdamond_cpu_seconds": {"damon_reclaim": 0.5}},
    } | other


@dataclass
class StandIn:
    """Stands for ``vmtest.Guest``: call it with the configuration."""

    out: bytes = field(default_factory=lambda: json.dumps(output()).encode())
    err: bytes = b""
    code: int = 0
    fails: BaseException | None = None  #: raised while the command runs
    at_boot: BaseException | None = None
    warnings: list[str] = field(default_factory=list)
    config: GuestConfig | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    commands: list[Sequence[str]] = field(default_factory=list)
    open: int = 0
    taken: list[tuple[str, Path]] = field(default_factory=list)
    gives: Callable[[Path], object] | None = None  #: writes what is copied out of the guest

    def __call__(self, config: GuestConfig) -> StandIn:
        self.config = config
        return self

    def __enter__(self) -> StandIn:
        if self.at_boot is not None:
            raise self.at_boot
        self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.open -= 1

    def put(self, host: Path, guest: str) -> None:
        self.files[guest] = host.read_bytes()

    def get(self, guest: str, host: Path) -> None:
        self.taken.append((guest, host))
        if self.gives is not None:
            self.gives(host)

    def popen(
        self, command: Sequence[str], *, stdout: Callable[[bytes], object], stderr: Callable[[bytes], object]
    ) -> StandIn:
        self.commands.append(command)
        stderr(self.err)
        with suppress(Enough):
            for start in range(0, len(self.out), 1 << 16):
                stdout(self.out[start : start + (1 << 16)])
        return self

    def wait(self, timeout: float | None = None) -> Result:
        if self.fails is not None:
            raise self.fails
        return Result("", self.code, b"", b"", 0.0)
