# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest shell``: a guest for a person."""

from __future__ import annotations

import argparse
import contextlib
import os
import select
import signal
import sys
import termios
import tty
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..host import root as hostroot
from ..terminal import say
from .machine_options import add_command_options, dump_directory
from .options import add_guest_options, guest_config, working_directory
from .text import reporting_dump

if TYPE_CHECKING:
    import paramiko

CHUNK = 1 << 16


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    shell = commands.add_parser(
        "shell",
        help="boot a guest and get a shell in it",
        description="Boots a guest and connects this terminal with a root shell in it. Ctrl-C and the like go to the\n"
        "guest; 'exit' or Ctrl-D ends both, with the shell's exit code. Nothing of the guest stays.",
        epilog="examples:\n  vmtest shell\n"
        "  vmtest shell --root host            # your shell and files, in this directory; writes go to memory\n"
        "  vmtest shell --numa 2 --share .:/src -- gdb -p 1\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="vmtest shell [options] [-- COMMAND [ARGUMENT ...]]",
    )
    add_guest_options(shell)
    add_command_options(shell)
    shell.add_argument("command", nargs="*", metavar="COMMAND", help="instead of a shell, on the same terminal")
    shell.set_defaults(call=_shell)


def _shell(options: argparse.Namespace) -> int:
    if not (os.isatty(0) and os.isatty(1)):
        raise InvalidInput("shell: standard input and output must be a terminal; use 'vmtest exec' in scripts")
    from ..guest import Guest
    from ..plug_schedule import Schedule

    config = guest_config(options)
    cwd = working_directory(config, options.cwd)
    machine = Guest(config, artifacts=dump_directory(options, config.most_bytes))
    with reporting_dump(machine), machine as guest, Schedule(guest, say):
        say(f"guest up ({guest.accelerator}); 'exit' or Ctrl-D ends it")
        columns, lines = os.get_terminal_size()
        command = options.command or hostroot.shell(config.root, os.environ)
        return _connect(guest.commands.terminal(command, os.environ.get("TERM", "vt100"), columns, lines, cwd))


def _connect(channel: paramiko.Channel) -> int:
    """Carries bytes between this terminal and the channel until the command ends; returns its exit code."""

    def resized(_number: int, _frame: object) -> None:
        columns, lines = os.get_terminal_size()
        channel.resize_pty(columns, lines)

    before = termios.tcgetattr(0)
    handler = signal.signal(signal.SIGWINCH, resized)
    try:
        tty.setraw(0)
        _carry(channel)
    finally:
        with contextlib.suppress(termios.error):  # the terminal itself was closed
            termios.tcsetattr(0, termios.TCSADRAIN, before)
        signal.signal(signal.SIGWINCH, handler)
    return channel.recv_exit_status()


def _carry(channel: paramiko.Channel) -> None:
    sources: list[Any] = [channel, 0]
    while True:
        ready, _, _ = select.select(sources, [], [])
        if channel in ready:
            data = channel.recv(CHUNK)
            if not data:
                return
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        if 0 in ready:
            data = os.read(0, CHUNK)
            if data:
                channel.sendall(data)
            else:
                channel.shutdown_write()
                sources.remove(0)
