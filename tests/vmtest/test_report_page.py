# SPDX-License-Identifier: GPL-2.0-only
"""The page of a run."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.vmtest.suite_fakes import OUTCOMES, job, outcome, run_of
from vmtest import cli
from vmtest.results import html, manifest, writers
from vmtest.results.job import Job


def test_the_page_stands_alone_and_shows_what_is_wrong(tmp_path: Path) -> None:
    run = run_of(OUTCOMES)
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


def _page(directory: Path, made: Job, page: Path | None = None, **fields: Any) -> str:
    """The page of a run of one job, whose guest left some files."""
    failed = outcome("bad", "fail", directory="guests/k m", **fields)
    directory.mkdir(exist_ok=True)
    writers.write_all(run_of([failed]), directory)
    place = directory / "guests/k m"
    place.mkdir(parents=True, exist_ok=True)
    (place / "console.log").write_text("".join(f"line {number}\n" for number in range(300)))
    (place / "stdout").write_text("said")
    manifest.write(manifest.Manifest(job=made, outcome=failed), place)
    return html.write(directory, page).read_text()


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
        writers.write_all(run_of(outcomes), tmp_path / name)
    found = [(change.name, change.before, change.now) for change in html.changes(run_of(now), run_of(before))]
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
    for directory in (secrets, out / "guests/own"):
        directory.mkdir(parents=True)
    (secrets / "stdout").write_text("SECRET")
    (out / "guests/link").symlink_to(secrets)
    (out / "guests/own/stdout").symlink_to(secrets / "stdout")
    (out / "guests/own/manifest.json").write_text("{")
    names = [where.replace("/SECRETS", str(secrets)), "guests/own"]
    run = run_of([outcome(str(number), "fail", directory=name) for number, name in enumerate(names)])
    (out / "results.json").write_bytes(msgspec.json.encode(run))
    text = html.write(out).read_text()
    assert "SECRET" not in text
    assert "its files are not below" in text
    assert "none of a guest" in text, "a manifest that cannot be read is reported"
