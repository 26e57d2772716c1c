# SPDX-License-Identifier: GPL-2.0-only
"""A workload file with all that expands, performed in a guest: the kernel's account of it beside the expanded plan.

Resident memory by area, pages that are written, and processes that start and exit, by /proc alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import pytest

from damon.workload.load import load_workload
from damon.workload.model import Kind, Workload
from damon.workload.plan import Options, compile_plan
from damon.workload.rates import Span, spans
from tests.vm.job import COUNTED, PROJECT, PYTHON, ROOT
from tests.waiting import HANG_S
from vmtest import Guest

#: A processor that is twice as fast: what is late is the plan's, and not for want of a processor. Soft-dirty bits, with
#: which pagemap shows what is written, are x86-64's.
pytestmark = pytest.mark.guest(memory="512M", **{**COUNTED, "icount": 1})
PAGE = 4096
SECONDS, LOOK_MS = 7.6, 200
#: What the plan changes is there so much later at most: half of the shortest step, so that nothing is a step late.
LATE_S = 0.2
#: When the plan began is known so well: by reports, which take a while until they are read.
BEGIN_S = 0.03
#: A process hears of what it maps from the reports that are asked for so often.
REPORT_US = 40_000


class _Story:
    """The expanded plan over time."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.spans = list(spans(workload))
        self.process = {area.name: area.process for area in workload.areas}

    def during(self, begin: float, end: float) -> Iterator[tuple[Span, float]]:
        """The phases from one second to another, with their seconds in that time."""
        for span in self.spans:
            seconds = min(span.end_us / 1e6, end) - max(span.begin_us / 1e6, begin)
            if seconds > 0:
                yield span, seconds

    def touches(self, area: str, begin: float, end: float) -> float:
        return sum(span.rates.get(area, 0.0) * seconds for span, seconds in self.during(begin, end))

    @cached_property
    def lives(self) -> list[tuple[float, float, str]]:
        """When each process starts and exits."""
        found, since = list[tuple[float, float, str]](), dict[str, float]()
        at = 0.0
        for phase in self.workload.phases:
            for event in phase.events:
                if event.event.value == "exit":
                    found.append((since.pop(event.name), at, event.name))
                elif event.event.value == "mmap" and self.workload.process_spec(self.process[event.name]).late:
                    since.setdefault(self.process[event.name], at)
            at += phase.duration_us / 1e6
        found += [(start, math.inf, name) for name, start in since.items()]
        always = [name for name in self.workload.processes if not self.workload.process_spec(name).late]
        return sorted([*found, *((0.0, math.inf, name) for name in always)])


@pytest.fixture(scope="module")
def story() -> _Story:
    return _Story(load_workload(ROOT / "tests/vm/suites/small-day.yaml"))


@pytest.fixture(scope="module")
def seen(story: _Story, shared_guest: Guest) -> Any:
    """What ``tests/vm/guest/observe.py`` has found."""
    plan = compile_plan(story.workload, Options(report_us=REPORT_US, round_us=2500))
    words = [PYTHON, f"{PROJECT}/tests/vm/guest/observe.py", f"{SECONDS}", f"{LOOK_MS}"]
    return json.loads(shared_guest.run(words, input=plan.encode(), timeout=HANG_S).check().text)


def test_processes_start_and_exit_as_planned(story: _Story, seen: Any) -> None:
    started = {(look["name"], look["pid"]): look["started"] for look in seen["looks"]}
    wanted = [life for life in story.lives if life[0] < SECONDS - 3 * LATE_S - LOOK_MS / 1e3]
    found = sorted((at, name, pid) for (name, pid), at in started.items())[: len(wanted)]
    assert len(wanted) > 15, "few processes come and go"
    # Those of the start come in any order.
    assert sorted(name for _, name, _ in found) == sorted(name for *_, name in wanted)
    pid_of = {}
    for name in story.workload.processes:
        lives = [life for life in wanted if life[2] == name]
        for life, (at, _, pid) in zip(lives, [one for one in found if one[1] == name], strict=True):
            assert -BEGIN_S < at - life[0] < LATE_S, f"{name} starts at {life[0]}"
            pid_of[life] = pid
    for one in seen["alive"]:
        for (start, end, name), pid in pid_of.items():
            if start + LATE_S < one["at"] and one["until"] < end:
                assert pid in one["pids"], f"{name} is missing at {one['at']}"
            elif one["until"] < start - BEGIN_S or one["at"] > end + LATE_S:
                assert pid not in one["pids"], f"{name} is there at {one['at']}"


def test_each_area_is_resident_when_and_as_far_as_planned(story: _Story, seen: Any) -> None:
    """What is populated is there as a whole; what is not, as far as the pass in order has come."""
    areas = {area.name: area for area in story.workload.areas}
    changes = set()
    for look in seen["looks"]:
        around = [span for span, _ in story.during(look["at"] - LATE_S, look["until"] + BEGIN_S)]
        for name, found in look["areas"].items():
            sizes = {areas[name].size if name in span.mapped else 0 for span in around}
            assert found["mapped"] in sizes, f"{name} at {look['at']}"
            if len(sizes) == 1 and areas[name].populate:
                assert found["present"] * PAGE in sizes, f"{name} at {look['at']}"
                changes.add((name, *sizes))
        if look["name"] == "log":
            (pages,) = (one["present"] for one in look["areas"].values())
            due, most = story.touches("log", 0, look["at"]), story.touches("log", 0, look["until"] + BEGIN_S)
            assert due - 120 * LATE_S - seen["late"]["log"] <= pages <= most + 1, f"at {look['at']}"
    both = {name for name, size in changes if size} & {name for name, size in changes if not size}
    assert {areas[name].part_of for name in both} >= {"sessions", "job.0.results", "job.1.results"}
    assert {name for name, _ in changes if areas[name].kind is Kind.FILE} >= {"job.0.input", "job.1.input"}


def test_nothing_else_is_resident(story: _Story, seen: Any) -> None:
    """Beside its areas, each process has the program alone: none keeps what it has unmapped."""
    rest = []
    for look in seen["looks"]:
        around = [span.mapped for span, _ in story.during(look["at"] - LATE_S, look["until"] + LATE_S)]
        if all(mapped & look["areas"].keys() == around[0] & look["areas"].keys() for mapped in around):
            rest.append(look["rss"] - sum(area["present"] for area in look["areas"].values()) * PAGE)
    assert len(rest) > 100
    assert max(rest) < 3 << 20
    assert max(rest) - min(rest) < 1 << 20


@pytest.mark.parametrize("process", ["web", "database"])
def test_pages_are_written_where_and_as_often_as_planned(story: _Story, seen: Any, process: str) -> None:
    """The hot spot is at its place, and nothing else of its area; a rhythm is that of the hours."""
    shares = []
    for look in seen["looks"]:
        if look["name"] != process or look["since"] is None:
            continue
        (begin, cleared), end, until = look["since"], look["at"], look["until"]
        for name, found in look["areas"].items():
            pages = found["mapped"] // PAGE
            least, most = (
                pages * -math.expm1(-story.touches(name, *times) / pages)
                for times in ((cleared + BEGIN_S, end - BEGIN_S), (begin - BEGIN_S, until + BEGIN_S))
            )
            spread = 5 * math.sqrt(most)
            assert least - spread <= found["written"] <= most + spread, f"{name} at {end}"
            shares.append(found["written"] / pages)
    assert min(shares) < 0.25
    assert max(shares) > 0.6
