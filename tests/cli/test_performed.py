# SPDX-License-Identifier: GPL-2.0-only
"""``damon run --linux --workload``: what is seen of a workload that is performed, of dictated reports."""

from __future__ import annotations

import os
from typing import cast

import pytest

from damon.cli.observe import PerformedObserver
from damon.workload.load import parse_workload
from damon.workload.performed import Performed, Report
from tests.cli.conftest import Damon
from tests.fakes import FakeMachine

WORKLOAD = parse_workload(
    {
        "areas": {"hot": {"size": 8192}, "cold": {"size": 4096}, "side": {"size": 4096, "process": "helper"}},
        "phases": [
            {"name": "first", "duration": "1s", "access": [{"area": "cold", "rate": 10}]},
            {"name": "second", "duration": "1s", "access": [{"area": "hot", "rate": 10}]},
        ],
    }
)


class Answers:
    """Stands for the program: each question has the next answer."""

    workload = WORKLOAD

    def __init__(self, *answers: dict[str, Report]) -> None:
        self._answers, self.asked = list(answers), 0

    def latest(self) -> dict[str, Report]:
        return self._answers[0]

    def reports(self) -> dict[str, Report]:
        self.asked += 1
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def _report(touches: int, dropped: int, phase: str = "second") -> Report:
    return Report(os.getpid(), 0.0, phase, touches, dropped, {"hot": (0, 0), "cold": (0, 0)})


def _observer(*answers: dict[str, Report]) -> PerformedObserver:
    """Some time after the run began."""
    machine = FakeMachine()
    observer = PerformedObserver(machine, cast(Performed, Answers(*answers)))
    machine.clock.sleep_us(1_000_000)
    return observer


def _main(*counts: tuple[int, int]) -> list[dict[str, Report]]:
    """Answers: touches made and dropped in each of the four parts before the run, and in the run."""
    sums = [(sum(one[0] for one in counts[:nr]), sum(one[1] for one in counts[:nr])) for nr in range(len(counts) + 1)]
    return [{"main": _report(*one)} for one in sums]


@pytest.mark.parametrize(
    ("counts", "slowdown"),
    [
        ([(100, 0)] * 5, 1.0),
        ([*[(100, 0)] * 4, (50, 50)], 2.0),
        # A processor that makes half of the touches before the run is no slower when it makes half of them in it.
        ([(100, 100)] * 5, 1.0),
        ([*[(100, 100)] * 4, (100, 300)], 2.0),
        # What it can do is what it did in its best part, and one without work counts nothing.
        ([(10, 90), (0, 0), (50, 50), (10, 90), (25, 75)], 2.0),
        ([(0, 0)] * 5, 1.0),
        ([*[(0, 0)] * 4, (50, 50)], 2.0),
        ([*[(100, 0)] * 4, (0, 30)], 30.0),
    ],
)
def test_slowdown_is_against_what_the_processor_can_do(counts: list[tuple[int, int]], slowdown: float) -> None:
    assert _observer(*_main(*counts)).slowdown() == slowdown


def test_the_process_that_lost_most_counts_and_one_that_left_does_not() -> None:
    before = [{"main": _report(made, 0), "helper": _report(made, 0)} for made in (0, 25, 50, 75, 100)]
    assert _observer(*before, {"main": _report(200, 0), "helper": _report(150, 50)}).slowdown() == 2.0
    assert _observer(*before, {"main": _report(200, 0)}).slowdown() == 1.0
    assert _observer(*before, {}).slowdown() is None


def test_no_process_is_asked_while_it_is_measured() -> None:
    """Each answer wakes a process up, which accesses its own memory then."""
    answers = Answers({"main": _report(0, 0)})
    observer = PerformedObserver(FakeMachine(), cast(Performed, answers))
    before = answers.asked
    assert observer.look().resident
    assert observer.areas()["hot"]["hot"]
    assert observer.slowdown() == 1.0
    assert answers.asked == before == 5


def test_areas_are_hot_by_the_phase_at_the_end() -> None:
    observer = _observer(*({"main": _report(0, 0, phase)} for phase in [*["first"] * 5, "second"]))
    areas = observer.areas()
    assert {name: area["hot"] for name, area in areas.items()} == {"hot": True, "cold": False, "side": False}
    assert {name: area["size_bytes"] for name, area in areas.items()} == {"hot": 8192, "cold": 4096, "side": 4096}
    assert all(area["refaults"] is None for area in areas.values())


def test_memory_is_that_of_its_processes() -> None:
    observer = _observer({"main": _report(0, 0)})
    seen = observer.look()
    assert (seen.free, seen.total) == (500 * 4096, 1000 * 4096)
    assert seen.resident > 1 << 20  # of this process
    assert seen.refaults >= 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--sim", "hot-cold", "--workload", "hot-cold"],
            "--workload: 'hot-cold': is performed on this machine; give --linux too",
        ),
        (["--linux", "--workload", "no-such"], "neither a file here nor a shipped workload"),
        (["--sim", "hot-cold", "--files-in-memory"], "--files-in-memory: is for a workload on this machine; give"),
    ],
)
def test_refused(damon: Damon, words: list[str], said: str) -> None:
    outcome = damon(["run", "--module", "damon_reclaim", *words])
    assert (outcome.code, outcome.out) == (2, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1
