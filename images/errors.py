# SPDX-License-Identifier: GPL-2.0-only
"""What can go wrong before a guest runs, each with the exit code that the command line ends with."""

from __future__ import annotations

from ..quoting import bounded


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
