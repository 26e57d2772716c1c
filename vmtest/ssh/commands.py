# SPDX-License-Identifier: GPL-2.0-only
"""Runs commands in a guest, copies files, and checks whether the guest still answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import CommandTimeout, GuestLost, Verdict
from ..patience import START_SECONDS, patient
from ..qemu.machine import NOT_STARTED, Machine
from . import arrange
from .process import start

if TYPE_CHECKING:
    import paramiko

    from ..untrusted import Limits
    from .connection import Link
    from .keys import KeyPair
    from .process import Process, Result, Sink

# A guest that swaps heavily still answers in this time.
PROBE_SECONDS = 20.0


class Commands:
    """The commands of one guest.

    Args:
        machine: the guest's.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._config = machine.config
        self._link: Link | None = None
        self._marks = 0

    def prepare(self) -> None:
        """Loads the SSH library, which takes as long as a part of the guest's boot."""
        from .connection import Link

        self._link = Link(self._machine.console, self._machine.clock)

    def connect(self, port: int, host_key: bytes, client: KeyPair) -> None:
        """Logs in.

        Raises:
            GuestLost: the guest refused it, or did not answer in time.
        """
        self._need_link().connect(port, host_key, client, self._config.timeouts.login)

    def set_up(self) -> None:
        """Sets up what the configuration asks for inside the guest, before its first command.

        Raises:
            GuestLost: its kernel refused something.
        """
        if text := arrange.script(self._config):
            result = start(self._need_link(), text, {}).wait(arrange.SECONDS)
            if result.returncode:
                why = result.errors.strip().splitlines()
                message = why[-1] if why else "its set-up was refused"
                raise self._machine.console.give_up(Verdict.SETUP_FAILED, message)

    def close(self) -> None:
        """Ends the connection; commands that are waited for end with GuestLost."""
        if self._link:
            self._link.close()

    def code(self, line: str) -> int:
        """Runs a line of shell in the plain environment; returns its exit code."""
        return start(self._need_link(), line, {}).wait(arrange.SECONDS).returncode

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float | None = None,
        input: bytes | Iterable[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
        check: bool = False,
        cgroup: str | None = None,
    ) -> Result:
        """Runs a command to its end, as root.

        Args:
            command: a list of words, or a line for ``sh -c``.
            timeout: seconds (default ``config.timeouts.command``).
            input: bytes (or pieces of them) for its standard input.
            env: added to the environment of ``config.env``.
            cwd: working directory in the guest.
            stdout, stderr: called with each piece as it comes, instead of collecting it.
            check: raise when the exit code is not 0.
            cgroup: path of its control group ("": the shell's; default ``config.in_cgroup``); 126 if it does not exist.

        Raises:
            CommandTimeout: not in time, guest fine; the command was killed.
            GuestLost: the guest is gone; the command has no result.
            subprocess.CalledProcessError: with ``check``.
        """
        limit = self._config.timeouts.command if timeout is None else timeout
        process = self.popen(command, input=input, env=env, cwd=cwd, stdout=stdout, stderr=stderr, cgroup=cgroup)
        try:
            result = process.wait(limit)
        except CommandTimeout as error:
            if not self._answers():
                raise self._lost_or_hung(f"no answer after a command's timeout ({error})") from error
            process.kill()
            raise
        return result.check() if check else result

    def popen(
        self,
        command: str | Sequence[str],
        *,
        input: bytes | Iterable[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
        cgroup: str | None = None,
    ) -> Process:
        """Starts a command and returns at once; arguments as for :meth:`run`.

        Raises:
            GuestLost: the guest is gone.
        """
        pieces = (input,) if isinstance(input, bytes) else input
        group = self._config.in_cgroup if cgroup is None else cgroup
        environment = {**self._config.env, **(env or {})}
        return start(self._need_link(), command, environment, cwd, pieces, stdout, stderr, cgroup=group)

    def terminal(
        self, command: Sequence[str], kind: str, columns: int, lines: int, cwd: str | None = None
    ) -> paramiko.Channel:
        """Starts a command on a terminal in the guest, for a person.

        Raises:
            GuestLost: the guest is gone.
        """
        return self._need_link().terminal(command, self._config.env, kind, columns, lines, cwd)

    def put(self, host: Path | str, guest: str, *, exclude: tuple[str, ...] = (), timeout: float = 300.0) -> None:
        """Copies a file or a directory with its content to the path ``guest``.

        Raises:
            InvalidInput: ``host`` does not exist.
            subprocess.CalledProcessError: the guest has no room or no such place.
        """
        from . import transfer

        command, stream = transfer.pack(Path(host), guest, exclude)
        self.run(command, input=transfer.chunks(stream), timeout=timeout, check=True, cgroup="")

    def get(self, guest: str, host: Path | str, *, timeout: float = 300.0, limits: Limits | None = None) -> None:
        """Copies a file or a directory with its content out of the guest to the path ``host``.

        A guest is not trusted: it sends that file or directory, or all of it is refused. So are links that lead
        out of it, devices and the like; set-user-id and such bits are taken away. A directory that is there keeps its
        other files.

        Args:
            guest: an absolute path.
            host: becomes it.
            timeout: seconds it may take.
            limits: bytes and entries that are taken; default 8 GiB and 200000.

        Raises:
            ForeignContent: the guest sent something else, or too much; nothing is written.
            InvalidInput: the path in the guest is none.
            subprocess.CalledProcessError: there is no such path in the guest.
        """
        from .. import untrusted
        from . import transfer

        received = transfer.Received(limits or untrusted.Limits())
        try:
            result = self.run(transfer.fetch_command(guest), stdout=received.write, timeout=timeout, cgroup="")
            if not received.over:
                result.check()
            received.unpack(guest, Path(host).absolute())
        finally:
            received.close()

    def probe(self, patience: float) -> None:
        """Has a guest that may hang show its tasks, and asks whether it still runs a command.

        Raises:
            GuestLost: no answer within ``patience`` seconds.
        """
        dumping = threading.Thread(target=self._machine.dump_tasks)
        dumping.start()
        answers = self._answers(patience)
        dumping.join()
        if not answers:
            raise self._lost_or_hung(f"no answer within {patience:g} s")

    def settle(self, timeout: float = 3.0) -> None:
        """Waits until the console has shown all that the kernel has printed by now.

        Raises:
            GuestLost: there was something that ends a guest.
        """
        self._need_link()
        console = self._machine.console
        self._marks += 1
        mark = f"vmtest: mark {self._marks}"
        shown = console.expect(mark)
        self.run(f"echo '<2>{mark}' >/dev/kmsg", timeout=timeout + START_SECONDS, cgroup="")
        shown.wait(timeout)
        if console.doomed:
            console.ended.wait(timeout)
        self._need_link()

    def _answers(self, patience: float | None = None) -> bool:
        """Whether the guest still runs a command, and ends it within so many seconds."""
        limit = patient(PROBE_SECONDS) if patience is None else patience
        try:
            return start(self._need_link(), "true", {}, patience=limit).wait(limit).returncode == 0
        except (CommandTimeout, GuestLost):
            return False

    def _need_link(self) -> Link:
        if self._link is None:
            raise RuntimeError(NOT_STARTED)
        if self._machine.console.lost:
            raise self._machine.console.lost
        self._machine.clock.need_running()
        return self._link

    def _lost_or_hung(self, message: str) -> GuestLost:
        console = self._machine.console
        if not console.lost:
            self._machine.dump_tasks_if_kept()
        return console.lost or console.give_up(Verdict.HUNG, message)
