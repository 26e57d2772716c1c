# SPDX-License-Identifier: GPL-2.0-only
"""Areas of a simulated machine whose pages are in given page frames at first, as they were on a real one."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Final

from damon.mm.sim.buddy import Buddy

if TYPE_CHECKING:
    from damon.mm.sim.state import State

#: The first page frame number of a run, and how many there are.
Runs = Sequence[tuple[int, int]]
#: The kernel walks all mappings of a folio: each further one takes so much of a look. In an emulated guest marking and
#: reading a page took 1.56 us with one mapping, and 0.88 us more for each of 52 others; a look is 3 us there.
_WALK: Final = 0.29


@dataclass(frozen=True)
class Places:
    """Where everything was on a real machine. Areas that the simulated one does not have are passed over.

    Attributes:
        areas: of each: the first page of a run, its page frame number, and how many there are.
        free: page frames that are free beside them; None: all others.
        mapped: of areas whose pages several processes map: how many do.
    """

    areas: Mapping[str, Sequence[tuple[int, int, int]]]
    free: Runs | None = None
    mapped: Mapping[str, int] = field(default_factory=dict)


def place(state: State, places: Places, plugged: bool = False) -> None:
    """The areas' pages get these frames when their area is mapped, and no other page does before.

    Free frames are used as the kernel's page allocator uses them from then on (``sim_buddy.c``), unless memory comes
    and goes, and what is neither an area's nor free is held by the kernel for good. What is no free System RAM is left
    to chance. A machine with NUMA nodes is left as it is.

    Args:
        state: of a machine on which nothing is mapped yet.
        places: of its areas.
        plugged: memory comes and goes.
    """
    for name, nr in places.mapped.items():
        if name in state.placed:
            state.row(name).more_looks = round(_WALK * (nr - 1))
    m = state.m
    if m.nr_node != 1 or not m.node[0].nr_free_runs:
        return
    run = state.free[0].rows[0]
    frames = range(run.frame, run.frame + run.nr)
    taken = _wanted(state, places.areas, frames)
    wanted_runs, rest = _apart(frames, sorted(taken))
    if plugged:
        rest.sort(key=lambda one: one[1])
        _use_last(state, wanted_runs + rest)
        return
    if places.free is not None:
        rest = _held(state, rest, places.free)
    _use_last(state, wanted_runs)
    state.buddy = Buddy(state.m, state.ram.nr_frames)
    for first, nr in rest:
        state.buddy.add(first, nr)


def _wanted(state: State, areas: Mapping[str, Sequence[tuple[int, int, int]]], frames: range) -> set[int]:
    """The frames that areas are to get; their rows know which page gets which."""
    taken: set[int] = set()
    for name, rows in areas.items():
        if name not in state.placed:
            continue
        row = state.row(name)
        wanted = (ctypes.c_uint64 * row.nr_pages)()
        for page, pfn, nr in rows:
            for at in range(min(nr, row.nr_pages - page)):
                frame = _frame(state, pfn + at)
                if frame in frames:  # of two that ask for it the first one gets it
                    wanted[page + at] = frame + 1
                    taken.add(frame)
        state.wanted.append(wanted)
        row.wanted = ctypes.cast(wanted, ctypes.POINTER(ctypes.c_uint64))
    return taken


def _frame(state: State, pfn: int) -> int:
    """The number that a page frame has here; -1: it is no System RAM."""
    for number in range(state.m.nr_res):
        res = state.m.res[number]
        if 0 <= pfn - res.pfn < res.nr:
            return int(res.frame + pfn - res.pfn)
    return -1


def _runs(frames: Sequence[int]) -> list[tuple[int, int]]:
    """Of ascending frames: the first of a run, how many."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and sum(runs[-1]) == frame:
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((frame, 1))
    return runs


def _apart(free: range, taken: Sequence[int]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Runs of the frames that areas are to get, and of the other free ones, ascending: the first frame, how many."""
    runs, rest, at = _runs(taken), [], free.start
    for first, nr in runs:
        if first > at:
            rest.append((at, first - at))
        at = first + nr
    if at < free.stop:
        rest.append((at, free.stop - at))
    return runs, rest


def _held(state: State, rest: Sequence[tuple[int, int]], free: Runs) -> list[tuple[int, int]]:
    """The parts of ``rest``, runs of frames, that are ``free``; the kernel has the others."""
    unused = {frame for first, nr in rest for frame in range(first, first + nr)}
    kept = unused.intersection(chain.from_iterable(_in_ram(state, *run) for run in free))
    held = len(unused) - len(kept)
    state.ram.held_pages += held
    state.m.node[0].nr_free -= held
    return _runs(sorted(kept))


def _in_ram(state: State, pfn: int, nr: int) -> Iterator[int]:
    """The frames of ``nr`` page frame numbers from ``pfn`` on, of which most may be no System RAM."""
    for number in range(state.m.nr_res):
        res = state.m.res[number]
        yield from range(res.frame + max(pfn - res.pfn, 0), res.frame + min(pfn + nr - res.pfn, res.nr))


def _use_last(state: State, runs: Sequence[tuple[int, int]]) -> None:
    """The free runs: of those in front no page is put in before those behind are used up."""
    rows = state.free[0].rows
    for number, (first, nr) in enumerate(runs):
        rows[number].frame, rows[number].nr = first, nr
    state.m.node[0].nr_free_runs = len(runs)
