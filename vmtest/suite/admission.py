# SPDX-License-Identifier: GPL-2.0-only
"""How many guests at once: never more than real memory holds, and by default as many processors as there are."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import psutil

from ..config import GuestConfig
from ..qemu.command_line import OVERHEAD_BYTES
from ..sizes import MIB

#: Left for the host itself.
RESERVE_BYTES = 256 * MIB


def host_cpus() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))


def _available() -> int:
    return int(psutil.virtual_memory().available)


def _resident() -> int:
    """What our guests have taken already, of what was promised to them."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        try:
            if child.name().startswith("qemu-system"):
                total += child.memory_info().rss
        except psutil.Error:
            continue
    return total


class Admission:
    """Promises memory and processors to guests.

    Args:
        most: guests at once; None lets the processors decide: the guests' together are at most the host's. A number is
            permission to share processors; memory is never shared.
        available: bytes that are free on the host.
        resident: bytes that admitted guests hold by now.
        cpus: processors of the host.
    """

    def __init__(
        self,
        most: int | None = None,
        *,
        available: Callable[[], int] = _available,
        resident: Callable[[], int] = _resident,
        cpus: int | None = None,
    ) -> None:
        self._most = most
        self._read_available = available
        self._read_resident = resident
        self._host_cpus = cpus or host_cpus()
        self._guard = threading.Lock()
        self._guests = 0
        self._promised = 0
        self._cpus = 0

    @staticmethod
    def need(config: GuestConfig) -> int:
        """Bytes that a guest takes at most."""
        return config.most_bytes + OVERHEAD_BYTES

    def room(self) -> int:
        """Bytes that may still be promised."""
        unused = max(0, self._promised - self._read_resident()) if self._guests else 0
        return self._read_available() - unused - RESERVE_BYTES

    def admit(self, config: GuestConfig) -> bool:
        """Whether a guest may start now; if so, what it needs is promised to it until :meth:`release`."""
        with self._guard:
            if self._most is not None and self._guests >= self._most:
                return False
            if self._most is None and self._guests and self._cpus + config.cpus > self._host_cpus:
                return False
            if self.need(config) > self.room():
                return False
            self._guests += 1
            self._promised += self.need(config)
            self._cpus += config.cpus
            return True

    def hopeless(self, config: GuestConfig) -> str:
        """Why a guest does not fit although it would be the only one of ours, or nothing."""
        with self._guard:
            if self._guests or self.need(config) <= self.room():
                return ""
            return (
                f"memory {config.memory!r} does not fit: it takes {self.need(config) // MIB} MiB with QEMU's own, "
                f"{max(0, self.room()) // MIB} MiB are available; give the machine less or end other programs"
            )

    def release(self, config: GuestConfig) -> None:
        """A guest is gone."""
        with self._guard:
            self._guests -= 1
            self._promised -= self.need(config)
            self._cpus -= config.cpus
