# SPDX-License-Identifier: GPL-2.0-only
"""Memory that comes and goes while a guest runs: a virtio-mem device for each node, controlled through QEMU's monitor.

virtio-mem gives and takes pieces of 2 MiB and moves away what is in them, where a DIMM goes as a whole or not at all: a
request may end half-way, and what became of it is reported.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .. import specs
from ..errors import InvalidInput
from ..patience import patient
from ..sizes import shown
from .command_line import plug_id
from .machine import Machine
from .monitor import MonitorError

#: Without any progress for so long the guest has given or taken what it can; the driver tries again only after 50 s.
PATIENCE_SECONDS = 10.0
ONLINE_SECONDS = 20.0
TICK_SECONDS = 0.05
DRIVER = "/sys/bus/virtio/drivers/virtio_mem"
# Memory that the driver has added is put to use a moment later.
ALL_ONLINE = (
    f"n=0; while grep -qx offline /sys/devices/system/memory/memory*/state; do n=$((n + 1)); "
    f"[ $n -le {int(ONLINE_SECONDS * 10)} ] || exit 1; sleep 0.1; done"
)


@dataclass(frozen=True)
class Change:
    """What became of a request for memory.

    Attributes:
        node: of which node.
        asked: bytes, negative when memory was to go.
        got: bytes, with the same sign; less than asked when the guest could not give or take more.
        plugged: bytes that are plugged into the node now.
        seconds: how long it took.
    """

    node: int
    asked: int
    got: int
    plugged: int
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether all that was asked for came or went."""
        return self.got == self.asked

    @property
    def text(self) -> str:
        """One line."""
        sign, done = ("+", "plugged") if self.asked > 0 else ("-", "unplugged")
        line = f"memory {sign}{shown(abs(self.asked))} of node {self.node}: {done} {shown(abs(self.got))}"
        if not self.complete:
            line += " only, the rest is in use" if self.asked < 0 else " only, the guest took no more"
        return f"{line}, {shown(self.plugged)} plugged ({self.seconds:.1f} s)"


class Memory:
    """The memory of one guest that can be plugged.

    Attributes:
        changes: what became of each request.

    Args:
        machine: the guest's.
        run: runs a line of shell in the guest; returns its exit code.
    """

    def __init__(self, machine: Machine, run: Callable[[str], int]) -> None:
        self.changes: list[Change] = []
        self._machine = machine
        self._spare = machine.config.spare_bytes
        self._nodes = machine.config.numa
        self._run = run
        self._guard = threading.Lock()

    def plug(self, size: str | int, *, node: int = 0, timeout: float = 120.0) -> Change:
        """Gives the guest more memory and waits until its kernel uses it.

        Args:
            size: a multiple of 2M.
            node: of which NUMA node it is.
            timeout: seconds; a guest that takes nothing for ten seconds is not waited for any longer.

        Returns:
            how much it took; what it did not take is not offered any more.

        Raises:
            InvalidInput: no such node, more than ``memory_max`` leaves, no ``memory_max``, a kernel that cannot.
            GuestLost: the guest is gone.
            MonitorError: QEMU is gone.
        """
        return self._change(specs.piece(size, "plug_memory"), node, timeout)

    def unplug(self, size: str | int, *, node: int = 0, timeout: float = 120.0) -> Change:
        """Takes plugged memory back, moving away what is in it; arguments and errors as for :meth:`plug`.

        Returns:
            how much it gave: memory in use that has nowhere to go stays. Nothing changes later by itself.
        """
        return self._change(-specs.piece(size, "unplug_memory"), node, timeout)

    def _change(self, delta: int, node: int, timeout: float) -> Change:
        self._machine.running()
        self._machine.clock.need_running()
        try:
            change = self._perform(delta, node, timeout)
        except MonitorError:
            self._machine.running()  # raises GuestLost, with the reason, when the guest is gone
            raise
        self.changes.append(change)
        return change

    def _perform(self, delta: int, node: int, timeout: float) -> Change:
        with self._guard:
            self._check(delta, node)
            before, begun = self._size(node), time.monotonic()
            self._request(node, before + delta)
            got = self._settle(node, before, before + delta, begun + timeout)
            if delta > 0 and self._run(ALL_ONLINE):
                raise InvalidInput(
                    f"memory of node: {node}: was plugged, but the kernel does not use all of it; read its console"
                )
            return Change(node, delta, got - before, got, time.monotonic() - begun)

    def _check(self, delta: int, node: int) -> None:
        what = f"memory {'+' if delta > 0 else '-'}{shown(abs(delta))}"
        if not self._spare:
            raise InvalidInput(f"{what}: this guest's memory cannot change; give memory_max")
        if not 0 <= node < self._nodes:
            raise InvalidInput(f"{what}: there is no node {node}; the guest has {self._nodes}")
        plugged = self._size(node)
        if plugged + delta < 0:
            raise InvalidInput(
                f"{what} of node {node}: {shown(plugged)} are plugged; unplug at most that, what it booted with stays"
            )
        left = self._spare - sum(self._size(one) for one in range(self._nodes))
        if delta > left:
            raise InvalidInput(f"{what}: memory_max leaves {shown(left)}; plug less, or give a higher one")
        if self._run(f"test -e {DRIVER}"):
            raise InvalidInput(f"{what}: the guest's kernel has no virtio-mem driver; take one with CONFIG_VIRTIO_MEM")

    def _size(self, node: int) -> int:
        return int(
            self._machine.monitor.command("qom-get", path=f"/machine/peripheral/{plug_id(node)}", property="size")
        )

    def _request(self, node: int, size: int) -> None:
        where = f"/machine/peripheral/{plug_id(node)}"
        self._machine.monitor.command("qom-set", path=where, property="requested-size", value=size)

    def _settle(self, node: int, size: int, wanted: int, deadline: float) -> int:
        """Follows the device's size until it is as wanted, or does not move any more; returns what it is."""
        moved, patience = time.monotonic(), patient(PATIENCE_SECONDS)
        while size != wanted:
            now = time.monotonic()
            if now > deadline or now - moved > patience:
                # Else the driver would go on by itself, at some time.
                self._request(node, size)
                size = self._size(node)
                self._request(node, size)
                break
            time.sleep(TICK_SECONDS)
            found = self._size(node)
            if found != size:
                size, moved = found, now
        return size
