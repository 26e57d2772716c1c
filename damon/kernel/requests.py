# SPDX-License-Identifier: GPL-2.0-only
"""Requests to a worker of the kernel's C: ``damon_call()``, ``damos_walk()``, and before 6.14 the callbacks."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable
from dataclasses import dataclass

from damon.core.kdamond import cancel_calls
from damon.kernel.contexts import Contexts
from damon.kernel.library import Library
from damon.kernel.operations import OperationsBridge
from damon.model import refused
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl


@dataclass
class _Call:
    ctx: DamonCtx
    control: DamonCallControl
    repeats: bool
    at: int | None = None  #: of a repeating one: what the C has until its worker ends


class Requests:
    """Those of one engine. The C refers to each by a number.

    Args:
        lib: the C.
        contexts: brings a context up to date before a request sees it.
        bridge: has what a walk reports.
        fail: ends every worker with an error.
    """

    def __init__(
        self, lib: Library, contexts: Contexts, bridge: OperationsBridge, fail: Callable[[BaseException], None]
    ) -> None:
        self._lib, self._contexts, self._bridge, self._fail = lib, contexts, bridge, fail
        self._calls: dict[int, _Call] = {}
        self._walks: dict[int, tuple[DamonCtx, DamosWalkControl]] = {}
        self._last = 0

    def _number(self) -> int:
        self._last += 1
        return self._last

    def call(self, address: int | None, ctx: DamonCtx, control: DamonCallControl) -> bool:
        """``damon_call()``; False where there is none, or no context to call.

        Raises:
            DamonError: ECANCELED, no worker runs. What the request raised.
        """
        if address is None or not self._lib.has("shim_call"):
            return False
        number = self._number()
        call = self._calls[number] = _Call(ctx, control, control.repeat)
        kept = ctypes.c_void_p()
        result = self._lib.shim_call(address, number, control.repeat, ctypes.byref(kept))
        if control.repeat and not result:
            call.at = kept.value
        else:
            del self._calls[number]
        if not control.repeat and control.error is not None:
            raise control.error
        if result == -errno.ECANCELED:
            raise refused.not_running()
        return True

    def called(self, data: int) -> int:
        """A request's turn, in the worker."""
        if not self._lib.has("shim_call"):
            return self._run_pending(self._contexts.at[data])
        call = self._calls.get(data)
        if call is None or (call.repeats and not call.control.repeat):  # one that does not want to be repeated any more
            return 0
        self._contexts.refresh(call.ctx)
        return self._run(call.ctx, call.control)

    def _run(self, ctx: DamonCtx, control: DamonCallControl) -> int:
        try:
            control.fn(ctx)
        except Exception as error:
            if control.repeat and not isinstance(error, OSError):
                self._fail(error)
                return -errno.EIO
            control.error = error
            return -(getattr(error, "errno", 0) or errno.EIO)
        return 0

    def _run_pending(self, ctx: DamonCtx) -> int:
        """Versions without ``damon_call()``: what waits runs after a sampling."""
        with ctx.lock:
            pending = list(ctx.call_controls)
            ctx.call_controls[:] = [control for control in pending if control.repeat]
        if pending:
            self._contexts.refresh(ctx)
        for control in pending:
            self._run(ctx, control)
            if not control.repeat:
                control.done.set()
        return 0

    def cancel(self, ctx: DamonCtx) -> None:
        """The worker has ended: requests that were not run never will be."""
        for number, call in list(self._calls.items()):
            if call.ctx is ctx and call.repeats:
                del self._calls[number]
                self._lib.shim_free_control(call.at)
        cancel_calls(ctx)

    def walk(self, address: int | None, ctx: DamonCtx, control: DamosWalkControl) -> None:
        """``damos_walk()``.

        Raises:
            DamonError: EBUSY while another walk is pending; ECANCELED when no scheme is active, or no worker runs.
        """
        if address is None or ctx.kdamond is None:
            raise refused.not_running()
        number = self._number()
        self._walks[number] = ctx, control
        try:
            result = self._lib.shim_walk(address, number)
        finally:
            del self._walks[number]
        if result == -errno.EBUSY:
            raise refused.walk_pending()
        if result:
            raise refused.walk_canceled()

    def walked(self, data: int, at: int, target: int, region: int, scheme: int, passed: int) -> None:
        """One region of a walk, in the worker."""
        ctx, control = self._walks[data]
        bridge = self._bridge
        control.fn(ctx, bridge.target(at, target), bridge.region(region), bridge.scheme(at, scheme), passed)
