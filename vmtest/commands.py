# SPDX-License-Identifier: GPL-2.0-only
"""What can be done inside a guest while it runs: run commands, carry files, ask whether it still answers."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .controls import Controls
from .errors import CommandTimeout, GuestLost, Verdict
from .ssh.process import START_SECONDS

if TYPE_CHECKING:
    import paramiko

    from .ssh.connection import Link
    from .ssh.process import Process, Result, Sink
    from .untrusted import Limits


class Commands(Controls):
    """The part of a guest that speaks with what runs in it."""

    _marks = 0

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
            timeout: seconds; default ``config.timeouts.command``.
            input: bytes (or pieces of them) for its standard input.
            env: added to the environment of ``config.env``.
            cwd: working folder in the guest.
            stdout: called with each piece as it comes, instead of collecting it.
            stderr: likewise.
            check: raise when the exit code is not 0.
            cgroup: the control group it runs in, a path below the root ("": that of the shell); default
                ``config.in_cgroup``. One that does not exist ends the command with 126.

        Raises:
            CommandTimeout: not in time, guest fine; the command was killed.
            GuestLost: the guest is gone; the command has no result.
            subprocess.CalledProcessError: with ``check``.
        """
        limit = self.config.timeouts.command if timeout is None else timeout
        process = self.popen(command, input=input, env=env, cwd=cwd, stdout=stdout, stderr=stderr, cgroup=cgroup)
        try:
            result = process.wait(limit)
        except CommandTimeout as error:
            if not self._need_link().answers():
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
        group = self.config.in_cgroup if cgroup is None else cgroup
        environment = {**self.config.env, **(env or {})}
        return self._need_link().start(command, environment, cwd, pieces, stdout, stderr, cgroup=group)

    def terminal(
        self, command: Sequence[str], kind: str, columns: int, lines: int, cwd: str | None = None
    ) -> paramiko.Channel:
        """Starts a command on a terminal in the guest, for a person.

        Raises:
            GuestLost: the guest is gone.
        """
        return self._need_link().terminal(command, self.config.env, kind, columns, lines, cwd)

    def put(self, host: Path | str, guest: str, *, exclude: tuple[str, ...] = (), timeout: float = 300.0) -> None:
        """Copies a file or a folder with its content to the path ``guest``.

        Raises:
            InvalidInput: ``host`` does not exist.
            subprocess.CalledProcessError: the guest has no room or no such place.
        """
        from .ssh import transfer

        command, stream = transfer.pack(Path(host), guest, exclude)
        self.run(command, input=transfer.chunks(stream), timeout=timeout, check=True, cgroup="")

    def get(self, guest: str, host: Path | str, *, timeout: float = 300.0, limits: Limits | None = None) -> None:
        """Copies a file or a folder with its content out of the guest to the path ``host``.

        A guest is not trusted: what it sends is that file or folder, or is refused as a whole. So are links that lead
        out of it, devices and the like; set-user-id and such bits are taken away. A folder that is there keeps its
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
        from . import untrusted
        from .ssh import transfer

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
        dumping = threading.Thread(target=self.dump_tasks)
        dumping.start()
        answers = self._need_link().answers(patience)
        dumping.join()
        if not answers:
            raise self._lost_or_hung(f"no answer within {patience:g} s")

    def settle(self, timeout: float = 3.0) -> None:
        """Waits until the console has shown all that the kernel has said by now.

        Raises:
            GuestLost: there was something that ends a guest.
        """
        self._need_link()
        assert self._console is not None
        self._marks += 1
        mark = f"vmtest: mark {self._marks}"
        shown = self._console.expect(mark)
        self.run(f"echo '<2>{mark}' >/dev/kmsg", timeout=timeout + START_SECONDS, cgroup="")
        shown.wait(timeout)
        if self._console.doomed:
            self._console.ended.wait(timeout)
        self._need_link()

    def _need_link(self) -> Link:
        if self._console is None or self._link is None:
            raise RuntimeError("the guest is not started; use it in a with statement or call start()")
        if self._console.lost:
            raise self._console.lost
        self._link.need_running()
        return self._link

    def _lost_or_hung(self, message: str) -> GuestLost:
        assert self._console is not None
        if not self._console.lost:
            self._last_words()
        return self._console.lost or self._console.give_up(Verdict.HUNG, message)

    def _last_words(self) -> None:
        """What a guest that hangs can still tell, when somebody keeps it."""
        if self.artifacts:
            self.dump_tasks()
