# SPDX-License-Identifier: GPL-2.0-only
"""``damon run --require``, and the run held against the best possible one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from damon.cli import require
from damon.core import Damon as Core
from damon.errors import InvalidInput
from damon.model.machine import Advice
from damon.modules.loader import find_module
from damon.results.best import held_against_best, sentence
from damon.results.conditions import read_conditions
from damon.workload.model import Access, Area, Pattern
from tests.cli.conftest import OPEN, Damon
from tests.fakes import FakeMachine
from tests.mm.sim.machines import MIB, SWAP, advise, machine

RECLAIM = ("--module", "damon_reclaim", "min_age=500000", "quota_ms=0", *OPEN)


def test_a_run_that_meets_all_ends_with_0(damon: Damon, tmp_path: Path, small: str) -> None:
    file = tmp_path / "r.json"
    done = damon(
        ["run", *RECLAIM, "--sim", small, "--quiet", "--json", str(file),
         "--require", "saved>=10%,of_possible>20%,applied>=5M,refaults==0,hot_kept>90%,slowdown<1.02"]
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = json.loads(file.read_text())["require"]
    assert [one["met"] for one in found] == [True] * 6
    assert found[3] == {"condition": "refaults==0", "figure": "refaults", "value": 0, "met": True}


def test_what_is_not_met_is_a_line_each_and_exit_code_4(damon: Damon, tmp_path: Path, small: str) -> None:
    """The result is complete all the same."""
    file = tmp_path / "r.json"
    done = damon(
        ["run", *RECLAIM, "--sim", small, "--quiet", "--json", str(file), "--require", "saved>99%,free>0,applied<1K"]
    )
    assert done.code == 4
    lines = done.err.splitlines()
    assert [line.partition(": is ")[0] for line in lines] == [
        "damon: --require: saved>99%", "damon: --require: applied<1K",
    ]  # fmt: skip
    result = json.loads(file.read_text())
    assert [one["met"] for one in result["require"]] == [False, True, False]
    assert result["memory"]["refaults"] == 0


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ("svaed>=50%", "damon: --require: 'svaed': is not a figure; give one of saved, "),
        ("saved>=", "damon: --require: 'saved>=': is not a condition; give "),
        ("cpu_s<1", "damon: --require: cpu_s: a simulated machine's worker has no processor; "),
    ],
)
def test_refused_before_anything_starts(
    damon: Damon, small: str, conditions: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Core, "start", lambda *_, **__: pytest.fail("something was started"))
    done = damon(["run", *RECLAIM, "--sim", small, "--require", conditions])
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)
    assert len(done.err.splitlines()) == 1


def test_a_module_that_does_not_count(damon: Damon, small: str) -> None:
    done = damon(["run", "--module", "damon_stat", "--sim", small, "--require", "applied>1M"])
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert done.err.startswith("damon: --require: applied: the modules of this engine count no bytes; ")


def test_a_real_machine_does_not_have_all() -> None:
    module = find_module("damon_reclaim")(Core(machine(Area("a", MIB), memory=64 * MIB, swap=SWAP)))
    for text, workload in (("saved>1%", True), ("regret<9", True), ("slowdown<2", False), ("hot_kept>1%", False)):
        with pytest.raises(InvalidInput, match=r"^--require: [a-z_]+: .*; give --sim"):
            require.refuse_unknown(read_conditions(text, "x"), [module], FakeMachine(), workload)
    known = read_conditions("refaults<9,slowdown<2,cpu_s<1,psi_some_us<9,free>1M,reclaimed>1M,hot_kept>1%", "x")
    require.refuse_unknown(known, [module], FakeMachine(), True)


def test_a_trace_is_held_against_the_best(damon: Damon, tmp_path: Path, small: str) -> None:
    """As the workload that it was recorded of."""
    record, trace, file = str(tmp_path / "rec.data"), tmp_path / "rec.trace", tmp_path / "r.json"
    assert damon(["record", "--sim", small, "--ops", "vaddr", "--duration", "3", "-o", record]).code == 0
    assert damon(["import", record, "-o", str(trace)]).code == 0
    replay = tmp_path / "replay.yaml"
    replay.write_text(f"areas: {{a: {{trace: {trace}}}}}\nmachine: {{memory: 64 MiB, swap: {{size: 64 MiB}}}}\n")
    found = []
    for workload in (small, str(replay)):
        words = ["run", *RECLAIM, "--sim", workload, "--duration", "3", "--quiet", "--json", str(file)]
        assert damon([*words, "--require", "of_possible>10%,regret<1000"]).code == 0
        found.append(json.loads(file.read_text())["best"])
    own, traced = found
    assert 0.1 < traced["of_possible"] <= 1.0
    assert traced["possible_byte_seconds"] > traced["saved_byte_seconds"] > 0
    assert traced["possible_byte_seconds"] == pytest.approx(own["possible_byte_seconds"], rel=0.05)


def test_a_killed_process_leaves_no_best_and_fails_the_condition(damon: Damon, tmp_path: Path) -> None:
    """A run that failed itself ends with its own code."""
    file, big = tmp_path / "r.json", tmp_path / "big.yaml"
    big.write_text(
        "areas: {a: {size: 80 MiB}}\nmachine: {memory: 64 MiB, swap: none}\n"
        "phases: [{duration: 1s, access: [{area: a, rate: 10}]}]\n"
    )
    done = damon(
        ["run", "--module", "damon_stat", "--sim", str(big), "--quiet", "--json", str(file), "--require", "regret<9"]
    )
    assert done.code == 1
    result = json.loads(file.read_text())
    assert result["best"] is None
    assert result["require"] == [{"condition": "regret<9", "figure": "regret", "value": None, "met": False}]


def test_the_summary_has_a_sentence(damon: Damon, small: str) -> None:
    done = damon(["run", *RECLAIM, "--sim", small])
    (line,) = [line for line in done.out.splitlines() if "of what could be reclaimed" in line]
    assert line.endswith(" % of what could be reclaimed, no refault")


@pytest.mark.parametrize(
    ("best", "text"),
    [
        ({"of_possible": 0.6123, "regret": 3.21, "refaults": 5}, "61.2 % of what could be reclaimed, 3.21 times the "
         "necessary refaults"),
        ({"of_possible": 0.9, "regret": None, "refaults": 5}, "90 % of what could be reclaimed, 5 refaults where none "
         "was necessary"),
        ({"of_possible": None, "regret": 1.0, "refaults": 0}, "nothing could be reclaimed, no refault"),
    ],
)  # fmt: skip
def test_sentences(best: dict[str, object], text: str) -> None:
    assert sentence(best) == text


def test_a_policy_that_knows_the_future_has_no_regret_and_another_has_some() -> None:
    """A scan of 1 MiB a second. Each page that has been read leaves at once and comes back a second later: the best for
    what it saves. If it leaves just before it is read, it comes back for nothing."""
    for ahead, regret in ((0, 1.0), (4, 60.0)):
        sim = machine(
            Area("a", MIB), accesses=(Access("a", 256.0, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP, hz=0
        )
        for step in range(256 * 4):
            sim.clock.sleep_us(((step + 1) * 10**9 // 256 + 2_000_000 - sim.clock.now_ns()) // 1000)
            advise(sim, Advice.PAGEOUT, (step + ahead) % 256 * 4096, 4096)
        stat, seconds = sim.areas()[0], sim.clock.now_ns() / 1e9
        best = held_against_best(sim.workload, seconds, stat.evicted_byte_seconds, stat.refaults)
        assert stat.refaults > 700
        if ahead:
            assert best["refaults"] / max(best["necessary_refaults"], 1.0) > regret
            assert best["of_possible"] < 0.05
        else:
            assert best["regret"] == pytest.approx(regret, rel=0.02)
            assert best["of_possible"] == pytest.approx(1.0, rel=0.02)


def test_no_module_beats_the_bound(damon: Damon, tmp_path: Path) -> None:
    """What is expected of the best is not above what happened."""
    file = tmp_path / "r.json"
    for name in ("zipf", "stairs", "phases"):
        words = ["--module", "damon_reclaim", "min_age=200000", "quota_ms=0", "quota_sz=0", "sample_interval=5000"]
        words += ["aggr_interval=100000", *OPEN, "--sim", name, "--duration", "20", "--quiet", "--json", str(file)]
        assert damon(["run", *words]).code == 0
        best = json.loads(file.read_text())["best"]
        assert best["refaults"] > 0, name
        assert best["regret"] > 0.99, name
        assert best["of_possible"] < 1.01, name
