# SPDX-License-Identifier: GPL-2.0-only
"""``damon compare``: the same run under several engines, and where they part."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from damon.cli.comparison import Entry, first_difference
from damon.cli.main import main
from damon.core.trace import AGGREGATED, ESZ, STAT
from tests.kernel.trees import CURRENT, built, changed

RUN = ["--module", "damon_reclaim", "min_age=1000000", "--sim", "hot-cold", "--duration", "6"]


def _compare(path: Path, *words: str) -> list[dict[str, Any]]:
    assert main(["compare", *words, "--quiet", "--json", str(path)]) == 0
    return list(json.loads(path.read_text())["runs"])


def test_equal_engines_do_not_part(tmp_path: Path) -> None:
    built()
    own, kernel = _compare(tmp_path / "a.json", "pydamon", CURRENT, *RUN)
    assert kernel["difference"] is None
    assert own["tried_bytes"] == kernel["tried_bytes"] > 0
    assert own["hot_bytes"] == 32 << 20
    assert kernel["engine"]["sha256"]


def test_a_changed_tree_parts_where_it_was_changed(tmp_path: Path) -> None:
    tree = changed(tmp_path, "\t\t\t\tr->age++;\n", "\t\t\t\tr->age += 2;\n")
    _, kernel = _compare(tmp_path / "a.json", CURRENT, f"kernel:{tree}", *RUN)
    found = kernel["difference"]
    assert (found["event"], found["field"], found["aggregation"]) == (AGGREGATED, "age", 1)
    assert found["values"] == [1, 2]
    assert "damon_merge_regions_of()" in found["function"]


def test_the_table_names_what_differs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tree = changed(tmp_path, "\t\t\t\tr->age++;\n", "\t\t\t\tr->age += 2;\n")
    assert main(["compare", "pydamon", f"kernel:{tree}", *RUN]) == 0
    said = capfd.readouterr()
    assert "0.100" in said.out
    assert "part at 0.100000 s, aggregation 1, damon_aggregated, region 0: age is 1 and 2" in said.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pydamon"], 2, "one engine is nothing to compare"),
        (["pydamon", "linux"], 2, "engine 'linux': no engine of that name"),
        (["pydamon", "kernel:/nonexistent"], 2, "/nonexistent"),
    ],
)
def test_refused(words: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words, *RUN]) == code
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({1: (200, AGGREGATED, (0, 2), [(0, 4, 1, 1), (4, 8, 0, 3)])}, "damon_aggregated, region 1: age is 2 and 3"),
        ({1: (200, AGGREGATED, (0, 1), [(0, 4, 1, 1)])}, "nr_regions is 2 and 1"),
        ({2: (200, ESZ, (0, 0, 8), [])}, "damos_esz: esz is 7 and 8; computed by damos_set_effective_quota()"),
        ({2: (201, ESZ, (0, 0, 7), [])}, "time is"),
        ({2: (200, STAT, (0, 0, 7), [])}, "event is damos_esz and damos_stat_after_apply_interval"),
        ({2: None}, "event is this one and none"),
    ],
)  # fmt: skip
def test_the_first_difference(change: dict[int, Entry | None], said: str | None, tmp_path: Path) -> None:
    entries: dict[int, Entry | None] = {
        0: (100, AGGREGATED, (0, 2), [(0, 4, 1, 0), (4, 8, 0, 1)]),
        1: (200, AGGREGATED, (0, 2), [(0, 4, 1, 1), (4, 8, 0, 2)]),
        2: (200, ESZ, (0, 0, 7), []),
    }
    paths = []
    for name, content in (("a", entries), ("b", entries | change)):
        paths.append(tmp_path / name)
        paths[-1].write_bytes(b"".join(pickle.dumps(entry) for entry in content.values() if entry is not None))
    found = first_difference(*paths)
    assert (found is None) == (said is None)
    assert said is None or said in str(found)
