# SPDX-License-Identifier: GPL-2.0-only
"""Figures against what the workload's rates dictate, and runs that are given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from damon.errors import InvalidInput
from damon.results.figures import FIGURES
from damon.tune.goals import KNOWN, Objective, read_constraint, values
from damon.tune.measure import Measured
from damon.tune.perform import given_up, perform
from damon.tune.request import CHECKPOINTS, Request, Rules
from damon.workload.load import load_workload
from damon.workload.model import Workload

MIB = 1 << 20
#: All of `often` is touched within the window, `rare` never, and `now and then` 1 - 1/e of it.
RATES = """\
areas:
  often: {size: 4 MiB}
  sometimes: {size: 4 MiB}
  rare: {size: 8 MiB}
phases:
  - duration: 600s
    access:
      - {area: often, pattern: sequential, rate: 50k}
      - {area: sometimes, pattern: random, rate: 8.533333}
machine: {memory: 64 MiB}
"""
OPEN = ["wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "enabled=Y"]


@pytest.fixture
def rates(tmp_path: Path) -> Workload:
    path = tmp_path / "rates.yaml"
    path.write_text(RATES)
    return load_workload(path)


def _request(words: list[str] | None, seconds: int = 160, rules: Rules | None = None) -> Request:
    modules = {} if words is None else {"damon_reclaim": [*words, *OPEN]}
    return Request("hash", "rates", "pydamon" if modules else "", "", modules, 1, seconds * 10**6, rules)


def test_the_base_is_what_the_workload_dictates(rates: Workload) -> None:
    found = perform(_request(None), rates)
    assert found.outcome == "complete"
    assert len(found.measured) == CHECKPOINTS
    end = found.measured[-1]
    assert (end.seconds, end.refaults, end.stall_us, end.samples, end.kills) == (160.0, 0, 0, 0, 0)
    assert end.resident_byte_s == pytest.approx(160 * 16 * MIB)
    assert end.wss_byte_s == pytest.approx(160 * (4 + 4 * (1 - 2.718281828**-1)) * MIB, rel=1e-6)
    assert [one.seconds for one in found.measured] == [10.0 * (nr + 1) for nr in range(CHECKPOINTS)]
    assert {name for name, value in values(end, end).items() if value} == {"resident_bytes", "slowdown"}


def test_what_reclaim_saves_and_costs(rates: Workload) -> None:
    base = perform(_request(None), rates).measured
    run = perform(_request(["min_age=5000000", "min_nr_regions=100"]), rates, base).measured[-1]
    found = values(run, base[-1])
    assert 7 * MIB < found["saved_bytes"] < 12 * MIB, "all of rare, and part of sometimes"
    assert found["saved"] == pytest.approx(found["saved_bytes"] / (16 * MIB))
    assert found["resident_bytes"] == pytest.approx(16 * MIB - found["saved_bytes"])
    assert found["net_saved_bytes"] == pytest.approx(found["saved_bytes"]), "nothing is reclaimed without the module"
    assert found["net_saved"] == pytest.approx(found["saved"])
    assert 0 < found["refaults_per_s"] < 8.6, "no more than `sometimes` is touched"
    wss = (4 + 4 * (1 - 2.718281828**-1)) * MIB
    assert found["refaulted_wss_per_min"] == pytest.approx(found["refaults_per_s"] * 60 * 4096 / wss, rel=1e-6)
    assert found["slowdown"] == pytest.approx(1 + found["psi_some"], rel=1e-6), "one process"
    assert found["samples_per_s"] > 100 * 200 * 0.9, "100 regions and more, every 5 ms"


def test_a_run_that_cannot_keep_a_constraint_is_given_up_and_only_that(rates: Workload) -> None:
    base = perform(_request(None), rates).measured
    words = ["min_age=5000000", "min_nr_regions=100"]
    whole = perform(_request(words), rates, base).measured
    value = values(whole[-1], base[-1])["refaults_per_s"]
    for factor, outcome in ((0.5, "pruned"), (1.0, "complete")):
        rules = Rules((f"refaults_per_s<={value * factor:.9f}",))
        found = perform(_request(words, rules=rules), rates, base)
        assert found.outcome == outcome
        assert found.measured == whole[: len(found.measured)], "up to there it is the same run"
        assert (len(found.measured) == CHECKPOINTS) == (outcome == "complete")
        assert bool(found.why) == (outcome == "pruned")


def _counts(**counts: float) -> Measured:
    zero = Measured(10.0, 0.0, 0.0, 0.0, 0, 0, 0, 0.0, 0)
    return replace(zero, **counts)


@pytest.mark.parametrize(
    ("constraint", "kept", "broken"),
    [
        ("refaults_per_s < 1", {"refaults": 99}, {"refaults": 100}),
        ("refaults_per_s<=1", {"refaults": 100}, {"refaults": 101}),
        ("slowdown<=1.01", {"stall_us": 999_999}, {"stall_us": 1_000_100}),
        ("psi_some < 1%", {"psi_us": 999_999}, {"psi_us": 1_000_001}),
        # 100 bytes are there for 100 s without a module; at best nothing is resident from now on.
        ("net_saved >= 95%", {"resident_byte_s": 500.0}, {"resident_byte_s": 501.0}),
        ("net_saved_bytes > 95", {"resident_byte_s": 499.0}, {"resident_byte_s": 500.0}),
        ("resident_bytes < 5", {"resident_byte_s": 499.0}, {"resident_byte_s": 500.0}),
        # 9,000 more are to come; what has left stays away.
        ("saved >= 95%", {"resident_byte_s": 475.0, "evicted_byte_s": 25.0}, {"resident_byte_s": 500.0}),
        ("saved_bytes > 91", {"evicted_byte_s": 101.0}, {"evicted_byte_s": 100.0}),
    ],
)
def test_no_run_is_given_up_that_could_keep_a_constraint(
    constraint: str, kept: dict[str, float], broken: dict[str, float]
) -> None:
    base = [_counts(seconds=10.0 * nr, resident_byte_s=1000.0 * nr, wss_byte_s=1e6 * nr) for nr in range(1, 11)]
    rules = Rules((constraint,))
    assert given_up(rules, [_counts(**kept)], base) == ""
    assert constraint in given_up(rules, [_counts(**broken)], base)


@pytest.mark.parametrize("constraint", ["refaults_per_s > 1", "saved < 10%", "net_saved_bytes <= 1"])
def test_what_can_still_come_is_no_reason_to_give_up(constraint: str) -> None:
    base = [_counts(seconds=10.0 * nr, resident_byte_s=1000.0 * nr) for nr in (1, 2)]
    assert given_up(Rules((constraint,)), [_counts(evicted_byte_s=500.0, resident_byte_s=500.0)], base) == ""


def test_studies_and_runs_have_one_set_of_figures_and_one_grammar() -> None:
    from damon.results.conditions import read_condition

    for text in ("saved >= 50%", "slowdown<1.02", "saved_bytes > 1.5 MiB"):
        assert read_constraint(text, "x") == read_condition(text, "x")
    with pytest.raises(InvalidInput, match="no search meets a value exactly"):
        read_constraint("refaults == 0", "x")
    with pytest.raises(InvalidInput, match="is not a figure; give one of saved, "):
        read_constraint("free > 1G", "x")
    assert all(FIGURES[name] is figure for name, figure in KNOWN.items())
    page = (Path(__file__).parents[2] / "docs" / "reference" / "study.md").read_text()
    assert ", ".join(f"`{name}`" for name in KNOWN) in page.replace("\n", " ")


def test_a_run_that_is_worse_than_most_is_given_up() -> None:
    base = [_counts(seconds=10.0 * nr, resident_byte_s=1000.0 * nr) for nr in (1, 2)]
    found = [_counts(resident_byte_s=900.0), _counts(seconds=20.0, resident_byte_s=1800.0)]
    saves = Objective("net_saved_bytes", True)  # 10 bytes at both
    assert given_up(Rules((), saves, (None, 9.0)), found, base) == ""
    assert given_up(Rules((), saves, (None, 11.0)), found, base)
    assert given_up(Rules((), saves, (11.0, None)), found, base) == "", "there is no bound here"
    assert given_up(Rules((), Objective("net_saved_bytes", False), (None, 9.0)), found, base)


def test_parameters_that_are_refused_are_a_result(rates: Workload) -> None:
    found = perform(_request(["max_nr_regions=2"]), rates)
    assert (found.outcome, found.measured) == ("refused", [])
    assert "max_nr_regions" in found.why or "nr_regions" in found.why
