# SPDX-License-Identifier: GPL-2.0-only
"""Searches: the same file for any number of workers and after a kill; what they find; what is given up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from damon.errors import MissingCapability
from damon.tune import analysis, stages
from damon.tune.pool import Pool, WorkerDied
from damon.tune.request import Task
from damon.tune.results import read
from damon.tune.search import optuna_module
from damon.tune.study import load_study
from tests.tune.conftest import Searched
from tests.waiting import until

pytest.importorskip("optuna", reason="the extra tune is not installed")
Written = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def test_a_sweep_has_every_combination_and_the_same_file_for_any_number_of_workers(
    written: Written, searched: Searched, tmp_path: Path
) -> None:
    path = written()
    one, heard = searched(path, stages.sweep, "one", jobs=1)
    two, _ = searched(path, stages.sweep, "two", jobs=2)
    assert (len(one.configs), one.runs, one.grid, heard.made) == (8, 16, 16, 16 + 2 + 2)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert one == two
    again, heard = searched(path, stages.sweep, "two", jobs=2)
    assert (again, heard.made, heard.known) == (one, 0, 20)
    study = load_study(path)
    best = one.best(study)
    assert best is not None
    kept = [config for config in one.configs if config.figures["refaults_per_s"] <= 20]
    assert best.figures["saved_bytes"] == max(one.figures["saved_bytes"] for one in kept if one.feasible)
    shares = one.importance
    assert set(shares) == {"damon_reclaim.min_age", "damon_reclaim.max_nr_regions"}
    assert shares["damon_reclaim.min_age"] > 0.5, "it decides what is cold"
    assert sum(shares.values()) <= 1 + 1e-9


@pytest.mark.parametrize("objectives", [["maximize saved_bytes"], ["maximize saved_bytes", "minimize refaults_per_s"]])
def test_a_search_takes_the_same_way_with_any_number_of_workers(
    written: Written, searched: Searched, tmp_path: Path, objectives: list[str]
) -> None:
    coarse = {"trials": 4, "keep": 2, "scale": {"sample_interval": 2}}
    tune = {"trials": 4, "batch": 2, "startup": 2, "seed": 3, "coarse": coarse}
    path = written(objectives=objectives, tune=tune)
    one, _ = searched(path, stages.tune, "one", jobs=1)
    two, _ = searched(path, stages.tune, "two", jobs=2)
    assert one == two
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    other, _ = searched(written(objectives=objectives, tune={**tune, "seed": 4}), stages.tune, "other")
    assert [config.point for config in other.configs] != [config.point for config in one.configs]
    front = analysis.pareto(load_study(path), one.configs)
    assert len(front) >= 1


def test_runs_without_hope_are_given_up_and_the_best_is_the_same(
    written: Written, searched: Searched, tmp_path: Path
) -> None:
    whole, _ = searched(written(), stages.sweep, "grid")
    found, _ = searched(written(tune={"trials": 8, "batch": 2, "startup": 2}), stages.tune, "pruned")
    assert len(found.configs) == 8
    outcomes = [line.result.outcome for _, line in read(tmp_path / "pruned")]
    assert "pruned" in outcomes
    assert found.complete < found.runs <= 16
    study = load_study(tmp_path / "s.yaml")
    best, wanted = found.best(study), whole.best(study)
    assert best is not None
    assert wanted is not None
    assert best.point == wanted.point
    by_point = {config.point: config for config in whole.configs}
    for config in found.configs:
        if config.feasible:
            assert replace(config, runs=()) == replace(
                by_point[config.point], runs=()
            )  # which are named by their rules
        elif "constraint" in config.why or "broken" in config.why:
            assert not by_point[config.point].feasible, "given up, and it would have kept them"


#: The command, which stops itself behind its fifth run: a kill then finds it at the same place on any machine.
_STOPS = """
import os, signal
from damon.command import damon
from damon.tune.results import Results

add, ended = Results.add, []

def add_and_stop(self, request, result):
    add(self, request, result)
    ended.append(request)
    if len(ended) == 5:
        os.kill(os.getpid(), signal.SIGSTOP)

Results.add = add_and_stop
damon()
"""


def _command(directory: Path, name: str) -> list[str]:
    study, results = str(directory / "s.yaml"), str(directory / "killed")
    return [sys.executable, "-c", _STOPS, name, "--quiet", study, "-j", "2", "-o", results]


@pytest.mark.parametrize("name", ["sweep", "tune"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["SIGKILL", "SIGINT"])
def test_a_killed_search_goes_on_and_ends_with_the_same_file(
    written: Written, searched: Searched, tmp_path: Path, name: str, number: signal.Signals
) -> None:
    path = written()
    whole, _ = searched(path, getattr(stages, name), "whole")
    killed = tmp_path / "killed"
    words = _command(tmp_path, name)
    process = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True)
    try:
        until(lambda: _state(process.pid) in "TZ")
        workers = _children(process.pid)
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        code = process.wait()
    finally:
        process.kill()
        process.wait()
    assert code == (130 if number == signal.SIGINT else -number)
    until(lambda: not any(_alive(pid) for pid in workers), "a worker outlives the command")
    before = killed.read_bytes()
    assert before.count(b"\n") == 1 + 5, "the head and five runs"
    found, heard = searched(path, getattr(stages, name), "killed")
    assert heard.known == 5
    assert killed.read_bytes() == (tmp_path / "whole").read_bytes()
    assert found == whole


def _children(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def _alive(pid: int) -> bool:
    return _state(pid) not in ("", "Z")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def test_a_killed_worker_costs_its_run_only(written: Written) -> None:
    study = load_study(written(duration="300s"))
    (workload,) = study.workloads
    tasks = [Task(study.run(workload, "pydamon", seed, (3, 1))) for seed in range(4)]
    pool = Pool({workload.sha256: workload.path}, 2)
    try:
        results = pool.run(tasks)
        found = dict([next(results)])
        os.kill(pool.pids()[0], signal.SIGKILL)
        found |= dict(results)
        assert sorted(found) == [0, 1, 2, 3]
        assert {one.outcome for one in found.values()} == {"complete"}
        assert dict(Pool.run(pool, tasks)) == found
    finally:
        pool.close()


def test_a_run_that_kills_its_workers_is_named(written: Written, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").write_text(
        "import os\nfrom damon.modules.reclaim import Reclaim\n"
        "class Mine(Reclaim):\n    name = 'mine'\n    def init(self):\n        os.abort()\nMODULE = Mine\n"
    )
    study = load_study(written(modules={"./mine/": {"min_age": ["1s", "2s"]}}))
    (workload,) = study.workloads
    pool = Pool({workload.sha256: workload.path}, 1)
    try:
        with pytest.raises(WorkerDied, match=r"signal 6 in the run of min_age=2000000"):
            list(pool.run([Task(study.run(workload, "pydamon", 1, (1,)))]))
    finally:
        pool.close()


def test_without_optuna_a_search_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingCapability, match=r"pydamon\[tune\]"):
        optuna_module()


def test_the_last_stage_looks_at_what_is_next_to_the_best(written: Written, searched: Searched, tmp_path: Path) -> None:
    whole, _ = searched(written(), stages.sweep, "grid")
    tune = {"trials": 2, "batch": 2, "startup": 2, "seed": 1}
    short, _ = searched(written(tune=tune), stages.tune, "tuned")
    study = load_study(tmp_path / "s.yaml")
    assert short.best(study) is None
    found, _ = searched(written(tune={**tune, "refine": 8}), stages.tune, "tuned")
    best, wanted = found.best(study), whole.best(study)
    assert best is not None
    assert wanted is not None
    assert best.figures == wanted.figures, "from wherever the search had come"
    assert analysis.region(study, found.configs) == analysis.region(study, whole.configs)
    age, _ = best.point or ()
    points = {config.point for config in found.configs}
    assert {(near, nr) for near in (age - 1, age, age + 1) for nr in (0, 1) if 0 <= near < 4} <= points
    assert found.configs[: len(short.configs)] == short.configs
    assert found.asked == len(found.configs) <= 8
    less, _ = searched(written(tune={**tune, "refine": 1}), stages.tune, "tuned")
    assert less.asked == short.asked + 1
