# SPDX-License-Identifier: GPL-2.0-only
"""What can be done to a guest's machine while it runs: pause it, change its memory and keep it, press its button."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import specs
from .config import GuestConfig
from .errors import GuestLost, HarnessError, InvalidInput, Verdict
from .qemu import dump, hotplug, sysrq
from .qemu.clock import Clock
from .qemu.console import Console
from .qemu.monitor import Monitor, MonitorError
from .ssh import arrange

if TYPE_CHECKING:
    from .ssh.connection import Link


class Controls:
    """The part of a guest that speaks with its machine."""

    config: GuestConfig
    artifacts: Path | None
    _console: Console | None
    _monitor: Monitor | None
    _link: Link | None

    def __init__(self) -> None:
        self.clock = Clock()
        self.memory_changes: list[hotplug.Change] = []
        self._memory: hotplug.Memory | None = None
        self._keeper: dump.Keeper | None = None
        #: Dumps in the folders beside ``artifacts`` from which on no more are made; None: no limit.
        self.dumps_most: int | None = None

    def _machine(self) -> Monitor:
        if self._monitor is None or self._console is None or self._link is None:
            raise RuntimeError("the guest is not started; use it in a with statement or call start()")
        if self._console.lost:
            raise self._console.lost
        return self._monitor

    # Time.

    def pause(self) -> None:
        """Stops the guest's processors and its clocks. It answers nothing until :meth:`resume`, and limits of commands
        that run stand still; new commands are refused.

        Raises:
            GuestLost: the guest is gone.
            MonitorError: QEMU is gone.
        """
        monitor = self._machine()
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
        self._machine().command("cont")
        self.clock.go()

    @property
    def paused(self) -> bool:
        """Whether it was paused."""
        return self.clock.stopped

    def press_power_button(self, timeout: float = 30.0) -> None:
        """Presses the ACPI power button and waits until the guest has shut itself down.

        It takes a kernel with CONFIG_ACPI_BUTTON and a program that listens (logind, acpid). The kernels and the root
        file system that are built here have neither: :meth:`Guest.poweroff` is for them.

        Raises:
            HarnessError: the guest did not listen; it runs on.
            GuestLost: it ended in another way.
            MonitorError: QEMU is gone.
        """
        monitor = self._machine()
        self._link_of().need_running()
        assert self._console is not None
        monitor.command("system_powerdown")
        if not self._console.ended.wait(timeout):
            raise HarnessError(
                f"power button: the guest is still up after {timeout:g} s; nothing in it listens to ACPI"
            )
        if self._console.lost and self._console.lost.verdict is not Verdict.POWERED_OFF:
            raise self._console.lost

    def sysrq(self, letters: str) -> None:
        """Magic SysRq keys through the serial line, which works when no command does: "w" blocked tasks, "t" all.

        Raises:
            MonitorError: QEMU is gone.
        """
        if self._monitor is None or self._console is None:
            raise RuntimeError("the guest is not started; use it in a with statement or call start()")
        sysrq.press(self._monitor, self._console, letters)

    def dump_tasks(self) -> None:
        """Has the kernel write all its tasks to the console, as far as it still can; takes up to some seconds."""
        if self._monitor is not None and self._console is not None:
            sysrq.dump_tasks(self._monitor, self._console)

    # Memory.

    def plug_memory(self, size: str | int, *, node: int = 0, timeout: float = 120.0) -> hotplug.Change:
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

    def unplug_memory(self, size: str | int, *, node: int = 0, timeout: float = 120.0) -> hotplug.Change:
        """Takes plugged memory back, moving away what is in it; arguments and errors as for :meth:`plug_memory`.

        Returns:
            how much it gave: memory in use that has nowhere to go stays.
        """
        return self._change(-specs.piece(size, "unplug_memory"), node, timeout)

    def _change(self, delta: int, node: int, timeout: float) -> hotplug.Change:
        monitor = self._machine()
        self._link_of().need_running()
        if self._memory is None:
            self._memory = hotplug.Memory(monitor, self.config.spare_bytes, self.config.numa, self._shell)
        try:
            change = self._memory.change(delta, node, timeout)
        except MonitorError:
            self._machine()  # a lost guest is the reason, and says so
            raise
        self.memory_changes.append(change)
        return change

    def _shell(self, line: str) -> int:
        return self._link_of().start(line, {}).wait(arrange.SECONDS).returncode

    def _link_of(self) -> Link:
        assert self._link is not None
        return self._link

    def _arrange(self) -> None:
        """What the configuration asks for inside the guest, before its first command."""
        if text := arrange.script(self.config):
            result = self._link_of().start(text, {}).wait(arrange.SECONDS)
            if result.returncode:
                assert self._console is not None
                why = result.errors.strip().splitlines()
                raise self._console.give_up(Verdict.SETUP_FAILED, why[-1] if why else "its set-up was refused")

    # What is left of it.

    def dump_memory(self, path: Path | str, *, timeout: float = dump.SECONDS) -> None:
        """Writes the guest's memory to a file that ``crash`` and ``drgn`` read; the guest stands still meanwhile.

        Raises:
            InvalidInput: there is no such folder, or no room in it.
            GuestLost: the guest is gone.
            MonitorError: QEMU could not write it; no file is left.
        """
        monitor, path = self._machine(), Path(path).absolute()
        if not path.parent.is_dir():
            raise InvalidInput(f"dump {str(path)!r}: there is no such folder; make it first")
        if why := dump.lacks_room(path.parent, self.config.most_bytes):
            raise InvalidInput(f"dump {str(path)!r}: {why}; free some, or write it elsewhere")
        dump.write(monitor, path, timeout)

    def _keep_dump(self) -> None:
        """Has a lost guest's memory kept, where the configuration says so."""
        if self.config.dump_on_panic and self.artifacts and self._monitor and self._console:
            size = self.config.most_bytes
            keeper = dump.Keeper(self._monitor, self._console, self.artifacts, size, self.dumps_most)
            self._keeper = keeper
            keeper.start()
            if self._console.lost:
                keeper.lost()

    def _ended(self) -> None:
        if self._keeper:
            self._keeper.lost()

    @property
    def dump_notes(self) -> list[str]:
        """Why a lost guest's memory was not kept although it was to be."""
        return [self._keeper.note] if self._keeper and self._keeper.note else []

    def memory_dump(self, timeout: float = dump.SECONDS) -> Path | None:
        """The dump of a lost guest, waited for while it is written; None: there is none, and ``warnings`` says why."""
        if self._keeper is None or self._console is None or not isinstance(self._console.lost, GuestLost):
            return None
        self._keeper.done.wait(timeout)
        return self._keeper.path
