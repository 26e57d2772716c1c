# SPDX-License-Identifier: GPL-2.0-only
"""Keeps the memory of a guest whose kernel is lost, as a file that ``crash``, ``drgn`` and ``makedumpfile`` read.

A crashed kernel reboots at once. QEMU runs with ``-no-shutdown`` then: it stops there instead of ending, its memory as
the crash left it, whatever kernel it was. A thread has the memory written and then ends QEMU, as it does for a guest
that was switched off.
"""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import time
from pathlib import Path

from ..errors import InvalidInput, Verdict
from ..patience import patient
from ..sizes import MIB, shown
from . import kdump
from .console import Console
from .machine import Machine
from .monitor import Event, Monitor, MonitorError

NAME = "vmcore"
#: Compressed: of a guest's memory most pages are zero or text.
FORMAT = "kdump-zlib"
#: Dumps of one run, in directories beside each other: a suite of guests that all crash shall not fill the disk.
MOST = 4
#: Of a dump on a cluster's worker so many bytes go back to where the run was started.
TRAVELS = 256 * MIB
#: Left on the disk.
RESERVE = 512 * MIB
SECONDS = 180.0
COMMAND_SECONDS = 30.0
# The console's last lines may be read a moment after QEMU's event of the guest's end.
WORDS_SECONDS = 2.0
TICK_SECONDS = 0.1
#: After these a dump is useful; the others are not crashes of the kernel.
WORTH = frozenset(Verdict) - {
    Verdict.CLOSED,
    Verdict.POWERED_OFF,
    Verdict.QEMU_DIED,
    Verdict.QEMU_STOPPED,
    Verdict.EMULATION_FAILURE,
    Verdict.SETUP_FAILED,
    Verdict.LOGIN_FAILED,
}


def room_for(directory: Path, size: int, most: int | None) -> str:
    """Why a dump of at most ``size`` bytes is not written into a directory that is one of a run's, or nothing."""
    others = sum(1 for path in directory.parent.glob(f"*/{NAME}") if path.parent != directory) if most else 0
    if most and others >= most:
        return f"{others} guests of this run have one already"
    return lacks_room(directory, size)


def lacks_room(directory: Path, size: int) -> str:
    """Why a directory's disk is too full for a file of at most ``size`` bytes, or nothing."""
    free = shutil.disk_usage(directory).free
    return f"it may take {shown(size)}, {free // MIB} MiB are free there" if free < size + RESERVE else ""


def write(monitor: Monitor, path: Path, timeout: float = SECONDS) -> None:
    """Has QEMU write the guest's memory; the guest stands still meanwhile.

    Raises:
        MonitorError: it could not, for example for want of room on the disk; no file is left.
    """
    part = path.with_name(f"{path.name}.part")
    where = f"file:{part}"
    try:
        with monitor.events("DUMP_COMPLETED") as events:
            limit = patient(COMMAND_SECONDS)
            monitor.command("dump-guest-memory", paging=False, protocol=where, format=FORMAT, detach=True, within=limit)
            event = events.next(timeout)
        if event is None:
            raise MonitorError(f"dump-guest-memory: not done within {timeout:g} s")
        if event.data.get("result", {}).get("status") != "completed":
            raise MonitorError(f"dump-guest-memory: {event.data.get('error', 'it failed')}")
        kdump.finish(part, path)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise MonitorError(f"dump {str(path)!r}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)


class Dumps:
    """The dumps of one guest: those that are asked for, and the one of a guest that is lost.

    Args:
        machine: the guest's.
        most: dumps in the directories beside the guest's, from which on no more are made; None for no limit.
    """

    def __init__(self, machine: Machine, most: int | None) -> None:
        self._machine = machine
        self._most = most
        self._keeper: Keeper | None = None

    def write(self, path: Path | str, *, timeout: float = SECONDS) -> None:
        """Writes the guest's memory to a file that ``crash`` and ``drgn`` read; the guest stands still meanwhile.

        Raises:
            InvalidInput: there is no such directory, or its disk is too full.
            GuestLost: the guest is gone.
            MonitorError: QEMU could not write it; no file is left.
        """
        monitor, path = self._machine.running(), Path(path).absolute()
        if not path.parent.is_dir():
            raise InvalidInput(f"dump: {str(path)!r}: there is no such directory; make it first")
        if why := lacks_room(path.parent, self._machine.config.most_bytes):
            raise InvalidInput(f"dump: {str(path)!r}: {why}; free some, or write it elsewhere")
        write(monitor, path, timeout)

    def watch(self) -> None:
        """Has the memory of the guest kept when it is lost, where its configuration asks for that."""
        config, artifacts, console = self._machine.config, self._machine.artifacts, self._machine.console
        if config.dump_on_panic and artifacts:
            self._keeper = Keeper(self._machine.monitor, console, artifacts, config.most_bytes, self._most)
            self._keeper.start()
            if console.lost:
                self._keeper.lost()

    def lost(self) -> None:
        """The console has a verdict."""
        if self._keeper:
            self._keeper.lost()

    @property
    def notes(self) -> list[str]:
        """Why a lost guest's memory was not kept although it was to be."""
        return [self._keeper.note] if self._keeper and self._keeper.note else []

    def kept(self, timeout: float = SECONDS) -> Path | None:
        """The dump of a lost guest, waited for while it is written; None when there is none (see ``notes``)."""
        if self._keeper is None or self._machine.console.lost is None:
            return None
        self._keeper.done.wait(timeout)
        return self._keeper.path


class Keeper(threading.Thread):
    """Waits for a guest's end and keeps its memory when that was its kernel's.

    Attributes:
        path: the dump, once there is one.
        note: why there is none although the kernel was lost, else empty.
        done: set when there will be none any more, or it is complete.
    """

    def __init__(self, monitor: Monitor, console: Console, directory: Path, size: int, most: int | None = None) -> None:
        """Args:
        monitor: QEMU's.
        console: has the verdict.
        directory: for the dump.
        size: bytes of the guest's memory.
        most: dumps in the directories beside this one, from which on there are enough.
        """
        super().__init__(name="vmtest-dump", daemon=True)
        self._monitor = monitor
        self._console = console
        self._directory = directory
        self._size = size
        self._most = most
        self._ends: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self.path: Path | None = None
        self.note = ""
        self.done = threading.Event()

    def lost(self) -> None:
        """The console has a verdict."""
        self._ends.put(True)

    def run(self) -> None:
        """The thread."""
        watcher = threading.Thread(target=self._watch, name="vmtest-shutdown", daemon=True)
        watcher.start()
        try:
            self._ends.get()
            if self._verdict() in WORTH:
                self._keep()
        except MonitorError as error:
            self.note = f"no dump of the guest's memory: {error}"
        finally:
            self.done.set()
            # A machine that was switched off stands there for ever.
            with contextlib.suppress(MonitorError):
                self._monitor.command("quit")

    def _watch(self) -> None:
        with contextlib.suppress(MonitorError), self._monitor.events("SHUTDOWN", "GUEST_PANICKED") as events:
            # The event may have come before this thread listened.
            if self._monitor.command("query-status")["status"] not in {"shutdown", "guest-panicked"}:
                event: Event | None = None
                while event is None:
                    event = events.next()
            self._ends.put(True)

    def _verdict(self) -> Verdict | None:
        """What the guest ended with, as soon as the console's last words are read."""
        deadline = time.monotonic() + WORDS_SECONDS
        while not (self._console.lost or self._console.doomed or self._console.powered_down):
            if time.monotonic() > deadline:
                return None
            time.sleep(TICK_SECONDS / 10)
        if self._console.powered_down and not self._console.doomed:
            return Verdict.POWERED_OFF
        self._console.ended.wait(WORDS_SECONDS)
        return self._console.lost.verdict if self._console.lost else None

    def _keep(self) -> None:
        if why := room_for(self._directory, self._size, self._most):
            self.note = f"no dump of the guest's memory: {why}"
            return
        self._monitor.command("stop")
        path = self._directory / NAME
        write(self._monitor, path)
        self.path = path
