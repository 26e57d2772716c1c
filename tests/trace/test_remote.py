# SPDX-License-Identifier: GPL-2.0-only
"""Events that another process takes in: the same as here, or counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from damon.core import Damon
from damon.core.events import AGGREGATED, EVENTS, REGION_AGGREGATED
from damon.core.regions import kdamond_reset_aggregated
from damon.core.trace import TraceEvent, damos_trace_esz
from damon.errors import DamonError, InvalidInput
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.probe import DamonProbe
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.trace.remote import RemoteQueue
from damon.trace.server import TraceServer
from tests.fakes import FakeMachine, regions_of
from tests.waiting import until


@pytest.fixture
def damon() -> Damon:
    return Damon(FakeMachine())


@pytest.fixture
def ctx(damon: Damon) -> DamonCtx:
    ctx = damon.new_ctx()
    ctx.attrs = DamonAttrs(1000, 20000, 3_000_000, 5, 77, DamonIntervalsGoal(4, 3, 2, 1))
    ctx.targets += [
        DamonTarget(regions=regions_of((0, 4096, 3, 1, 5))),
        DamonTarget(regions=regions_of((8192, 1 << 63))),
    ]
    ctx.schemes.append(Damos())
    ctx.probes = [DamonProbe(), DamonProbe()]
    ctx.targets[0].regions[0].probe_hits[:2] = [7, 255]
    return ctx


@pytest.fixture
def path(damon: Damon, tmp_path: Path) -> Iterator[str]:
    with TraceServer(damon.trace, tmp_path / "trace", capacity=100):
        yield str(tmp_path / "trace")


def _content(event: TraceEvent) -> tuple[dict[str, object], list[tuple[object, ...]]]:
    """All of an event but its context, which stays where it is."""
    values = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "ctx"}
    return values, list(event.values())


def test_events_are_the_same_there(damon: Damon, ctx: DamonCtx, path: str) -> None:
    here, there = damon.trace.queue(), RemoteQueue(path, EVENTS, 1000)
    damos_trace_esz(ctx, ctx.schemes[0])
    kdamond_reset_aggregated(ctx)
    there.close()
    came = there.drain()
    assert list(map(_content, came)) == list(map(_content, here.drain()))
    assert [event.name for event in came] == ["damos_esz", *[AGGREGATED] * 2, *[REGION_AGGREGATED] * 2]
    assert len({id(event.ctx) for event in came}) == 1  # one worker
    assert came[0].ctx.attrs == ctx.attrs
    assert there.pid(came[0].ctx) == came[0].pid
    assert there.ended


def test_what_does_not_fit_is_counted(damon: Damon, ctx: DamonCtx, path: str) -> None:
    there = RemoteQueue(path, [AGGREGATED], 10)
    for _ in range(40):
        kdamond_reset_aggregated(ctx)
    there.close()
    assert sum(event.nr for event in there.drain()) + there.lost == 80
    assert there.lost >= 70


def test_losses_of_the_other_side_are_reported(damon: Damon, ctx: DamonCtx, path: str) -> None:
    there = RemoteQueue(path, [AGGREGATED], 1 << 20)
    rounds = 0
    while not there.lost and rounds < 100_000:
        kdamond_reset_aggregated(ctx)
        rounds += 1
    there.close()
    assert there.lost > 0
    assert sum(event.nr for event in there.drain()) + there.lost == 2 * rounds


def test_the_other_side_ends(damon: Damon, ctx: DamonCtx, tmp_path: Path) -> None:
    with TraceServer(damon.trace, tmp_path / "trace"):
        there = RemoteQueue(str(tmp_path / "trace"), [AGGREGATED], 10)
        kdamond_reset_aggregated(ctx)
    until(lambda: there.ended)
    assert len(there.drain()) == 2
    there.close()
    with pytest.raises(DamonError, match=r"^trace events: "):
        RemoteQueue(str(tmp_path / "trace"), [AGGREGATED], 10)


def test_no_such_event(path: str) -> None:
    with pytest.raises(InvalidInput, match="event: 'damos_nope': is unknown"):
        RemoteQueue(path, ["damos_nope"], 10)
