# SPDX-License-Identifier: GPL-2.0-only
"""Workers as processes that others see: ``ps``, ``pgrep`` and ``pidof`` find ``kdamond.0``, as in the kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput, MissingCapability

#: In the environment of each such process: the damond that shows it. By this others tell theirs from ours.
SHOWN_BY: Final = "DAMOND_SHOWN_BY"


class Placeholders:
    """Makes a placeholder process for each worker. It waits for its input to end, so it goes when we do.

    Args:
        directory: a directory of our own that was made for this and holds nothing yet: what lies in it is executed.
    """

    def __init__(self, directory: Path) -> None:
        program = shutil.which("cat")
        if program is None:
            raise MissingCapability("program: cat: is not installed; install coreutils")
        self._program, self._directory = program, directory
        directory.mkdir(mode=0o700)

    def show(self, name: str) -> Placeholder:
        """A process called ``name``."""
        if name in {".", ".."} or "/" in name:
            raise InvalidInput(f"process name: {name!r}: cannot be a file name; give another one")
        link = self._directory / name  # a process is called as the file that it was started from
        with suppress(FileExistsError):  # of an earlier worker of this name
            link.symlink_to(self._program)
        return Placeholder(link)

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


class Placeholder:
    """One such process."""

    def __init__(self, program: Path) -> None:
        environment = dict(os.environ, **{SHOWN_BY: str(os.getpid())})
        self._process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        self.pid = self._process.pid

    def close(self) -> None:
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        self._process.wait()
