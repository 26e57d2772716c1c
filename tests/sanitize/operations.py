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

from damon import native

if "PYDAMON_SANITIZED" in os.environ:
    native.LIBRARY = Path(os.environ["PYDAMON_SANITIZED"])

from damon.mm.linux.native import NativeSampler
from damon.mm.linux.reference import KPF_ANON, KPF_LRU, KPF_MMAP
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import U8, Buffer
from tests.core.ahead import Counted, RandomRun, empty_run
from tests.mm.linux.fake import FakeKernel, addresses, present
from tests.mm.sim import golden
from tests.mm.sim.machines import check
from tests.mm.sim.operations import do, draw
from tests.random_contexts import random_workload


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


def contexts(seed: int) -> None:
    """Contexts of all operations sets, with commits; and schemes over empty memory."""
    run = RandomRun(seed, Counted())
    for _ in range(3):
        run.step()
    run.end()
    empty_run(seed, Counted())


def linux(seed: int) -> None:
    """Made-up page tables and flags of pages: make old, change, ask."""
    rnd = Random(seed)
    usual = KPF_LRU | KPF_MMAP | KPF_ANON
    flags = [rnd.choice([usual, usual, 0, rnd.getrandbits(27)]) for _ in range(rnd.randint(1, 300))]
    with tempfile.TemporaryDirectory(prefix="damon-test-") as directory:
        kernel = FakeKernel(Path(directory) / "kernel", flags)
        files = kernel.files
        files.gap_pagemap, files.gap_kpageflags, files.gap_write = (rnd.randint(0, 40) for _ in range(3))
        sampler, nr = NativeSampler(files), rnd.randint(1, 60)
        out = Buffer(U8, nr)
        sampler.mkold_phys(addresses([rnd.randint(0, len(flags) + 80) << 12 for _ in range(nr)]), nr)
        rnd.shuffle(flags)
        kernel.set_flags(flags)
        sampler.young_phys(nr, out)
        for _ in range(2):
            table = {rnd.randint(0, 60): rnd.choice([present(rnd.randint(1, len(flags) + 10)), 0]) for _ in range(40)}
            pagemap = os.open(kernel.process(1, [(0, 151)], table), os.O_RDONLY)
            sampler.mkold_virt(pagemap, addresses([rnd.randint(0, 170) << 12 for _ in range(nr)]), nr)
            sampler.young_virt(pagemap, nr, out)
            os.close(pagemap)
        kernel.close()


def main() -> int:
    number, first = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for seed in range(first, first + number):
        print(f"seed {seed}", flush=True)
        for part in (simulator, contexts, linux):
            part(seed)
    print(f"{number} seeds, and no report")
    return 0


if __name__ == "__main__":
    sys.exit(main())
