# SPDX-License-Identifier: GPL-2.0-only
"""The page of a study: what it has without its script, foreign names, and in a headless browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damon.report.html import library
from damon.report.study import html
from share import browser
from tests.report.conftest import HOSTILE
from tests.report.test_page import Seen

MIB = 1 << 20
#: What a search of two parameters with two objectives and two seeds found: saved falls and refaults fall with age.
VALUES = {"damon_reclaim.min_age": ["1 s", "10 s", "60 s"], "damon_reclaim.quota_sz": ["16 MiB", "128 MiB"]}


def _config(values: list[int] | None, outcome: str = "complete") -> dict[str, Any]:
    age, quota = values or (2, 0)
    saved, back = (30 - 10 * age + 3 * quota) * MIB, 4.0 - age
    seeds = {"1": {"saved_bytes": saved - MIB, "refaults_per_s": back}}
    seeds["2"] = {"saved_bytes": saved + MIB, "refaults_per_s": back}
    names = dict(zip(VALUES, values or (), strict=False))
    return {
        "engine": "pydamon", "parameters": names, "values": values, "outcome": outcome, "why": "",
        "keeps_constraints": outcome == "complete" and back <= 3.5,
        "figures": {"saved_bytes": saved, "refaults_per_s": back}, "by_workload": {}, "by_seed": seeds,
        "spread": {"saved_bytes": MIB, "refaults_per_s": 0.0},
    }  # fmt: skip


def found(**changed: Any) -> dict[str, Any]:
    """As ``damon tune --json`` writes it."""
    configs = [_config([age, quota]) for age in range(3) for quota in range(2)]
    configs[5] = _config([2, 1], "pruned")
    rows = [
        {"configuration": name, "workload": "w", "predicted": {"reclaimed": one * MIB, "slowdown": 1.0 + one / 1e3},
         "measured": {"reclaimed": other * MIB, "slowdown": None}}
        for name, one, other in (("best 1", 10, 12), ("default", 0, 0), ("random 1", 5, 4))
    ]  # fmt: skip
    agreement = {"rank_correlation": 1.0, "mean_error": 1.0 * MIB, "largest_error": 2.0 * MIB}
    load = {
        "cmdline": "damon_reclaim.min_age=10000000", "modprobe": ["modprobe damon_reclaim min_age=10000000"],
        "damo": "damo start s_chosen.json", "files": {"s_chosen.sh": "#!/bin/sh\necho 1\n", "s_chosen.json": "{}"},
    }  # fmt: skip
    return {
        "study": "small", "objectives": ["maximize saved_bytes", "minimize refaults_per_s"],
        "constraints": ["refaults_per_s <= 3.5"], "parameters": VALUES,
        "runs": {"asked": 12, "complete": 10, "grid": 12}, "default": [_config(None)], "chosen": configs[3],
        "load": load, "pareto": [configs[3], configs[4]],
        "importance": {"damon_reclaim.min_age": 0.75, "damon_reclaim.quota_sz": 0.25},
        "near": {"damon_reclaim.min_age": {"from": "1", "to": "2", "values": [1, 2]}},
        "configurations": configs, "order": [3, 2, 4, 1, 0, 5], "coarse": [_config([1, 0]), _config([0, 0])],
        "validation": {"engine": "guest:pydamon", "runs": rows,
                       "figures": {"reclaimed": agreement, "slowdown": {**agreement, "mean_error": None}}},
    } | changed  # fmt: skip


def test_all_of_it_is_there_without_the_script() -> None:
    seen = Seen(html(found()))
    text = " ".join(" ".join(seen.texts).split())
    for part in (
        "saved_bytes of the chosen 23.0±1.0 MiB", "saved_bytes with the defaults 10.0±1.0 MiB",
        "12, 10 to the end; every combination takes 12", "damon_reclaim.min_age=10000000", "damo start s_chosen.json",
        "10 s 10 s to 60 s 75%", "min_age 10 s, quota_sz 128 MiB", "given up", "best so far", "echo 1",
    ):  # fmt: skip
        assert part in text or part in " ".join(seen.scripts), part
    ids = seen.ids()
    assert len(ids) == len(set(ids)), "a picture with the id of a part is drawn there"
    data = json.loads(next(one for one in seen.scripts if one.startswith("{")))
    plots = {one["id"]: one for one in data["plots"]}
    assert set(plots) <= set(ids)
    assert list(plots) == [
        "front-0", "shares", "parameter-0", "parameter-1", "seeds-0", "seeds-1", "course-0", "validation-0",
    ]  # fmt: skip
    front = {one["name"]: one for one in plots["front-0"]["series"]}
    assert front["Pareto front"]["y"] == [10.0, 23.0]
    assert front["keeps the constraints"]["x"] == [3.0, 3.0, 2.0]
    assert front["does not"]["y"] == [30.0, 33.0]
    assert plots["front-0"]["bounds"] == [{"axis": "x", "at": 3.5, "text": "refaults_per_s <= 3.5"}]
    assert plots["parameter-0"]["series"][-1]["y"] == [23.0, 10.0], "the best of each value that keeps them"
    course = plots["course-0"]["series"]
    assert [(one["name"], one["x"]) for one in course if one["kind"] == "front"] == [
        ("best so far, first stage", [1.0]), ("best so far", [5.0, 6.0]),
    ]  # fmt: skip


def test_what_a_search_may_lack() -> None:
    nothing = found(
        chosen=None, load=None, near={}, importance={}, pareto=[], default=[], coarse=[], validation=None,
        objectives=["minimize refaults_per_s"], constraints=[],
    )  # fmt: skip
    text = html(nothing)
    assert "No configuration keeps the constraints" in text
    ids = Seen(text).ids()
    assert "validation" not in ids
    assert "front" not in ids, "there is one figure only"
    assert html(nothing) == text


def _foreign() -> dict[str, Any]:
    data = found(study=HOSTILE[0])
    names = {f"{HOSTILE[0]}.{HOSTILE[1]}": [HOSTILE[2], HOSTILE[4], HOSTILE[0]], HOSTILE[3]: ["a", HOSTILE[5]]}
    data["importance"] = dict.fromkeys(names, 0.5)
    data["load"] = {**data["load"], "cmdline": HOSTILE[0], "files": {f"{HOSTILE[1]}.sh": HOSTILE[0]}}
    for row in data["validation"]["runs"]:
        row["workload"] = HOSTILE[1]
    return {**data, "parameters": names, "near": {}}


def test_foreign_names_are_text() -> None:
    text = html(_foreign())
    assert text.count("<script") == 3 + library().count("<script")
    assert "<img src=x" not in text
    assert "window.hit=1</script>" not in text.replace(library(), "")


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.Browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.html"
    path.write_text(html(found()))
    return path


needs_browser = pytest.mark.skipif(browser.program() is None, reason="chromium is not installed: pages are not opened")


@needs_browser
@pytest.mark.parametrize("dark", [False, True])
def test_no_complaint_at_any_width(chromium: browser.Browser, page: Path, dark: bool) -> None:
    with chromium.page() as tab:
        for width in (420, 800, 1600):
            tab.open(page, width=width, dark=dark, touch=width == 420)
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            tab.evaluate("drawn.forEach((one) => one.draw())")
            boxes = "[...document.querySelectorAll('.plot .main-svg')].map((one) => one.getBoundingClientRect().right)"
            assert tab.evaluate(f"Math.max(...{boxes})") <= width
            inside = "drawn.every((one) => one.div.closest('figure') && one.div.querySelector('.main-svg'))"
            assert tab.evaluate(inside)
        back = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (back == "rgb(255, 255, 255)") != dark
        points = "document.querySelectorAll('#front-0 .scatterlayer .point').length"
        assert tab.evaluate(points) == 6 + 2 + 1 + 1, "configurations, the front, default and chosen"
        assert tab.problems == []


@needs_browser
def test_keys_reach_all_of_it_and_each_has_a_name(chromium: browser.Browser, page: Path) -> None:
    with chromium.page() as tab:
        tab.open(page)
        script = """[...document.querySelectorAll('a[href], button, summary, [tabindex="0"]')].map((one) =>
            [(one.getAttribute('aria-label') || one.textContent).trim(), one.tabIndex])"""
        reached = tab.evaluate(script)
        assert len(reached) > 20
        assert all(name and turn == 0 for name, turn in reached)
        labels = tab.evaluate("[...document.querySelectorAll('.plot')].map((one) => one.getAttribute('aria-label'))")
        assert all(len(label) > 20 for label in labels), "each picture in words"
        assert tab.evaluate("document.querySelectorAll('figure').length") == len(labels)
        assert tab.evaluate("document.querySelectorAll('figure table').length") == len(labels)
        assert tab.problems == []


@needs_browser
def test_foreign_names_run_nothing(chromium: browser.Browser, tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text(html(_foreign()))
    with chromium.page() as tab:
        tab.open(tmp_path / "bad.html", width=800, height=2000)
        tab.evaluate("drawn.forEach((one) => one.draw())")
        assert tab.evaluate("window.hit === undefined")
        assert tab.evaluate("document.querySelectorAll('.plot img, .plot script, .plot a[href]').length") == 0
        assert tab.evaluate("document.documentElement.scrollWidth") <= 800
        assert tab.problems == []
