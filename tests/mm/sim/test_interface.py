# SPDX-License-Identifier: GPL-2.0-only
"""The simulated machine is a machine: what the interface promises is there, for the type check and at run time."""

from __future__ import annotations

from damon.mm.interface import Machine, PhysicalSpace, ProcessSpace
from damon.workload.model import Area
from tests.mm.sim.machines import MIB, machine


def test_it_is_a_machine() -> None:
    sim: Machine = machine(Area("a", MIB))
    phys: PhysicalSpace = sim.phys
    space: ProcessSpace = sim.open_process(1000)
    assert sim.name == "sim"
    assert sim.clock.now_ns() == 0
    for protocol, thing in ((Machine, sim), (PhysicalSpace, phys), (ProcessSpace, space)):
        wanted = [name for name in dir(protocol) if not name.startswith("_")]
        assert all(hasattr(thing, name) for name in wanted)
    sim.close()
    sim.close()
