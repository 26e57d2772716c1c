# SPDX-License-Identifier: GPL-2.0-only
"""Every command with outputs that are closed, full, or left by their reader: one line at most, and the right code."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL
from tests.command.entry import words

RUN = "damon.command:damon run --module reclaim --sim small.yaml --duration 0.1"
#: Commands that print more than a pipe's buffer or less, and end by themselves.
COMMANDS = (
    "damon.command:damon modinfo damon_reclaim",
    "damon.command:damon --help",
    RUN,
    f"{RUN} --json -",
    "damon.command:damond --help",
    "damon.command:damon_workload --print-plan small.yaml",
    "vmtest.command:vmtest kernels",
    "vmtest.command:vmtest --help",
)


def shell(tmp_path: Path, command: str, redirection: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "small.yaml").write_text(SMALL)
    top = str(Path(__file__).parents[2])
    script = f'set -o pipefail; "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *words(command)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": top, "XDG_CACHE_HOME": str(tmp_path / "cache")} | environment,
    )  # fmt: skip


@pytest.mark.parametrize("command", [RUN, f"{RUN} --json -", COMMANDS[1], *COMMANDS[4:7]])
@pytest.mark.parametrize(
    "redirection", [">&-", "2>&-", ">&- 2>&- <&-", "| true", "2>/dev/full", "2>&1 | head -n 1 >/dev/null"]
)
def test_no_output_that_is_missing_is_an_error(tmp_path: Path, command: str, redirection: str) -> None:
    done = shell(tmp_path, command, redirection)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("command", "buffered"), [(RUN, ""), (RUN, "1"), (COMMANDS[5], "1"), (COMMANDS[6], "1"), (COMMANDS[4], "")]
)
def test_a_full_disk_is_one_line(tmp_path: Path, command: str, buffered: str) -> None:
    done = shell(tmp_path, command, ">/dev/full", PYTHONUNBUFFERED=buffered)
    name = command.split(maxsplit=1)[0].partition(":")[2].replace("_", "-")
    assert done.stderr == f"{name}: standard output cannot be written: No space left on device\n"
    assert done.returncode == 1


def test_a_file_that_is_opened_later_does_not_get_the_number_of_a_closed_one(tmp_path: Path) -> None:
    done = shell(tmp_path, f"{RUN} --json result.json", ">&- 2>&- <&-")
    assert done.returncode == 0
    assert (tmp_path / "result.json").read_text().startswith('{\n  "format": 1')


@pytest.mark.parametrize("command", [COMMANDS[0], RUN, COMMANDS[6]])
def test_an_encoding_without_the_characters_for_tables(tmp_path: Path, command: str) -> None:
    done = shell(tmp_path, command, "", PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


NO_HOME = """\
import os, pwd, sys
def getpwuid(uid): raise KeyError(f"uid not found: {uid}")
pwd.getpwuid = getpwuid
for name in ("HOME", "XDG_CACHE_HOME"): os.environ.pop(name, None)
"""


@pytest.mark.parametrize("command", [RUN, COMMANDS[5], COMMANDS[6]])
def test_a_user_without_home_and_without_an_entry(tmp_path: Path, command: str) -> None:
    (tmp_path / "small.yaml").write_text(SMALL)
    python, option, wrapper, *arguments = words(command)
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [python, option, NO_HOME + wrapper, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=environment,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert ("set XDG_CACHE_HOME" in done.stdout) == command.startswith("vmtest")


@pytest.mark.parametrize("command", ["damon.command:damon run", "damon.command:damond --help", COMMANDS[6]])
def test_a_module_that_cannot_be_imported_is_one_line(command: str) -> None:
    """As of a C helper that is older than its sources, at whatever import that is found."""
    package = command.partition(".")[0]
    prelude = f"import sys; import {package}.errors as e\n"
    prelude += "class Fails:\n def find_spec(self, name, *_):\n"
    prelude += "  if '.cli.' in name: raise e.MissingCapability('C helper: is old; build it again')\n"
    prelude += "sys.meta_path.insert(0, Fails())\n"
    done = subprocess.run(words(command, prelude), capture_output=True, text=True, check=False)
    name = command.split(maxsplit=1)[0].partition(":")[2]
    assert (done.returncode, done.stderr) == (3, f"{name}: C helper: is old; build it again\n")


def test_an_interrupt_leaves_no_directory(tmp_path: Path) -> None:
    prelude = "import os, signal, damon.cli.compare as c\n"
    prelude += "c._run = lambda *_: (os.kill(os.getpid(), signal.SIGINT), signal.pause())\n"
    command = "damon.command:damon compare pydamon linux-source-6.12 --module damon_reclaim --sim hot-cold"
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    done = subprocess.run(words(command, prelude), env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, list(tmp_path.iterdir())) == (130, []), done.stderr
