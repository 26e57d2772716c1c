# SPDX-License-Identifier: GPL-2.0-only
"""``damon top``: what a running damond's workers do, in a terminal or as JSON lines."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from damon.cli import output
from damon.cli.arguments import duration, number
from damon.cli.client import command, connect
from damon.command.process import interrupt, raise_interrupts
from damon.damond.client import Client
from damon.damond.snapshot import Snapshot, as_object, from_object

EPILOG = """\
q and Ctrl-C end it. Without a terminal each refresh is printed below the last.

examples:
  damon top --interval 500ms
  damon top --once
  damon top --json --once | jq '.kdamonds[].contexts[].schemes[].stat'
"""
#: Given a snapshot and the one before.
Show = Callable[[Snapshot, Snapshot | None], None]
_MOST_REGIONS: Final = 10_000
#: Regions of each worker, of which neighbours become one range.
_LOOKED_AT: Final = 1000


def add(commands: Any) -> None:
    what = "what a running damond's workers, schemes and quotas do, and what is accessed most"
    top = command(commands, "top", what, _top, EPILOG)
    top.add_argument("--once", action="store_true", help="once, not until q or Ctrl-C")
    top.add_argument("--json", action="store_true", help="each refresh is a JSON object on a line")
    top.add_argument(
        "--interval", type=duration, default=1.0, metavar="S", help="seconds between two refreshes (default 1)"
    )
    top.add_argument(
        "--regions", type=number(0, _MOST_REGIONS), default=10, metavar="N",
        help="show the N ranges that are accessed most; with --json N regions of each worker (default 10)",
    )  # fmt: skip


def refresh(take: Callable[[], Snapshot], show: Show, wait: Callable[[], bool]) -> None:
    """Show one snapshot after the other until ``wait()``, in between, returns true."""
    before: Snapshot | None = None
    while True:
        now = take()
        show(now, before)
        before = now
        if wait():
            return


def _top(arguments: argparse.Namespace) -> int:
    raise_interrupts()
    with suppress(KeyboardInterrupt), connect(arguments) as client:
        _serve(arguments, client)
    return 0


def _serve(arguments: argparse.Namespace, client: Client) -> None:
    looked_at = arguments.regions if arguments.json or not arguments.regions else _LOOKED_AT

    def take() -> Snapshot:
        return from_object(client.call("snapshot", regions=looked_at))

    def pause() -> bool:
        if not arguments.once:
            time.sleep(arguments.interval)
        return bool(arguments.once)

    if arguments.json:
        refresh(take, lambda now, before: print(json.dumps(as_object(now)), flush=True), pause)
    elif arguments.once or not sys.stdout.isatty():
        refresh(take, lambda now, before: _print(now, before, arguments.regions), pause)
    else:
        _live(take, arguments.interval, arguments.regions)


def _print(now: Snapshot, before: Snapshot | None, regions: int) -> None:
    from damon.cli.top_view import parts

    view = output.console()
    for part in parts(now, before, view.width, regions):
        output.write(view, part)
    sys.stdout.flush()


def _live(take: Callable[[], Snapshot], interval: float, regions: int) -> None:
    from rich.console import Console, Group
    from rich.live import Live

    from damon.cli.top_view import parts

    first = take()  # a refusal is a line of the screen that was there
    with _keys() as pressed, Live(console=Console(highlight=False), auto_refresh=False, screen=True) as live:

        def show(now: Snapshot, before: Snapshot | None) -> None:
            live.update(Group(*parts(now, before, live.console.width, regions)), refresh=True)

        show(first, None)
        if not pressed(interval):
            refresh(take, show, lambda: pressed(interval))


@contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """What waits for seconds, and returns true when ``q`` was pressed.

    SIGTERM and SIGHUP end it as Ctrl-C does, so that the terminal is left as it was.
    """
    import termios
    import tty

    old = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    terminal = sys.stdin.fileno() if sys.stdin.isatty() else None
    state = termios.tcgetattr(terminal) if terminal is not None else None
    try:
        if terminal is not None:
            tty.setcbreak(terminal)
        yield lambda seconds: _pressed(terminal, seconds)
    finally:
        if terminal is not None and state is not None:
            termios.tcsetattr(terminal, termios.TCSADRAIN, state)
        for number_, handler in old.items():
            signal.signal(number_, handler)


def _pressed(terminal: int | None, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if terminal is None:
            time.sleep(left)
        elif select.select([terminal], [], [], left)[0]:
            read = os.read(terminal, 64)
            if not read or b"q" in read:
                return True
    return False
