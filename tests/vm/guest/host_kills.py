# SPDX-License-Identifier: GPL-2.0-only
"""The host engine killed at random moments: ``host_kills.py NUMBER SEED``. What it prints is one JSON object.

Each time a process that uses all of the engine is killed from outside after a random number of its writes, in another
of NUMBER parts of its run; then its guardian is waited for, and all of the kernel's DAMON is compared with what it was
before.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import signal
import sys
import time
import traceback
from pathlib import Path

from damon.host.engine import ADMIN, MODULES
from damon.host.journal import STATE
from tests.host import victim

#: Results, which no one can write: they are of the last run.
RESULTS = re.compile(r"/stats/|/tried_regions/|/effective_bytes$|_regions$|_exceeds$|/bytes_\w+$")
#: A run of the victim has so many writes; the last moments are those of the next run.
WRITES = 90


def look() -> dict[str, str]:
    """Every file of the kernel's DAMON but results, and its worker threads."""
    found = {}
    for top in (ADMIN, *sorted(MODULES.glob("damon_*/parameters"))):
        for directory, _, names in os.walk(top):
            for path in (Path(directory, name) for name in names):
                if not RESULTS.search(str(path)):
                    found[str(path)] = path.read_text()
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            name = comm.read_text()
        except OSError:
            continue
        if name.startswith("kdamond"):
            found[str(comm)] = name
    return found


def prepare() -> None:
    """What others have written and not switched on."""
    (ADMIN / "kdamonds/nr_kdamonds").write_text("2")
    (ADMIN / "kdamonds/1/contexts/nr_contexts").write_text("1")
    context = ADMIN / "kdamonds/1/contexts/0"
    (context / "operations").write_text("paddr")
    (context / "monitoring_attrs/intervals/aggr_us").write_text("123000")
    (context / "schemes/nr_schemes").write_text("1")
    (context / "schemes/0/action").write_text("cold")
    (context / "schemes/0/quotas/goals/nr_goals").write_text("1")
    (context / "schemes/0/quotas/goals/0/target_value").write_text("77")
    (MODULES / "damon_reclaim/parameters/min_age").write_text("777000")
    (MODULES / "damon_lru_sort/parameters/quota_ms").write_text("7")


def kill_after(dots: int) -> tuple[int, bool]:
    """One victim, killed after so many of its writes. Dots seen, and whether something was to be restored then."""
    reader, writer = os.pipe()
    pid = os.fork()  # its guardian is a new process; this one need not start Python again
    if not pid:
        os.dup2(writer, 1)
        os.close(reader)
        try:
            victim.use(ADMIN, MODULES, STATE, os.getpid(), victim.Counter(-1), endless=True)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    os.close(writer)
    seen = 0
    while seen < dots and (part := os.read(reader, dots - seen)):
        seen += part.count(b".")
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(reader)
    assert os.WIFSIGNALED(status), f"the victim ended by itself: {status}"
    working = (STATE / "journal.json").exists()
    with (STATE / "lock").open() as lock:  # the guardian holds it until it has restored
        fcntl.flock(lock, fcntl.LOCK_EX)
    return seen, working


def main() -> None:
    number, seed = int(sys.argv[1]), int(sys.argv[2])
    rnd = random.Random(seed)
    prepare()
    before = look()
    moments, different, interrupted = [], {}, 0
    started = time.monotonic()
    for index in range(number):  # each in its part of the run
        wanted = rnd.randint(1 + WRITES * index // number, WRITES * (index + 1) // number)
        moment, working = kill_after(wanted)
        moments.append(moment)
        print(f"killed after {moment} writes", file=sys.stderr, flush=True)
        interrupted += working
        after = look()
        if after != before:
            names = {name for name in {*before, *after} if before.get(name) != after.get(name)}
            different[moment] = {name: [before.get(name), after.get(name)] for name in sorted(names)[:5]}
            print(f"different: {different[moment]}", file=sys.stderr, flush=True)
    seconds = round(time.monotonic() - started, 1)
    facts = {"kills": number, "moments": moments, "interrupted": interrupted, "seconds": seconds, "files": len(before)}
    print(json.dumps({**facts, "different": different}))


if __name__ == "__main__":
    main()
