# SPDX-License-Identifier: GPL-2.0-only
"""``damon sweep`` and ``damon tune``: exit codes, tables, one object, files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from damon.results.run import Run
from tests.cli.conftest import TOO_BIG

pytest.importorskip("optuna", reason="the extra tune is not installed")
ROOT = Path(__file__).parents[2]
Written = Callable[..., Path]


def _damon(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "damon", *words]
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)


def test_a_sweep_shows_ranks_region_effects_and_lines_to_load(written: Written, tmp_path: Path) -> None:
    written()
    done = _damon(tmp_path, "sweep", "s.yaml", "--export", "chosen", "--json", "f.json", "--html", "f.html")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "f.html").read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "<title>s: damon study</title>" in page
    assert 'id="seeds-0"' in page
    found = json.loads((tmp_path / "f.json").read_text())
    assert found["runs"] == {"asked": 16, "complete": 16, "grid": 16}
    best = found["chosen"]["parameters"]
    assert best == found["pareto"][0]["parameters"]
    assert len(found["configurations"]) == 8
    assert found["default"][0]["parameters"] == {}
    assert found["load"]["cmdline"] in done.stdout
    assert f"damon_reclaim.min_age={best['damon_reclaim.min_age']} " in found["load"]["cmdline"]
    for text in (
        "nearly as good as the best (5%): min_age ",
        "what matters: min_age ",
        "modprobe damon_reclaim min_age=",
    ):
        assert text in done.stdout
    assert sorted(path.name for path in (tmp_path / "chosen").iterdir()) == ["s_chosen.json", "s_chosen.sh"]
    assert {path.name: path.read_text() for path in (tmp_path / "chosen").iterdir()} == found["load"]["files"]
    assert (tmp_path / "s.sweep.jsonl").read_text().count("\n") == 1 + 16 + 2 + 2
    assert found["near"]["damon_reclaim.min_age"].keys() == {"from", "to", "values"}


def test_options_replace_the_studys_settings(written: Written, tmp_path: Path) -> None:
    written()
    done = _damon(tmp_path, "tune", "s.yaml", "--trials", "3", "--seed", "7", "--quiet", "--json", "-", "-j", "1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["configurations"]) == 3
    assert done.stderr == ""
    again = _damon(tmp_path, "tune", "s.yaml", "--trials", "3", "--seed", "7", "--json", "-")
    assert again.stdout == done.stdout


def test_when_none_keeps_the_constraints(written: Written, tmp_path: Path) -> None:
    written(constraints=["saved > 99%"])
    done = _damon(tmp_path, "sweep", "s.yaml", "--export", "chosen")
    assert done.returncode == 4
    assert "no configuration keeps the constraints" in done.stderr
    assert not (tmp_path / "chosen").exists()


def test_several_objectives_have_a_front(written: Written, tmp_path: Path) -> None:
    written(objectives=["maximize saved_bytes", "minimize refaults_per_s"], constraints=[])
    done = _damon(tmp_path, "sweep", "s.yaml", "--json", "f.json")
    assert done.returncode == 0, done.stderr
    assert "Pareto front" in done.stdout
    front = [row["figures"] for row in json.loads((tmp_path / "f.json").read_text())["pareto"]]
    saved, back = ([row[name] for row in front] for name in ("saved_bytes", "refaults_per_s"))
    assert saved == sorted(saved, reverse=True)
    assert back == sorted(back, reverse=True), "what saves less has to be better in the other"


def test_processes_that_are_killed_for_want_of_memory_break_a_configuration(written: Written, tmp_path: Path) -> None:
    written(constraints=[])
    (tmp_path / "w.yaml").write_text(TOO_BIG)
    done = _damon(tmp_path, "sweep", "s.yaml", "--json", "f.json", "--quiet")
    found = json.loads((tmp_path / "f.json").read_text())
    assert done.returncode in (0, 4)
    assert {row["outcome"] for row in found["configurations"]} <= {"complete", "failed"}


@pytest.mark.parametrize(
    ("fields", "words", "what"),
    [
        ({}, ["tune", "none.yaml"], "study file: 'none.yaml': No such file or directory"),
        ({"engines": ["pydamon", "kernel:/none"]}, ["tune", "s.yaml"], "engines[1]: "),
        ({"modules": {"damon_reclaim": {"min_age": 1}}}, ["tune", "s.yaml"], "no parameter has several values"),
        ({}, ["sweep", "s.yaml", "-o", "no/r"], "result file: 'no/r': No such file or directory"),
        ({}, ["sweep", "s.yaml", "-o", "w.yaml"], "result file: 'w.yaml': line 1 is not that of a study's results"),
        ({}, ["sweep", "s.yaml", "--export", "w.yaml"], "--export: 'w.yaml': is no directory"),
        ({}, ["sweep", "s.yaml", "--cluster", "here"], "cluster: 'here': is not an address"),
        ({}, ["sweep", "s.yaml", "--html", "no/r"], "--html: 'no/r': its directory does not exist"),
        ({}, ["sweep", "s.yaml", "--json", "no/r"], "--json: 'no/r': its directory does not exist"),
    ],
)
def test_refusals(written: Written, tmp_path: Path, fields: dict[str, object], words: list[str], what: str) -> None:
    written(**fields)
    before = sorted(tmp_path.iterdir())
    done = _damon(tmp_path, *words)
    assert done.returncode in (2, 3)
    assert what in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path for path in tmp_path.iterdir() if not path.name.endswith(".jsonl")) == before


def test_runs_leave_their_results_over_time(written: Written, tmp_path: Path) -> None:
    written(seeds=[1])
    done = _damon(tmp_path, "sweep", "s.yaml", "--out", "runs", "--json", "f.json", "--quiet")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "f.json").read_text())
    names = [name for config in [*found["default"], *found["configurations"]] for name in config["runs"]]
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(names)
    best = found["chosen"]
    run = Run.open(tmp_path / "runs" / best["runs"][0])
    assert run.state == "complete"
    assert run.request["modules"]["damon_reclaim"]["min_age"] == best["parameters"]["damon_reclaim.min_age"]
    assert len(run.table("schemes")) == len(run.table("machine")) > 100, "a row for each of 120 aggregations"
    refaults = run.table("machine").columns["refaults"][-1]
    assert refaults == pytest.approx(best["figures"]["refaults_per_s"] * 12, abs=2)
    plain = _damon(tmp_path, "sweep", "s.yaml", "-o", "plain", "--out", "again", "-j", "1", "--quiet")
    assert plain.returncode == 0
    for file in (tmp_path / "runs").rglob("*.*s*"):
        if file.is_file():
            assert (tmp_path / "again" / file.relative_to(tmp_path / "runs")).read_bytes() == file.read_bytes()
    plain = _damon(tmp_path, "sweep", "s.yaml", "-o", "plain2", "--quiet")
    assert (tmp_path / "plain2").read_bytes() == (tmp_path / "plain").read_bytes()
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "s.sweep.jsonl").read_bytes(), "recording changes nothing"


def test_a_directory_that_a_killed_run_has_left_is_replaced(written: Written, tmp_path: Path) -> None:
    written(seeds=[1])
    assert _damon(tmp_path, "sweep", "s.yaml", "--out", "runs", "--quiet").returncode == 0
    (tmp_path / "s.sweep.jsonl").unlink()
    one = next((tmp_path / "runs").iterdir())
    (one / "left").touch()
    assert _damon(tmp_path, "sweep", "s.yaml", "--out", "runs", "--quiet").returncode == 0
    assert not (one / "left").exists()


def test_an_imported_record_is_a_workload(written: Written, tmp_path: Path) -> None:
    """What is saved on a replay is near what is saved on the workload that was recorded."""
    study = written(seeds=[1], constraints=[])
    intervals = ("--sample-us", "10000", "--aggr-us", "100000", "--max-nr-regions", "60")
    words = ("--ops", "vaddr", *intervals, "--duration", "12", "-o", "w.data", "--quiet")
    assert _damon(tmp_path, "record", "--sim", "w.yaml", *words).returncode == 0
    assert _damon(tmp_path, "import", "w.data", "-o", "w.trace", "--quiet").returncode == 0
    machine = "machine: {memory: 64 MiB, swap: {size: 16 MiB}}\n"
    (tmp_path / "replay.yaml").write_text("areas: {all: {trace: w.trace, loop: true}}\n" + machine)
    study.write_text(study.read_text().replace("- w.yaml", "- w.yaml\n- replay.yaml"))
    done = _damon(tmp_path, "sweep", "s.yaml", "--json", "f.json", "--quiet")
    assert done.returncode == 0, done.stderr
    by = json.loads((tmp_path / "f.json").read_text())["chosen"]["by_workload"]
    assert by["replay"]["saved_bytes"] == pytest.approx(by["w"]["saved_bytes"], rel=0.25)
