# SPDX-License-Identifier: GPL-2.0-only
"""A guest from start to end: ``with Guest(GuestConfig(memory="1G")) as guest: guest.run(["uname", "-r"])``."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from .commands import Commands
from .config import GuestConfig
from .errors import BuildFailed, GuestLost, InvalidInput, Verdict
from .host import clock as hostclock
from .host import root as hostroot
from .images import rootfs_build, variants
from .images.hostpkgs import program
from .progress import Progress
from .qemu import accel, command_line, machine_type, run_directory, snapshot, supervisor
from .qemu.console import Console
from .qemu.monitor import Monitor, MonitorError
from .ssh import seed
from .ssh.keys import KeyPair

if TYPE_CHECKING:
    from .ssh.connection import Link

# Under software emulation with several processors QEMU 7.2 crashes about once in some hundred boots, while the kernel
# enumerates PCI (a null memory region in one processor's access while another's changes the map). Nothing has run yet.
ATTEMPTS = 2
# The supervisor has QEMU to kill and a folder to remove.
CLOSE_SECONDS = 15.0


class Guest(Commands):
    """One QEMU guest. Start it with ``with`` or :meth:`start`, and it is gone after :meth:`close`, whatever happens.

    Attributes:
        config: what it was made of.
        accelerator: "kvm" or "tcg", after start.
        machine_type: "light" or "q35" with what that means, after start.
        timings: seconds by phase ("prepare", "boot", "login").
        artifacts: a folder that keeps the whole console (``console.log``) and what QEMU said (``qemu.log``).
        memory_changes: what became of memory that was plugged and unplugged.
    """

    def __init__(
        self, config: GuestConfig | None = None, *, artifacts: Path | None = None, hold: Path | None = None
    ) -> None:
        """Args:
        config: default ``GuestConfig()``.
        artifacts: where console and QEMU's words are kept; None keeps them in memory.
        hold: start only as far as a snapshot is taken (:meth:`save`), with the memory in files in this folder.
        """
        super().__init__()
        self.config = config or GuestConfig()
        if self.config.dump_on_panic and artifacts is None:
            raise InvalidInput("dump_on_panic needs a folder for the dump; give the guest's artifacts")
        self.artifacts = artifacts
        self._hold = hold
        self._snapshot: snapshot.Snapshot | None = None
        self._seed_blocks = 0
        self.accelerator = ""
        self.machine_type = machine_type.Q35
        self.command_line: list[str] = []
        self.timings: dict[str, float] = {}
        self._folder: Path | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._sockets: list[socket.socket] = []
        self._console: Console | None = None
        self._monitor: Monitor | None = None
        self._link: Link | None = None
        self._notes: list[str] = []

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
            MachineLacks: the host has no QEMU, no room, or misses a package.
            GuestLost: it did not come up; the verdict says how, the excerpt shows the console.
        """
        for attempt in range(ATTEMPTS):
            try:
                self._boot()
                break
            except GuestLost as lost:
                crashed = self._console is not None and (self._console.qemu_crashed or self._console.clock_wrong)
                what = "QEMU crashed" if self._console and self._console.qemu_crashed else "the guest failed"
                self.close()
                if not crashed or attempt + 1 == ATTEMPTS:
                    raise
                self._notes.append(f"{what} while booting and was started again: {lost.summary}")
            except BaseException:
                self.close()
                raise
        return self

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
        assert self._link is not None
        shown = self._snapshot.host_key if self._snapshot else host.public_blob
        self._link.connect(port, shown, client, self.config.timeouts.login)
        if self.config.root and hostroot.READY not in self.console_text:
            assert self._console is not None
            raise self._console.give_up(Verdict.SETUP_FAILED, f"image {self.config.rootfs} is too old for 'root'")
        self._arrange()
        self.timings["login"] = time.monotonic() - booted

    def _launch(self, host: KeyPair, client: KeyPair) -> threading.Event:
        """Starts QEMU; returns what is set once the guest is up."""
        config = self.config
        command_line.check_memory(config)
        program(config.arch.qemu)
        if config.image:
            rootfs_build.check_image(config.image, config.arch)
        kernel = config.kernel if isinstance(config.kernel, Path) else variants.variant(config.kernel).obtain().image
        if config.root:
            hostroot.check_qemu(config.arch.qemu)
            hostroot.check_kernel(config.root, str(config.kernel), kernel)
        rootfs = config.image or rootfs_build.obtain(config.arch).image
        self.accelerator = accel.choose("tcg" if config.icount is not None else config.accelerator, kernel).name
        self.machine_type = machine_type.choose(config)
        files = self._snapshot_files(kernel, rootfs)
        self._folder = run_directory.make()
        given = {
            "host_key": (host.private, 0o600),
            "authorized_keys": (client.public_line, 0o600),
            "settings": (seed.settings(config), 0o644),
        }
        seed_disk = self._folder / "seed.tar"
        seed.write(seed_disk, given, config.tree_list)
        if config.snapshot:
            self._seed_blocks = snapshot.enlarge_seed(seed_disk)
        swap_disk = None
        if config.swap_device and config.swap_device.kind == "disk":
            swap_disk = self._folder / "swap.img"
            with swap_disk.open("wb") as stream:
                stream.truncate(config.swap_device.size)
        console_here, console_there = socket.socketpair()
        monitor_here, monitor_there = socket.socketpair()
        self._sockets = [console_here, monitor_here]
        with console_there, monitor_there:
            passed = (console_there.fileno(), monitor_there.fileno())
            parts = command_line.Parts(
                kernel, rootfs, seed_disk, swap_disk, *passed, self.accelerator, self.machine_type, files,
                hostclock.tsc_khz(config.arch, self.accelerator, config.icount),
            )  # fmt: skip
            self.command_line = command_line.build(config, parts)
            self._supervisor = supervisor.spawn(self._folder, passed, self.command_line)
        log = self.artifacts / "console.log" if self.artifacts else None
        self._console = Console(console_here, self._folder, log=log, tolerate=config.tolerated)
        self._console.on_end = self._on_end
        if self._snapshot:
            self._console.recall(self._snapshot.console)
        reached = self._console.expect(snapshot.HOLDING) if self._hold else self._console.ready
        self._console.start()
        # The SSH library takes its time to load, and the guest to boot: both at once.
        from .ssh.connection import Link

        self._link = Link(self._console, self.clock)
        return reached

    def _on_end(self) -> None:
        self._ended()
        if self._link:
            self._link.close()

    def _snapshot_files(self, kernel: Path, rootfs: Path) -> command_line.SnapshotFiles | None:
        if not self.config.snapshot:
            return None
        if self._hold:
            return snapshot.prepare_memory(self._hold, self.config)
        self._snapshot = snapshot.obtain(
            self.config, kernel, rootfs, self.accelerator, self.machine_type, _take_snapshot
        )
        return self._snapshot.files

    def _wait(self, reached: threading.Event) -> int:
        """Waits until the guest has come so far; returns the port of its SSH server."""
        assert self._console is not None
        console, limits = self._console, self.config.timeouts
        started = time.monotonic()
        try:
            self._monitor = Monitor(self._sockets[1])
            self._keep_dump()
            port = self._monitor.ssh_port()
            if self._snapshot:
                snapshot.go_on(self._monitor, self._snapshot.folder / "state")
                console.type(b"%d %d\n" % (self._seed_blocks, time.time()))
        except MonitorError as error:
            console.ended.wait(3.0)
            raise console.lost or console.give_up(Verdict.QEMU_DIED, f"its monitor does not answer: {error}") from error
        while not reached.wait(0.01):
            now = time.monotonic()
            if console.lost:
                raise console.lost
            if now - console.last_byte > limits.silence:
                self._last_words()
                raise console.give_up(Verdict.SILENT, f"nothing on the console for {limits.silence:g} s while booting")
            if now - started > limits.boot:
                self._last_words()
                raise console.give_up(Verdict.BOOT_TIMEOUT, f"not up within {limits.boot:g} s")
        return port

    def save(self, path: Path) -> None:
        """Saves the devices' state of a guest that holds; it does not run any more afterwards.

        Raises:
            BuildFailed: QEMU could not.
        """
        assert self._monitor is not None
        try:
            snapshot.save(self._monitor, path)
        except MonitorError as error:
            raise BuildFailed(f"snapshot: {error}") from error

    @property
    def console_text(self) -> str:
        """The last lines of the console."""
        return self._console.tail(5000) if self._console else ""

    @property
    def warnings(self) -> list[str]:
        """What matters without ending the guest: WARNING, stalls, OOM kills, failed parts of its setup, a restart."""
        incomplete = [change.text for change in self.memory_changes if not change.complete]
        return self._notes + (self._console.warnings if self._console else []) + incomplete + self.dump_notes

    @property
    def lost(self) -> GuestLost | None:
        """Why the guest is gone, or None while it lives."""
        return self._console.lost if self._console else None

    def poweroff(self, timeout: float = 30.0) -> None:
        """Shuts down in order (file systems synced, swap off) and waits for it.

        By a command in the guest, which needs nothing of its kernel; :meth:`press_power_button` is the machine's way.

        Raises:
            GuestLost: it ended in another way.
        """
        assert self._console is not None
        # It may be faster than its answer.
        with contextlib.suppress(GuestLost):
            # busybox init's own way; a root of the host may lack "poweroff".
            self.run("kill -USR2 1", timeout=timeout, cgroup="")
        if not self._console.ended.wait(timeout):
            raise self._console.give_up(Verdict.HUNG, f"not powered off within {timeout:g} s")
        if self._console.lost and self._console.lost.verdict is not Verdict.POWERED_OFF:
            raise self._console.lost

    def close(self) -> None:
        """Ends the guest and removes all it left on the host; waits for nothing but a dump. May be called twice."""
        self.memory_dump()
        if self.artifacts and self._console and self._supervisor:
            with contextlib.suppress(OSError):  # a full disk keeps nobody from ending the guest
                (self.artifacts / "qemu.log").write_text(self._console.qemu_log(), encoding="utf-8")
        if self._link:
            self._link.close()
        if self._monitor:
            self._monitor.close()
        if self._console:
            self._console.give_up(Verdict.CLOSED, "it was closed")
        process, self._supervisor = self._supervisor, None
        if process:
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
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        if self._console and self._console.is_alive():
            self._console.join(5)
        for sock in self._sockets:
            sock.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)


def _take_snapshot(config: GuestConfig, folder: Path, progress: Progress) -> None:
    progress.update("booting")
    with Guest(config, artifacts=folder, hold=folder) as guest:
        progress.update("saving")
        guest.save(folder / "state")
