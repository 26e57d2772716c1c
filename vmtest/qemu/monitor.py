# SPDX-License-Identifier: GPL-2.0-only
"""The harness's way to QEMU's monitor (QMP): the ``qemu.qmp`` library behind calls that wait, for any thread.

The library is asynchronous; its loop runs in a thread of each session's own. It is imported when a session begins: by
then QEMU and the guest's kernel run on another processor, and a guest is not up later for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import re
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from qemu.qmp import QMPClient

_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)")
#: In the registers of a processor: where it is (x86, arm64), and that it waits for an interrupt (x86).
_PLACE = re.compile(r"\b(?:[ER]IP|PC)=([0-9a-f]+)")
_HALTED = re.compile(r"\bHLT=1")
# What goes wrong is raised; the library's own lines are for who asks for them.
logging.getLogger("qemu.qmp").addHandler(logging.NullHandler())
ANSWER_SECONDS = 10.0
CLOSE_SECONDS = 5.0
INFO: dict[str, Any] = {"command-line": "info usernet"}
REGISTERS: dict[str, Any] = {"command-line": "info registers -a"}
_T = TypeVar("_T")


class MonitorError(Exception):
    """QEMU refused a command or is gone."""


@dataclass(frozen=True)
class Event:
    """An event of QEMU: "SHUTDOWN", "STOP", "MEMORY_DEVICE_SIZE_CHANGE", ... and its values."""

    name: str
    data: dict[str, Any]


class Events:
    """Events from the time :meth:`Monitor.events` was entered, in their order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = frozenset(names)
        self._queue: queue.SimpleQueue[Event | None] = queue.SimpleQueue()

    def put(self, event: Event | None) -> None:
        """For the monitor: an event, or None when there will be no more."""
        if event is None or not self._names or event.name in self._names:
            self._queue.put(event)

    def next(self, timeout: float | None = None) -> Event | None:
        """The next one; None when none comes within ``timeout`` seconds.

        Raises:
            MonitorError: QEMU is gone, or the session is closed: there will be none.
        """
        try:
            event = self._queue.get(timeout=None if timeout is None else max(0.0, timeout))
        except queue.Empty:
            return None
        if event is None:
            self._queue.put(None)
            raise MonitorError("QEMU closed the monitor")
        return event


class Monitor:
    """A QMP session over a connected socket. Any thread may use it, several at once."""

    def __init__(self, sock: socket.socket, timeout: float = ANSWER_SECONDS) -> None:
        """Args:
        sock: the end here; the session owns it from now on.
        timeout: seconds an answer may take.

        Raises:
            MonitorError: nothing, or nothing that is QMP, is at the other end.
        """
        from qemu.qmp import QMPClient

        self._timeout = timeout
        self._listeners: list[Events] = []
        self._guard = threading.Lock()
        self._over = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vmtest-monitor", daemon=True)
        self._thread.start()
        try:
            self._client = self._wait("connect", self._connect(QMPClient("vmtest"), sock), timeout)
        except BaseException:
            self._stop()
            raise

    async def _connect(self, client: QMPClient, sock: socket.socket) -> QMPClient:
        await client.connect(sock)
        self._tasks = [asyncio.create_task(self._pump(client)), asyncio.create_task(self._watch(client))]
        return client

    async def _pump(self, client: QMPClient) -> None:
        async for message in client.events:
            data: Any = message.get("data") or {}
            self._tell(Event(str(message["event"]), data))

    async def _watch(self, client: QMPClient) -> None:
        """Wakes those who wait for events of a QEMU that is gone."""
        await client.runstate_changed()
        self._tell(None)

    def _tell(self, event: Event | None) -> None:
        with self._guard:
            self._over = self._over or event is None
            for listener in self._listeners:
                listener.put(event)

    def _wait(self, name: str, what: Coroutine[Any, Any, _T], timeout: float) -> _T:
        from qemu.qmp import ConnectError, ExecuteError, QMPError

        if not self._thread.is_alive():
            what.close()
            raise MonitorError(f"{name}: the monitor is closed")
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError as error:
            future.cancel()
            raise MonitorError(f"{name}: no answer within {timeout:g} s") from error
        except asyncio.CancelledError as error:
            raise MonitorError(f"{name}: the monitor was closed") from error
        except ExecuteError as error:
            raise MonitorError(f"{name}: {error}") from error
        except ConnectError as error:
            raise MonitorError(f"no QMP session: {error}") from error
        except (QMPError, OSError, EOFError) as error:
            raise MonitorError(f"{name}: QEMU closed the monitor ({error})") from error

    def command(self, name: str, *, within: float | None = None, **arguments: Any) -> Any:
        """Runs a command and returns its result.

        Args:
            name: the command.
            within: seconds its answer may take, when it may be more than the session's.
            arguments: the command's own.

        Raises:
            MonitorError: QEMU refused it, does not answer or is gone.
        """
        return self._wait(name, self._client.execute(name, arguments), within or self._timeout)

    @contextmanager
    def events(self, *names: str) -> Iterator[Events]:
        """Events of these names (none: all) that come from now on; ask before what makes them happen."""
        listener = Events(names)
        with self._guard:
            self._listeners.append(listener)
            if self._over:
                listener.put(None)
        try:
            yield listener
        finally:
            with self._guard:
                self._listeners.remove(listener)

    def ssh_port(self) -> int:
        """The port on 127.0.0.1 that the host's kernel picked for the way in."""
        text = self.command("human-monitor-command", **INFO)
        match = _FORWARD.search(text)
        if match is None:
            raise MonitorError(f"no forwarded port in: {text!r}")
        return int(match[1])

    def processors(self) -> str:
        """Where each processor is: "processor 0 at ffffffff81e0a5cf (halted), 1 at ..."; empty if QEMU does not say."""
        places = []
        for registers in self.command("human-monitor-command", **REGISTERS).split("CPU#")[1:]:
            if place := _PLACE.search(registers):
                number = registers.split(maxsplit=1)[0]
                places.append(f"{number} at {place[1]}{' (halted)' if _HALTED.search(registers) else ''}")
        return f"processor {', '.join(places)}" if places else ""

    def close(self) -> None:
        """Ends the session; QEMU runs on. What waits for an answer or an event wakes up with a MonitorError."""
        self._tell(None)
        with contextlib.suppress(MonitorError):
            self._wait("disconnect", self._disconnect(), CLOSE_SECONDS)
        self._stop()

    async def _disconnect(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):  # how the session ended is of no interest any more
            await self._client.disconnect()

    def _stop(self) -> None:
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(CLOSE_SECONDS)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
