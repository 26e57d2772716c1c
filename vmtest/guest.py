# SPDX-License-Identifier: GPL-2.0-only
"""A guest from start to end: ``with Guest(GuestConfig(memory="1G")) as guest: guest.run(["uname", "-r"])``."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from types import TracebackType

from .config import GuestConfig
from .errors import BuildFailed, GuestLost, InvalidInput, Verdict
from .host import root as hostroot
from .images import rootfs_build, variants
from .images.hostpkgs import program
from .progress import Progress
from .qemu import command_line, snapshot
from .qemu.dump import Dumps
from .qemu.hotplug import Memory
from .qemu.machine import Machine
from .qemu.monitor import Monitor, MonitorError
from .ssh import seed
from .ssh.commands import Commands
from .ssh.keys import KeyPair

# Under software emulation with several processors QEMU 7.2 crashes about once in some hundred boots, while the kernel
# enumerates PCI (a null memory region in one processor's access while another's changes the map), and once in some
# thousand the kernel stops there. No program has run yet.
ATTEMPTS = 2


class Guest:
    """One QEMU guest. Start it with ``with`` or :meth:`start`; :meth:`close` removes it, whatever happened.

    Attributes:
        config: what the guest is made of.
        artifacts: directory that keeps the whole console (``console.log``) and QEMU's messages (``qemu.log``).
        machine: the part that is QEMU: console, monitor, clock, accelerator, machine type.
        commands: the part that runs commands and copies files.
        memory: the part that plugs and unplugs memory; ``memory.changes`` has the results.
        dumps: the part that writes the guest's memory to files.
        timings: seconds by phase ("prepare", "boot", "login").

    The methods of the parts that are used most are the guest's as well: ``run``, ``popen``, ``put``, ``get`` and
    ``settle`` of :class:`~vmtest.ssh.commands.Commands`; ``pause``, ``resume``, ``press_power_button`` and ``sysrq`` of
    :class:`~vmtest.qemu.machine.Machine`; ``plug_memory`` and ``unplug_memory``
    (:meth:`Memory.plug <vmtest.qemu.hotplug.Memory.plug>` and ``unplug``); ``dump_memory``
    (:meth:`Dumps.write <vmtest.qemu.dump.Dumps.write>`).
    """

    def __init__(
        self,
        config: GuestConfig | None = None,
        *,
        artifacts: Path | None = None,
        hold: Path | None = None,
        most_dumps: int | None = None,
    ) -> None:
        """Args:
        config: default ``GuestConfig()``.
        artifacts: directory for the console and QEMU's messages; None keeps them in memory.
        hold: start only as far as a snapshot is taken (:meth:`save`), with the memory in files in this directory.
        most_dumps: dumps in the directories beside ``artifacts``, from which on no more are made; None for no limit.
        """
        self.config = config or GuestConfig()
        if self.config.dump_on_panic and artifacts is None:
            raise InvalidInput("dump_on_panic: True: there is no directory for the dump; give the guest's artifacts")
        self.artifacts = artifacts
        self.timings: dict[str, float] = {}
        self._hold = hold
        self._snapshot: snapshot.Snapshot | None = None
        self._seed_blocks = 0
        self._notes: list[str] = []
        self.machine = Machine(self.config, artifacts, self._on_end)
        self.commands = Commands(self.machine)
        self.memory = Memory(self.machine, self.commands.code)
        self.dumps = Dumps(self.machine, most_dumps)
        self.run, self.popen, self.settle = self.commands.run, self.commands.popen, self.commands.settle
        self.put, self.get = self.commands.put, self.commands.get
        self.pause, self.resume = self.machine.pause, self.machine.resume
        self.press_power_button, self.sysrq = self.machine.press_power_button, self.machine.sysrq
        self.plug_memory, self.unplug_memory = self.memory.plug, self.memory.unplug
        self.dump_memory = self.dumps.write

    def __enter__(self) -> Guest:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Guest:
        """Boots and logs in; builds the kernel and the image first when there are none.

        Raises:
            InvalidInput: a file of the configuration is wrong.
            MachineLacks: the host has no QEMU, too little memory or disk, or misses a package.
            GuestLost: the guest did not come up; the verdict has the reason, the excerpt the console.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._boot()
                break
            except GuestLost as lost:
                what = self._emulators_fault(lost)
                self.close()
                if not what or attempt + 1 == ATTEMPTS:
                    raise
                self._notes.append(f"{what} while booting and was started again: {lost.summary}")
            except BaseException:
                self.close()
                raise
        return self

    def _emulators_fault(self, lost: GuestLost) -> str:
        """What failed in a way that emulation explains, before the guest ran a program; empty for any other loss."""
        machine, console = self.machine, self.machine.watched
        if console is None:
            return ""
        if console.qemu_crashed:
            return "QEMU crashed"
        in_parallel = machine.accelerator == "tcg" and self.config.icount is None and self.config.cpus > 1
        silent = lost.verdict is Verdict.SILENT and in_parallel and console.kernel_only
        return "the guest failed" if console.clock_wrong or silent else ""

    def _boot(self) -> None:
        begun = time.monotonic()
        host, client = KeyPair.fresh(), KeyPair.fresh()
        reached = self._launch(host, client)
        launched = time.monotonic()
        port = self._wait(reached)
        booted = time.monotonic()
        self.timings = {"prepare": launched - begun, "boot": booted - launched}
        if self._hold:
            (self._hold / "host_key").write_text(host.public_blob.hex())
            return
        self.commands.connect(port, self._snapshot.host_key if self._snapshot else host.public_blob, client)
        if self.config.root and hostroot.READY not in self.console_text:
            what = f"image {self.config.rootfs} is too old for 'root'"
            raise self.machine.console.give_up(Verdict.SETUP_FAILED, what)
        self.commands.set_up()
        self.timings["login"] = time.monotonic() - booted

    def _launch(self, host: KeyPair, client: KeyPair) -> threading.Event:
        """Starts QEMU; returns the event that is set once the guest is up."""
        config, machine = self.config, self.machine
        kernel, rootfs = self._files()
        machine.choose(kernel)
        files = self._snapshot_files(kernel, rootfs)
        seed_disk = machine.make_directory() / "seed.tar"
        given = {
            "host_key": (host.private, 0o600),
            "authorized_keys": (client.public_line, 0o600),
            "settings": (seed.settings(config), 0o644),
        }
        seed.write(seed_disk, given, config.tree_list)
        if config.snapshot:
            self._seed_blocks = snapshot.enlarge_seed(seed_disk)
        shown = self._snapshot.console if self._snapshot else b""
        reached = machine.start(kernel, rootfs, seed_disk, files, shown, snapshot.HOLDING if self._hold else "")
        self.commands.prepare()  # while the guest boots
        return reached

    def _files(self) -> tuple[Path, Path]:
        """Kernel image and root file system, built where they are not there, when the host can run them."""
        config = self.config
        command_line.check_memory(config)
        program(config.arch.qemu)
        if config.image:
            rootfs_build.check_image(config.image, config.arch)
        kernel = config.kernel if isinstance(config.kernel, Path) else variants.variant(config.kernel).obtain().image
        if config.root:
            hostroot.check_qemu(config.arch.qemu)
            hostroot.check_kernel(config.root, str(config.kernel), kernel)
        return kernel, config.image or rootfs_build.obtain(config.arch, config.packages).image

    def _snapshot_files(self, kernel: Path, rootfs: Path) -> command_line.SnapshotFiles | None:
        if not self.config.snapshot:
            return None
        if self._hold:
            return snapshot.prepare_memory(self._hold, self.config)
        machine = self.machine
        self._snapshot = snapshot.obtain(self.config, kernel, rootfs, machine.accelerator, machine.type, _take_snapshot)
        return self._snapshot.files

    def _on_end(self) -> None:
        self.dumps.lost()
        self.commands.close()

    def _wait(self, reached: threading.Event) -> int:
        """Waits until the guest has come so far; returns the port of its SSH server."""
        console, limits = self.machine.console, self.config.timeouts
        started = time.monotonic()
        try:
            monitor = self.machine.connect_monitor()
            self.dumps.watch()
            port = monitor.ssh_port()
            if self._snapshot:
                snapshot.go_on(monitor, self._snapshot.directory / "state")
                console.type(b"%d %d\n" % (self._seed_blocks, time.time()))
        except MonitorError as error:
            console.ended.wait(3.0)
            raise console.lost or console.give_up(Verdict.QEMU_DIED, f"its monitor does not answer: {error}") from error
        while not reached.wait(0.01):
            now = time.monotonic()
            if console.lost:
                raise console.lost
            if now - console.last_byte > limits.silence:
                places = self.machine.processors()
                self.machine.dump_tasks_if_kept()
                silent = f"nothing on the console for {limits.silence:g} s while booting"
                raise console.give_up(Verdict.SILENT, f"{silent}; {places}" if places else silent)
            if now - started > limits.boot:
                self.machine.dump_tasks_if_kept()
                raise console.give_up(Verdict.BOOT_TIMEOUT, f"not up within {limits.boot:g} s")
        return port

    def save(self, path: Path) -> None:
        """Saves the state of the devices of a guest with ``hold``; it does not run any more afterwards.

        Raises:
            BuildFailed: QEMU could not.
        """
        try:
            snapshot.save(self.monitor, path)
        except MonitorError as error:
            raise BuildFailed(f"snapshot: {error}") from error

    @property
    def monitor(self) -> Monitor:
        """QEMU's monitor (QMP)."""
        return self.machine.monitor

    @property
    def accelerator(self) -> str:
        """ "kvm" or "tcg", after start."""
        return self.machine.accelerator

    @property
    def command_line(self) -> list[str]:
        """QEMU's, after start."""
        return self.machine.command_line

    @property
    def console_text(self) -> str:
        """The last lines of the console."""
        return self.machine.watched.tail(5000) if self.machine.watched else ""

    @property
    def warnings(self) -> list[str]:
        """What matters without ending the guest: WARNING, stalls, OOM kills, failed parts of its setup, a restart."""
        incomplete = [change.text for change in self.memory.changes if not change.complete]
        console = self.machine.watched
        return self._notes + (console.warnings if console else []) + incomplete + self.dumps.notes

    @property
    def lost(self) -> GuestLost | None:
        """Why the guest is gone, or None while it lives."""
        return self.machine.watched.lost if self.machine.watched else None

    def poweroff(self, timeout: float = 30.0) -> None:
        """Shuts down in order (file systems synced, swap off) and waits for it.

        By a command in the guest, which needs no ACPI in its kernel; :meth:`press_power_button` does.

        Raises:
            GuestLost: it ended in another way.
        """
        # It may be faster than its answer.
        with contextlib.suppress(GuestLost):
            # busybox init's own way; a root of the host may lack "poweroff".
            self.run("kill -USR2 1", timeout=timeout, cgroup="")
        if not self.machine.console.ended.wait(timeout):
            raise self.machine.console.give_up(Verdict.HUNG, f"not powered off within {timeout:g} s")
        self.machine.need_powered_off()

    def close(self) -> None:
        """Ends the guest and removes all it left on the host; waits for nothing but a dump. May be called twice."""
        self.dumps.kept()
        self.commands.close()
        self.machine.close()


def _take_snapshot(config: GuestConfig, directory: Path, progress: Progress) -> None:
    progress.update("booting")
    with Guest(config, artifacts=directory, hold=directory) as guest:
        progress.update("saving")
        guest.save(directory / "state")
