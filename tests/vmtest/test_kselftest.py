# SPDX-License-Identifier: GPL-2.0-only
"""A kernel's own tests: what a collection is, what its tests end with, what a console shows; without a guest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmtest import cli
from vmtest.config import GuestConfig
from vmtest.errors import BuildFailed, CommandTimeout, GuestLost, InvalidInput, Verdict
from vmtest.kselftest import collection, execute, forms, kunit
from vmtest.results import ktap
from vmtest.results.outcome import Outcome, Run, Status
from vmtest.ssh.process import Result

CONSOLE = """\
[    0.100000] Linux version 6.12.0
[    0.200000] KTAP version 1
[    0.200001] 1..3
[    0.300000]     KTAP version 1
[    0.300001]     # Subtest: damon
[    0.300002]     # module: core
[    0.300003]     1..2
[    0.300004]     ok 1 damon_test_target
[    0.300005]     # damon_test_split_at: EXPECTATION FAILED at mm/damon/tests/core-kunit.h:134
[    0.300006]     Expected r->ar.end == 25ul, but
[    0.300007]     not ok 2 damon_test_split_at
[    0.300008] # damon: pass:1 fail:1 skip:0 total:2
[    0.300009] # Totals: pass:1 fail:1 skip:0 total:2
[    0.300010] not ok 1 damon
[    0.400000]     KTAP version 1
[    0.400001]     # Subtest: damon-operations
[    0.400002]     1..1
[    0.400003]         KTAP version 1
[    0.400004]         # Subtest: split
[    0.400005]         ok 1 even
[    0.400006]         ok 2 odd
[    0.400007]     ok 1 split
[    0.400008] ok 2 damon-operations
[    0.500000]     KTAP version 1
[    0.500001]     # Subtest: damon_sysfs
[    0.500002]     1..1
[    0.500003]     ok 1 damon_sysfs_test_add_targets # SKIP no memory
[    0.500004] ok 3 damon_sysfs # SKIP
"""


def _read(text: str, lost: GuestLost | None = None) -> list[Outcome]:
    from vmtest.patterns import message

    outcome = Outcome(name="", kernel="k", machine="tcg", workload="kunit", test="", verdict="pass")
    return kunit.read([message(line) for line in text.splitlines()], outcome, lost)


def test_kunit_suites_subtests_and_parameters() -> None:
    damon, operations, sysfs = _read(CONSOLE)
    assert (damon.name, damon.verdict) == ("damon", "fail")
    assert [(one.name, one.status) for one in damon.subtests] == [
        ("damon_test_target", "pass"),
        ("damon_test_split_at", "fail"),
    ]
    assert "EXPECTATION FAILED at mm/damon/tests/core-kunit.h:134" in damon.excerpt
    assert "damon_test_split_at" in damon.line
    run = Run(suite="kunit", started="", seconds=1.0, versions={}, outcomes=[damon, operations, sysfs])
    again = ktap.parse(forms.text(run, "ktap"))
    assert again.problems == []
    assert [one.name for one in again.failed] == ["damon/damon_test_split_at"]
    assert [one.name for one in operations.subtests] == ["split/even", "split/odd"]
    assert operations.verdict == "pass"
    assert sysfs.status is Status.SKIP


def test_a_kernel_that_crashes_in_its_tests_keeps_what_it_passed_and_is_lost() -> None:
    lost = GuestLost(Verdict.OOPS, "BUG: kernel NULL pointer dereference", "the stack")
    found = _read("\n".join(CONSOLE.splitlines()[:8]), lost)
    assert [one.verdict for one in found] == ["pass", "oops"] or found[-1].verdict == "oops"
    assert found[-1].excerpt == "the stack"
    run = Run(suite="kunit", started="", seconds=1.0, versions={}, outcomes=found)
    assert run.exit_code == 125


def test_a_plan_that_was_not_kept_is_a_failure() -> None:
    found = _read(CONSOLE.replace("[    0.200001] 1..3", "[    0.200001] 1..4"))
    assert found[-1].name == "the plan"
    assert found[-1].status is Status.FAIL


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", 45.0), ("timeout=120\n", 120.0), ("# timeout=3\ntimeout=0\n", 0.0), ('timeout="90"\n', 90.0)],
)
def test_settings(text: str, seconds: float) -> None:
    assert collection.timeout_of(text) == seconds


def test_settings_that_are_wrong() -> None:
    with pytest.raises(InvalidInput, match="timeout 'long' "):
        collection.timeout_of("timeout=long")


def _collection(directory: Path, **tests: str) -> collection.Collection:
    (directory / "fs").mkdir(parents=True)
    (directory / "kselftest-list.txt").write_text("".join(f"fs:{name}\n" for name in tests) + "mm:other\n")
    for name, text in tests.items():
        (directory / "fs" / name).write_text(text)
        (directory / "fs" / name).chmod(0o755)
    (directory / "fs/settings").write_text("timeout=10\n")
    return collection.read(directory, "fs")


def test_a_collection_is_what_was_installed(tmp_path: Path) -> None:
    found = _collection(tmp_path, b="#!/bin/sh\n", a="#!/bin/sh\n")
    assert found.tests == ("b", "a")
    assert found.timeout == 10.0
    assert found.chosen(["a"]) == ("a",)
    with pytest.raises(InvalidInput, match="test: 'c': is not in fs; it has: b, a"):
        found.chosen(["c"])
    with pytest.raises(BuildFailed, match="kselftest: net: has no test"):
        collection.read(tmp_path, "net")


@pytest.mark.parametrize(
    ("code", "output", "verdict", "words"),
    [
        (0, "fine\n", "pass", ""),
        (1, "bad\n", "fail", "exit code 1"),
        (4, "1..1\n# DAMON not found\n", "skip", "DAMON not found"),
        (4, "", "skip", "no reason"),
        (0, "KTAP version 1\n1..2\nok 1 a\nnot ok 2 b\n", "fail", "not ok: b"),
        (0, "KTAP version 1\n1..2\nok 1 a\n", "fail", "2 results planned, 1 came"),
        (0, "1..1\nok 1 a # SKIP no disk\n", "skip", "no disk"),
        (137, "", "fail", "exit code 137"),
    ],
)
def test_verdict(code: int, output: str, verdict: str, words: str) -> None:
    found, message = execute.verdict_of(code, output, ktap.parse(output))
    assert found == verdict
    assert words in message


class _Guest:
    """Runs nothing; ends as the name of the test requests."""

    made = 0
    accelerator = "tcg"

    def __init__(self, _config: GuestConfig, artifacts: Path | None = None) -> None:
        _Guest.made += 1

    def start(self) -> None:
        pass

    def put(self, host: Path, guest: str, exclude: tuple[str, ...]) -> None:
        assert guest == "/tmp/kselftest"

    settle = close = start

    def run(self, command: Any, timeout: float = 0) -> Result:
        if isinstance(command, list):
            return Result(command, 127 if "perl" in command[-1] else 0, b"", b"", 0.0)
        assert timeout == 50.0, "the settings' ten seconds, five times on an emulated processor"
        if "slow" in command:
            raise CommandTimeout("late", b"so far\n")
        if "crash" in command:
            raise GuestLost(Verdict.PANIC, "Kernel panic", "excerpt")
        return Result(command, 1 if "bad" in command else 0, b"said # 1\n", b"", 0.0)


def test_each_test_has_its_own_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "Guest", _Guest)
    monkeypatch.setattr(_Guest, "made", 0)
    sh = "#!/bin/sh\n"
    found = _collection(tmp_path / "built", good=sh, slow=sh, crash=sh, bad=sh, other="#!/usr/bin/env perl\n", gone=sh)
    (found.directory / "gone").unlink()
    heard: list[Outcome] = []
    runner = execute.Runner(found, GuestConfig(kernel="page-idle"), "k", directory=tmp_path / "out")
    outcomes = runner.run(found.tests, heard.append)
    assert heard == outcomes
    assert [one.verdict for one in outcomes] == ["pass", "command-timeout", "panic", "fail", "skip", "skip"]
    assert _Guest.made == 2, "the one that crashed is replaced once"
    assert "perl" in outcomes[4].message
    assert "not built" in outcomes[5].message
    assert (tmp_path / "out/slow/stdout").read_text() == "so far\n"
    run = Run(suite="kselftest fs", started="", seconds=1.0, versions={}, outcomes=outcomes)
    text = forms.text(run, "ktap")
    assert [line for line in text.splitlines() if "ok " in line] == [
        "ok 1 good",
        "not ok 2 slow # TIMEOUT command-timeout: 50 s",
        "not ok 3 crash # ERROR panic: guest panic: Kernel panic",
        "not ok 4 bad # fail: exit code 1",
        "ok 5 other # SKIP skip: the guest has no perl",
        "ok 6 gone # SKIP skip: its file was not built",
    ]
    assert ktap.parse(text).problems == []
    assert 'name="crash"' in forms.text(run, "junit")
    assert '"verdict": "panic"' in forms.text(run, "json")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["kselftest", "damon", "--package", "linux"], 2, "is not one of kernel source"),
        (["kselftest", "damon", "--kernel-tree", "/etc"], 2, "has no Makefile"),
        (["kselftest", "damon", "--timeout", "0"], 2, "--timeout"),
        (["kunit", "--kernel", "page-idle", "--package", "linux-source-6.12"], 2, "exclude"),
        (["kunit", "--filter", "a b"], 2, "filter: 'a b': "),
    ],
)
def test_bad_input(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        found = cli.main(words)
    except SystemExit as end:
        found = int(end.code or 0)
    message = capsys.readouterr().err
    assert found == code
    assert said in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("name", ["../evil", "a/b", ".", "..", ".hidden", "a b", "x" * 200])
def test_a_test_whose_name_is_no_files_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "kselftest-list.txt").write_text(f"fs:good.sh\nfs:{name}\n")
    with pytest.raises(BuildFailed, match="that is not a file's name"):
        collection.read(tmp_path, "fs")
