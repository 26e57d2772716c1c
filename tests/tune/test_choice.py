# SPDX-License-Identifier: GPL-2.0-only
"""What loads a chosen configuration is read back as that configuration."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from damon.core import Damon
from damon.mm.sim import SimulatedMachine
from damon.modules.cmdline import parse_cmdline, split_words
from damon.modules.loader import Loader, find_module
from damon.modules.params import Value
from damon.tune.choice import choice
from damon.tune.study import load_study
from damon.workload.load import load_workload

WANTED = {"min_age": 3_170_000, "max_nr_regions": 60, "sample_interval": 10_000, "aggr_interval": 100_000}


def _loaded(path: Path, words: list[str]) -> dict[str, Value]:
    with SimulatedMachine(load_workload(path), 1) as machine:
        module = Loader(Damon(machine)).prepare(find_module("damon_reclaim"), words)
        assert module.wanted
        return {name: module.parameters[name].value for name in WANTED}


def test_command_lines_give_the_modules_these_parameters(written: Callable[..., Path], tmp_path: Path) -> None:
    found = choice(load_study(written()), (2, 1))
    given = parse_cmdline(f"quiet {found.cmdline} ro")
    assert list(given) == ["damon_reclaim"]
    assert _loaded(tmp_path / "w.yaml", given["damon_reclaim"]) == WANTED
    (line,) = found.modprobe
    command, module, *words = split_words(line)
    assert (command, module) == ("modprobe", "damon_reclaim")
    assert _loaded(tmp_path / "w.yaml", words) == WANTED


def test_damo_and_the_script_have_the_context(written: Callable[..., Path], tmp_path: Path) -> None:
    found = choice(load_study(written()), (2, 1))
    assert found.damo() == "damo start s_chosen.json"
    assert sorted(found.files) == ["s_chosen.json", "s_chosen.sh"]
    (kdamond,) = json.loads(found.files["s_chosen.json"])["kdamonds"]
    (context,) = kdamond["contexts"]
    assert context["ops"] == "paddr"
    assert context["nr_regions"] == {"min": "10", "max": "60"}
    (scheme,) = context["schemes"]
    assert scheme["action"] == "pageout"
    script = tmp_path / "s.sh"
    script.write_text(found.files["s_chosen.sh"])
    assert subprocess.run(["sh", "-n", str(script)], capture_output=True, check=False).returncode == 0
    lines = found.files["s_chosen.sh"].splitlines()
    assert "put monitoring_attrs/nr_regions/max 60" in lines
    assert "put schemes/0/access_pattern/age/min 31" in lines, "min_age in aggregations"


@pytest.mark.parametrize("module", ["damon_sample_mtier"])
def test_a_module_whose_context_is_its_own_affair_has_command_lines_only(
    written: Callable[..., Path], module: str
) -> None:
    found = choice(load_study(written(modules={module: {}})), ())
    assert found.cmdline == f"{module}.enabled=Y"
    assert (found.files, found.damo()) == ({}, None)
