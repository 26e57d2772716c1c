# SPDX-License-Identifier: GPL-2.0-only
"""Boots Linux guests in QEMU, runs commands in them, always cleans up. Independent of what is tested in them.

``Guest`` and ``GuestConfig`` are the way in, ``cli`` the command, ``pytest_plugin`` the fixture, ``images`` what boots.
"""

from __future__ import annotations

# Every command imports this first, before it has Ctrl-C in hand: nothing is imported here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .config import GuestConfig
    from .directories import Share, Tree
    from .errors import CommandTimeout, GuestLost, HarnessError
    from .guest import Guest
    from .ssh.process import Result

__all__ = ["CommandTimeout", "Guest", "GuestConfig", "GuestLost", "HarnessError", "Result", "Share", "Tree"]

_HOMES = {
    "CommandTimeout": "errors",
    "Guest": "guest",
    "GuestConfig": "config",
    "GuestLost": "errors",
    "HarnessError": "errors",
    "Result": "ssh.process",
    "Share": "directories",
    "Tree": "directories",
}


def __getattr__(name: str) -> Any:
    # Loaded when asked for: building images and starting the supervisor need no SSH library.
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
