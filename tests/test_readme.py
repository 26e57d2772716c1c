# SPDX-License-Identifier: GPL-2.0-only
"""Commands of README.md and of tutorials that need no guest print what the pages show."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from damon.cli.main import main
from tests.documentation import blocks, transcript

ROOT = Path(__file__).parents[1]
WALL_TIME = re.compile(r"(virtual seconds in )[\d.]+ s")
#: Of what takes more than two seconds, which depends on the machine.
PROGRESS = re.compile(r"^[\d.]+ of [\d.]+ s \(.*\n", re.MULTILINE)


def _transcripts(page: str) -> list[tuple[str, str]]:
    """Commands of ``damon`` with their output as the page shows it."""
    return [shown for block in blocks(ROOT / page) if not block.language for shown in transcript(block.text)]


def _shown(page: str, name: str) -> list[tuple[str, str]]:
    return [(command, output) for command, output in _transcripts(page) if command.split()[:2] == ["damon", name]]


FIRST_RUN = "docs/tutorials/first-run.md"
COMMANDS = [
    *_shown("README.md", "run"),
    *_shown(FIRST_RUN, "run"),
    *_shown(FIRST_RUN, "modinfo"),
    *_shown("docs/reference/records.md", "record"),
]
#: The first records the file that the second reports.
TUTORIAL = _transcripts("docs/tutorials/monitor-process.md")


def _lines(text: str) -> list[str]:
    return [WALL_TIME.sub(r"\1some", line.rstrip()) for line in PROGRESS.sub("", text).strip().splitlines()]


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == 4


@pytest.mark.parametrize(("command", "output"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_a_command_prints_what_the_page_shows(
    command: str, output: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    main(shlex.split(command)[1:])
    printed, expected = _lines("".join(capsys.readouterr())), _lines(output)
    if expected[-1].strip() == "...":  # the page shows its beginning
        del expected[-1]
        del printed[len(expected) :]
    assert printed == expected


def test_the_tutorial_prints_what_it_shows(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    assert [command.split()[1] for command, _ in TUTORIAL] == ["record", "report"]
    for command, output in TUTORIAL:
        main(shlex.split(command)[1:])
        assert _lines("".join(capsys.readouterr())) == _lines(output)
