# SPDX-License-Identifier: GPL-2.0-only
"""The page: what it says without its script, foreign names, sizes, refusals; pictures; the terminal."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from damon.report import differences, html, page
from damon.report.gather import Gathered, gather
from damon.results.run import Run
from tests.cli.conftest import Damon, damon  # noqa: F401
from tests.report.conftest import HOSTILE, hostile

LIBRARY = len(html.library())


class Seen(HTMLParser):
    """What a browser would find: tags with attributes, texts, and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        (self.scripts if self.tags and self.tags[-1][0] == "script" else self.texts).append(data)

    def ids(self) -> list[str]:
        return [str(attributes["id"]) for _, attributes in self.tags if "id" in attributes]


def _gathered(*paths: Path) -> list[Gathered]:
    limits = page.limits(len(paths))
    return [gather(Run.open(path), path.name, limits) for path in paths]


def _without_ids(svg: bytes) -> bytes:
    """matplotlib makes some from addresses of objects."""
    return re.sub(rb'(id="|url\(#|href="#)[\w-]+', b"", svg)


def _data(seen: Seen) -> Any:
    return json.loads(next(script for script in seen.scripts if script.startswith("{")))


def test_a_page_says_what_its_pictures_show(runs: dict[str, Path]) -> None:
    seen = Seen(page.html(_gathered(runs["early"])))
    assert len(seen.ids()) == len(set(seen.ids()))
    tags = [tag for tag, _ in seen.tags]
    assert {"main", "nav", "header", "footer", "noscript"} <= set(tags)
    assert seen.tags[0] == ("html", {"lang": "en"})
    data = _data(seen)
    plots = [attributes for _, attributes in seen.tags if attributes.get("class") == "plot"]
    assert len(plots) == len(data["charts"]) + len(data["maps"])
    assert all(attributes["aria-label"] and attributes["role"] in ("img", "group") for attributes in plots)
    assert tags.count("details") >= len(plots)
    texts = " ".join(seen.texts)
    assert re.search(r"index: seen [\d.]+ %, in truth [\d.]+ %", texts)
    labels = {attributes.get("for") or attributes.get("aria-label") for tag, attributes in seen.tags if tag == "button"}
    assert "Zoom in" in labels
    assert None not in labels


def test_ids_that_are_named_exist(runs: dict[str, Path]) -> None:
    seen = Seen(page.html(_gathered(runs["early"], runs["late"])))
    known = set(seen.ids())
    for _, attributes in seen.tags:
        for name in ("aria-labelledby", "aria-describedby", "aria-controls"):
            assert set((attributes.get(name) or "").split()) <= known
        if str(attributes.get("href", "")).startswith("#"):
            assert str(attributes["href"])[1:] in known


def test_a_page_loads_nothing(runs: dict[str, Path]) -> None:
    seen = Seen(page.html(_gathered(runs["virtual"])))
    (policy,) = [one["content"] for _, one in seen.tags if one.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert not [one for _, one in seen.tags if "src" in one]
    assert not [one for _, one in seen.tags if "://" in str(one.get("href", ""))]


def test_pages_of_the_same_runs_are_the_same(runs: dict[str, Path]) -> None:
    first, second = (page.html(_gathered(runs["early"], runs["late"])) for _ in range(2))
    assert first == second


def test_foreign_names_stay_names(tmp_path: Path) -> None:
    path = hostile(tmp_path)
    text = page.html(_gathered(path, path))
    assert text.count("<script") == 3 + html.library().count("<script")
    seen = Seen(text)
    assert not [
        one for tag, one in seen.tags if tag in ("img", "b", "a") and not str(one.get("href", "")).startswith("#")
    ]
    assert not [name for _, one in seen.tags for name in one if name.startswith("on")]
    assert len(text) < LIBRARY + 400_000
    assert (
        max(len(one) for one in [*seen.texts, *(str(value) for _, one in seen.tags for value in one.values())]) < 40_000
    )
    assert "\x1b" not in text
    assert "\u202e" not in text
    labels = [curve["name"] for chart in _data(seen)["charts"] for curve in chart["curves"]]
    assert any(label.startswith("</script>") for label in labels)
    assert max(map(len, labels)) <= 80


def test_parameters_and_figures_that_differ(runs: dict[str, Path]) -> None:
    both = _gathered(runs["early"], runs["late"])
    differ = {row.name: row.values for row in differences.parameters(both) if row.differs}
    assert differ["damon_reclaim.min_age"] == (500_000, 1_500_000)
    assert "seed" not in differ
    figures = {row.name: row for row in differences.figures(both)}
    assert figures["duration"].changes() == ["same"]
    assert figures["free memory, mean"].differs
    assert re.fullmatch(r"-[\d.,]+ \(-[\d.]+%\)", figures["free memory, mean"].changes()[0])


@pytest.mark.parametrize(
    ("first", "other", "change"),
    [(0, 5, "+5"), (4, 5, "+1 (+25.0%)"), (5, 4.5, "-0.5 (-10.0%)"), ("a", "b", "differs"), ("a", "a", ""),
     (1, None, "differs"), (2, 2, "same"), (True, False, "differs"),
     (10**400, 1, "differs"), (1.0, float("inf"), "differs")],
)  # fmt: skip
def test_changes(first: Any, other: Any, change: str) -> None:
    row = differences.Row("x", (first, other))
    assert row.changes() == [change]
    assert all(len(text) < 100 for text in row.texts())


def test_the_size_does_not_grow_with_the_number_of_runs(runs: dict[str, Path]) -> None:
    one = len(page.html(_gathered(runs["early"]))) - LIBRARY
    many = len(page.html(_gathered(*[runs["early"]] * 8))) - LIBRARY
    assert many < 8 * one
    assert page.limits(8).times * page.limits(8).addresses * 8 <= page.limits(1).times * page.limits(1).addresses


def test_the_command_writes_a_page_and_pictures(damon: Damon, runs: dict[str, Path], tmp_path: Path) -> None:  # noqa: F811
    early, late = str(runs["early"]), str(runs["late"])
    words = ["-o", f"{tmp_path}/r.html", "--svg", f"{tmp_path}/r.svg", "--png", f"{tmp_path}/r.png"]
    done = damon(["report", early, late, *words])
    assert (done.code, done.out, done.err) == (0, "", "")
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "r.svg").read_bytes()
    assert b"DAMON" in first
    assert damon(["report", early, late, "--svg", f"{tmp_path}/again.svg"]).code == 0
    again = (tmp_path / "again.svg").read_bytes()
    assert _without_ids(again) == _without_ids(first)


def test_a_picture_of_hostile_names(damon: Damon, tmp_path: Path) -> None:  # noqa: F811
    done = damon(["report", str(hostile(tmp_path)), "--svg", f"{tmp_path}/r.svg"])
    assert done.code == 0, done.err
    assert b"<script" not in (tmp_path / "r.svg").read_bytes()


def test_the_terminal_shows_heatmaps_and_differences(damon: Damon, runs: dict[str, Path]) -> None:  # noqa: F811
    done = damon(["report", str(runs["virtual"]), "--rows", "4"])
    assert done.code == 0, done.err
    assert "cache, index" in done.out or "index, cache" in done.out
    assert "9" in "".join(line.partition("s ")[2] for line in done.out.splitlines() if "s " in line[:12])
    done = damon(["report", str(runs["early"]), str(runs["late"])])
    assert re.search(r"damon_reclaim.min_age +500,000 +1,500,000", done.out)
    assert re.search(r"free memory, mean \(MiB\) +[\d.]+ +[\d.]+ +-[\d.]+ \(-", done.out)


def test_the_terminal_shows_hostile_names_as_text(damon: Damon, tmp_path: Path) -> None:  # noqa: F811
    done = damon(["report", str(hostile(tmp_path))])
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert HOSTILE[0][:30] in done.out


def test_a_run_that_was_killed(damon: Damon, runs: dict[str, Path], tmp_path: Path) -> None:  # noqa: F811
    place = tmp_path / "killed"
    place.mkdir()
    for file in runs["early"].iterdir():
        content = file.read_bytes()
        (place / file.name).write_bytes(content[: len(content) // 2] if file.name == "machine.arrows" else content)
    head = json.loads((place / "run.json").read_text())
    (place / "run.json").write_text(json.dumps({**head, "state": "running", "result": None}))
    done = damon(["report", str(place), "-o", f"{tmp_path}/r.html"])
    assert done.code == 1
    assert "machine.arrows" in done.err
    assert "was killed" in (tmp_path / "r.html").read_text()


@pytest.mark.parametrize(
    ("words", "what"),
    [(["{early}", "--json"], "--json"), (["{early}", "-o", "{early}"], "-o"),
     (["{early}", "--svg", "/no/such/x.svg"], "--svg"), (["{early}", "{early}/run.json"], "run.json"),
     (["{early}"] * 13, "run: 13"), (["{early}/run.json", "-o", "x"], "run.json"),
     (["{early}/..", "-o", "-"], "run.json"), (["{early}/run.json", "{late}/run.json"], "file")],
)  # fmt: skip
def test_refusals(damon: Damon, runs: dict[str, Path], words: list[str], what: str) -> None:  # noqa: F811
    done = damon(["report", *(word.format(**runs) for word in words)])
    assert done.code == 2
    assert done.out == ""
    assert what in done.err
    assert done.err.count("\n") == 1


def test_a_run_without_anything(damon: Damon, tmp_path: Path) -> None:  # noqa: F811
    place = tmp_path / "empty"
    place.mkdir()
    (place / "run.json").write_text('{"format": 1, "form": "jsonl", "request": {}, "state": "running", "contexts": []}')
    assert damon(["report", str(place)]).code == 0
    words = ["-o", f"{tmp_path}/r.html", "--svg", f"{tmp_path}/r.svg", "--png", f"{tmp_path}/r.png"]
    done = damon(["report", str(place), *words])
    assert done.code == 0, done.err
