# SPDX-License-Identifier: GPL-2.0-only
"""A small workload, and a way to run the command in this process that sees everything it leaves behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from damon.cli.main import main

SMALL = """\
areas:
  hot:  {size: 2 MiB}
  cold: {size: 6 MiB}
phases:
  - duration: 3s
    access:
      - {area: hot, pattern: sequential, rate: 150k}
machine:
  memory: 64 MiB
  swap: {size: 16 MiB}
"""
#: Its first process is killed for want of memory.
TOO_BIG = (
    SMALL.replace("areas:\n", "areas:\n  other: {size: 1 MiB, process: small}\n")
    .replace("  cold: {size: 6 MiB}\n", "  grows: {size: 100 MiB, populate: false}\n")
    .replace("machine:", "      - {area: grows, pattern: sequential, rate: 15k}\nmachine:")
)
#: Watermarks that are always open.
OPEN = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0")


@pytest.fixture
def small(tmp_path: Path) -> str:
    """The path of a workload file of 8 MiB and 3 seconds."""
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


Damon = Callable[[Sequence[str]], Outcome]


@pytest.fixture
def damon(capsys: pytest.CaptureFixture[str]) -> Damon:
    """Run ``damon`` with arguments; no thread may be left."""

    def call(arguments: Sequence[str]) -> Outcome:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        captured = capsys.readouterr()
        assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("kdamond")]
        return Outcome(code, captured.out, captured.err)

    return call
