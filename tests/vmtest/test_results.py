# SPDX-License-Identifier: GPL-2.0-only
"""Results: what an outcome means, and the files that hold it."""

from __future__ import annotations

import random
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from tests.vmtest.suite_fakes import OUTCOMES, outcome, run_of
from vmtest.errors import InvalidInput, Verdict
from vmtest.results import ktap, manifest, writers
from vmtest.results.outcome import Status
from vmtest.suite.load import JOB_VERDICTS


@pytest.mark.parametrize(
    ("verdict", "expected", "status"),
    [
        ("pass", None, Status.PASS),
        ("fail", None, Status.FAIL),
        ("command-timeout", None, Status.FAIL),
        ("workload-failed", None, Status.FAIL),
        ("skip", None, Status.SKIP),
        ("machine-lacks", None, Status.ERROR),
        ("fail", ("fail", "x"), Status.EXPECTED),
        ("panic", ("panic", "x"), Status.EXPECTED),
        ("panic", ("fail", "x"), Status.LOST),
        ("fail", ("panic", "x"), Status.FAIL),
        ("pass", ("fail", "x"), Status.UNEXPECTED_PASS),
        ("machine-lacks", ("machine-lacks", "x"), Status.ERROR),
        ("not-run", ("fail", "x"), Status.NOT_RUN),
        *((verdict.value, None, Status.LOST) for verdict in Verdict),
    ],
)
def test_what_a_verdict_means(verdict: str, expected: tuple[str, str] | None, status: Status) -> None:
    assert outcome("t", verdict, expected=expected).status is status


def test_only_a_pass_is_a_pass() -> None:
    """No verdict but "pass" (and what is expected or skipped) leaves a run green."""
    verdicts = {*JOB_VERDICTS, *(verdict.value for verdict in Verdict), "machine-lacks", "harness-error", "not-run"}
    for verdict in verdicts - {"pass", "skip"}:
        assert run_of([outcome("a", "pass"), outcome("t", verdict)]).exit_code != 0, verdict


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["pass", "skip"], 0),
        (["pass", "fail"], 1),
        (["fail", "panic"], 125),
        (["fail", "machine-lacks"], 3),
        (["not-run"], 1),
    ],
)
def test_exit_codes(verdicts: list[str], code: int) -> None:
    assert run_of([outcome(str(number), verdict) for number, verdict in enumerate(verdicts)]).exit_code == code


def test_an_unexpected_pass_fails_the_run() -> None:
    assert run_of([outcome("t", "pass", expected=("fail", "x"))]).exit_code == 1


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    run = run_of(OUTCOMES)
    writers.write_all(run, tmp_path)
    assert writers.read(tmp_path) == run
    assert writers.read(tmp_path / "results.json") == run
    assert not list(tmp_path.glob("*.part"))


def test_a_file_that_is_not_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        writers.read(tmp_path)
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(InvalidInput, match="none of 'vmtest run'"):
        writers.read(tmp_path)
    with pytest.raises(InvalidInput, match="none of a guest"):
        manifest.read(tmp_path / "results.json")


FOREIGN = [
    b"\xff\xfe", b'{"suite": "\xff"}', b"[" * 200_000, b'{"a":' * 200_000, b'{"format": ' + b"9" * 5000 + b"}", b"",
    b'{"suite": "\\ud800"}', b"\0" * 100,
]  # fmt: skip


@pytest.mark.parametrize("data", FOREIGN, ids=range(len(FOREIGN)))
def test_damaged_text_is_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    for name, read in (("results.json", writers.read), ("manifest.json", manifest.read)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInput, match=r"none of (a guest|'vmtest run') \(.*\); give ") as caught:
            read(tmp_path)
        assert len(str(caught.value).splitlines()) == 1


def test_damaged_results_are_read_or_refused(tmp_path: Path) -> None:
    whole, dice, refused = msgspec.json.encode(run_of(OUTCOMES)), random.Random(1), 0
    for _ in range(1000):
        data = bytearray(whole)
        for _ in range(dice.choice((1, 2, 8))):
            data[dice.randrange(len(data))] = dice.randrange(256)
        (tmp_path / "results.json").write_bytes(data)
        try:
            writers.read(tmp_path)
        except InvalidInput:
            refused += 1
    assert refused > 500


def test_junit(tmp_path: Path) -> None:
    (tmp_path / "guests/bad").mkdir(parents=True)
    (tmp_path / "guests/bad/stdout").write_bytes(b"said \x01\xff\n" + b"x" * writers.OUTPUT_LIMIT)
    writers.junit(run_of(OUTCOMES), tmp_path)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    cases = {case.get("name"): case for case in root.iter("testcase")}
    kinds = {name: [child.tag for child in case if child.tag != "system-out"] for name, case in cases.items()}
    assert kinds["good"] == []
    assert kinds["bad"] == kinds["healed"] == kinds["slow"] == kinds["many"] == kinds["b"] == ["failure"]
    assert kinds["lost"] == kinds["other"] == kinds["lacking"] == kinds["never"] == ["error"]
    assert kinds["known"] == kinds["absent"] == kinds["c"] == ["skipped"]
    assert cases["lost"][0].get("type") == "panic"
    assert "Kernel panic - not syncing: <&> \ufffd x" in (cases["lost"][0].text or "")
    assert cases["healed"][0].get("type") == "unexpected-pass"
    counts = {"tests": "14", "failures": "5", "errors": "4", "skipped": "3"}
    assert {name: root[0].get(name) for name in counts} == counts
    assert "bytes before" in (cases["bad"].findtext("system-out") or "")


def test_junit_holds_whatever_a_guest_prints(tmp_path: Path) -> None:
    """Names of subtests are a guest's words, as are those of a run that came from elsewhere."""
    strange = "a\x1b[m\x00\ufffe"
    parsed = ktap.parse(f"KTAP version 1\n1..2\nok 1 {strange}\nnot ok 2 {strange} # SKIP {strange}\n")
    assert "\x1b" in parsed.subtests[0].name
    run = run_of([outcome(strange, strange, subtests=parsed.subtests)])
    run.suite, run.started, run.versions = strange, strange, {strange: strange}
    writers.junit(run, tmp_path)
    names = {case.get("name") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")}
    assert "a\ufffd[m\ufffd\ufffd" in names
