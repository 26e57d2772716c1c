# SPDX-License-Identifier: GPL-2.0-only
"""docs/reference/kernel-bugs.md: each bug by its program in ``examples/kernel-bugs``: there, fixed, or not here."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kernel.trees import built

PROGRAMS = Path(__file__).parents[2] / "examples/kernel-bugs"


def _printed(program: str, engine: str) -> str:
    if engine != "pydamon":
        built(engine)
    words = [sys.executable, str(PROGRAMS / f"{program}.py"), engine]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=600).stdout


@pytest.mark.parametrize(("engine", "there"), [("linux-source-7.2", True), ("linux-source-7.3", False)])
def test_a_commit_clears_quota_state(engine: str, there: bool) -> None:
    sizes = [int(size) for size in re.findall(r"effective_bytes (\d+)", _printed("commit_clears_quota", engine))]
    assert sizes[:4] == [24, 613, 15181, 375898]
    assert (sizes[4] == sizes[0]) == there
    assert (sizes[4] > sizes[3]) != there


@pytest.mark.parametrize("engine", ["pydamon", "linux-source-7.2", "linux-source-7.3"])
def test_a_canceled_walk(engine: str) -> None:
    found = re.search(r"second walk: (\d+) regions of scheme 0, (\d+) of scheme 1", _printed("canceled_walk", engine))
    assert found is not None
    assert (int(found.group(1)) > 0) == (engine == "pydamon")
    assert int(found.group(2)) > 0


@pytest.mark.parametrize("engine", ["pydamon", "linux-source-6.12", "linux-source-7.2", "linux-source-7.3"])
def test_a_commit_without_schemes(engine: str) -> None:
    found = re.search(r"0 schemes, (\d+) samples", _printed("commit_without_schemes", engine))
    assert found is not None
    assert (int(found.group(1)) > 0) == (engine == "pydamon")


@pytest.mark.parametrize("engine", ["linux-source-6.12", "linux-source-7.2", "linux-source-7.3"])
def test_cuts_that_are_rejected(engine: str) -> None:
    """It costs time, which no test checks: the program runs."""
    assert _printed("rejected_cuts", engine).count("processor time an aggregation") == 2


@pytest.mark.parametrize(("engine", "there"), [("linux-source-7.2", True), ("linux-source-7.3", False)])
def test_a_split_that_fails(engine: str, there: bool) -> None:
    ends = [int(end) for end in re.findall(r"acts up to (\d+) MiB", _printed("unnoticed_split", engine))]
    assert (ends[0] > 64) == there
    assert ends[1] == 64


@pytest.mark.parametrize(
    ("engine", "targets"), [("pydamon", [1000]), ("linux-source-6.12", [2000]), ("linux-source-7.3", [2000])]
)
def test_goals_before_a_refused_one(engine: str, targets: list[int]) -> None:
    printed = _printed("refused_goals", engine)
    assert "refused: " in printed
    assert f"targets: {targets}" in printed


@pytest.mark.parametrize("engine", ["linux-source-6.12", "linux-source-7.2"])
def test_a_goal_of_zero_breaks_old_versions(engine: str) -> None:
    built(engine)
    words = [sys.executable, str(PROGRAMS / "goal_of_zero.py"), engine]
    assert subprocess.run(words, capture_output=True, check=False, timeout=600).returncode == -signal.SIGFPE


@pytest.mark.parametrize("engine", ["pydamon", "linux-source-7.3"])
def test_a_goal_of_zero_is_refused(engine: str) -> None:
    assert _printed("goal_of_zero", engine).startswith("refused: ")
