# SPDX-License-Identifier: GPL-2.0-only
"""Conditions on figures: what is one, what keeps it, and what a run has."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from damon.errors import InvalidInput
from damon.results.conditions import check, read_conditions
from damon.results.figures import FIGURES, figures, lacking


def test_the_example_of_the_documentation() -> None:
    found = read_conditions("saved>=50%, refaults_per_s<10,slowdown < 1.02", "--require")
    assert [(one.figure.name, one.compare, one.bound) for one in found] == [
        ("saved", ">=", 0.5), ("refaults_per_s", "<", 10.0), ("slowdown", "<", 1.02),
    ]  # fmt: skip
    checked = check(found, {"saved": 0.5, "refaults_per_s": 10.0, "slowdown": None})
    assert [one.met for one in checked] == [True, False, False]
    assert [str(one) for one in checked] == [
        "saved>=50%: is 50.0000%", "refaults_per_s<10: is 10", "slowdown < 1.02: is not known",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("compare", "below", "same", "above"),
    [("<", 1, 0, 0), ("<=", 1, 1, 0), (">", 0, 0, 1), (">=", 0, 1, 1), ("==", 0, 1, 0)],
)
def test_comparisons(compare: str, below: int, same: int, above: int) -> None:
    (condition,) = read_conditions(f"refaults{compare}10", "x")
    assert [condition.holds(value) for value in (9.0, 10.0, 11.0)] == [below, same, above]


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("free>=4096", 4096), ("free>64K", 65536), ("free>1.5 MiB", 1.5 * (1 << 20)), ("applied<2G", 2 << 30),
        ("saved_bytes<1T", 1 << 40), ("saved>0.5", 0.5), ("saved>12.5%", 0.125), ("of_possible>61 %", 0.61),
        ("regret<3.2", 3.2), ("psi_some_us<=1e6", 1e6),
    ],
)  # fmt: skip
def test_bounds_have_the_unit_of_their_figure(text: str, bound: float) -> None:
    assert read_conditions(text, "x")[0].bound == bound


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--require: '': is not a condition; give FIGURE<VALUE"),
        ("saved", "--require: 'saved': is not a condition"),
        ("saved=>50%", "is not a condition"),
        ("saved>=50%,", "--require: '': is not a condition"),
        ("saved>=-1", "is not a condition"),
        ("saved>=nan", "is not a condition"),
        ("svaed>=50%", "--require: 'svaed': is not a figure; give one of saved, saved_bytes, "),
        ("saved>=50M", "--require: 'saved>=50M': 50M is no bound of saved; give a share, e.g. 50% or 0.5"),
        ("free>=5%", "5% is no bound of free; give bytes"),
        ("slowdown<2%", "2% is no bound of slowdown; give a number"),
        ("refaults<10K", "10K is no bound of refaults; give a number"),
        (",".join(["refaults<1"] * 101), "has too many conditions; give at most 100"),
    ],
)  # fmt: skip
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_conditions(text, "--require")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 600


def test_what_has_no_number_in_json_is_null() -> None:
    (checked,) = check(read_conditions("regret<3", "x"), {"regret": inf})
    assert checked.as_object() == {"condition": "regret<3", "figure": "regret", "value": None, "met": False}
    assert str(checked) == "regret<3: is inf"


def result(**changed: object) -> dict[str, object]:
    area = {
        "size_bytes": 4096, "resident_bytes_start": 4096, "resident_bytes_end": 1024, "refaults": 3, "hot": True,
        "resident_byte_seconds": 30.0, "evicted_byte_seconds": 10.0,
    }  # fmt: skip
    plain: dict[str, object] = {
        "virtual_seconds": 2.0, "areas": {"a": area}, "slowdown": 1.5, "psi_some_us": 500_000, "psi_some_us_start": 0,
        "modules": {"m": {"tried_bytes": 7, "applied_bytes": 5}, "stat": {"tried_bytes": None, "applied_bytes": None}},
        "memory": {"refaults": 6, "free_bytes": 99},
        "best": {"of_possible": 0.25, "regret": None, "refaults": 3, "necessary_refaults": 0.0},
        "timing": {"seconds": None, "kdamond_cpu_seconds": {"m": 1.5}},
    }  # fmt: skip
    return plain | changed


def test_figures_of_a_simulated_run() -> None:
    assert figures(result()) == {
        "saved": 0.25, "saved_bytes": 5.0, "net_saved": None, "net_saved_bytes": None, "resident_bytes": 15.0,
        "refaults": 6, "refaults_per_s": 3.0, "refaulted_wss_per_min": None, "regret": inf, "of_possible": 0.25,
        "slowdown": 1.5, "psi_some_us": 500_000, "psi_some": 0.25, "free": 99, "reclaimed": 3072, "hot_kept":
        0.25, "tried": 7, "applied": 5, "cpu_s": None, "samples_per_s": None,
    }  # fmt: skip


def test_figures_of_a_real_machine() -> None:
    timing = {"seconds": 4.0, "kdamond_cpu_seconds": {"m": 1.5}}
    found = figures(
        result(virtual_seconds=None, areas={}, slowdown=None, best=None, timing=timing, psi_some_us_start=400_000)
    )
    assert {name: value for name, value in found.items() if value is not None} == {
        "refaults": 6, "refaults_per_s": 1.5, "psi_some_us": 100_000, "psi_some": 0.025, "free": 99, "tried": 7,
        "applied": 5, "cpu_s": 1.5,
    }  # fmt: skip


def test_a_run_has_what_is_not_refused_before_it_starts() -> None:
    """The two lists agree: what a simulated run has, and what ``lacking`` refuses of it."""
    has = {name for name, value in figures(result()).items() if value is not None}
    assert has == {
        figure.name
        for figure in FIGURES.values()
        if lacking(figure, simulated=True, workload=True, counts=True) is None
    }
    assert lacking(FIGURES["saved"], simulated=False, workload=True, counts=True) is not None
    assert "damon tune" in str(lacking(FIGURES["net_saved"], simulated=True, workload=True, counts=True))
    assert lacking(FIGURES["slowdown"], simulated=False, workload=False, counts=True) is not None
    assert lacking(FIGURES["applied"], simulated=True, workload=True, counts=False) is not None


def test_the_page_has_all_figures() -> None:
    units = {"share": "share", "bytes": "bytes", "": "number"}
    known = {
        "study": "runs of a study",
        "": "always", "sim": "simulated machine", "workload": "with a workload", "counts": "modules that count bytes",
        "processor": "real machine", "rates": "simulated machine",
    }  # fmt: skip
    page = (Path(__file__).parents[2] / "docs" / "reference" / "run.md").read_text()
    rows = [f"| `{one.name}` | {units[one.unit]} | {one.what} | {known[one.needs]} |" for one in FIGURES.values()]
    assert "\n".join(["| figure | unit | meaning | known |", "|---|---|---|---|", *rows, "\n"]) in page
