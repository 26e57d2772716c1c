# SPDX-License-Identifier: GPL-2.0-only
"""A machine, and workers for the time of a ``with`` block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, overload

from damon.core import Damon
from damon.errors import InvalidInput
from damon.model.context import DamonCtx
from damon.model.machine import Machine

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine


@overload
def open_machine(*, sim: str | os.PathLike[str], seed: int = 0, reference: bool = False) -> SimulatedMachine: ...


@overload
def open_machine(*, linux: Literal[True], seed: int = 0, reference: bool = False) -> Machine: ...


@overload
def open_machine(
    *, sim: str | os.PathLike[str] | None = None, linux: bool = False, seed: int = 0, reference: bool = False
) -> Machine: ...


def open_machine(
    *, sim: str | os.PathLike[str] | None = None, linux: bool = False, seed: int = 0, reference: bool = False
) -> Machine:
    """A machine to work on: closed at the end of a ``with`` block, or by its ``close()``.

    Args:
        sim: a workload file: the simulated machine that plays it, in virtual time.
        linux: the running system (root; ``docs/explanation/linux.md`` says what it needs).
        seed: of the simulated machine.
        reference: use the plain Python twins of the native routines.

    Raises:
        InvalidInput: neither or both are asked for, or the workload file is refused.
        MissingCapability: this system lacks something.
    """
    if (sim is None) == (not linux):
        raise InvalidInput("open_machine() wants one machine: give sim=FILE or linux=True")
    if sim is not None:
        from damon.mm.sim import SimulatedMachine
        from damon.workload.load import load_workload

        return SimulatedMachine(load_workload(os.fspath(sim)), seed, reference=reference)
    from damon.mm.linux import LinuxMachine

    return LinuxMachine(reference=reference)


@contextmanager
def running(damon: Damon, *ctxs: DamonCtx, exclusive: bool = False) -> Iterator[None]:
    """Workers for ``ctxs`` during the block: started before, stopped after it, whatever happens in it.

    Without a block, as in a notebook, it is ``damon.start(ctxs)`` and later ``damon.stop()``.

    Raises:
        DamonError: the start was refused (see ``Damon.start``).
        BaseException: what ended a worker, when the block itself ended without an error.
    """
    damon.start(ctxs, exclusive=exclusive)
    try:
        yield
    finally:
        damon.stop(ctxs)
    for ctx in ctxs:
        if ctx.error is not None:
            raise ctx.error
