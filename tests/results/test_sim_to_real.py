# SPDX-License-Identifier: GPL-2.0-only
"""How a simulated run is held against a measured one: series, errors, ranks."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from damon.cli.simulate import simulate
from damon.errors import InvalidInput
from damon.results import sim_to_real
from damon.results.conditions import read_condition
from damon.results.run import Run
from damon.results.sim_to_real import Compared, Measured
from damon.workload.model import Access, Area, Cgroup, MachineSpec, Phase, Workload

MIB = 1 << 20
ONE = Measured((0, 1, 2), (100 * MIB,) * 3, (0, 0, 0), (0, 0, 0), 0.0, 1.0, None)


def _boxed(module: list[str], place: Path) -> Measured:
    """8 MiB in a cgroup of 4, and 8 MiB that nothing accesses."""
    areas = (Area("hot", 8 * MIB, memcg="box"), Area("cold", 8 * MIB))
    workload = Workload(
        "w", areas, (Phase("p", 10**9, (Access("hot", 2000.0),)),), machine=MachineSpec(128 * MIB),
        cgroups=(Cgroup("box", max=4 * MIB),),
    )  # fmt: skip
    arguments = argparse.Namespace(module=[module], cmdline="", seed=1, duration=5.0)
    result = simulate(arguments, workload, place)
    run = Run.open(place)
    assert run.result is not None
    assert run.result["memory"]["refaults"] == result["memory"]["refaults"] > 0
    assert set(run.table("cgroups").columns["max"]) != {0}
    return sim_to_real.measured(run, ["hot", "cold"])


def test_what_a_run_directory_says(tmp_path: Path) -> None:
    awake = ["quota_ms=0", "quota_sz=536870912", "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0"]
    none = _boxed(["damon_reclaim", "enabled=N"], tmp_path / "none")
    assert list(none.seconds) == [0, 1, 2, 3, 4, 5]
    assert none.aggregation_s is None
    assert {round(size / MIB) for size in none.resident} == {12}
    assert none.refaults[0] == 0 < none.refaults[-1] == pytest.approx(5000, rel=0.1)
    assert none.reclaimed[-1] == none.resident[0] - none.resident[-1] + 4096 * none.refaults[-1]
    assert none.psi_some == pytest.approx(none.slowdown - 1, rel=0.2)
    cold = _boxed(["damon_reclaim", "min_age=1000000", "min_nr_regions=100", *awake], tmp_path / "cold")
    assert cold.aggregation_s == pytest.approx(0.1, rel=0.2)
    assert cold.resident[-1] < 6 * MIB < cold.resident[0]
    alone = sim_to_real.measured(Run.open(tmp_path / "cold"), ["cold"])
    assert alone.resident[0] == 8 * MIB
    assert alone.refaults[-1] == 0 < cold.refaults[-1]


def _of_rows(
    times_ns: Sequence[int], resident: Sequence[int], refaults: Sequence[int], stalls_us: Sequence[int]
) -> Any:
    """A run directory of one area that is as large as these rows say."""
    nr = len(times_ns)
    tables = {
        "machine": {"time_ns": [*times_ns], "refaults": [*refaults], "psi_some_us": [*stalls_us]},
        "areas": {"time_ns": [*times_ns], "area": ["a"] * nr, "resident_bytes": [*resident], "refaults": [None] * nr},
        "processes": {"process": [], "time_ns": [], "stall_us": []},
        "schemes": {"time_ns": [], "nr_snapshots": []},
    }
    return SimpleNamespace(
        name="made up", result={"slowdown": 1.0}, table=lambda name: SimpleNamespace(columns=tables[name])
    )


def test_rows_that_are_late_are_not_an_interval_old() -> None:
    """Between two rows memory and counts change in a straight line."""
    second = 10**9
    run = _of_rows(
        [second // 10, second * 11 // 10, second * 22 // 10, second * 32 // 10], [100, 200, 90, 90],
        [5, 15, 26, 26], [0, 0, 10, 20],
    )  # fmt: skip
    found = sim_to_real.measured(run, ["a"])
    assert list(found.seconds) == [0, 1, 2, 3]
    assert list(found.resident) == [100, 190, 110, 90]
    assert list(found.refaults) == [0, 9, 19, 21]


def test_what_was_before_is_left_out() -> None:
    """A guest's rows begin when its modules have worked for a while: so do those of the prediction."""
    second = 10**9
    run = _of_rows([0, second, 2 * second, 3 * second], [100, 80, 60, 40], [0, 10, 40, 50], [0, 0, 500_000, 500_000])
    found = sim_to_real.measured(run, ["a"], second, second * 3 // 2)
    assert list(found.seconds) == [0, 1]
    assert list(found.resident) == [70, 50]
    assert list(found.refaults) == [0, 20]
    assert found.psi_some == pytest.approx(0.25 / 1.5)
    with pytest.raises(InvalidInput, match="has no result and no rows"):
        sim_to_real.measured(run, ["a"], second, 4 * second)


def test_errors_are_of_the_worst_policy_and_of_a_few_pages_nothing_is_said() -> None:
    half = replace(ONE, resident=(100 * MIB, 50 * MIB, 50 * MIB), refaults=(0, 10, 30), reclaimed=(0, 0, 50 * MIB))
    rows = [Compared([ONE], [ONE]), Compared([half], [ONE])]
    assert rows[1].rss == pytest.approx(1 / 3)
    assert rows[1].mean_rss == pytest.approx(1 / 3)
    swings = replace(ONE, resident=(100 * MIB, 50 * MIB, 150 * MIB))
    assert Compared([swings], [ONE]).rss == pytest.approx(1 / 3)
    assert Compared([swings], [ONE]).mean_rss == 0
    assert rows[1].refaults == 15  # 30 by 1 a second in 2 seconds
    assert Compared([replace(ONE, refaults=(0, 0, 2))], [ONE]).refaults == 1
    assert rows[1].reclaimed == 50 * MIB / (2 * 4096)
    figures = sim_to_real.summary(rows)
    assert figures["rss"] == rows[1].rss
    assert figures["spearman"] is None  # nothing varies in what was measured
    rows += [Compared([half], [replace(half, refaults=(0, 1, 40))])]
    assert sim_to_real.summary(rows)["spearman"] == pytest.approx(0.5)


def test_a_prediction_is_the_mean_of_its_runs() -> None:
    runs = [replace(ONE, refaults=(0, 10, n), slowdown=1 + n / 100, seconds=(0, 1, 2)) for n in (10, 20, 60)]
    row = Compared(runs, [ONE])
    assert row.predicted.refaults == [0, 10, 30]
    assert row.predicted.slowdown == pytest.approx(1.3)
    assert sim_to_real.refaults_range(row.runs) == (10, 60)
    assert row.as_object()["predicted"]["refaults_range"] == [10, 60]


def test_all_are_compared_as_long_as_the_shortest_lasts() -> None:
    """A guest's last row comes late, and would be held against a second more of the simulated run."""
    longer = replace(
        ONE, seconds=(0, 1, 2, 3), resident=(100 * MIB,) * 3 + (900 * MIB,), refaults=(0, 10, 30, 900),
        reclaimed=(0, 0, 0, MIB),
    )  # fmt: skip
    row = Compared([longer, longer], [replace(ONE, refaults=(0, 10, 30))])
    assert (row.refaults, row.rss, row.reclaimed) == (1, 0, 1)
    assert sim_to_real.refaults_range(row.runs) == (30, 30)
    assert row.as_object()["predicted"]["over_time"]["seconds"] == [0, 1, 2]


def test_the_lesser_rank_correlation_counts() -> None:
    sides = [replace(ONE, resident=(n * MIB,) * 3, refaults=(0, 0, 10 * n * n)) for n in range(1, 5)]
    rows = [Compared([one], [one]) for one in sides]
    assert sim_to_real.summary(rows)["spearman"] == pytest.approx(1)
    turned = [
        Compared([one], [replace(one, refaults=other.refaults)]) for one, other in zip(sides, sides[::-1], strict=True)
    ]
    assert sim_to_real.summary(turned)["spearman"] == pytest.approx(-1)
    assert sim_to_real.spearman(turned, "resident") == pytest.approx(1)


def test_chance_ranks_nothing() -> None:
    assert sim_to_real.leveled([100, 103, 101, 90, 0], 1.02, 1) == [100, 100, 100, 90, 1]
    assert sim_to_real.leveled([3, 0, 1, 7], 1.25, 5) == [5, 5, 5, 7]


@pytest.mark.parametrize(
    ("text", "met"), [("rss<5%", True), ("rss<0.1%", False), ("refaults<1.5", True), ("spearman>=0.9", False)]
)
def test_conditions(text: str, met: bool) -> None:
    figures: dict[str, Any] = {"rss": 0.01, "refaults": 1.2, "reclaimed": 1.0, "psi": 0.0, "spearman": None}
    (found,) = sim_to_real.checked([read_condition(text, "--require", sim_to_real.FIGURES)], figures)
    assert found.met is met


def test_a_run_without_rows_is_refused(tmp_path: Path) -> None:
    _boxed(["damon_reclaim", "enabled=N"], tmp_path / "run")
    (tmp_path / "run/machine.jsonl").write_text("")
    with pytest.raises(InvalidInput, match="has no result and no rows"):
        sim_to_real.measured(Run.open(tmp_path / "run"), ["hot"])


def test_how_far_guests_are_from_each_other() -> None:
    double = replace(ONE, resident=[2 * here for here in ONE.resident])
    assert Compared([ONE], [ONE]).itself is None
    assert Compared([ONE], [ONE, ONE]).itself == 0
    row = Compared([ONE], [ONE, double])
    assert row.itself == pytest.approx((1 + 0.5) / 2), "each by itself, against the other"
    assert row.measured.resident == [round(1.5 * here) for here in ONE.resident]
    assert row.rss == pytest.approx(1 / 3)
