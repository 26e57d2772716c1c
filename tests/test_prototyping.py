# SPDX-License-Identifier: GPL-2.0-only
"""docs/how-to/prototyping.md: its program runs, prints what the page shows, is short, passes a strict type checker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import damon
from tests import prototyping

WORKLOAD = "workloads/hot-cold.yaml"
OUTPUTS = dict(zip(("watch", "reclaim", "with_own_parts"), prototyping.blocks("text"), strict=True))


def mappings(machine: damon.Machine, pid: int) -> list[tuple[int, int]]:
    return list(machine.open_process(pid).mappings())


def play(function: Callable[..., Any], *words: Any) -> Any:
    """``function(machine, pid, ...)`` on the simulated machine of the page."""
    with damon.open_machine(sim=WORKLOAD, seed=1) as machine:
        pid = machine.pids["main"]
        return function(machine, pid, *[word(machine, pid) if callable(word) else word for word in words])


@pytest.fixture(scope="module")
def page() -> Any:
    return prototyping.program()


def test_watch(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    play(page.watch, 100)
    assert capsys.readouterr().out == OUTPUTS["watch"]


def test_that_the_page_opens_a_machine(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    (opens,) = [block for block in prototyping.blocks("python") if block.startswith(prototyping.OPENS)]
    exec(opens, dict(page.__dict__))
    assert capsys.readouterr().out == OUTPUTS["watch"]


def test_reclaim(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    play(page.reclaim, 6)
    assert capsys.readouterr().out == OUTPUTS["reclaim"]


def test_own_operations(page: Any) -> None:
    regions = play(page.with_own_operations, mappings)
    hot = [region for region in regions if region.nr_accesses]
    assert sum(region.size for region in hot) == 32 << 20
    assert {region.nr_accesses for region in hot} == {20}


def test_own_parts(page: Any, capsys: pytest.CaptureFixture[str]) -> None:
    out, even = play(page.with_own_parts, mappings, 400, 15)
    assert capsys.readouterr().out == OUTPUTS["with_own_parts"]
    assert even.stat.sz_applied == even.stat.sz_ops_filter_passed == even.stat.sz_tried // 2
    assert out.stat.sz_tried == out.stat.sz_applied >= 150 << 20


def test_the_readme_shows_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    (program,) = prototyping.blocks("python", prototyping.README)
    exec(program, {})
    assert [capsys.readouterr().out] == prototyping.blocks("text", prototyping.README)


@pytest.mark.parametrize(
    "names",
    [("TwoPages",), ("cold_or_out",), ("deactivate",), ("is_big", "ONLY_BIG"), ("is_even", "ONLY_EVEN"), ("free_mib",)],
)
def test_each_is_short(page: Any, names: tuple[str, ...]) -> None:
    block = next(block for block in prototyping.blocks("python") if names[0] in block)
    assert len(block.splitlines()) < 30


def test_the_page_is_typed(tmp_path: Path) -> None:
    program = tmp_path / "prototype.py"
    program.write_text("\n\n".join(prototyping.blocks("python")[:1] + prototyping.blocks("python")[2:]))
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", str(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
