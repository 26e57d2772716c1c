# SPDX-License-Identifier: GPL-2.0-only
"""Progress, the table of results, and the summary, on a terminal and without."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.vmtest.suite_fakes import OUTCOMES, job, outcome, run_of
from vmtest import terminal
from vmtest.results import live, writers
from vmtest.results.outcome import Subtest
from vmtest.suite import command


def test_counts_in_words() -> None:
    summary = live.summary(run_of([outcome("a", "panic"), outcome("b", "pass"), outcome("c", "not-run")]))
    assert summary == "3 jobs in 3 s: 1 passed, 1 lost guest, 1 not run"
    assert live.summary(run_of([outcome("a", "machine-lacks")])) == "1 job in 3 s: 1 error"
    two = run_of(
        [outcome("a", "panic"), outcome("b", "oops"), outcome("c", "machine-lacks"), outcome("d", "harness-error")]
    )
    assert live.summary(two) == "4 jobs in 3 s: 2 lost guests, 2 errors"


def test_a_plain_line_for_each_end_without_a_terminal(tmp_path: Path) -> None:
    stream = io.StringIO()
    with live.Progress(2, Console(file=stream, soft_wrap=True, highlight=False)) as progress:
        for found in OUTCOMES[1:3]:
            here = job(tmp_path, found.test)
            progress.begins(here, "")
            progress.phase(here, "boot")
            progress.ends(here, found)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert " ".join(lines[0].split()) == "1/2 FAIL 0.0 s k/m/w/bad fail: exit code 3: no # hash"
    assert "panic: it crashed" in lines[1]


def test_a_terminal_shows_one_line_a_guest(tmp_path: Path) -> None:
    progress = live.Progress(3, Console(file=io.StringIO(), force_terminal=True, width=100))
    progress.begins(job(tmp_path, "one"), "")
    progress.begins(job(tmp_path, "two"), "worker-1")
    progress.phase(job(tmp_path, "two"), "command")
    stream = io.StringIO()
    Console(file=stream, width=100).print(progress._lines())
    lines = stream.getvalue().splitlines()
    assert [line.split()[2:] for line in lines[:2]] == [
        ["starts", "k/m/w/one"],
        ["command", "k/m/w/two", "on", "worker-1"],
    ]
    assert lines[2].startswith("0 of 3 ended")


def test_the_table_has_every_cell() -> None:
    stream = io.StringIO()
    Console(file=stream, width=140).print(live.matrix(run_of(OUTCOMES)))
    for word in ("ok 3 s", "panic", "fail (expected)", "passed unexpectedly", "command-timeout", "machine-lacks"):
        assert word in stream.getvalue()


def test_a_log_has_no_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal.output().width > 150


@pytest.mark.parametrize("width", [60, 80])
def test_no_name_is_cut_off_in_a_narrow_table(width: int) -> None:
    names = ("page-idle-no-damon", "a-machine-of-two-nodes", "hot-and-cold-areas", "sorts-the-lists")
    outcomes = []
    for number in range(6):
        one = outcome("any", "pass")
        one.kernel, one.machine, one.workload, one.test = f"{names[0]}{number}", *names[1:]
        outcomes.append(one)
    stream = io.StringIO()
    Console(file=stream, width=width).print(live.matrix(run_of(outcomes)))
    assert "…" not in stream.getvalue()


HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1m\u202egnp\x08 end"


def test_a_guests_control_characters_do_nothing_to_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hostile = outcome("bad", "fail", message=HOSTILE, excerpt=HOSTILE, subtests=[Subtest(HOSTILE, "fail", HOSTILE)])
    lines = io.StringIO()
    console = Console(file=lines, force_terminal=True, width=200, color_system=None, legacy_windows=False)
    run = run_of([hostile])
    command.show_end(run, tmp_path, console)
    progress = live.Progress(1, console)
    progress.begins(job(tmp_path), "")
    progress.ends(job(tmp_path), hostile)
    terminal.say(HOSTILE)
    for text in (lines.getvalue(), writers.ktap(run), capsys.readouterr().err):
        assert "\\x1b]0;title\\x07\\x1b[2J\\x9b1m\\u202egnp\\x08 end" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e\x08")
