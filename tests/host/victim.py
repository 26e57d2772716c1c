# SPDX-License-Identifier: GPL-2.0-only
"""Uses all of the host engine: ``python -m tests.host.victim ADMIN MODULES STATE PID KILL_AT [guardian]``.

PID is a process of that kernel. Prints a dot before every write into the kernel's files. It kills itself at the
write of the number KILL_AT, odd ones before it and even ones after it; with ``guardian`` its guardian first.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import damon.host.engine
import damon.host.found
import damon.host.modules
import damon.host.staging
from damon.host import files
from damon.host.engine import HostDamon
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosFilter, DamosFilterType, DamosQuota

ENDED = "ended"


class Counter:
    """In the place of ``files.put``."""

    def __init__(self, kill_at: int) -> None:
        self.nr, self.kill_at = 0, kill_at
        self.guardian: int | None = None

    def put(self, path: Path, value: object, *, patient: bool = True) -> None:
        self.nr += 1
        os.write(1, b".")
        last = self.nr == self.kill_at
        if last and self.nr % 2:
            self.end()
        files.put(path, value, patient=patient)
        if last:
            self.end()

    def end(self) -> None:
        if self.guardian is not None:
            os.kill(self.guardian, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


def contexts(host: HostDamon, pid: int) -> None:
    """Two kdamonds with schemes; read, changed, and stopped."""
    ctxs = [host.new_ctx(), host.new_ctx()]
    host.select_ops(ctxs[0], "vaddr")
    host.add_process(ctxs[0], pid)
    host.select_ops(ctxs[1], "paddr")
    host.add_memory(ctxs[1], 0x100000, 1 << 28)
    filters: list[Any] = [DamosFilter(DamosFilterType.ANON, matching=True)]
    pattern = DamosAccessPattern(min_sz_region=4096, max_nr_accesses=0, min_age_region=20)
    quota = DamosQuota(ms=10, sz=1 << 20, reset_interval=1000)
    ctxs[1].schemes.append(Damos(pattern, DamosAction.PAGEOUT, quota=quota, ops_filters=filters))
    host.start(ctxs)
    assert len(host.stats(ctxs[1])) == 1
    host.tried_regions(ctxs[1], 0)
    assert host.regions(ctxs[1])
    ctxs[1].attrs.max_nr_regions = 500
    host.commit(ctxs[1])
    host.stop()


def modules(host: HostDamon) -> None:
    """reclaim and lru_sort with parameters, one after the other."""
    host.start_module("damon_reclaim", ["min_age=30000000", "quota_ms=5", "wmarks_high=1000", "wmarks_mid=999"])
    host.commit_module("damon_reclaim", ["min_age=20000000"])
    host.stop_module("damon_reclaim")
    host.start_module("lru_sort", ["cold_min_age=20000000", "min_nr_regions=20"])


def use(admin: Path, modules_directory: Path, state: Path, pid: int, counter: Counter, *, endless: bool) -> None:
    """All of the engine, once or until it is killed."""
    for module in (damon.host.engine, damon.host.found, damon.host.modules, damon.host.staging):
        vars(module)["put"] = counter.put
    while True:
        with HostDamon(admin, modules_directory, state) as host:
            assert host._guard._guardian is not None
            counter.guardian = host._guard._guardian.pid if counter.guardian is not None else None
            contexts(host, pid)
            modules(host)
        if not endless:
            return


def main() -> None:
    admin, modules_directory, state, pid, *more = sys.argv[1:]
    counter = Counter(int(more[0]))
    counter.guardian = -1 if "guardian" in more else None
    use(Path(admin), Path(modules_directory), Path(state), int(pid), counter, endless=False)
    print(f"\n{ENDED} {counter.nr}")


if __name__ == "__main__":
    main()
