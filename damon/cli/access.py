# SPDX-License-Identifier: GPL-2.0-only
"""``--access``, of the commands that work on this machine's memory."""

from __future__ import annotations

from argparse import ArgumentParser, _ArgumentGroup
from typing import Final

#: ``damon.mm.linux.access.Access``, which a command that only shows its help need not import.
ACCESSES: Final = ("auto", "page_idle", "rwp")


def add_access(to: ArgumentParser | _ArgumentGroup) -> None:
    """The option; ``auto`` without it."""
    to.add_argument(
        "--access",
        choices=ACCESSES,
        default=ACCESSES[0],
        help="with --linux: how accesses to processes' memory are seen: accessed bits and idle flags (page_idle), or "
        "read-write protection (rwp: Linux 7.3, also without root for your own processes); auto: rwp where it works",
    )
