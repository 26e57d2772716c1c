# SPDX-License-Identifier: GPL-2.0-only
"""The table of commands."""

from __future__ import annotations

import argparse
import subprocess
import sys

import pytest

from damon.cli.main import COMMANDS, main, parser


def _commands(one: argparse.ArgumentParser) -> tuple[str, ...]:
    (found,) = [action.choices for action in one._actions if isinstance(action, argparse._SubParsersAction)]
    return tuple(found)


@pytest.mark.parametrize("module", COMMANDS)
def test_a_module_has_the_commands_of_the_table(module: str) -> None:
    assert _commands(parser((module,))) == COMMANDS[module]


def test_help_and_mistakes_know_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert [name for names in COMMANDS.values() for name in names if f"\n    {name} " not in said] == []
    with pytest.raises(SystemExit):
        main(["modprob"])
    assert "did you mean modprobe?" in capsys.readouterr().err


def test_a_command_does_not_load_the_others() -> None:
    """In an emulated guest every module costs milliseconds."""
    program = (
        "import contextlib, io, sys; from damon.cli.main import main\n"
        "with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(['exec', '--help'])\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "damon.cli.exec" in loaded
    others = {"damon.cli.run", "damon.cli.compare", "damon.core.damon", "damon.workload", "yaml", "vmtest"}
    assert others & set(loaded) == set()
