# SPDX-License-Identifier: GPL-2.0-only
"""Programs below ``examples/`` run as a user runs them, and print what the pages that explain them show."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
README = (EXAMPLES / "README.md").read_text()
#: The others have tests of their own, here or in tests/kernel/test_bugs.py and tests/test_prototyping.py.
PRINTING = ("policy.py", "operations_set.py", "action.py", "filter.py", "goal.py")
#: Code, without comments at the top and blank lines.
MOST_LINES = 60


def shown(command: str, page: str = README) -> str:
    """What ``page`` shows as the output of ``command``."""
    found = re.search(rf"^```(?:console)?\n\$ {re.escape(command)}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert found, f"no output of {command!r} is shown"
    return found[1]


def run(command: str) -> str:
    """The output of ``command``, from the directory of a checkout, with its programs."""
    program, *words = shlex.split(command)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [program, *words], cwd=ROOT, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PRINTING)
def test_an_example_prints_what_the_readme_shows(name: str) -> None:
    command = f"python examples/{name}"
    assert run(command) == shown(command)


def test_choosing_intervals_prints_what_its_page_shows() -> None:
    command = "python examples/choosing_intervals.py"
    (page,) = (ROOT / "docs").rglob("choosing-intervals.md")
    assert run(command) == shown(command, page.read_text())


def test_the_tutorial_shows_what_the_policy_prints() -> None:
    command = "python examples/policy.py"
    assert shown(command, (ROOT / "docs/tutorials/policy.md").read_text()) == shown(command)


def test_a_module_prints_what_the_readme_shows() -> None:
    command = "damon run --sim hot-cold --duration 5 --module examples/hot_stat min_freq=900"
    printed = [line.rstrip() for line in run(command).splitlines()]
    for line in shown(command).splitlines():
        assert line == "..." or line in printed


def test_damond_is_driven() -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse cannot be opened")
    command = "python examples/drive_damond.py"
    pattern = re.sub(r"[1-9]\d*", r"[1-9][0-9]*", re.escape(shown(command)))
    printed = run(command)
    assert re.fullmatch(pattern, printed), printed


def test_the_readme_lists_every_example() -> None:
    names = {path.name for path in EXAMPLES.iterdir() if not path.name.startswith((".", "__"))} - {"README.md"}
    links = re.findall(r"^\| \[([^]]+?)/?\]\(([^)]+)\)", README, re.MULTILINE)
    assert {name for name, _target in links} == names
    assert all((EXAMPLES / target).exists() for _name, target in links)


@pytest.mark.parametrize("name", [*PRINTING, "drive_damond.py", "hot_stat/__init__.py", "guest_tests/test_zram.py"])
def test_an_example_is_short_and_has_its_command(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    code = text.split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= MOST_LINES
    assert "Run it with ``" in text.split('"""', 2)[1]
