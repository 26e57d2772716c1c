# SPDX-License-Identifier: GPL-2.0-only
"""Study files: what their values expand to, and what is refused, with field and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from damon.errors import InvalidInput
from damon.tune.domain import Domain
from damon.tune.goals import Objective, constraint
from damon.tune.perform import perform
from damon.tune.study import load_study, parse_study
from damon.workload.load import load_workload
from tests.workload.traces import random_trace

Written = Callable[..., Path]


def _reclaim(**parameters: Any) -> dict[str, Any]:
    return {
        "workloads": ["hot-cold"], "duration": "1m", "objectives": ["maximize saved"],
        "modules": {"damon_reclaim": parameters},
    }  # fmt: skip


def _values(raw: Any, name: str = "min_age") -> Any:
    found = parse_study(_reclaim(**{name: raw})).space.domains
    return next(domain for domain in found if domain.name == name).values


def test_values() -> None:
    assert _values("5s") == (5_000_000,)
    assert _values(["2s", 1_000_000, "1000ms"]) == (1_000_000, 2_000_000)
    assert _values({"from": "1s", "to": "2s", "step": "250ms"}) == (
        1_000_000,
        1_250_000,
        1_500_000,
        1_750_000,
        2_000_000,
    )
    assert _values({"from": 1, "to": 10, "step": 4}) == (1, 5, 9)
    assert _values({"from": "1s", "to": "1000s", "log": 4}) == (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
    assert _values({"from": 1, "to": 3, "log": 9}) == (1, 2, 3), "whole values, each once"
    assert _values({"from": "1m", "to": "1h", "log": 3}) == (60_000_000, 465_000_000, 3_600_000_000)
    assert _values("128M", "quota_sz") == (128 << 20,)
    assert _values([True, "N"], "skip_anon") == (True, False)


def test_every_combination_with_coupled_intervals() -> None:
    study = parse_study(
        _reclaim(
            min_age=["1s", "2s"], sample_interval=["5ms", "10ms"],
            aggr_interval={"of": "sample_interval", "times": [10, 20]}, quota_ms=0,
        )
    )  # fmt: skip
    assert len(study.space) == 8
    made = [study.space.values(point) for point in study.space.points()]
    assert len({tuple(values.items()) for values in made}) == 8
    for values in made:
        sample, aggr = (values["damon_reclaim", f"{name}_interval"] for name in ("sample", "aggr"))
        assert isinstance(sample, int)
        assert aggr in (10 * sample, 20 * sample)
    words = study.words((0, 1, 0), study.stage)["damon_reclaim"]
    assert words == ["min_age=1000000", "sample_interval=10000", "aggr_interval=100000", "quota_ms=0", "enabled=Y"]
    assert study.words(None, study.stage)["damon_reclaim"] == ["quota_ms=0", "enabled=Y"], "the default"
    labels = [domain.label for domain in study.space.free]
    assert labels == [
        f"damon_reclaim.{name}" for name in ("min_age", "sample_interval", "aggr_interval/sample_interval")
    ]


def test_what_is_coupled_to_a_parameter_that_is_not_given_follows_its_default() -> None:
    study = parse_study(_reclaim(aggr_interval={"of": "sample_interval", "times": 40}))
    assert "aggr_interval=200000" in study.words((), study.stage)["damon_reclaim"]


def test_a_coarse_stage_scales_values_and_defaults(written: Written) -> None:
    coarse = {
        "trials": 3,
        "duration": "3s",
        "scale": {"sample_interval": 2, "max_nr_regions": 0.5, "min_nr_regions": 0.4},
    }
    study = load_study(written(tune={"coarse": coarse}))
    assert study.coarse is not None
    words = study.words((0, 1), study.coarse)["damon_reclaim"]
    assert study.coarse.duration_us == 3_000_000
    assert {"sample_interval=20000", "max_nr_regions=30", "min_nr_regions=4"} <= set(words)
    assert "aggr_interval=100000" in words, "coupled to the unscaled one"


def test_the_rest(written: Written) -> None:
    study = load_study(written())
    assert (study.name, study.seeds, study.stage.duration_us) == ("s", (1, 2), 12_000_000)
    assert [workload.name for workload in study.workloads] == ["w"]
    assert study.objectives == (Objective("saved_bytes", True),)
    assert study.constraints == (constraint("refaults_per_s <= 20"),)
    texts = ["refaulted_wss_per_min <= 0.2%", "slowdown<1.02", "saved_bytes >= 64M", "psi_some > 0.01"]
    read = load_study(written(constraints=texts, objectives=["minimise psi_some", "maximise saved"]))
    assert [(one.figure.name, one.compare, one.bound) for one in read.constraints] == [
        ("refaulted_wss_per_min", "<=", 0.002), ("slowdown", "<", 1.02), ("saved_bytes", ">=", 64 << 20),
        ("psi_some", ">", 0.01),
    ]  # fmt: skip
    assert [one.maximize for one in read.objectives] == [False, True]


def test_a_module_of_the_users_own(written: Written, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text(
        "from damon.modules.reclaim import Reclaim\nclass Mine(Reclaim):\n    name = 'mine'\nMODULE = Mine\n"
    )
    study = load_study(written(modules={"./mine/": {"min_age": ["1s", "2s"]}}))
    assert study.words((1,), study.stage) == {str(tmp_path / "mine"): ["min_age=2000000", "enabled=Y"]}


def test_a_trace_is_a_workload_and_part_of_what_decides_a_result(written: Written, tmp_path: Path) -> None:
    random_trace(tmp_path / "t.trace", 5)
    (tmp_path / "u.yaml").write_text("areas: {a: {trace: t.trace}}\n")
    path = written(workloads=["t.trace", "u.yaml", "w.yaml"])
    before = load_study(path).workloads
    assert [workload.traces for workload in before] == [(tmp_path / "t.trace",)] * 2 + [()]
    study = load_study(path)
    base = perform(study.run(study.workloads[1], "", 1, None), load_workload(before[1].path)).measured[-1]
    assert base.wss_byte_s > 0
    random_trace(tmp_path / "t.trace", 6)
    after = load_study(path).workloads
    changed = [one.sha256 != other.sha256 for one, other in zip(before, after, strict=True)]
    assert changed == [True, True, False]


@pytest.mark.parametrize(
    ("fields", "field", "line", "why"),
    [
        ({"workloads": []}, "workloads", 2, "1 to 100"),
        ({"workloads": ["none.yaml"]}, "workloads[0]", 3, "No such file"),
        ({"workloads": ["w.yaml", "w.yaml"]}, "workloads[1]", 4, "twice"),
        ({"duration": "soon"}, "duration", None, "not a duration"),
        ({"wordloads": []}, "file", 1, "not a field"),
        ({"seeds": [1, 1]}, "seeds[1]", None, "twice"),
        ({"engines": ["linux"]}, "engines[0]", None, "unknown"),
        ({"engines": ["host"]}, "engines[0]", None, "simulated"),
        ({"objectives": ["maximise happiness"]}, "objectives[0]", None, "not a figure"),
        ({"objectives": ["more saved"]}, "objectives[0]", None, "not an objective"),
        ({"constraints": ["slowdown"]}, "constraints[0]", None, "not a condition"),
        ({"constraints": ["slowdown < 2%"]}, "constraints[0]", None, "no bound of slowdown"),
        ({"constraints": ["saved_bytes > 1.2.3"]}, "constraints[0]", None, "not a condition"),
        ({"modules": {}}, "modules", None, "is empty"),
        ({"modules": {"damon_recliam": {}}}, "modules.damon_recliam", None, "did you mean damon_reclaim"),
        ({"modules": {"damon_reclaim": {"min_agr": 5}}}, "modules.damon_reclaim", None, "known are"),
        ({"modules": {"damon_reclaim": {"nr_quota_exceeds": 5}}}, "modules.damon_reclaim", None, "read only"),
        ({"modules": {"damon_reclaim": {"min_age": "x"}}}, "modules.damon_reclaim.min_age", 6, "unsigned"),
        ({"modules": {"damon_reclaim": {"min_age": []}}}, "modules.damon_reclaim.min_age", 6, "0 values"),
        ({"modules": {"damon_reclaim": {"min_age": ["1s", -1]}}}, "modules.damon_reclaim.min_age[1]", 8, "unsigned"),
        ({"modules": {"damon_reclaim": {"min_age": {"from": 2, "to": 1, "step": 1}}}},
         "modules.damon_reclaim.min_age.to", 8, "not above from"),
        ({"modules": {"damon_reclaim": {"min_age": {"from": 1, "to": 2}}}},
         "modules.damon_reclaim.min_age", 6, "either step or log"),
        ({"modules": {"damon_reclaim": {"min_age": {"from": 0, "to": 2, "log": 3}}}},
         "modules.damon_reclaim.min_age.from", 7, "no logarithm"),
        ({"modules": {"damon_reclaim": {"min_age": {"from": 1, "to": 10**9, "step": 1}}}},
         "modules.damon_reclaim.min_age.step", 9, "at most"),
        ({"modules": {"damon_reclaim": {"min_age": {"from": 1, "till": 2}}}},
         "modules.damon_reclaim.min_age", 6, "'till': is not a field; known are from, to, step, log"),
        ({"modules": {"damon_reclaim": {"skip_anon": {"from": 0, "to": 1, "step": 1}}}},
         "modules.damon_reclaim.skip_anon", 6, "of type bool"),
        ({"modules": {"damon_reclaim": {"min_age": {"of": "skip_anon", "times": 2}}}},
         "modules.damon_reclaim.min_age.of", 7, "another number"),
        ({"modules": {"damon_reclaim": {"min_age": {"of": "quota_ms", "times": 0}}}},
         "modules.damon_reclaim.min_age.times", 8, "not a factor"),
        ({"tune": {"coarse": {"trials": 1, "scale": {"nothing": 2}}}}, "tune.coarse.scale", None, "not a parameter"),
        ({"tune": {"trials": 0}}, "tune.trials", None, "whole number above 0"),
        ({"format": 2}, "format", 1, "version"),
    ],
)  # fmt: skip
def test_refusals(written: Written, fields: dict[str, Any], field: str, line: int | None, why: str) -> None:
    path = written(**fields)
    with pytest.raises(InvalidInput) as caught:
        load_study(path)
    message = str(caught.value.strerror)
    place, _, rest = message.removeprefix(f"{path}: ").partition(": ")
    if line is not None and place != f"line {line}":
        rows = path.read_text().splitlines()
        raise AssertionError((message, rows))
    assert place.startswith("line ")
    assert rest.startswith(f"{field}: "), message
    assert why in message
    assert "\n" not in message


def test_a_domain_shows_its_values() -> None:
    assert [Domain("m", "a", (500, 1500, 2_000_000, 5_400_000_000), unit="us").show(nr) for nr in range(4)] == [
        "500 us", "1.5 ms", "2 s", "5400 s",
    ]  # fmt: skip
    assert Domain("m", "a", (3 << 20,), unit="bytes").show(0) == "3 MiB"
