# SPDX-License-Identifier: GPL-2.0-only
"""Levels: what came after 7.3 is refused there, with the field and its value, and changes nothing."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable

import pytest

import damon
from damon.core import Damon, commit_ctx
from damon.core.level import of_level
from damon.errors import DamonError, InvalidInput
from damon.library.engine import open_engine
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.level import Level
from damon.model.probe import DamonFilterType
from damon.model.scheme import DamosFilterType
from tests.contexts import new_ctx, source, started
from tests.fakes import FakeMachine

Change = Callable[[DamonCtx], None]


def _parameters(ctx: DamonCtx) -> object:
    ranges = [target.regions.ranges() for target in ctx.targets]
    return ctx.attrs.copy(), list(ctx.probes), list(map(vars, ctx.schemes)), ranges, ctx.pause, ctx.addr_unit


def _prep(ctx: DamonCtx) -> None:
    ctx.probes = [damon.DamonProbe(), damon.DamonProbe(preps=[damon.DamonPrep()])]


def _probe_filter(kind: str) -> Change:
    def change(ctx: DamonCtx) -> None:
        kinds = [damon.DamonFilterType.ANON, damon.DamonFilterType(kind)]
        ctx.probes = [damon.DamonProbe(filters=[damon.DamonFilter(one, True, range_max=9) for one in kinds])]

    return change


def _scheme_filter(ctx: DamonCtx) -> None:
    ctx.schemes += [damon.Damos(), damon.Damos()]
    for kind in (damon.DamosFilterType.TARGET, damon.DamosFilterType.PROBE_HITS_WSUM):
        ctx.schemes[1].add_filter(damon.DamosFilter(kind, matching=True, range_max=9))


LATER: list[tuple[Change, str]] = [
    (_prep, "probes[1].preps: set_pgidle: "),
    *((_probe_filter(kind), f"probes[0].filters[1].type: {kind}: ") for kind in
      ("pgidle_unset", "pgidle_set", "hugepage_size")),
    (_scheme_filter, "schemes[1].core_filters[1].type: probe_hits_wsum: "),
]  # fmt: skip


@pytest.mark.parametrize(("change", "named"), LATER, ids=[named for _, named in LATER])
def test_what_came_later_is_refused_at_the_start_and_in_a_commit(change: Change, named: str) -> None:
    kernel, ctx = started(FakeMachine())
    wanted = source(kernel)
    change(wanted)
    seen: list[object] = []

    def commit(ctx: DamonCtx) -> None:
        seen.append(_parameters(ctx))
        try:
            commit_ctx(ctx, wanted)
        except DamonError as error:
            seen.append(error)
        seen.append(_parameters(ctx))

    kernel.call(ctx, DamonCallControl(commit))
    before, error, after = seen
    assert isinstance(error, InvalidInput)
    assert re.match(f"{re.escape(named)}.*give level 'next'", str(error.strerror))
    assert (error.errno, after) == (errno.EINVAL, before)
    kernel.stop()
    new = new_ctx(kernel)
    change(new)
    with pytest.raises(InvalidInput, match=f"^{re.escape(named)}"):
        kernel.start([new])
    assert kernel.nr_running_ctxs == 0


@pytest.mark.parametrize(("change", "named"), LATER, ids=[named for _, named in LATER])
def test_at_the_level_next_it_is_taken(change: Change, named: str) -> None:
    kernel, ctx = started(FakeMachine(), level="next")
    wanted = source(kernel)
    change(wanted)
    kernel.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, wanted)))
    assert (ctx.probes, [scheme.core_filters for scheme in ctx.schemes]) == (
        wanted.probes, [scheme.core_filters for scheme in wanted.schemes],
    )  # fmt: skip
    for ours, theirs in zip(ctx.probes, wanted.probes, strict=True):
        assert all(mine is not given for mine, given in zip(ours.preps, theirs.preps, strict=True))
    with damon.changes(kernel, ctx) as again:
        again.attrs.max_nr_regions = 50
    assert (ctx.attrs.max_nr_regions, ctx.probes) == (50, wanted.probes)
    kernel.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, source(kernel))))
    assert ctx.probes == []
    kernel.stop()


def test_a_context_follows_the_level_of_its_damon() -> None:
    """Also one that another made."""
    machine = FakeMachine()
    late, early = Damon(machine, level=Level.NEXT), Damon(machine)
    assert (late.level, early.level, late.new_ctx().level) == (Level.NEXT, Level.V7_3, Level.NEXT)
    ctx = new_ctx(late)
    early.start([ctx])
    assert ctx.level is Level.V7_3
    early.stop()


@pytest.mark.parametrize("level", ["7.4", "", "NEXT", None, 7.3])
def test_levels_that_do_not_exist(level: object) -> None:
    for make in (lambda: Damon(FakeMachine(), level=level), lambda: open_engine(level=level)):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match=r"level: .*; give one of 7\.3, next"):
            make()


def test_an_engine_has_a_level_only_if_it_is_pydamons() -> None:
    machine = FakeMachine()
    assert open_engine(level="next").open(machine).level is Level.NEXT
    assert open_engine().open(machine).level is Level.V7_3
    assert open_engine().identity.origin == "pydamon"
    assert open_engine(level="next").identity.origin == "pydamon, level next"
    for engine in ("host", "kernel:/nowhere", "linux-source-7.3"):
        with pytest.raises(DamonError, match=f"^level: next: engine {engine} "):
            open_engine(engine, level="next")


def test_what_each_level_has() -> None:
    for kinds, later in ((DamonFilterType, 3), (DamosFilterType, 1)):
        assert of_level(Level.NEXT, kinds) == list(kinds)
        assert of_level(Level.V7_3, kinds) == list(kinds)[:-later]


@pytest.mark.parametrize(
    "make",
    [
        lambda low, high: damon.DamonFilter(damon.DamonFilterType.HUGEPAGE_SIZE, True, range_min=low, range_max=high),
        lambda low, high: damon.DamosFilter(damon.DamosFilterType.PROBE_HITS_WSUM, True, range_min=low, range_max=high),
    ],
)
def test_ranges(make: Callable[[int, int], object]) -> None:
    make(7, 7)
    with pytest.raises(InvalidInput, match="range_min: 8: is above range_max, 7; lower it"):
        make(8, 7)
