# SPDX-License-Identifier: GPL-2.0-only
"""The simulated machine is a machine: what the interface promises is there, for the type check and at run time."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from damon.errors import InvalidInput
from damon.model.machine import Machine, PhysicalSpace, ProcessSpace
from damon.model.ticks import RATES
from damon.workload.model import Area, MachineSpec
from damon.workload.schema import MachineFields
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


def test_its_clock_ticks_as_the_workload_says() -> None:
    assert MachineSpec().hz == MachineFields().hz == 250
    assert get_args(get_type_hints(MachineFields)["hz"]) == RATES
    for hz in RATES:
        with machine(Area("a", MIB), hz=hz) as sim:
            assert sim.clock.ticks.hz == hz
    with pytest.raises(InvalidInput, match=r"^machine\.hz: 60: is not a rate of Linux"):
        machine(Area("a", MIB), hz=60)
