# SPDX-License-Identifier: GPL-2.0-only
"""Free frames as the page allocator has them, where a machine's pages are in given frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damon.mm.sim import SimulatedMachine
from damon.mm.sim.placing import Places, _in_ram
from damon.model.machine import Advice
from damon.workload.model import Access, Area, Hotplug, MachineSpec, Pattern, Phase, Workload
from tests.mm.sim.machines import MIB, SWAP, advise, check
from tests.mm.sim.pages import page_frame, page_pfn, page_present

PAGE = 4096
Rows = Sequence[tuple[int, int, int]]


def _machine(*areas: Area, places: Mapping[str, Rows], accesses: Sequence[Access] = (), phase: Phase | None = None,
             then: tuple[Phase, ...] = (), thp: str = "never",
             free: Sequence[tuple[int, int]] | None = None) -> SimulatedMachine:  # fmt: skip
    phases = (phase or Phase("only", 10**9, tuple(accesses)), *then)
    spec = MachineSpec(32 * MIB, 0, SWAP, thp=thp)
    return SimulatedMachine(Workload("test", areas, phases, False, spec), 1, Places(places, free))


def _pfns(sim: SimulatedMachine, name: str) -> list[int]:
    """Of the area's pages that are in memory, in the order of their addresses."""
    row = sim.state.row(name)
    return [page_pfn(sim.state, page_frame(row, n)) for n in range(row.nr_pages) if page_present(row, n)]


def _first(sim: SimulatedMachine) -> int:
    """A page frame number in the middle of memory, at the begin of a block of the highest order."""
    (start, end) = max(sim.system_ram(), key=lambda ram: ram[1] - ram[0])
    return ((start + end) // 2 // PAGE) & -1024


@pytest.fixture
def base() -> int:
    with _machine(Area("a", PAGE), places={}) as sim:
        return _first(sim)


def test_free_memory_is_in_the_largest_blocks(base: int) -> None:
    """One page in use parts its block into one of each order below."""
    with _machine(Area("a", PAGE), places={"a": [(0, base + 5, 1)]}) as sim:
        assert sim.state.buddy is not None
        here = {(page_pfn(sim.state, frame) - base, order) for frame, order in sim.state.buddy.blocks()}
        inside = {(at, order) for at, order in here if 0 <= at < 1024}
        assert inside == {(4, 0), (6, 1), (0, 2), *((1 << order, order) for order in range(3, 10))}
        check(sim)


def test_free_blocks_are_of_free_frames_alone(base: int) -> None:
    """An area's page that lies in them is none, and memory that is named twice is there once."""
    free = [(base - 3, 6), (base, 40), (base + 256, 256)]
    with _machine(Area("a", PAGE), places={"a": [(0, base + 5, 1)]}, free=free) as sim:
        assert sim.state.buddy is not None
        here = {(page_pfn(sim.state, frame) - base, order) for frame, order in sim.state.buddy.blocks()}
        assert here == {(-3, 0), (-2, 1), (0, 2), (4, 0), (6, 1), (8, 3), (16, 4), (32, 3), (256, 8)}
        assert sim.free_mem()[0] == 3 + 39 + 256
        check(sim)


def test_free_memory_that_a_guest_made_up_is_cut_to_system_ram(base: int) -> None:
    """Of 4 TiB."""
    with _machine(Area("a", PAGE), places={"a": [(0, base, 1)]}, free=[(0, 1 << 30)]) as sim:
        frames = sorted(islice(_in_ram(sim.state, 0, 1 << 30), 1 << 20))
        assert frames == list(range(sum((end - start) // PAGE for start, end in sim.system_ram())))
        free = sim.free_mem()[0]
        check(sim)
    with _machine(Area("a", PAGE), places={"a": [(0, base, 1)]}) as sim:
        assert sim.free_mem()[0] == free


def test_nothing_is_free(base: int) -> None:
    with _machine(Area("a", PAGE), places={"a": [(0, base, 1)]}, free=[]) as sim:
        assert sim.free_mem()[0] == 0
        check(sim)


def test_new_pages_fill_the_smallest_holes_first(base: int) -> None:
    """Every other frame of 32 is in use: the 16 between them, and then the next larger block."""
    places = {"old": [(n, base + 2 * n, 1) for n in range(16)]}
    new = Area("new", 24 * PAGE, populate=False)
    with _machine(Area("old", 16 * PAGE), new, places=places, accesses=[Access("new", 5000.0)]) as sim:
        sim.clock.sleep_us(1_000_000)
        assert len(_pfns(sim, "new")) == 24
        holes = {base + 2 * n + 1 for n in range(16)}
        assert holes <= set(_pfns(sim, "new"))
        check(sim)


def test_the_frame_that_was_freed_last_is_used_first(base: int) -> None:
    places = {"old": [(n, base + 100 + 7 * n, 1) for n in range(8)]}
    areas = (Area("old", 8 * PAGE), Area("new", PAGE, populate=False))
    with _machine(*areas, places=places, accesses=[Access("new", 1000.0)]) as sim:
        for page in (3, 6, 1):
            advise(sim, Advice.PAGEOUT, page * PAGE, PAGE, "old")
        assert sim.state.buddy is not None
        listed = [page_pfn(sim.state, frame) for frame in sim.state.buddy.listed()]
        assert listed[:3] == [base + 100 + 7 * n for n in (1, 6, 3)]
        sim.clock.sleep_us(100_000)
        assert _pfns(sim, "new") == [base + 107]
        check(sim)


def test_the_oldest_of_many_become_blocks_again(base: int) -> None:
    """2048 frames in a row are freed one by one: the processor keeps some hundred, and the rest grows together."""
    with _machine(Area("old", 8 * MIB), places={"old": [(0, base - 1024, 2048)]}) as sim:
        advise(sim, Advice.PAGEOUT, area="old")
        assert sim.state.buddy is not None
        kept = len(sim.state.buddy.listed())
        assert 1 <= kept <= 2048 // 4
        orders = [order for _, order in sim.state.buddy.blocks()]
        assert orders.count(10) >= 1
        sim.clock.sleep_us(5_000_000)
        check(sim)


def test_what_is_likely_to_grow_is_used_last(base: int) -> None:
    """Freed frames whose neighbours at one side are a free block wait at the tail of their list; holes come first."""
    groups, holes = range(400), range(8)
    places = {
        "old": [(n, base - 2048 + 4 * n, 1) for n in groups],
        "kept": [(n, base - 2048 + 4 * n + 1, 1) for n in groups] + [(400 + n, base + 2 * n, 1) for n in holes],
    }
    areas = (Area("old", 400 * PAGE), Area("kept", 408 * PAGE), Area("new", 230 * PAGE, populate=False))
    with _machine(*areas, places=places, accesses=[Access("new", 5000.0)]) as sim:
        advise(sim, Advice.PAGEOUT, area="old")
        assert sim.state.buddy is not None
        assert 150 < len(sim.state.buddy.listed()) < 200
        sim.clock.sleep_us(2_000_000)
        assert len(_pfns(sim, "new")) == 230
        assert {base + 2 * n + 1 for n in holes} <= set(_pfns(sim, "new"))
        check(sim)


def test_the_last_frames_are_less_than_the_processor_asks_for() -> None:
    """After many faults in a row it asks for 992 at once, which is more than the watermarks leave."""
    area = Area("a", 560 * MIB, populate=False)
    workload = Workload(
        "test",
        (area,),
        (Phase("only", 10**9, (Access("a", 400_000.0, Pattern.SEQUENTIAL),)),),
        False,
        MachineSpec(512 * MIB, 0, SWAP),
    )
    with SimulatedMachine(workload, 1, Places({"a": [(0, 4096, 1)]})) as sim:
        sim.clock.sleep_us(1_000_000)
        assert sim.counters()["pswpout"] > 0
        check(sim)


def test_the_processors_list_becomes_shorter_with_time(base: int) -> None:
    """It is longer after many faults, and by an eighth shorter each second, down to the low watermark's length."""
    areas = (Area("a", 8 * MIB, populate=False), Area("b", 200 * PAGE, populate=False))
    busy = Phase("busy", 1_000_000, (Access("a", 20_000.0),))
    idle = Phase("idle", 10**9, (Access("b", 2.0),))
    with _machine(*areas, places={"a": [(0, base, 1)]}, phase=busy, then=(idle,)) as sim:
        sim.clock.sleep_us(1_100_000)
        advise(sim, Advice.PAGEOUT, area="a")
        low = sim.state.m.node[0].wmark_low
        assert sim.state.buddy is not None
        assert len(sim.state.buddy.listed()) > low
        sim.clock.sleep_us(60_000_000)
        assert 0 < len(_pfns(sim, "b")) < 200
        assert len(sim.state.buddy.listed()) <= low - len(_pfns(sim, "b"))
        check(sim)


def test_a_huge_page_is_a_block(base: int) -> None:
    places = {"old": [(0, base + 700, 1)]}
    areas = (Area("old", PAGE), Area("new", 2 * MIB, populate=False))
    with _machine(*areas, places=places, accesses=[Access("new", 1000.0)], thp="always") as sim:
        sim.clock.sleep_us(100_000)
        pfns = _pfns(sim, "new")
        assert len(pfns) == 512
        assert pfns == list(range(pfns[0], pfns[0] + 512))
        assert pfns[0] % 512 == 0
        assert pfns[0] in (512, base), "a block of just that size, and no part of a larger one"
        check(sim)


def test_memory_that_comes_and_goes_has_no_such_lists(base: int) -> None:
    plug = Phase("only", 10**9, (), hotplug=(Hotplug(online=False, size=2 * MIB),))
    with _machine(Area("a", PAGE), places={"a": [(0, base, 1)]}, phase=plug, free=[(base + 8, 8)]) as sim:
        assert sim.state.buddy is None
        assert _pfns(sim, "a") == [base]
        sim.clock.sleep_us(3_000_000)
        check(sim)


@settings(max_examples=25)
@given(
    st.lists(st.integers(0, 2047), unique=True, min_size=1, max_size=120),
    st.lists(st.tuples(st.integers(0, 119), st.integers(1, 60)), max_size=12),
)
def test_no_frame_is_lost_whatever_is_freed_and_used(frames: list[int], freed: list[tuple[int, int]]) -> None:
    """Pages go to swap and come back while time passes; all memory comes and goes at last."""
    with _machine(Area("a", PAGE), places={}) as sim:
        base = _first(sim)
    places = {"a": [(n, base - 1024 + frame, 1) for n, frame in enumerate(frames)]}
    areas = (Area("a", len(frames) * PAGE), Area("b", 10 * MIB, populate=False))
    with _machine(*areas, places=places, accesses=[Access("a", 300.0), Access("b", 900.0)]) as sim:
        for page, nr in freed:
            if page < len(frames):
                advise(sim, Advice.PAGEOUT, page * PAGE, min(nr, len(frames) - page) * PAGE, "a")
            sim.clock.sleep_us(17_000 * nr)
            check(sim)
        advise(sim, Advice.PAGEOUT, area="b")
        advise(sim, Advice.PAGEOUT, area="a")
        check(sim)
