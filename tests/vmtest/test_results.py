# SPDX-License-Identifier: GPL-2.0-only
"""Results: what an outcome means, the files it is told in, and the page."""

from __future__ import annotations

import io
import random
from html import unescape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.vmtest.suite_fakes import job, outcome
from vmtest import cli, terminal
from vmtest.errors import InvalidInput, Verdict
from vmtest.results import html, ktap, live, manifest, writers
from vmtest.results.job import Job
from vmtest.results.outcome import Outcome, Run, Status, Subtest
from vmtest.suite import command
from vmtest.suite.load import JOB_VERDICTS

EXCERPT = "[ 1.0] Kernel panic - not syncing: <&> \x00 x"
OUTCOMES = [
    outcome("good", "pass"),
    outcome("bad", "fail", message="exit code 3: no # hash", exit_code=3, folder="guests/bad"),
    outcome("lost", "panic", message="it crashed", excerpt=EXCERPT),
    outcome("known", "fail", expected=("fail", "since ever")),
    outcome("healed", "pass", expected=("fail", "since ever")),
    outcome("other", "oops", expected=("fail", "since ever")),
    outcome("absent", "skip", message="no such file"),
    outcome("slow", "command-timeout", message="too slow"),
    outcome("lacking", "machine-lacks", message="no memory"),
    outcome("never", "not-run"),
    outcome(
        "many",
        "fail",
        message="not ok: b",
        subtests=[Subtest("a", "pass"), Subtest("b", "fail", "why"), Subtest("c", "skip", "not here")],
    ),
]


def _run(outcomes: list[Outcome]) -> Run:
    return Run(suite="s", started="2026-01-01T00:00:00+00:00", seconds=3.0, versions={"qemu": "7"}, outcomes=outcomes)


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
        assert _run([outcome("a", "pass"), outcome("t", verdict)]).exit_code != 0, verdict


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
    assert _run([outcome(str(number), verdict) for number, verdict in enumerate(verdicts)]).exit_code == code


def test_an_unexpected_pass_fails_the_run() -> None:
    assert _run([outcome("t", "pass", expected=("fail", "x"))]).exit_code == 1


def test_json_comes_back_as_it_was(tmp_path: Path) -> None:
    run = _run(OUTCOMES)
    writers.write_all(run, tmp_path)
    assert writers.read(tmp_path) == run
    assert writers.read(tmp_path / "results.json") == run
    assert not list(tmp_path.glob("*.part"))


def test_what_is_no_result_is_refused(tmp_path: Path) -> None:
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
def test_what_is_no_text_is_refused_in_one_line(data: bytes, tmp_path: Path) -> None:
    for name, read in (("results.json", writers.read), ("manifest.json", manifest.read)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InvalidInput, match=r"none of (a guest|'vmtest run') \(.*\); give ") as caught:
            read(tmp_path)
        assert len(str(caught.value).splitlines()) == 1


def test_damaged_results_are_read_or_refused(tmp_path: Path) -> None:
    whole, dice, refused = msgspec.json.encode(_run(OUTCOMES)), random.Random(1), 0
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
    writers.junit(_run(OUTCOMES), tmp_path)
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
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors"), suite.get("skipped")) == (
        "14",
        "5",
        "4",
        "3",
    )
    assert "bytes before" in (cases["bad"].findtext("system-out") or "")


def test_blanks_before_a_line_take_no_time(tmp_path: Path) -> None:
    """Each way to cut them into levels was tried, of which there are more than can be counted."""
    for blanks in (" " * 3000, "# " * 3000, "#  " * 3000):
        for line in ("x", "ok 1 a", "not ok", "1..2", "1.." + "9" * 5000, "# Subtest: a", "KTAP version 1", "# Subtes"):
            ktap.remarks(f"{blanks}{line}\n")
            ktap.parse(f"{blanks}{line}\n")
    assert [one.name for one in ktap.parse("1..1\n     1..1\n     ok 1 a\nok 1 b\n").subtests] == ["b/a"]


def test_junit_holds_whatever_a_guest_prints(tmp_path: Path) -> None:
    """Names of subtests are a guest's words, as are those of a run that somebody else sent."""
    strange = "a\x1b[m\x00\ufffe"
    parsed = ktap.parse(f"KTAP version 1\n1..2\nok 1 {strange}\nnot ok 2 {strange} # SKIP {strange}\n")
    assert "\x1b" in parsed.subtests[0].name
    run = _run([outcome(strange, strange, subtests=parsed.subtests)])
    run.suite, run.started, run.versions = strange, strange, {strange: strange}
    writers.junit(run, tmp_path)
    names = {case.get("name") for case in ElementTree.parse(tmp_path / "junit.xml").iter("testcase")}
    assert "a\ufffd[m\ufffd\ufffd" in names


def test_ktap_says_the_same_when_it_is_read_again() -> None:
    text = writers.ktap(_run(OUTCOMES))
    assert text.startswith("KTAP version 1\n1..11\n")
    parsed = ktap.parse(text)
    assert parsed.problems == []
    found = {subtest.name: subtest.status for subtest in parsed.subtests}
    assert found["k/m/w/good"] == "pass"
    assert found["k/m/w/known"] == "expected"
    assert found["k/m/w/absent"] == "skip"
    for name in ("bad", "lost", "healed", "other", "slow", "lacking", "never", "many/b"):
        assert found[f"k/m/w/{name}"] == "fail", name
    assert found["k/m/w/many/a"] == "pass"


KSELFTEST = """\
TAP version 13
1..3
# timeout set to 45
# selftests: damon: sysfs.sh
# ok: 3 bytes
ok 1 selftests: damon: sysfs.sh
# selftests: damon: sysfs_update_removed_scheme_dir.sh
not ok 2 selftests: damon: sysfs_update_removed_scheme_dir.sh # exit=1
# selftests: damon: x.py
ok 3 selftests: damon: x.py # SKIP no such file
"""
KUNIT = """\
[    1.0] KTAP version 1
[    1.0] 1..2
[    1.0]     KTAP version 1
[    1.0]     # Subtest: damon
[    1.0]     1..3
[    1.0]     ok 1 damon_test_target
[    1.0]     not ok 2 damon_test_regions
[    1.0]     ok 3 damon_test_more # SKIP too small
[    1.0] # damon: pass:1 fail:1 skip:1 total:3
[    1.0] not ok 1 damon
[    1.0]     KTAP version 1
[    1.0]     # Subtest: damon-operations
[    1.0]     1..2
[    1.0]     ok 1 one
[    1.0] ok 2 damon-operations
"""


def test_kselftests_output() -> None:
    parsed = ktap.parse(KSELFTEST)
    assert [(found.name, found.status) for found in parsed.subtests] == [
        ("selftests: damon: sysfs.sh", "pass"),
        ("selftests: damon: sysfs_update_removed_scheme_dir.sh", "fail"),
        ("selftests: damon: x.py", "skip"),
    ]
    assert parsed.subtests[1].message == "exit=1"
    assert parsed.problems == []


def test_kunits_output_and_a_plan_that_is_not_kept() -> None:
    parsed = ktap.parse(KUNIT)
    assert [(found.name, found.status) for found in parsed.subtests] == [
        ("damon/damon_test_target", "pass"),
        ("damon/damon_test_regions", "fail"),
        ("damon/damon_test_more", "skip"),
        ("damon-operations/one", "pass"),
    ]
    assert parsed.problems == ["damon-operations: 2 results planned, 1 came"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("1..2\nok 1 a\n", "the output: 2 results planned, 1 came"), ("1..1\nok 1 a\nBail out! no\n", "Bail out! no")],
)
def test_output_that_ends_early_is_a_problem(text: str, problem: str) -> None:
    assert ktap.parse(text).problems == [problem]


@given(st.text(max_size=300))
def test_any_output_is_read(text: str) -> None:
    for found in ktap.parse(text).subtests:
        assert found.status in {"pass", "fail", "skip", "expected"}


def test_the_page_stands_alone_and_shows_what_is_wrong(tmp_path: Path) -> None:
    run = _run(OUTCOMES)
    writers.write_all(run, tmp_path)
    place = tmp_path / "guests/bad"
    place.mkdir(parents=True)
    (place / "console.log").write_bytes(b"the console's end\r\n")
    (place / "qemu.sh").write_text("exec qemu-system-x86_64 -m 1G")
    manifest.write(manifest.Manifest(job=job(tmp_path), outcome=run.outcomes[1], kernel_release="6.12"), place)
    page = html.write(tmp_path)
    text = page.read_text()
    assert page == tmp_path / "report.html"
    for piece in (
        "Kernel panic - not syncing: &lt;&amp;&gt;",
        "the console&#39;s end",
        "qemu-system-x86_64 -m 1G",
        "6.12",
    ):
        assert piece in text
    assert 'href="http' not in text
    assert " src=" not in text
    for one in run.outcomes:
        assert f'id="{one.name}"' in text


def _page(folder: Path, made: Job, page: Path | None = None, **fields: Any) -> str:
    """The page of a run of one job, whose guest left some files."""
    told = outcome("bad", "fail", folder="guests/k m", **fields)
    folder.mkdir(exist_ok=True)
    writers.write_all(_run([told]), folder)
    place = folder / "guests/k m"
    place.mkdir(parents=True, exist_ok=True)
    (place / "console.log").write_text("".join(f"line {number}\n" for number in range(300)))
    (place / "stdout").write_text("said")
    manifest.write(manifest.Manifest(job=made, outcome=told), place)
    return html.write(folder, page).read_text()


def test_the_page_has_the_command_the_rerun_line_and_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    text = _page(tmp_path / "out", job(tmp_path, command="exec ./test <&>", workload="./load --all"))
    assert '<pre class="line">exec ./test &lt;&amp;&gt;</pre>' in text
    assert '<pre class="line">./load --all</pre>' in text
    line = unescape(text.partition("again:")[2].partition("<pre")[2].partition(">")[2].partition("</pre>")[0])
    assert line == f"vmtest rerun '{tmp_path}/out/guests/k m' --trust", "its kernel is not of the cache"
    for name in ("console.log", "stdout", "manifest.json"):
        assert f'<a href="guests/k%20m/{name}">{name}</a>' in text
    assert ">stderr</a>" not in text, "that is not there"
    assert '<pre class="end">line 100\n' in text, "the console's last 200 lines, shown from their end"
    elsewhere = _page(tmp_path / "out", job(tmp_path), tmp_path / "pages.html")
    assert '<a href="out/guests/k%20m/stdout">' in elsewhere


def test_the_page_fits_a_narrow_screen_and_can_be_filtered(tmp_path: Path) -> None:
    text = _page(tmp_path, job(tmp_path))
    assert 'content="width=device-width' in text
    assert text.count("<table") == text.count('<div class="wide"><table'), "a wide table scrolls by itself"
    assert "overflow-wrap: anywhere" in text.partition("body {")[2].partition("}")[0]
    for tool in ('id="words"', 'id="status"', ">expand all<", ">collapse all<"):
        assert tool in text
    assert 'data-status="fail" data-good="0"' in text


def test_the_page_compares_with_an_earlier_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = [outcome("a", "pass"), outcome("b", "fail"), outcome("c", "pass"), outcome("gone", "pass")]
    now = [outcome("a", "pass"), outcome("b", "pass"), outcome("c", "panic"), outcome("new", "skip")]
    for name, outcomes in (("then", before), ("now", now)):
        (tmp_path / name).mkdir()
        writers.write_all(_run(outcomes), tmp_path / name)
    found = [(change.name, change.before, change.now) for change in html.changes(_run(now), _run(before))]
    assert found == [
        ("k/m/w/b", "fail", "pass"),
        ("k/m/w/c", "pass", "panic"),
        ("k/m/w/new", "", "skip"),
        ("k/m/w/gone", "pass", ""),
    ]
    assert cli.main(["report", str(tmp_path / "now"), "--against", str(tmp_path / "then")]) == 0
    text = (tmp_path / "now/report.html").read_text()
    assert '<td><a href="#k/m/w/c">k/m/w/c</a></td><td>pass</td><td class="lost">panic</td>' in text
    assert "<td>k/m/w/gone</td><td>pass</td>" in text
    html.write(tmp_path / "now", earlier=tmp_path / "now")
    assert "Every job ended as it did then" in (tmp_path / "now/report.html").read_text()
    assert cli.main(["report", str(tmp_path / "now"), "--against", str(tmp_path / "none")]) == 2


@pytest.mark.parametrize("where", ["../secrets", "/SECRETS", "guests/link", "a\0b"])
def test_a_page_of_foreign_results_has_no_file_of_this_host(where: str, tmp_path: Path) -> None:
    secrets, out = tmp_path / "secrets", tmp_path / "out"
    for folder in (secrets, out / "guests/own"):
        folder.mkdir(parents=True)
    (secrets / "stdout").write_text("SECRET")
    (out / "guests/link").symlink_to(secrets)
    (out / "guests/own/stdout").symlink_to(secrets / "stdout")
    (out / "guests/own/manifest.json").write_text("{")
    names = [where.replace("/SECRETS", str(secrets)), "guests/own"]
    run = _run([outcome(str(number), "fail", folder=name) for number, name in enumerate(names)])
    (out / "results.json").write_bytes(msgspec.json.encode(run))
    text = html.write(out).read_text()
    assert "SECRET" not in text
    assert "its files are not below" in text
    assert "none of a guest" in text, "a manifest that cannot be read is told"


def test_counts_in_words() -> None:
    said = live.summary(_run([outcome("a", "panic"), outcome("b", "pass"), outcome("c", "not-run")]))
    assert said == "3 jobs in 3 s: 1 passed, 1 lost guest, 1 not run"
    assert live.summary(_run([outcome("a", "machine-lacks")])) == "1 job in 3 s: 1 error"
    two = _run(
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
    Console(file=stream, width=140).print(live.matrix(_run(OUTCOMES)))
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
    Console(file=stream, width=width).print(live.matrix(_run(outcomes)))
    assert "…" not in stream.getvalue()


# What a guest prints may be meant for the terminal of whoever looks.

HOSTILE = "\x1b]0;title\x07\x1b[2J\x9b1m\u202egnp\x08 end"


def test_a_guests_control_characters_do_nothing_to_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from vmtest.terminal import say

    told = outcome("bad", "fail", message=HOSTILE, excerpt=HOSTILE, subtests=[Subtest(HOSTILE, "fail", HOSTILE)])
    lines = io.StringIO()
    terminal = Console(file=lines, force_terminal=True, width=200, color_system=None, legacy_windows=False)
    run = _run([told])
    command.show_end(run, tmp_path, terminal)
    progress = live.Progress(1, terminal)
    progress.begins(job(tmp_path), "")
    progress.ends(job(tmp_path), told)
    say(HOSTILE)
    for text in (lines.getvalue(), writers.ktap(run), capsys.readouterr().err):
        assert "\\x1b]0;title\\x07\\x1b[2J\\x9b1m\\u202egnp\\x08 end" in text
        assert not set(text) & set("\x1b\x07\x9b\u202e\x08")
