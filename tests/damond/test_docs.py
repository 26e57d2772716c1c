# SPDX-License-Identifier: GPL-2.0-only
"""The transcripts of the pages: each command, in order, prints what the page shows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable

import pytest

from tests.damond.conftest import WORKLOAD, Damond
from tests.documentation import DOCS, blocks, transcript

#: Of each block that is played: the page, and the first command.
PLAYED = (
    ("reference/damond.md", "damon modprobe damon_reclaim min_age=5000000 quota_ms=20"),
    ("how-to/modules.md", "damon modprobe damon_reclaim min_age=30000000 enabled=Y"),
)


def _commands(page: str, first: str) -> list[tuple[str, list[str]]]:
    """Command and expected lines, of the block that begins with ``first``."""
    (block,) = [block for block in blocks(DOCS / page) if f"$ {first}\n" in block.text]
    return [(command, output.splitlines()) for command, output in transcript(block.text)]


def _form(line: str) -> object:
    """A line without what differs from run to run. Of an error: the values that it names, and its errno."""
    if line.startswith("damon: "):
        return re.findall(r"[a-z_.]+=\S*|'[^']*'", line), re.findall(r"\(E[A-Z]+\)$", line)
    return re.sub(r"─+", "-", re.sub(r" +", " ", re.sub(r"(?<= )\d+$", "N", line.strip())))


@pytest.mark.parametrize(("page", "first"), PLAYED)
def test_a_transcript(page: str, first: str, start: Callable[..., Damond]) -> None:
    damond = start("--sim", str(WORKLOAD), "--speed", "0.01").wait()  # slow: nothing new comes between two commands
    for command, expected in _commands(page, first):
        name, *words = shlex.split(command)
        assert name == "damon"
        done = damond.damon(*words)
        said = (done.stderr or done.stdout).splitlines()
        refused = any(line.startswith("damon: ") for line in expected)
        assert (done.returncode, bool(done.stderr)) == (2 if refused else 0, refused), (command, done)
        assert [_form(line) for line in said if line.strip()] == [_form(line) for line in expected], command
    assert damond.end() == 0, damond.log.read_text()
    assert "Traceback" not in damond.log.read_text()
