# SPDX-License-Identifier: GPL-2.0-only
"""``damon report`` as text: names, the scale and its legend, colours as the terminal wants them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from damon.records.names import mappings, names_in
from tests.cli.conftest import SMALL, Damon

RARE = SMALL.replace("rate: 150k", "rate: 2k").replace("sequential", "random")


@pytest.fixture
def data(damon: Damon, tmp_path: Path) -> Path:
    (tmp_path / "rare.yaml").write_text(RARE)
    path = tmp_path / "data"
    assert damon(["record", "--sim", f"{tmp_path}/rare.yaml", "--ops", "vaddr", "-o", str(path), "--quiet"]).code == 0
    return path


def _digits(text: str) -> set[str]:
    rows = [line.partition("s ")[2] for line in text.splitlines() if line.lstrip()[:1].isdigit() and "s " in line[:12]]
    return set("".join(rows))


def test_the_scale_goes_to_the_most_that_was_seen(damon: Damon, data: Path) -> None:
    relative, absolute = damon(["report", str(data)]).out, damon(["report", str(data), "--absolute"]).out
    assert "9" in _digits(relative)
    assert "% of the samples, the most seen; blank not monitored" in relative
    assert "9" not in _digits(absolute)
    assert "9 in every sample" in absolute


def test_areas_have_their_names(damon: Damon, data: Path) -> None:
    assert ") cold, hot\n" in damon(["report", str(data)]).out or ") hot, cold\n" in damon(["report", str(data)]).out
    (target,) = json.loads(damon(["report", str(data), "--json"]).out)["targets"]
    assert {"hot", "cold"} in [set(area["names"]) for area in target["areas"]]


@pytest.mark.parametrize(
    "text",
    ["", "[", "[]", "{}", '[{"procvmas": 5}]', '[{"procvmas": [{"vmas": [{"start": "x"}]}]}]', "[" * 100000],
)
def test_a_foreign_file_beside_it_gives_no_names(damon: Damon, data: Path, text: str) -> None:
    data.with_name("data.vmas").write_text(text)
    assert mappings(data, 0) == []
    assert damon(["report", str(data)]).code == 0


def test_names_are_those_of_what_overlaps() -> None:
    known = [(0, 10, "a"), (10, 20, "b"), (20, 30, "0"), (30, 40, "b")]
    assert names_in(known, 5, 35) == ["a", "b"]
    assert names_in(known, 10, 20) == ["b"]
    assert names_in(known, 40, 50) == []


@pytest.mark.parametrize(
    ("environment", "colours"),
    [({}, False), ({"CLICOLOR_FORCE": "1"}, True), ({"FORCE_COLOR": "1"}, True), ({"CLICOLOR_FORCE": "0"}, False),
     ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
     ({"CLICOLOR_FORCE": "1", "TERM": "dumb"}, False)],
)  # fmt: skip
def test_colours(
    damon: Damon, data: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], colours: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[48;5;" in damon(["report", str(data)]).out) == colours
