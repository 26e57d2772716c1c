# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong, each with the exit code of the command line.

A lost guest is never a failed command: it has an exception and a verdict.
"""

from __future__ import annotations

from enum import Enum

from .quoting import bounded


class HarnessError(Exception):
    """Base of every error of the harness; the message is one line that names the thing, its value and the remedy."""

    exit_code = 1


class InvalidInput(HarnessError):
    """Input that is wrong whatever the machine: a bad value, a missing or unreadable file. Nothing was started.

    The message's lines are of bounded length and printable, whatever values it has.
    """

    exit_code = 2

    def __init__(self, message: str) -> None:
        super().__init__("\n".join(map(bounded, message.split("\n"))))


class MachineLacks(HarnessError):
    """This machine lacks something (a program, a package, memory); the message ends with the remedy."""

    exit_code = 3


class BuildFailed(HarnessError):
    """A kernel or image build failed; the message names the step and the log's last lines follow it."""

    exit_code = 4


# The name in files that are links to files of damon.
MissingCapability = MachineLacks


class Verdict(Enum):
    """Why a guest was given up."""

    PANIC = "panic"
    OOPS = "oops"
    BUG = "bug"
    WARNING = "warning"
    KASAN = "kasan"
    KFENCE = "kfence"
    KCSAN = "kcsan"
    KMSAN = "kmsan"
    UBSAN = "ubsan"
    KMEMLEAK = "kmemleak"
    LOCKUP = "lockup"
    HUNG_TASK = "hung-task"
    RCU_STALL = "rcu-stall"
    OOM = "oom"
    EMULATION_FAILURE = "emulation-failure"
    SETUP_FAILED = "setup-failed"
    BOOT_TIMEOUT = "boot-timeout"
    SILENT = "silent"
    LOGIN_FAILED = "login-failed"
    HUNG = "hung"
    POWERED_OFF = "powered-off"
    QEMU_DIED = "qemu-died"
    QEMU_STOPPED = "qemu-stopped"
    CLOSED = "closed"


class GuestLost(HarnessError):
    """The guest can no longer be used; whatever ran in it has no result.

    Attributes:
        verdict: why.
        excerpt: the console lines with the reason, in order.
    """

    exit_code = 125

    def __init__(self, verdict: Verdict, message: str, excerpt: str = "") -> None:
        self.verdict = verdict
        self.excerpt = excerpt
        self.summary = f"guest {verdict.value}: {message}"
        super().__init__(self.summary + (f"\n{excerpt}" if excerpt else ""))


class ForeignContent(HarnessError):
    """What a guest or a worker sent is not what was asked of it. Nothing of it was kept."""


class CommandTimeout(HarnessError):
    """A command did not end in its time while its guest was fine. The command was killed.

    Attributes:
        stdout: what it had written.
        stderr: what it had written.
    """

    exit_code = 124

    def __init__(self, message: str, stdout: bytes = b"", stderr: bytes = b"") -> None:
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(message)
