# SPDX-License-Identifier: GPL-2.0-only
"""The tutorial from production to parameters, command by command, with shorter times."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from damon.results.records import record_to_run
from damon.results.run import Run
from tests.vm.job import ROOT

PAGE = ROOT / "docs/tutorials/production.md"
#: Seconds of the recordings and runs.
SHORTER = {" 240 ": " 60 ", " 120 ": " 40 ", "duration: 240s": "duration: 60s"}


def _shorter(text: str) -> str:
    for long, short in SHORTER.items():
        text = text.replace(long, short)
    return text


@pytest.mark.long
def test_each_command() -> None:
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as place:  # a guest with this machine's root has its own /tmp
        _check(Path(place))


def _check(place: Path) -> None:
    shutil.copytree(ROOT / "examples/production", place, dirs_exist_ok=True)
    study = place / "study.yaml"
    study.write_text(_shorter(study.read_text()))
    commands = re.findall(r"^\$ (.*)$", PAGE.read_text(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == [
        *("cd", "vmtest", "tar", "damon", "damon", "damon", "LINE=$(sed", "vmtest", "tar", "damon", "damon"),
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    script = "\n".join(["set -eux", *(_shorter(command) for command in commands[1:])])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    predicted = Run.open(place / "predicted").table("machine").columns["resident_bytes"]
    record_to_run(place / "after.data", place / "after")
    observed = Run.open(place / "after").table("machine").columns["resident_bytes"]
    assert observed[0] - observed[-1] > 40 << 20, "the server's memory became less"
    assert predicted[0] - predicted[-1] == pytest.approx(observed[0] - observed[-1], rel=0.5)
