# SPDX-License-Identifier: GPL-2.0-only
"""Files of ``/proc`` that show of a simulated machine what the running system shows of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damon.mm.clock import VirtualClock
from damon.model.machine import PAGE_SIZE, Machine
from damon.modules.sysfs import Directory, File

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine


def simulated(machine: Machine) -> SimulatedMachine | None:
    """``machine`` if it is a simulated one, else None. The simulator is imported only where time is virtual."""
    if not isinstance(machine.clock, VirtualClock):
        return None
    from damon.mm.sim import SimulatedMachine

    return machine if isinstance(machine, SimulatedMachine) else None


class Proc(Directory):
    """``/proc/iomem`` and ``/proc/meminfo``; ``damon exec`` lays them over."""

    def __init__(self, machine: SimulatedMachine) -> None:
        super().__init__()
        self.add("iomem", File(lambda: _iomem(machine)))
        self.add("meminfo", File(lambda: _meminfo(machine)))


def _iomem(machine: SimulatedMachine) -> str:
    return "".join(f"{start:08x}-{end - 1:08x} : System RAM\n" for start, end in machine.system_ram())


def _meminfo(machine: SimulatedMachine) -> str:
    free, total = machine.free_mem()
    counters, swaps = machine.counters(), machine.swaps()
    anon = [counters[f"nr_{state}_anon"] for state in ("active", "inactive")]
    file = [counters[f"nr_{state}_file"] for state in ("active", "inactive")]
    kib = {name: pages * PAGE_SIZE // 1024 for name, pages in {
        "MemTotal": total, "MemFree": free, "MemAvailable": min(total, free + sum(file)), "Buffers": 0,
        "Cached": sum(file), "SwapCached": 0, "Active": anon[0] + file[0], "Inactive": anon[1] + file[1],
        "Active(anon)": anon[0], "Inactive(anon)": anon[1], "Active(file)": file[0], "Inactive(file)": file[1],
        "Unevictable": counters["nr_unevictable"], "Mlocked": counters["nr_unevictable"], "AnonPages": sum(anon),
    }.items()}  # fmt: skip
    kib["SwapTotal"] = sum(swap.size_bytes for swap in swaps) // 1024
    kib["SwapFree"] = kib["SwapTotal"] - sum(swap.used_bytes for swap in swaps) // 1024
    return "".join(f"{name + ':':<16}{value:>8} kB\n" for name, value in kib.items())
