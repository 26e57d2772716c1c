# SPDX-License-Identifier: GPL-2.0-only
"""Text that the kernel shows in /proc: iomem, pressure/memory, vmstat, swaps, capability masks."""

from __future__ import annotations

from typing import Final

from damon.model.machine import SwapStat

#: Numbers of ``include/uapi/linux/capability.h``.
CAP_SYS_PTRACE: Final = 19
CAP_SYS_ADMIN: Final = 21
CAP_SYS_NICE: Final = 23

SYSTEM_RAM: Final = "System RAM"


def system_ram(iomem: str) -> list[tuple[int, int]]:
    """``[start, end)`` of each System RAM resource, as the kernel's ``walk_system_ram_res()`` meets them.

    They are top-level lines, but for memory that a driver added (``System RAM (kmem)``), which lies in the driver's
    resource. What lies in System RAM itself (kernel code, reserved parts) is part of it. Without CAP_SYS_ADMIN every
    address reads as 0.
    """
    found: list[tuple[int, int]] = []
    inside = -1  # indentation of the System RAM resource that the line is in
    for line in iomem.splitlines():
        span, colon, name = line.partition(" : ")
        indent = len(span) - len(span.lstrip())
        if not colon or (inside >= 0 and indent > inside):
            continue
        inside = -1
        if name == SYSTEM_RAM or name.startswith(f"{SYSTEM_RAM} ("):
            inside = indent
            first, _, last = span.strip().partition("-")
            found.append((int(first, 16), int(last, 16) + 1))
    return sorted(found)


def psi_some_us(pressure: str) -> int:
    """Total microseconds of the ``some`` line of a pressure file; 0 if it has none."""
    for line in pressure.splitlines():
        kind, *fields = line.split()
        if kind == "some":
            return next((int(field[6:]) for field in fields if field.startswith("total=")), 0)
    return 0


def lru_pages(vmstat: str) -> tuple[int, int]:
    """Pages on active and on inactive lists, by ``/proc/vmstat``."""
    counts = dict(line.split() for line in vmstat.splitlines())
    active, inactive = (
        sum(int(counts.get(f"nr_{which}_{kind}", 0)) for kind in ("anon", "file")) for which in ("active", "inactive")
    )
    return active, inactive


def swaps(text: str) -> list[SwapStat]:
    """The devices of ``/proc/swaps``, the one that is filled first at first."""
    found = []
    for line in text.splitlines()[1:]:
        *_, size, used, priority = line.split()
        found.append(SwapStat(int(priority), int(size) << 10, int(used) << 10))
    return sorted(found, key=lambda one: -one.priority)


def effective_capabilities(status: str) -> int:
    """The effective capability mask in ``/proc/PID/status``; 0 if it is not there."""
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
