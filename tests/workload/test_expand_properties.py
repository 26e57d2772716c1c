# SPDX-License-Identifier: GPL-2.0-only
"""What holds of any expansion: nothing is touched while it is not mapped, and no touch is lost or added."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damon.mm.sim import SimulatedMachine
from damon.workload.load import parse_workload
from damon.workload.model import Event, Workload
from damon.workload.plan import Options, compile_plan
from damon.workload.rates import bands, most_mapped, spans, summary
from damon.workload.story import check_story

PAGE = 4096
SECONDS = 60


@st.composite
def hot_spots(draw: st.DrawFn, pages: int) -> dict[str, Any]:
    size = draw(st.integers(1, pages))
    hot: dict[str, Any] = {
        "size": size * PAGE, "rate": draw(st.integers(1, 10**6)), "every": f"{draw(st.integers(1, 90))}s",
        "move": draw(st.sampled_from(["sweep", "bounce", "walk", "jump"])),
    }  # fmt: skip
    if hot["move"] == "jump":
        hot["at"] = [at * PAGE for at in draw(st.lists(st.integers(0, pages - size), min_size=1, max_size=5))]
    elif draw(st.booleans()):
        hot["step"] = draw(st.integers(1, pages)) * PAGE
    return hot


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Any combination, of a minute."""
    rhythms: dict[str, Any] = {
        "wave": {"period": f"{draw(st.integers(2, 90))}s", "trough": 0.5, "peak": draw(st.floats(1, 9)), "step": "1s"},
        "shift": {"period": "20s", "levels": [["3s", 0], ["9s", draw(st.floats(0, 3))]]},
    }  # fmt: skip
    areas: dict[str, Any] = {}
    accesses = []
    for name in draw(st.lists(st.sampled_from("abc"), min_size=1, unique=True)):
        pages = draw(st.integers(1, 12))
        areas[name] = {"size": pages * PAGE}
        access: dict[str, Any] = {"area": name, "rate": draw(st.integers(1, 1000))}
        if draw(st.booleans()):
            access["rhythm"] = draw(st.sampled_from(sorted(rhythms)))
        if draw(st.booleans()):
            access["hot"] = draw(hot_spots(pages))
        if draw(st.booleans()):
            initial = draw(st.integers(0, pages - 1))
            areas[name]["grow"] = {
                "initial": initial * PAGE, "by": draw(st.integers(1, pages)) * PAGE,
                "every": f"{draw(st.integers(1, 40))}s", "then": draw(st.sampled_from(["stay", "drop", "shrink"])),
            }  # fmt: skip
        accesses.append(access)
    program = {"areas": {f"x{name}": area for name, area in areas.items()},
               "access": [access | {"area": f"x{access['area']}"} for access in accesses]}  # fmt: skip
    instance = {
        "program": "p", "start": f"{draw(st.integers(0, 59))}s", "every": f"{draw(st.integers(5, 60))}s",
        "arrivals": draw(st.sampled_from(["regular", "poisson"])), "most": draw(st.integers(1, 3)),
        "lifetime": draw(st.sampled_from(["1s", "30s", ["1s", "50s"]])),
    }  # fmt: skip
    return {
        "seed": draw(st.integers(0, 9)), "rhythms": rhythms, "areas": areas, "access": accesses,
        "programs": {"p": program}, "instances": [instance] if draw(st.booleans()) else [],
        "duration": f"{SECONDS}s", "repeat": draw(st.booleans()),
    }  # fmt: skip


@settings(deadline=None)
@given(files())
def test_any_combination_is_consistent(data: dict[str, Any]) -> None:
    workload = parse_workload(data)
    check_story(workload)  # mapped when it is touched, mapped once, and as it was after a round
    assert parse_workload(data) == workload
    assert sum(phase.duration_us for phase in workload.phases) == SECONDS * 10**6
    for before, after in zip(workload.phases, workload.phases[1:], strict=False):
        assert after.events or before.accesses != after.accesses, "two phases that are one"
    sizes: dict[str, int] = {}
    for area in workload.areas:
        title = area.part_of or area.name
        sizes[title] = sizes.get(title, 0) + area.size
    for name, area in data["areas"].items():
        assert sizes[name] == area["size"]


def touches(workload: Workload, area: str) -> float:
    parts = {part.name for part in workload.areas if area in (part.name, part.part_of)}
    return sum(
        (span.end_us - span.begin_us) / 1e6 * rate
        for span in spans(workload)
        for name, rate in span.rates.items()
        if name in parts
    )


@settings(deadline=None)
@given(st.integers(2, 12).flatmap(lambda pages: st.tuples(st.just(pages), hot_spots(pages))))
def test_touches_are_neither_lost_nor_added(given_: tuple[int, dict[str, Any]]) -> None:
    """Over whole periods a wave's mean is the middle of trough and peak."""
    pages, hot = given_
    data = {
        "areas": {"a": {"size": pages * PAGE}}, "duration": f"{SECONDS}s",
        "rhythms": {"r": {"period": "20s", "trough": 0.5, "peak": 2, "peak_at": "3s"}},
        "access": [{"area": "a", "rate": 100, "rhythm": "r", "hot": hot}],
    }  # fmt: skip
    rest = 0 if hot["size"] == pages * PAGE else 100
    total = (rest + hot["rate"]) * SECONDS * 1.25
    assert touches(parse_workload(data), "a") == pytest.approx(total, rel=1e-5)


@settings(deadline=None)
@given(st.integers(1, 12).flatmap(lambda pages: st.tuples(st.just(pages), hot_spots(pages))))
def test_a_sweep_covers_all_of_an_area_that_its_steps_leave_no_gap_in(given_: tuple[int, dict[str, Any]]) -> None:
    pages, hot = given_
    hot |= {"move": "sweep", "every": "1s"}
    hot.pop("at", None)
    hot["step"] = min(hot.get("step", hot["size"]), hot["size"])
    data = {"areas": {"a": {"size": pages * PAGE}}, "duration": "60s", "access": [{"area": "a", "rate": 0, "hot": hot}]}
    workload = parse_workload(data)
    assert {access.area for phase in workload.phases for access in phase.accesses} == {a.name for a in workload.areas}
    sizes = {area.name: area.size for area in workload.areas}
    for phase in workload.phases:
        assert sum(sizes[access.area] for access in phase.accesses) == hot["size"]
        assert sum(access.rate for access in phase.accesses) == pytest.approx(hot["rate"])


@settings(deadline=None, max_examples=20)
@given(files())
def test_both_machines_take_any_of_it(data: dict[str, Any]) -> None:
    workload = parse_workload(data)
    compile_plan(workload, Options())
    with SimulatedMachine(workload, 1) as machine:
        late = {spec.name for spec in workload.process_specs if spec.late}
        at_once = {event.name for event in workload.phases[0].events if event.event is Event.MMAP}
        assert {one.name for one in machine.processes() if not one.alive} == {
            name for name in late if not any(area.startswith(f"{name}.") for area in at_once)
        }
        machine.clock.sleep_us(SECONDS * 10**6 // 2)
        mapped = {stat.name for stat in machine.areas() if stat.mapped}
        span = next(span for span in spans(workload) if span.begin_us <= SECONDS * 10**6 // 2 < span.end_us)
        assert mapped == span.mapped


@settings(deadline=None)
@given(files(), st.integers(1, 50))
def test_what_is_shown_agrees_with_the_phases(data: dict[str, Any], columns: int) -> None:
    workload = parse_workload(data)
    found = summary(workload)
    for area in found.areas:
        assert area.mean_rate * SECONDS == pytest.approx(touches(workload, area.name), abs=1e-6)
    assert found.most_mapped == most_mapped(workload)[0] <= sum(area.size for area in workload.areas)
    if not data["instances"] and not any("grow" in area for area in data["areas"].values()):
        total = sum(
            rate * (band.area.size // PAGE) * SECONDS / columns
            for band in bands(workload, columns)
            for rate in band.rates
            if rate is not None
        )
        assert total == pytest.approx(sum(touches(workload, name) for name in data["areas"]), rel=1e-3)
