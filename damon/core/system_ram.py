# SPDX-License-Identifier: GPL-2.0-only
"""The default physical range to monitor (DAMON spec, modules 3)."""

from __future__ import annotations

from damon.errors import InvalidInput
from damon.model.machine import Machine


def system_ram_region(machine: Machine, start: int, end: int, addr_unit: int = 1) -> tuple[int, int]:
    """``(start, end)`` as given, or from the first to the last System RAM when both are 0 (core address units).

    Raises:
        InvalidInput: there is no System RAM.
    """
    if start or end:
        return start, end
    ram = machine.system_ram()
    if not ram or ram[-1][1] <= ram[0][0]:
        raise InvalidInput("no System RAM found to monitor: set monitor_region_start and monitor_region_end")
    return ram[0][0] // addr_unit, ram[-1][1] // addr_unit
