# SPDX-License-Identifier: GPL-2.0-only
"""Pages that stand for a traced area: their rates and lives, and the best reclaim and the truth that come of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import exp
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.results.best import best_reclaim
from damon.workload.load import parse_workload
from damon.workload.model import Area, MachineSpec, Phase, Replay, Swap, Workload
from damon.workload.tracefile.form import TracedArea, pack_rows
from damon.workload.tracefile.mapping import changes
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.sampled import Sampled, Traces, sampled
from damon.workload.tracefile.writer import TraceWriter
from damon.workload.truth import Truth
from tests.examples import examples

S, PAGE, MIB = 10**9, 4096, 1 << 20
Window = tuple[float, float, list[tuple[int, int, float]]]  # seconds; first page, end, touches of each


def _trace(place: Path, nr_pages: int, windows: Sequence[Window], mapped: Sequence[tuple[float, float]]) -> Trace:
    end = max([high for _, high in mapped] + [high for _, high, _ in windows])
    with TraceWriter(place / "t.trace") as writer:
        space = writer.space("main", nr_pages)
        for begin, until, rows in windows:
            writer.add(space, round(begin * S), round(until * S), pack_rows((*row, 1.0) for row in rows))
        periods = tuple((round(low * S), round(high * S)) for low, high in mapped)
        writer.close(round(end * S), [TracedArea("a", space, 0, nr_pages, mapped=periods)], origin="test")
    return Trace(place / "t.trace")


def _area(trace: Trace, **more: object) -> Area:
    replay = Replay(str(trace.path), 0, 0, trace.description.duration_ns, **more)  # type: ignore[arg-type]
    return Area("a", int(trace.description.areas[0].nr_pages * replay.size_scale) * PAGE, replay=replay)


def _workload(area: Area, seconds: float) -> Workload:
    swap = Swap(64 * MIB)
    return Workload("t", (area,), (Phase("p", round(seconds * 1e6)),), machine=MachineSpec(memory=64 * MIB, swap=swap))


def test_the_best_is_that_of_a_workload_with_the_same_rates(tmp_path: Path) -> None:
    """256 pages at 2, 0 and 5 touches a second each, as a trace of three windows and as three phases."""
    rates = ((10.0, 2.0), (30.0, 0.0), (5.0, 5.0))
    windows: list[Window] = []
    at = 0.0
    for seconds, rate in rates:
        if rate:
            windows.append((at, at + seconds, [(0, 256, seconds * rate)]))
        at += seconds
    area = _area(_trace(tmp_path, 256, windows, [(0.0, at)]))
    phases = ", ".join(
        f"{{duration: {seconds}s, access: [{f'{{area: a, rate: {256 * rate}}}' if rate else ''}]}}"
        for seconds, rate in rates
    )
    same = parse_workload_text(f"areas: {{a: {{size: 1 MiB}}}}\nphases: [{phases}]\nmachine: {{memory: 64 MiB}}")
    for until in (12.0, 45.0):
        ours, theirs = best_reclaim(_workload(area, 45.0), until), best_reclaim(same, until)
        assert ours.idle_byte_seconds == pytest.approx(theirs.idle_byte_seconds)
        assert ours.most_byte_seconds == pytest.approx(theirs.most_byte_seconds)
        for refaults in (1.0, 100.0, 1000.0):
            assert ours.byte_seconds(refaults) == pytest.approx(theirs.byte_seconds(refaults), rel=1e-3)


def parse_workload_text(text: str) -> Workload:
    import yaml

    return parse_workload(yaml.safe_load(text))


def test_rounds_are_a_cycle(tmp_path: Path) -> None:
    """Many rounds at once are the same as one by one."""
    windows: list[Window] = [(0.0, 1.0, [(0, 40, 3.0)]), (2.0, 3.0, [(20, 64, 1.0)])]
    trace = _trace(tmp_path, 64, windows, [(0.0, 4.0)])
    looped = best_reclaim(_workload(_area(trace, loop=True), 50.0), 50.0)
    unrolled: list[Window] = [
        (4 * n + begin, 4 * n + end, rows) for n in range(13) for begin, end, rows in windows if 4 * n + end <= 50
    ]
    (tmp_path / "long").mkdir()
    one = best_reclaim(_workload(_area(_trace(tmp_path / "long", 64, unrolled, [(0.0, 50.0)])), 50.0), 50.0)
    assert looped.most_byte_seconds == pytest.approx(one.most_byte_seconds)
    for refaults in (10.0, 300.0):
        assert looped.byte_seconds(refaults) == pytest.approx(one.byte_seconds(refaults), rel=1e-3)


def test_areas_that_come_and_go_in_each_round(tmp_path: Path) -> None:
    """Lives that are alike count as often as they are there."""
    windows: list[Window] = [(0.0, 1.0, [(0, 64, 3.0)]), (1.0, 2.0, [(0, 64, 3.0)])]
    trace = _trace(tmp_path, 64, windows, [(0.0, 2.0), (3.0, 4.0)])
    once, often = (best_reclaim(_workload(_area(trace, loop=True), 40.0), until) for until in (4.0, 40.0))
    assert often.most_byte_seconds == pytest.approx(10 * once.most_byte_seconds, rel=0.1)


def test_many_areas_have_fewer_pages_each(tmp_path: Path) -> None:
    area = _area(_trace(tmp_path, 4096, [(0.0, 1.0, [(0, 4096, 1.0)])], [(0.0, 1.0)]))
    found = [len(Traces([area] * number).sampled(area).rates) for number in (1, 32, 64, 100_000)]
    assert found == [512, 512, 256, 32]


@st.composite
def traces(draw: st.DrawFn) -> tuple[list[Window], list[tuple[float, float]]]:
    """Windows over 32 pages in 10 s with gaps, and mappings."""
    cuts = sorted(draw(st.sets(st.integers(0, 100), min_size=2, max_size=8)))
    windows: list[Window] = []
    for low, high in pairwise(cuts):
        if draw(st.booleans()):
            first, nr = draw(st.integers(0, 30)), draw(st.integers(1, 32))
            windows.append((low / 10, high / 10, [(first, min(first + nr, 32), draw(st.integers(1, 50)) / 10)]))
    edges = sorted(draw(st.sets(st.integers(0, 100), min_size=2, max_size=6)))
    mapped = [(low / 10, high / 10) for low, high in zip(edges[::2], edges[1::2], strict=False)]
    return windows, mapped


@examples(40)
@given(drawn=traces(), loop=st.booleans(), scale=st.sampled_from([1.0, 0.5, 3.0]), seed=st.integers(0, 1000))
def test_rates_and_lives(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[list[Window], list[tuple[float, float]]],
    loop: bool,
    scale: float,
    seed: int,
) -> None:
    windows, mapped = drawn
    trace = _trace(tmp_path_factory.mktemp("t"), 32, windows, mapped)
    length = trace.description.duration_ns / S
    area = _area(trace, loop=loop, time_scale=scale)
    found, rnd = sampled(area, trace), Random(seed)
    assert found.seconds == pytest.approx(length * scale)
    assert (len(found.rates), found.weight) == (32, 1.0)

    def rate(page: int, at: float) -> float:
        within = at / scale
        if within >= length and not loop:
            return 0.0
        within %= length
        for begin, end, rows in windows:
            if begin <= within < min(end, length):
                return sum(each for low, high, each in rows if low <= page < high) / (end - begin) / scale
        return 0.0

    until = 2.3 * length * scale
    for _ in range(30):
        page, at = rnd.randrange(32), rnd.uniform(0, until)
        assert found.rate(page, at) == pytest.approx(rate(page, at), rel=1e-6)
        low, high = sorted((rnd.uniform(0, until), rnd.uniform(0, until)))
        total = sum(seconds * each for seconds, each in found.stretches(page, low, high))
        assert total == pytest.approx(found.touches(page, low, high), rel=1e-6, abs=1e-9)
        assert sum(seconds for seconds, _ in found.stretches(page, low, high)) == pytest.approx(high - low)
    assert _state(found, until) == _as_played(area, trace.description.areas[0], until)


def _state(found: Sampled, until: float) -> list[tuple[int, bool]]:
    """When it is mapped and unmapped, ms, up to ``until``."""
    turns = []
    for low, high in found.lives(until):
        turns += [(round(low * 1000), True), (round(high * 1000), False)]
    return [turn for turn in turns if 0 < turn[0] < round(until * 1000)]


def _as_played(area: Area, traced: TracedArea, until: float) -> list[tuple[int, bool]]:
    assert area.replay is not None
    turns = []
    for at, mapped in changes(area.replay, traced):
        if at >= until * S:
            break
        turns.append((round(at / 1e6), mapped))
    # What is unmapped and mapped again at the same time goes on; the trace's end unmaps what does not loop.
    end = round(area.replay.duration_us / 1000)
    if not area.replay.loop and (not turns or turns[-1][1]) and traced.mapped[-1][1] == area.replay.end_ns:
        turns.append((end, False))
    return [turn for turn in turns if turn[0] < round(until * 1000)]


def test_few_pages_stand_for_many_and_scaled_ones(tmp_path: Path) -> None:
    trace = _trace(tmp_path, 10_000, [(0.0, 1.0, [(0, 2500, 4.0)])], [(0.0, 1.0)])
    for scale in (1.0, 0.25, 2.0):
        found = sampled(_area(trace, size_scale=scale), trace)
        assert len(found.rates) == 512
        assert found.weight * 512 == 10_000 * scale
        assert sum(one[0] == 4.0 for one in found.rates) == 128
        few = found.fewer(100)
        assert len(few.rates) <= 100
        assert few.weight * len(few.rates) == pytest.approx(10_000 * scale)
        assert sum(one[0] == 4.0 for one in few.rates) / len(few.rates) == pytest.approx(0.25, abs=0.02)


def test_a_long_trace_has_windows_of_a_higher_level(tmp_path: Path) -> None:
    windows: list[Window] = [(n / 10, (n + 1) / 10, [(0, 8, 1.0 + n % 2)]) for n in range(2000)]
    trace = _trace(tmp_path, 8, windows, [(0.0, 200.0)])
    found = sampled(_area(trace), trace)
    assert len(found.edges) == 126
    assert found.touches(3, 0.0, 200.0) == pytest.approx(3000)
    assert found.rate(0, 77.0) == pytest.approx(15.0)


def test_the_truth_of_a_trace(tmp_path: Path) -> None:
    windows: list[Window] = [(0.0, 5.0, [(0, 32, 50.0)]), (5.0, 10.0, [(0, 16, 5.0)])]
    truth = Truth(_workload(_area(_trace(tmp_path, 64, windows, [(1.0, 10.0)])), 10.0))
    assert truth.idle_share("a", 10e6, 5e6) == pytest.approx(0.75 + 0.25 * exp(-5.0))
    assert truth.idle_share("a", 5.5e6, 1e6) == pytest.approx(0.5 + 0.25 * (exp(-5.0) + exp(-5.5)))
    assert truth.idle_share("a", 5e6, 4.5e6) == 0.0  # it was not mapped for so long
    assert truth.count_share("a", 2e6, 5000, 20, 1, 2) == 0.5  # 0.05 touches a sample
    assert truth.count_share("a", 2e6, 5000, 20, 0, 0) == 0.5
    assert truth.accesses_per_page("a", 2e6, 1e6) == pytest.approx(5.0)


def _filling(pattern: str, **phase: object) -> Truth:
    """An area of 1000 pages that come with their first touch, a hundred touches a second."""
    first = {"duration": "10s", "access": [{"area": "a", "rate": 100, "pattern": pattern}]}
    data = {"areas": {"a": {"size": "4000K", "populate": False}}, "phases": [first, {"duration": "10s", **phase}]}
    return Truth(parse_workload(data))


def test_pages_that_have_not_come_yet_are_not_idle() -> None:
    """A pass in order has come to page 500 after five seconds, and to page 300 two seconds before."""
    assert _filling("sequential").idle_share("a", 5e6, 2e6) == pytest.approx(0.6)
    expected = exp(-0.1) * (1 - exp(-0.3)) / (1 - exp(-0.4))
    assert _filling("random").idle_share("a", 4e6, 1e6) == pytest.approx(expected)
    assert _filling("random").idle_share("a", 15e6, 5e6) == pytest.approx(1.0)
    again = _filling("random", munmap=["a"], mmap=["a"])
    assert again.idle_share("a", 15e6, 2e6) == 0.0, "nothing has come to it since it was mapped again"
    assert again.idle_share("a", 11e6, 2e6) == 0.0
