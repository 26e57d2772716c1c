# SPDX-License-Identifier: GPL-2.0-only
"""Validation in guests with stand-ins for them: which configurations, and how prediction and measurement compare."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damon.cli import compare_guests, study_validate
from damon.errors import InvalidInput
from damon.results.sim_to_real import rank_correlation
from damon.tune.evaluate import Config
from damon.tune.stages import Found
from damon.tune.study import Study, load_study


def _found(study: Study) -> Found:
    configs = [
        Config("pydamon", point, "complete", {"saved_bytes": float(sum(point))}, {}, (0.0,))
        for point in study.space.points()
    ]
    return Found(configs, [], 8, 8, 8, 8, {})


def _prepared(arguments: Any, engine: object, workload: str, *, files: bool) -> Any:
    assert files
    return arguments


@pytest.fixture
def study(written: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setattr(compare_guests, "prepare", _prepared)
    return load_study(written())


def test_the_best_the_default_and_random_ones_are_run(study: Study) -> None:
    found = study_validate.cases(study, _found(study), 2)
    assert [case.label for case in found] == ["best 1", "best 2", "default", "random 1", "random 2"]
    assert [case.point for case in found[:3]] == [(3, 1), (2, 1), None]
    assert [case.point for case in study_validate.cases(study, _found(study), 2)] == [case.point for case in found]
    assert len({case.point for case in found}) == 5
    words = found[0].arguments.module
    assert words[0][:3] == ["damon_reclaim", "min_age=8000000", "max_nr_regions=60"]
    assert "min_age" not in str(found[2].arguments.module)
    assert found[0].arguments.duration == 12.0


def test_a_guest_that_does_what_was_predicted_agrees(study: Study) -> None:
    """The stand-in runs each job on the simulated machine, as the prediction does."""
    cases = {str(case.arguments): case for case in study_validate.cases(study, _found(study), 2)}

    def run(job: Any, label: str, quiet: bool) -> dict[str, Any]:
        return study_validate._simulated(cases[str(job)])

    result = study_validate.validate(study, _found(study), 2, True, run=run)
    assert [row["configuration"] for row in result["runs"]] == [case.label for case in cases.values()]
    for figure in result["figures"].values():
        assert (figure["mean_error"], figure["largest_error"]) == (0, 0)
    assert result["figures"]["reclaimed"]["rank_correlation"] == pytest.approx(1)
    study_validate.show(result)


def test_agreement() -> None:
    rows = [
        {"predicted": {"f": one}, "measured": {"f": other}} for one, other in ((1.0, 10.0), (2.0, 20.0), (3.0, 15.0))
    ]
    found = study_validate.agreement(rows, "f")
    assert found["rank_correlation"] == pytest.approx(0.5)
    assert (found["mean_error"], found["largest_error"]) == (13.0, 18.0)
    nothing = study_validate.agreement([{"predicted": {"f": 1.0}, "measured": {"f": None}}], "f")
    assert set(nothing.values()) == {None}
    assert rank_correlation([1, 1, 2, 3], [5, 5, 7, 9]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 2], [4, 4]) is None


def test_a_study_that_is_too_long_is_refused(written: Callable[..., Path]) -> None:
    with pytest.raises(InvalidInput, match="too long for guests"):
        study_validate.check(load_study(written(duration="2h")))
