# SPDX-License-Identifier: GPL-2.0-only
"""A machine that is closed: its memory is free at once, and asking it for something is an error, never a crash."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable

import pytest

from damon.core import Damon
from damon.errors import DamonError
from damon.library import add_memory, add_process
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import U8, U64, Batch, Buffer, FolioArray
from damon.model.machine import Advice
from damon.workload.load import load_workload
from damon.workload.model import Access, Area
from tests.mm.sim.machines import MIB, machine

WORKLOAD = "workloads/hot-cold.yaml"

MANY = """
import gc, sys
from damon.mm.sim import SimulatedMachine
from damon.workload.load import load_workload

def mapped():
    return sum(int(end, 16) - int(start, 16) for line in open("/proc/self/maps")
               for start, end in [line.split()[0].split("-")])

gc.disable()
workload, kept = load_workload("workloads/hot-cold.yaml"), []

def one():
    machine = SimulatedMachine(workload, 1)
    machine.clock.sleep_us(10_000)
    open = mapped()
    machine.close()
    machine.close()
    kept.append(machine)
    return open

one()
before = mapped()
each = one() - before
for number in range(60):
    one()
print(each, mapped() - before)
"""


def test_sixty_machines_take_no_more_memory_than_one() -> None:
    """Kept, without the collector: what is measured is what ``close()`` gave back."""
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, check=True)
    each, left = map(int, done.stdout.split())
    assert each > 20 << 20
    assert left < each // 4


USES: dict[str, Callable[[SimulatedMachine], object]] = {
    "phys mkold": lambda sim: sim.phys.mkold(Buffer(U64), 4),
    "phys young": lambda sim: sim.phys.young(Batch(Buffer(U64), 4), Buffer(U8)),
    "phys folios": lambda sim: list(sim.phys.folios(0, 1 << 30)),
    "phys folios_at": lambda sim: sim.phys.folios_at(Buffer(U64), 4, FolioArray(4)),
    "phys pageout": lambda sim: sim.phys.pageout(FolioArray(4)),
    "phys migrate": lambda sim: sim.phys.migrate(FolioArray(4)),
    "phys activate": lambda sim: sim.phys.activate(FolioArray(4)),
    "folios_young": lambda sim: sim.phys.folios_young(FolioArray(4)),
    "open_process": lambda sim: sim.open_process(1000),
    "system_ram": lambda sim: sim.system_ram(),
    "free_mem": lambda sim: sim.free_mem(),
    "node_spans": lambda sim: sim.node_spans(),
    "node_mem": lambda sim: sim.node_mem(0),
    "node_memcg_pages": lambda sim: sim.node_memcg_pages(0, 1),
    "memcg_id": lambda sim: sim.memcg_id("/a"),
    "psi_some_us": lambda sim: sim.psi_some_us(),
    "lru_pages": lambda sim: sim.lru_pages(),
    "require": lambda sim: sim.require("paddr", ["pageout"]),
    "areas": lambda sim: sim.areas(),
    "processes": lambda sim: sim.processes(),
    "swaps": lambda sim: sim.swaps(),
    "counters": lambda sim: sim.counters(),
    "touches": lambda sim: sim.touches("a"),
    "truth": lambda sim: sim.truth("a", 1000),
    "state": lambda sim: sim.state.snapshot(),
}


@pytest.mark.parametrize("use", USES)
def test_use_after_close_is_an_error(use: str) -> None:
    sim = SimulatedMachine(load_workload(WORKLOAD), 1)
    sim.close()
    with pytest.raises(DamonError, match="the simulated machine is closed") as refused:
        USES[use](sim)
    assert refused.value.errno == errno.ENODEV


def test_processes_of_a_closed_machine_have_ended() -> None:
    sim = machine(Area("a", MIB), accesses=(Access("a", 1000),))
    space = sim.open_process(sim.pids["main"])
    batch = space.mkold(Buffer(U64), 4)
    sim.close()
    out = Buffer(U8)
    out[0] = 7
    space.young(batch, out)
    assert out[0] == 0
    assert not space.alive()
    assert list(space.mappings()) == []
    assert list(space.folios(0, 1 << 40)) == []
    assert space.madvise(0, 4096, Advice.COLD) == -errno.ESRCH
    space.close()


def test_a_record_that_is_held_stays_readable() -> None:
    sim = machine(Area("a", MIB), accesses=(Access("a", 1000),))
    row, page = sim.row("a"), sim.row("a").page
    sim.close()
    assert row.nr_pages == 256
    assert row.page[255].flags == page[255].flags


@pytest.mark.parametrize("ops", ["vaddr", "paddr"])
def test_a_machine_that_is_closed_under_a_worker(ops: str) -> None:
    """The worker ends, with the reason unless its target has ended; stopping it waits for nobody."""
    sim = SimulatedMachine(load_workload(WORKLOAD), 1)
    kernel = Damon(sim)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, ops)
    if ops == "vaddr":
        add_process(ctx, sim.pids["main"])
    else:
        add_memory(ctx)
    kernel.start([ctx])
    sim.clock.sleep_us(200_000)
    sim.close()
    sim.clock.sleep_us(200_000)
    kernel.stop()
    assert not kernel.is_running(ctx)
    assert (ctx.error is None) == (ops == "vaddr")
    assert ops == "vaddr" or "is closed" in str(ctx.error)
