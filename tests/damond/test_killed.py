# SPDX-License-Identifier: GPL-2.0-only
"""A simulated process that is killed for want of memory, in the service: its log, its status, its stand-in process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.cli.conftest import TOO_BIG
from tests.damond.conftest import Damond
from tests.waiting import until


def test_the_log_and_the_status_say_which_and_why(start: Callable[..., Damond], tmp_path: Path) -> None:
    workload = tmp_path / "big.yaml"
    workload.write_text(TOO_BIG)
    damond = start("--sim", str(workload), "--speed", "10").wait()
    until(lambda: "was killed at " in damond.log.read_text(), damond.log.read_text)
    status = damond.status()
    (kill,) = status["killed"]
    assert kill["process"] == "main"
    line = f"damon: process {kill['pid']} was killed at {kill['when_s']:g} s (main): {kill['why']}"
    assert line in damond.log.read_text()
    assert [one["name"] for one in status["processes"]] == ["small"]
    assert not os.path.exists(f"/proc/{kill['pid']}")  # what stood for it is gone, too
    assert f"main ({kill['pid']}) was killed at {kill['when_s']:g} s: " in damond.damon("status").stdout
    assert damond.end() == 0
