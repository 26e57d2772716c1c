# SPDX-License-Identifier: GPL-2.0-only
"""``damon modinfo``, and what every command has in common."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from damon.modules.loader import find_module
from tests.cli.conftest import Damon


@pytest.mark.parametrize("name", ["damon_reclaim", "damon_lru_sort", "lru-sort"])
def test_json_has_every_parameter(damon: Damon, name: str) -> None:
    outcome = damon(["modinfo", name, "--json"])
    assert (outcome.code, outcome.err) == (0, "")
    answer = json.loads(outcome.out)
    kind = find_module(name)
    assert (answer["name"], answer["description"]) == (kind.name, kind.description)
    assert [row["name"] for row in answer["parameters"]] == [spec.name for spec in kind.specs()]
    for row in answer["parameters"]:
        assert row["perm"] in ("0600", "0400")
        assert row["description"]
        assert (row["type"] == "bool") == (row["unit"] == "")
    rows = {row["name"]: row for row in answer["parameters"]}
    assert rows["sample_interval"] == {
        "name": "sample_interval", "type": "ulong", "perm": "0600", "default": "5000", "unit": "us",
        "description": "sampling interval",
    }  # fmt: skip
    assert (rows["enabled"]["default"], rows["kdamond_pid"]["default"], rows["kdamond_pid"]["perm"]) == (
        "N",
        "-1",
        "0400",
    )


def test_table_names_every_parameter(damon: Damon) -> None:
    outcome = damon(["modinfo", "reclaim"])
    assert outcome.code == 0
    first_words = [line.split()[0] for line in outcome.out.splitlines() if line.strip()]
    for spec in find_module("reclaim").specs():
        assert spec.name in first_words


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["modinfo", "damon_reclam"],
            "damon: module: 'damon_reclam': is unknown; did you mean damon_reclaim? (EINVAL)",
        ),
        (["modinfo", "nowhere/mine"], "damon: directory 'nowhere/mine': is not a module"),
        ([], "damon: the following arguments are required: COMMAND; see damon --help"),
        (["reclaim"], "damon: argument COMMAND: invalid choice: 'reclaim'"),
        (["modinfo"], "damon modinfo: the following arguments are required: name; see damon modinfo --help"),
    ],
)
def test_errors_are_one_line(damon: Damon, arguments: list[str], message: str) -> None:
    outcome = damon(arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(message)
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["modinfo", "--help"]])
def test_help(damon: Damon, arguments: list[str]) -> None:
    outcome = damon(arguments)
    assert outcome.code == 0
    assert "usage: damon" in outcome.out


def test_help_starts_without_the_libraries_that_it_does_not_need() -> None:
    code = (
        "import sys; from damon.cli.main import parser; parser().format_help();"
        "heavy = {'rich', 'yaml', 'msgspec', 'psutil', 'damon.mm.linux', 'damon.mm.sim'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or None)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
