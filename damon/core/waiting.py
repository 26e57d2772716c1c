# SPDX-License-Identifier: GPL-2.0-only
"""Which worker waits for which: one that would wait for itself, also by way of others, is refused at once (EDEADLK).

At the end of the interpreter no thread waits for a worker any more (``at_exit``).

Callbacks, actions, filters, metrics, operations sets and trace subscribers run in a worker's thread. What waits for a
worker (``Damon.call``, ``walk``, ``stop``) cannot end there when it is that worker's turn to act first.
"""

from __future__ import annotations

import atexit
import errno
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from damon.errors import DamonError
from damon.model.context import DamonCtx

_here = threading.local()
_lock = threading.Lock()
#: Workers, all machines' together, that wait for another worker, and for which.
_waits: dict[DamonCtx, DamonCtx] = {}


@contextmanager
def working(ctx: DamonCtx) -> Iterator[None]:
    """This thread is the worker of ``ctx``."""
    _here.ctx = ctx
    try:
        yield
    finally:
        _here.ctx = None


@contextmanager
def waiting(ctx: DamonCtx, what: str) -> Iterator[None]:
    """This thread waits for the worker of ``ctx`` in the block.

    Raises:
        DamonError: EDEADLK, it is that worker itself, or that worker waits for it.
    """
    me: DamonCtx | None = getattr(_here, "ctx", None)
    if me is None:
        yield
        return
    with _lock:
        other: DamonCtx | None = ctx
        while other is not None and other is not me:
            other = _waits.get(other)
        if other is me:
            raise DamonError(errno.EDEADLK, f"{what}: {_why(ctx is me)}; do it in another thread, or let it return")
        _waits[me] = ctx
    try:
        yield
    finally:
        with _lock:
            _waits.pop(me, None)


def _why(own: bool) -> str:
    if own:
        return "called in the worker's own thread, which would wait for itself for ever"
    return "called in the thread of a worker that the other worker waits for"


class _GivesUp(Protocol):
    def give_up(self) -> None: ...


_started: weakref.WeakSet[_GivesUp] = weakref.WeakSet()


def at_exit(kernel: _GivesUp) -> None:
    """Have ``kernel.give_up()`` called when the interpreter ends, before its threads stand still."""
    if not _started:
        atexit.unregister(_give_up)
        atexit.register(_give_up)  # anew: what a program registered before its workers runs after they have ended
    _started.add(kernel)


def _give_up() -> None:
    for kernel in list(_started):
        kernel.give_up()
