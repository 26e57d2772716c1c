# SPDX-License-Identifier: GPL-2.0-only
"""The swap of a machine, as results have it."""

from __future__ import annotations

from damon.model.machine import Machine


def swap_of(machine: Machine) -> dict[str, int]:
    """The size of all swap devices, and what is used of them, in bytes."""
    devices = machine.swaps()
    return {
        "swap_bytes": sum(device.size_bytes for device in devices),
        "swap_used_bytes": sum(device.used_bytes for device in devices),
    }
