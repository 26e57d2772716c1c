# SPDX-License-Identifier: GPL-2.0-only
"""The recipes of ``examples/programs`` in a guest: they print "ready" before they work, and come to an end."""

from __future__ import annotations

import re

import pytest

from tests.vm.job import ROOT
from tests.waiting import HANG_S
from vmtest import Guest, Tree

PROGRAMS = ROOT / "examples/programs"
PAGE = (ROOT / "docs/how-to/programs.md").read_text()
PACKAGES = ("gcc", "libc6-dev", "redis-server", "sqlite3")
SOURCES = "damon/native/src"


@pytest.fixture(scope="module")
def guest_trees() -> tuple[Tree, ...]:
    return (Tree(PROGRAMS, "/opt/programs"), Tree(ROOT / SOURCES, "/opt/src"))


def _shown(program: str) -> list[str]:
    """What the page shows of a program."""
    found = re.search(rf"/opt/programs/{re.escape(program)}.*\n((?:.*\n)*?)```", PAGE)
    assert found, program
    return found[1].splitlines()


def _run(guest: Guest, words: str) -> list[str]:
    return guest.run(f"/opt/programs/{words}", timeout=HANG_S).check().text.splitlines()


def test_the_python_table(guest: Guest) -> None:
    """As the page shows it, with the same sums: they depend on the number of rows only."""
    out = _run(guest, "table.py")
    assert out[0] == "ready"
    assert out == _shown("table.py")


@pytest.mark.long
@pytest.mark.guest(packages=PACKAGES)
def test_the_programs_of_debian(shared_guest: Guest) -> None:
    """Results as the page shows them; rates differ."""
    assert _run(shared_guest, "sqlite.sh") == _shown("sqlite.sh")
    assert _run(shared_guest, "compile.sh /opt/src 'sim_*.c'")[0] == _shown("compile.sh")[0] == "ready"
    numbers = re.compile(r"[\d.]+")
    out = _run(shared_guest, "redis.sh")
    assert [numbers.sub("N", line) for line in out] == [numbers.sub("N", line) for line in _shown("redis.sh")]
    assert shared_guest.run(["sh", "-c", "ls /tmp; pgrep redis"]).text == "", "something is left"


def test_each_recipe_is_on_the_page() -> None:
    for path in PROGRAMS.iterdir():
        assert _shown(path.name), path
        assert path.stat().st_mode & 0o111
        assert "ready" in path.read_text()
