# SPDX-License-Identifier: GPL-2.0-only
"""What stands for many areas and phases, and the areas and phases that it comes to."""

from __future__ import annotations

import math
from typing import Any

import pytest

from damon.workload.generators import RhythmFields
from damon.workload.load import parse_workload
from damon.workload.model import Area, Event, Pattern, Workload
from damon.workload.rhythm import parse_rhythm
from damon.workload.story import check_story
from tests.changed import GONE, changed
from tests.workload.bad_generated import GENERATED

#: A hot spot of a page moves over four pages.
MOVING: dict[str, Any] = {
    "duration": "8s",
    "areas": {"a": {"size": "16K"}},
    "access": [{"area": "a", "rate": 3, "hot": {"size": "4K", "rate": 10, "every": "1s"}}],
}


def hot_parts(workload: Workload) -> list[str]:
    """The parts with the highest rate in each phase."""
    return [
        "".join(access.area[-1] for access in phase.accesses if access.rate == max(one.rate for one in phase.accesses))
        for phase in workload.phases
    ]


def events(workload: Workload) -> list[tuple[float, str, str]]:
    """Seconds, event and name of everything that is mapped, unmapped or exits."""
    found, begin = [], 0
    for phase in workload.phases:
        found += [(begin / 1e6, event.event.value, event.name) for event in phase.events]
        begin += phase.duration_us
    return found


def rates(workload: Workload, area: str) -> list[tuple[float, float]]:
    """Seconds of each phase, and the touches a second of an area of the file in it."""
    parts = {part.name for part in workload.areas if area in (part.name, part.part_of)}
    return [
        (phase.duration_us / 1e6, sum(access.rate for access in phase.accesses if access.area in parts))
        for phase in workload.phases
    ]


@pytest.mark.parametrize(
    ("hot", "places"),
    [
        ({}, "01230123"),
        ({"move": "bounce"}, "01232101"),
        ({"move": "jump", "at": ["12K", 0]}, "30303030"),
        ({"step": "8K"}, "02302302"),  # and the last place, so that all of the area has its turn
        ({"every": "3s"}, "012"),
        ({"every": "9s"}, "0"),
    ],
    ids=str,
)
def test_a_hot_spot_moves(hot: dict[str, Any], places: str) -> None:
    data = changed(MOVING, "access[0].hot", {**MOVING["access"][0]["hot"], **hot})
    workload = parse_workload(data)
    names = sorted({int(part.name[-1]) for part in workload.areas})
    offsets = {str(n): sum(area.size for area in workload.areas[:n]) // 4096 for n in names}
    assert "".join(str(offsets[part]) for part in hot_parts(workload)) == places
    assert all(area.part_of == "a" for area in workload.areas)
    for phase in workload.phases:
        assert sorted(access.rate for access in phase.accesses)[-1] == 10
        assert sum(access.rate for access in phase.accesses) == pytest.approx(13)


def test_a_bigger_hot_spot_covers_several_parts() -> None:
    workload = parse_workload(changed(MOVING, "access[0].hot", {"size": "8K", "step": "4K", "rate": 10, "every": "1s"}))
    assert hot_parts(workload)[:4] == ["01", "12", "23", "01"]
    assert {access.rate for access in workload.phases[0].accesses} == {5.0, 1.5}


def test_a_walk_goes_to_neighbours_and_depends_on_the_seed_alone() -> None:
    data = changed(MOVING, "access[0].hot.move", "walk") | {"duration": "60s"}
    walks = [hot_parts(parse_workload(data | {"seed": seed})) for seed in (1, 1, 2)]
    assert walks[0] == walks[1] != walks[2]
    assert len(walks[0]) == 60
    assert all(abs(int(one) - int(other)) == 1 for one, other in zip(walks[0], walks[0][1:], strict=False))


def test_background_can_be_nothing() -> None:
    workload = parse_workload(changed(MOVING, "access[0].rate", 0))
    assert [len(phase.accesses) for phase in workload.phases] == [1] * 8


def rhythm(**fields: Any) -> list[tuple[float, float]]:
    made = parse_rhythm("x", RhythmFields(**fields))
    return [(t / 1e6, factor) for t, factor in zip(made.times, made.factors, strict=True)]


def test_rhythms() -> None:
    assert rhythm(period="4s", levels=[["1s", 2], ["3s", 0.5]]) == [(0, 0.5), (1, 2), (3, 0.5)]
    assert rhythm(period="4s", points=[[0, 0], ["2s", 2]], step="1s") == [(0, 0.5), (1, 1.5), (3, 0.5)]
    assert rhythm(period="4s", points=[["1s", 3]], step="1s") == [(0, 3.0)]
    half = round(0.5 + 1 / math.pi, 6)  # of a wave from 0 to 1, the mean of its upper half
    assert rhythm(period="4s", peak_at="1s", step="2s") != rhythm(period="4s", peak_at="2s", step="2s")
    assert rhythm(period="4s", peak=1, peak_at="1s", step="2s") == [(0, half), (2, round(1 - half, 6))]


def test_a_scaled_day_has_the_factors_of_a_long_one() -> None:
    day, minutes = (rhythm(period=period, peak=1, trough=0.1) for period in ("24h", "5min"))
    assert [factor for _, factor in day] == [factor for _, factor in minutes]
    assert day[5][0] == minutes[5][0] * 288


def test_growth_and_what_then() -> None:
    def steps(then: str) -> list[tuple[float, str, str]]:
        grow = {"initial": "4K", "by": "4K", "every": "1s", "then": then}
        return events(parse_workload({"duration": "6s", "areas": {"a": {"size": "12K", "grow": grow}}}))

    up = [(1.0, "mmap", "a.1"), (2.0, "mmap", "a.2")]
    assert steps("stay") == up
    again = [(3.0, "munmap", "a.1"), (3.0, "munmap", "a.2"), (4.0, "mmap", "a.1"), (5.0, "mmap", "a.2")]
    assert steps("drop") == up + again
    assert steps("shrink") == [*up, (3.0, "munmap", "a.2"), (4.0, "munmap", "a.1"), (5.0, "mmap", "a.1")]


def test_accesses_to_a_growing_area_are_spread_over_what_is_mapped() -> None:
    grow = {"by": "4K", "every": "1s"}
    data = {"duration": "4s", "areas": {"a": {"size": "8K", "grow": grow}}, "access": [{"area": "a", "rate": 8}]}
    workload = parse_workload(data)
    assert [[access.rate for access in phase.accesses] for phase in workload.phases] == [[], [8.0], [4.0, 4.0]]
    assert workload.phases[-1].duration_us == 2_000_000


PROGRAM: dict[str, Any] = {
    "duration": "20s",
    "programs": {
        "p": {
            "params": {"size": "4K", "rate": 5}, "memcg": "$group", "areas": {"d": {"size": "$size"}},
            "access": [{"area": "d", "rate": "$rate"}],
        }
    },
    "instances": [{"program": "p", "name": "q", "count": 3, "set": {"size": ["8K", "16K"], "rate": 7, "group": "g"}}],
}  # fmt: skip
PROGRAM["programs"]["p"]["params"]["group"] = "none"


def test_programs_with_parameters() -> None:
    workload = parse_workload(PROGRAM)
    assert workload.areas == tuple(
        Area(f"q.{n}.d", size, process=f"q.{n}") for n, size in enumerate((8192, 16384, 8192))
    )
    assert [spec.memcg for spec in workload.process_specs] == ["g"] * 3
    assert not any(spec.late for spec in workload.process_specs)
    assert [[access.rate for access in phase.accesses] for phase in workload.phases] == [[7.0] * 3]


def instances(**fields: Any) -> list[tuple[float, str, str]]:
    return events(parse_workload(PROGRAM | {"instances": [{"program": "p", **fields}]}))


def test_processes_start_and_stop() -> None:
    assert instances(start="2s", lifetime="3s") == [(2.0, "mmap", "p.d"), (5.0, "exit", "p")]
    assert instances(count=2, every="5s") == [(0.0, "mmap", "p.0.d"), (5.0, "mmap", "p.1.d")][1:]
    # At most one at a time: the second, due at 2 s, waits for the first one's end; then the same slot goes on.
    assert instances(count=2, every="2s", lifetime="8s", most=1) == [
        (0.0, "mmap", "p.d"), (8.0, "exit", "p"), (8.0, "mmap", "p.d"), (16.0, "exit", "p"),
    ]  # fmt: skip
    found = instances(every="4s", lifetime="6s")
    assert [(t, name) for t, event, name in found if event == "mmap"] == [
        (0, "p.0.d"), (4, "p.1.d"), (8, "p.0.d"), (12, "p.1.d"), (16, "p.0.d"),
    ]  # fmt: skip


def test_random_arrivals_have_their_mean_and_lifetimes_their_range() -> None:
    data = PROGRAM | {
        "duration": "1000m",
        "instances": [{"program": "p", "every": "1m", "arrivals": "poisson", "lifetime": ["1m", "3m"]}],
    }
    found = events(parse_workload(data))
    begins = {name.removesuffix(".d"): [t for t, _, one in found if one == name] for _, _, name in found if "d" in name}
    ends = {process: [t for t, event, one in found if (event, one) == ("exit", process)] for process in begins}
    assert 900 < sum(map(len, begins.values())) < 1100
    lengths = [end - begin for name in begins for begin, end in zip(begins[name], ends[name], strict=False)]
    assert min(lengths) >= 60
    assert max(lengths) <= 180
    assert 110 < sum(lengths) / len(lengths) < 130
    assert events(parse_workload(data | {"seed": 1})) != found == events(parse_workload(data | {"seed": 0}))


def test_plain_phases_go_on_beside_it() -> None:
    data = {
        "areas": {"a": {"size": "8K"}, "b": {"size": "4K", "mapped": False}, "c": {"size": "4K"}},
        "rhythms": {"r": {"period": "4s", "levels": [["1s", 2], ["2s", 1]]}},
        "access": [{"area": "b", "rate": 1}, {"area": "c", "rate": 10, "rhythm": "r"}],
        "phases": [
            {"name": "one", "duration": "2s", "access": [{"area": "a", "rate": 4, "pattern": "zipf"}]},
            {"name": "two", "duration": "4s", "mmap": ["b"], "access": [{"area": "a", "rate": 5, "rhythm": "r"}]},
        ],
    }
    workload = parse_workload(data)
    assert [phase.name for phase in workload.phases] == ["one", "one 00:00:01", "two", "two 00:00:03"]
    assert rates(workload, "c") == [(1, 10), (1, 20), (3, 10), (1, 20)]
    assert rates(workload, "a") == [(1, 4), (1, 4), (3, 5), (1, 10)]
    assert rates(workload, "b") == [(1, 0), (1, 0), (3, 1), (1, 1)]
    assert workload.phases[0].accesses[-1].pattern is Pattern.ZIPF
    assert events(workload) == [(2.0, "mmap", "b")]


def test_a_repeated_round_leaves_what_it_found() -> None:
    data = changed(GENERATED, "instances[0].count", GONE) | {"repeat": True}
    workload = parse_workload(data)
    check_story(workload)
    assert workload.phases[-1].duration_us == 1000
    assert any(event.event is Event.EXIT for event in workload.phases[-1].events)
    assert sum(phase.duration_us for phase in workload.phases) == 3_600_000_000


def test_a_file_without_any_of_it_is_as_it_was() -> None:
    plain = {"areas": {"a": {"size": "4K"}}, "phases": [{"duration": "1s"}] * 2}
    assert [phase.name for phase in parse_workload(plain).phases] == ["phase 0", "phase 1"]
