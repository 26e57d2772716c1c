# SPDX-License-Identifier: GPL-2.0-only
"""Requests from a worker's own thread: what would wait for that worker is refused at once, the rest is done."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from typing import Any

import pytest

import damon
from damon.core import Damon
from damon.errors import DamonError
from damon.mm.clock import RealClock
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.custom import DamosCustomAction, DamosCustomMetric, DamosRegionFilter
from damon.model.scheme import Damos, DamosQuota, DamosQuotaGoal
from tests.contexts import new_ctx
from tests.fakes import FakeMachine

PAGE = 4096
#: Seconds of real time after which a test has hung; nothing here takes any.
HANG = 60


def _changes(kernel: Damon, ctx: DamonCtx) -> None:
    with damon.changes(kernel, ctx):
        pass


REQUESTS: dict[str, Callable[[Damon, DamonCtx], object]] = {
    "call": lambda kernel, ctx: kernel.call(ctx, DamonCallControl(lambda ctx: None)),
    "walk": lambda kernel, ctx: kernel.walk(ctx, DamosWalkControl(lambda *_: None)),
    "stop": lambda kernel, ctx: kernel.stop([ctx]),
    "stop all": lambda kernel, ctx: kernel.stop(),
    "changes": _changes,
    "aggregations": lambda kernel, ctx: next(damon.aggregations(kernel, ctx)),
}


class _Asks:
    """Makes one request from a callback, once, and keeps what became of it."""

    def __init__(self, kernel: Damon, request: Callable[[Damon, DamonCtx], object]) -> None:
        self.kernel, self.request = kernel, request
        self.error: BaseException | None = None
        self.asked = threading.Event()

    def __call__(self, ctx: DamonCtx, *_: Any) -> Any:
        if self.asked.is_set():
            return 0
        try:
            self.request(self.kernel, ctx)
        except BaseException as error:
            self.error = error
        self.asked.set()
        return 0


#: By the place, what makes the request: a scheme, ...
SCHEMES: dict[str, Callable[[_Asks], Damos]] = {
    "action": lambda asks: Damos(action=DamosCustomAction("asks", on_region=asks)),
    "filter": lambda asks: Damos(core_filters=[DamosRegionFilter(lambda ctx, *_: bool(asks(ctx)))]),
    "metric": lambda asks: Damos(
        quota=DamosQuota(reset_interval=1, goals=[DamosQuotaGoal(DamosCustomMetric("asks", asks), 1)])
    ),
}
#: ... or what is asked of the engine.
CALLS: dict[str, Callable[[Damon, DamonCtx, _Asks], object]] = {
    "trace": lambda kernel, ctx, asks: kernel.trace.subscribe(lambda event: asks(event.ctx)),
    "call": lambda kernel, ctx, asks: kernel.call(ctx, DamonCallControl(asks)),
    "repeated_call": lambda kernel, ctx, asks: kernel.call(ctx, DamonCallControl(asks, repeat=True)),
    "walk": lambda kernel, ctx, asks: kernel.walk(ctx, DamosWalkControl(asks)),
}


@pytest.mark.parametrize("place", [*SCHEMES, *CALLS])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_worker_cannot_wait_for_itself(place: str, request_name: str) -> None:
    machine = FakeMachine()
    kernel = Damon(machine)
    ctx, asks = new_ctx(kernel), _Asks(kernel, REQUESTS[request_name])
    ctx.schemes = [SCHEMES[place](asks) if place in SCHEMES else Damos()]
    kernel.start([ctx])
    if place in CALLS:
        CALLS[place](kernel, ctx, asks)
    machine.clock.sleep_us(1_000_000)
    assert asks.asked.is_set()
    assert isinstance(asks.error, DamonError)
    assert asks.error.errno == errno.EDEADLK
    assert "own thread" in str(asks.error)
    assert kernel.is_running(ctx)
    kernel.stop([ctx])
    assert ctx.error is None


def test_the_same_in_real_time() -> None:
    machine = FakeMachine()
    machine.clock = RealClock()
    kernel = Damon(machine)
    ctx, asks = new_ctx(kernel), _Asks(kernel, REQUESTS["call"])
    kernel.start([ctx])
    kernel.call(ctx, DamonCallControl(asks, repeat=True))
    assert asks.asked.wait(HANG)
    kernel.stop([ctx])
    assert isinstance(asks.error, DamonError)
    assert asks.error.errno == errno.EDEADLK


def test_what_does_not_wait_is_done() -> None:
    """A repeating callback, a commit in place and the start of another worker need no wait."""
    machine = FakeMachine()
    kernel = Damon(machine)
    ctx, other = new_ctx(kernel), new_ctx(kernel)
    seen: list[DamonCtx] = []

    def ask(ctx: DamonCtx) -> None:
        kernel.call(ctx, DamonCallControl(seen.append, repeat=True))
        kernel.start([other])

    kernel.start([ctx])
    kernel.call(ctx, DamonCallControl(ask))
    machine.clock.sleep_us(100_000)
    kernel.stop()
    assert seen
    assert not kernel.nr_running_ctxs


def test_workers_may_wait_for_others_but_not_in_a_ring() -> None:
    """One asks the next, which asks the third, which asks the first: only that last one is refused."""
    machine = FakeMachine()
    kernels = Damon(machine), Damon(machine, seed=2), Damon(machine, seed=3)
    ctxs = [new_ctx(kernel) for kernel in kernels]
    ran: list[int] = []

    def ask(nr: int) -> None:
        ran.append(nr)
        kernels[(nr + 1) % 3].call(ctxs[(nr + 1) % 3], DamonCallControl(lambda ctx: ask(nr + 1)))

    for kernel, ctx in zip(kernels, ctxs, strict=True):
        kernel.start([ctx])
    with pytest.raises(DamonError, match="other worker waits") as refused:
        kernels[0].call(ctxs[0], DamonCallControl(lambda ctx: ask(0)))
    assert refused.value.errno == errno.EDEADLK
    assert ran == [0, 1, 2]
    for kernel in kernels:
        kernel.stop()


def test_nothing_is_stopped_when_one_of_them_is_refused() -> None:
    machine = FakeMachine()
    kernel = Damon(machine)
    ctx, other = new_ctx(kernel), new_ctx(kernel)
    asks = _Asks(kernel, lambda kernel, _: kernel.stop([other, ctx]))
    kernel.start([ctx, other])
    kernel.call(ctx, DamonCallControl(asks))
    assert isinstance(asks.error, DamonError)
    assert kernel.nr_running_ctxs == 2
    kernel.stop()
    kernel.stop()
    assert kernel.nr_running_ctxs == 0


def test_a_caller_does_not_wait_for_a_worker_that_its_call_ended() -> None:
    """Also by what is not an ``Exception``, such as a failed check of a test."""
    damon = Damon(FakeMachine())
    ctx = new_ctx(damon)
    damon.start([ctx])

    def end(_: DamonCtx) -> None:
        raise SystemExit(1)

    control = DamonCallControl(end)
    damon.call(ctx, control)
    assert control.canceled
    assert isinstance(ctx.error, SystemExit)
    damon.stop()
