# SPDX-License-Identifier: GPL-2.0-only
"""A guest's virtual machine: QEMU under its supervisor, the serial console, the monitor, the clock."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from ..config import GuestConfig
from ..errors import HarnessError, Verdict
from ..host import clock as hostclock
from ..patience import patient
from . import accel, command_line, machine_type, run_directory, supervisor, sysrq
from .clock import Clock
from .console import Console
from .monitor import ANSWER_SECONDS, Monitor, MonitorError

# The supervisor kills QEMU and removes a directory.
CLOSE_SECONDS = 15.0
Part = TypeVar("Part", Console, Monitor)
NOT_STARTED = "the guest is not started; use it in a with statement or call start()"


class Machine:
    """One virtual machine, from the start of QEMU to its end.

    Attributes:
        accelerator: "kvm" or "tcg", after :meth:`choose`.
        type: the machine type, "light" or "q35", after :meth:`choose`.
        clock: the guest's time, which stands still while it is paused.
        directory: of this run, after :meth:`make_directory`; removed by :meth:`close`.
        watched: the console; None before :meth:`start`. It stays after :meth:`close`.
    """

    def __init__(self, config: GuestConfig, artifacts: Path | None, on_end: Callable[[], object]) -> None:
        """Args:
        config: of the guest.
        artifacts: directory for ``console.log`` and ``qemu.log``; None keeps them in memory.
        on_end: called once the guest is lost.
        """
        self.config = config
        self.artifacts = artifacts
        self.clock = Clock()
        self.accelerator = ""
        self.type = machine_type.Q35
        self.command_line: list[str] = []
        self.directory: Path | None = None
        self.watched: Console | None = None
        self._on_end = on_end
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._sockets: list[socket.socket] = []
        self._monitor: Monitor | None = None

    @property
    def console(self) -> Console:
        """The serial console; RuntimeError while the guest is not started."""
        return _started(self.watched)

    @property
    def monitor(self) -> Monitor:
        """QEMU's monitor; RuntimeError while the guest is not started."""
        return _started(self._monitor)

    def running(self) -> Monitor:
        """The monitor of a guest that is not lost.

        Raises:
            GuestLost: it is.
            RuntimeError: the guest is not started.
        """
        if self.console.lost:
            raise self.console.lost
        return self.monitor

    def choose(self, kernel: Path) -> None:
        """Chooses accelerator and machine type for a kernel image."""
        config = self.config
        self.accelerator = accel.choose("tcg" if config.icount is not None else config.accelerator, kernel).name
        self.type = machine_type.choose(config)

    def make_directory(self) -> Path:
        """Makes the run's directory."""
        self.directory = run_directory.make()
        return self.directory

    def start(
        self,
        kernel: Path,
        rootfs: Path,
        seed_disk: Path,
        files: command_line.SnapshotFiles | None = None,
        shown: bytes = b"",
        until: str = "",
    ) -> threading.Event:
        """Starts QEMU in the run's directory.

        Args:
            kernel: its image.
            rootfs: its root file system.
            seed_disk: see :mod:`vmtest.ssh.seed`.
            files: of the snapshot that it goes on from, or that is made of it.
            shown: what the console of that snapshot has shown.
            until: a text on the console; empty for "its SSH server listens".

        Returns:
            the event that is set once the console has shown that.
        """
        console = self.watched = self._spawn(kernel, rootfs, seed_disk, files)
        if shown:
            console.recall(shown)
        reached = console.expect(until) if until else console.ready
        console.start()
        return reached

    def _spawn(self, kernel: Path, rootfs: Path, seed_disk: Path, files: command_line.SnapshotFiles | None) -> Console:
        config, directory = self.config, self.directory
        assert directory is not None
        swap_disk = None
        if config.swap_device and config.swap_device.kind == "disk":
            swap_disk = directory / "swap.img"
            with swap_disk.open("wb") as stream:
                stream.truncate(config.swap_device.size)
        console_here, console_there = socket.socketpair()
        monitor_here, monitor_there = socket.socketpair()
        self._sockets = [console_here, monitor_here]
        with console_there, monitor_there:
            passed = (console_there.fileno(), monitor_there.fileno())
            khz = hostclock.tsc_khz(config.arch, self.accelerator, config.icount)
            parts = command_line.Parts(
                kernel, rootfs, seed_disk, swap_disk, *passed, self.accelerator, self.type, files, khz
            )
            self.command_line = command_line.build(config, parts)
            self._supervisor = supervisor.spawn(directory, passed, self.command_line)
        log = self.artifacts / "console.log" if self.artifacts else None
        console = Console(console_here, directory, log=log, tolerate=config.tolerated)
        console.on_end = self._on_end
        return console

    def connect_monitor(self) -> Monitor:
        """Connects to QEMU's monitor.

        Raises:
            MonitorError: QEMU is gone.
        """
        self._monitor = Monitor(self._sockets[1], patient(ANSWER_SECONDS))
        return self._monitor

    def pause(self) -> None:
        """Stops the guest's processors and clocks. Time limits of its commands stand still; new commands are refused.

        Raises:
            GuestLost: the guest is gone.
            MonitorError: QEMU is gone.
        """
        monitor = self.running()
        self.clock.stop()
        try:
            monitor.command("stop")
        except MonitorError:
            self.clock.go()
            raise

    def resume(self) -> None:
        """Lets a paused guest go on; for the guest no time has passed.

        Raises:
            GuestLost: the guest is gone.
            MonitorError: QEMU is gone.
        """
        self.running().command("cont")
        self.clock.go()

    def press_power_button(self, timeout: float = 30.0) -> None:
        """Presses the ACPI power button and waits until the guest has shut itself down.

        This needs a kernel with CONFIG_ACPI_BUTTON and a program that listens (logind, acpid). The kernels and the root
        file system that are built here have neither: use :meth:`vmtest.Guest.poweroff` for them.

        Raises:
            HarnessError: the guest did not react; it still runs.
            GuestLost: it ended in another way.
            MonitorError: QEMU is gone.
        """
        monitor = self.running()
        self.clock.need_running()
        monitor.command("system_powerdown")
        if not self.console.ended.wait(timeout):
            raise HarnessError(
                f"power button: the guest is still up after {timeout:g} s; run a program in it that listens to ACPI"
            )
        self.need_powered_off()

    def need_powered_off(self) -> None:
        """Raises GuestLost when the guest ended in any way but being switched off."""
        if self.console.lost and self.console.lost.verdict is not Verdict.POWERED_OFF:
            raise self.console.lost

    def sysrq(self, letters: str) -> None:
        """Presses magic SysRq keys on the serial line, with no command in the guest: "w" shows blocked tasks, "t" all.

        Raises:
            MonitorError: QEMU is gone.
        """
        sysrq.press(self.monitor, self.console, letters)

    def processors(self) -> str:
        """Where the processors are (:meth:`Monitor.processors`), or why QEMU does not say."""
        try:
            return self.monitor.processors()
        except MonitorError as error:
            return f"QEMU's monitor: {error}"

    def dump_tasks(self) -> None:
        """Makes the kernel write all its tasks to the console, as far as it still can; takes some seconds."""
        if self._monitor is not None:
            sysrq.dump_tasks(self._monitor, self.console)

    def dump_tasks_if_kept(self) -> None:
        """:meth:`dump_tasks`, where the console is kept in a file."""
        if self.artifacts:
            self.dump_tasks()

    def close(self) -> None:
        """Ends QEMU and removes the run's directory. May be called twice."""
        console, process = self.watched, self._supervisor
        if self.artifacts and console and process:
            with contextlib.suppress(OSError):  # a full disk does not keep the guest from ending
                (self.artifacts / "qemu.log").write_text(console.qemu_log(), encoding="utf-8")
        if self._monitor:
            self._monitor.close()
        if console:
            console.give_up(Verdict.CLOSED, "it was closed")
        self._supervisor = None
        if process:
            _end(process)
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if console and console.is_alive():
            console.join(5)
        for sock in self._sockets:
            sock.close()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)


def _started(part: Part | None) -> Part:
    if part is None:
        raise RuntimeError(NOT_STARTED)
    return part


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a supervisor, and QEMU with it."""
    assert process.stdin is not None
    # A word, not only the end of file: a process forked meanwhile may hold the pipe open.
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(b"end")
        process.stdin.close()
    try:
        process.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()  # QEMU dies with it
        process.wait()
