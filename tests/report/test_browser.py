# SPDX-License-Identifier: GPL-2.0-only
"""The page in a headless browser: no complaint, zoom by each way, widths and colours, foreign names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from damon.report import page as report_page
from damon.report.gather import gather
from damon.results.run import Run
from share import browser
from tests.report.conftest import hostile

pytestmark = pytest.mark.skipif(browser.program() is None, reason="chromium is not installed: pages are not opened")
WIDTHS = (420, 800, 1600)


@pytest.fixture(scope="module")
def chromium() -> Iterator[browser.Browser]:
    with browser.Browser() as started:
        yield started


@pytest.fixture
def tab(chromium: browser.Browser) -> Iterator[browser.Page]:
    with chromium.page() as opened:
        yield opened


@pytest.fixture(scope="session")
def pages(runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of one run, of two, of a process's memory, of hostile names."""
    place = tmp_path_factory.mktemp("pages")
    bad = hostile(place)
    wanted = {"one": ["early"], "two": ["early", "late"], "virtual": ["virtual"]}
    paths = {name: [runs[run] for run in names] for name, names in wanted.items()} | {"hostile": [bad, bad]}
    for name, mine in paths.items():
        gathered = [gather(Run.open(path), path.name, report_page.limits(len(mine))) for path in mine]
        (place / f"{name}.html").write_text(report_page.html(gathered))
    return {name: place / f"{name}.html" for name in paths}


def _view(tab: browser.Page) -> tuple[float, float, float, float]:
    """Time and address that the first map shows, as it was drawn."""
    tab.until("drawn.every((one) => !one.visible || !one.stale)")
    script = "(() => { const l = drawn[0].div._fullLayout; return [...l.xaxis.range, ...l.yaxis.range]; })()"
    left, right, low, high = tab.evaluate(script)
    return left, right, low, high


def _place(tab: browser.Page, share: float) -> tuple[float, float]:
    """A point of the first map's upper plot."""
    corner = "drawn[0].div.querySelector('.nsewdrag').getBoundingClientRect()"
    script = f"(() => {{ const r = {corner}; return [r.x, r.y, r.width, r.height]; }})()"
    x, y, width, height = tab.evaluate(script)
    return x + share * width, y + share * height


@pytest.mark.parametrize("name", ["one", "two", "virtual"])
@pytest.mark.parametrize("dark", [False, True])
def test_no_complaint_at_any_width(tab: browser.Page, pages: dict[str, Path], name: str, dark: bool) -> None:
    for width in WIDTHS:
        tab.open(pages[name], width=width, dark=dark, touch=width == 420)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("document.querySelectorAll('.plot .main-svg').length") >= tab.evaluate("drawn.length")
        rights = "[...document.querySelectorAll('.plot .main-svg')].map((one) => one.getBoundingClientRect().right)"
        wide = tab.evaluate(f"Math.max(...{rights})")
        assert wide <= width
    back = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (back == "rgb(255, 255, 255)") != dark
    assert tab.problems == []


def test_zoom_by_keys_down_to_regions(tab: browser.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["one"])
    tab.evaluate("document.getElementById('map-0').focus()")
    whole = _view(tab)
    tab.key("+")
    near = _view(tab)
    assert near[1] - near[0] == pytest.approx((whole[1] - whole[0]) / 2)
    assert near[3] - near[2] == pytest.approx((whole[3] - whole[2]) / 2)
    other = tab.evaluate("(() => { drawn[1].draw(); return drawn[1].div._fullLayout.xaxis.range; })()")
    assert other == pytest.approx(near[:2])
    for _ in range(3):
        tab.key("+")
        _view(tab)
    status = tab.evaluate("document.getElementById('map-0-status').textContent")
    assert "regions: each with nr_accesses" in status
    assert tab.evaluate("drawn[0].div.data[0].type") == "bar"
    rows = tab.evaluate("document.querySelectorAll('#map-0-figure .view tr').length")
    assert rows > 1
    before = _view(tab)
    tab.key("ArrowRight")
    assert _view(tab)[0] > before[0]
    tab.key("-")
    assert _view(tab)[1] - _view(tab)[0] > before[1] - before[0]
    tab.key("0")
    assert _view(tab) == pytest.approx((0, tab.evaluate("END"), 0, tab.evaluate("drawn[0].spec.size")))
    assert tab.problems == []


def test_zoom_by_buttons_wheel_and_drag(tab: browser.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["virtual"], height=1400)
    tab.evaluate("document.querySelector('[data-act=in]').click()")
    near = _view(tab)
    assert near[1] - near[0] < tab.evaluate("END") * 0.6
    tab.evaluate("document.querySelector('[data-act=whole]').click()")
    whole = _view(tab)
    x, y = _place(tab, 0.5)
    tab.mouse("mouseMoved", x, y)
    tab.mouse("mouseWheel", x, y, deltaX=0, deltaY=-300)
    tab.until(f"time[1] - time[0] < {whole[1] - whole[0]}")
    assert _view(tab)[3] - _view(tab)[2] < whole[3] - whole[2]
    tab.evaluate("document.querySelector('[data-act=whole]').click()")
    _view(tab)
    (x, y), (to_x, to_y) = _place(tab, 0.25), _place(tab, 0.75)
    tab.mouse("mouseMoved", x, y)
    tab.mouse("mousePressed", x, y, button="left", clickCount=1)
    for part in (0.5, 1):
        tab.mouse("mouseMoved", x + part * (to_x - x), y + part * (to_y - y), button="left", buttons=1)
    tab.mouse("mouseReleased", to_x, to_y, button="left", clickCount=1)
    tab.until("time[0] > 0")
    assert _view(tab)[0] == pytest.approx(0.25 * whole[1], rel=0.05)
    assert tab.problems == []


def test_the_pointer_shows_what_is_there(tab: browser.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["virtual"], height=1400)
    x, y = _place(tab, 0.3)
    tab.mouse("mouseMoved", x - 5, y)
    tab.mouse("mouseMoved", x, y)
    tab.until("!document.getElementById('tip').hidden")
    assert "0x7" in tab.evaluate("document.getElementById('tip').textContent")


def test_foreign_names_run_nothing(tab: browser.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["hostile"], height=1400)
    assert tab.evaluate("window.hit === undefined")
    assert tab.evaluate("document.querySelectorAll('.plot img, .plot script, .plot a[href]').length") == 0
    assert "</script>" in tab.evaluate("document.querySelector('#chart-areas').textContent")
    assert tab.evaluate("document.documentElement.scrollWidth") <= 1280
    assert tab.problems == []


def test_all_that_can_be_used_has_a_name_and_its_turn(tab: browser.Page, pages: dict[str, Path]) -> None:
    tab.open(pages["two"])
    script = """[...document.querySelectorAll('a[href], button, summary, [tabindex="0"]')].map((one) =>
        [(one.getAttribute('aria-label') || one.textContent).trim(), one.tabIndex])"""
    found = tab.evaluate(script)
    assert len(found) > 30
    assert all(name and turn == 0 for name, turn in found)
    assert tab.evaluate("document.querySelectorAll('h1').length") == 1
