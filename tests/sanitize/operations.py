# SPDX-License-Identifier: GPL-2.0-only
"""Random operations on the C helpers, and no comparison: ``python -m tests.sanitize.operations SEEDS [SEED]``.

For a library that checks itself, which ``$PYDAMON_SANITIZED`` names. Seeds go up from SEED; each is printed before
it is played, so that the last one is the one to play again.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from random import Random
from unittest.mock import patch

import damon.native

if "PYDAMON_SANITIZED" in os.environ:
    damon.native.LIBRARY = Path(os.environ["PYDAMON_SANITIZED"])

from damon.mm.linux import native
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import U64, Buffer
from damon.workload.tracefile import reader
from tests.core.ahead import Counted, RandomRun, empty_run
from tests.mm.linux import golden as linux_golden
from tests.mm.sim import golden
from tests.mm.sim.machines import check
from tests.mm.sim.operations import do, draw
from tests.mm.sim.replayed import damage, replayed
from tests.random_contexts import random_workload
from tests.workload.traces import random_trace


def simulator(seed: int) -> None:
    """A machine of any kind, and one of the golden ones (huge pages, nodes, swap devices), and all that can be asked of
    them; after all of it the books have to balance."""
    rnd = Random(seed)
    for workload, huge in ((random_workload(rnd), False), (golden.workload(2 * seed + 1), True)):
        sim = SimulatedMachine(workload, seed)
        for _ in range(30):
            do(sim, draw(rnd, huge))
        check(sim)
        sim.close()


def replays(seed: int) -> None:
    """Machines that replay traces; one with damaged rows, as a file has that is too big to be checked whole."""
    rnd = Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        for damaged in (False, True):
            path = random_trace(Path(scratch, "t"), seed)
            if damaged:
                damage(path, rnd)
            with patch.object(reader, "MAX_COPIED", 0 if damaged else reader.MAX_COPIED):
                sim = SimulatedMachine(replayed(rnd, path), seed)
            for _ in range(20):
                do(sim, draw(rnd, rnd.random() < 0.5))
            if not damaged:
                check(sim)
            sim.close()


def contexts(seed: int) -> None:
    """Contexts of all operations sets, with commits; and schemes over empty memory."""
    run = RandomRun(seed, Counted())
    for _ in range(3):
        run.step()
    run.end()
    empty_run(seed, Counted())


def linux(seed: int) -> None:
    """All that reads page tables and flags of pages, sound and damaged ones, and the text of ``/proc/PID/maps``."""
    for damaged in (False, True):
        for _answer in linux_golden.play(seed + 1000, damaged=damaged):
            pass
    rnd = Random(seed)
    ranges = [sorted(rnd.getrandbits(48) for _ in range(2)) for _ in range(rnd.randint(0, 20))]
    text = bytearray("".join(f"{a:x}-{b:x} rw-p {a:08x} 08:01 {a % 3} /a b\n" for a, b in ranges).encode())
    for _ in range(rnd.randint(0, 10) if text else 0):
        text[rnd.randrange(len(text))] = rnd.choice(b" \n-0f\0\xff")
    raw = bytes(text[: rnd.randint(0, len(text))])
    room = rnd.randint(1, 30)
    for parse, words in ((native.maps_parse, 2), (native.mappings_parse, 3)):
        rows = Buffer(U64, words * room)
        parse(raw, len(raw), rows.pointer_to(words * room), room)


def main() -> int:
    number, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for seed in range(first, first + number):
        print(f"seed {seed}", flush=True)
        for part in (simulator, replays, contexts, linux):
            part(seed)
    print(f"{number} seeds, and no report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
