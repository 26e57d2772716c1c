# SPDX-License-Identifier: GPL-2.0-only
"""``damon workload``: summaries, warnings, pictures."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from damon.cli.main import main
from damon.workload.find import shipped
from damon.workload.rates import level

MOVING = """\
duration: 4s
areas: {a: {size: 16K}, cold: {size: 8K, grow: {by: 8K, every: 2s}}}
access: [{area: a, rate: 0, hot: {size: 4K, rate: 1000, every: 1s}}]
machine: {memory: 16M, swap: none}
"""


@pytest.fixture
def moving(tmp_path: Path) -> str:
    path = tmp_path / "w.yaml"
    path.write_text(MOVING)
    return str(path)


def command(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["workload", *words]) == 0
    return capsys.readouterr().out


def test_check(capsys: pytest.CaptureFixture[str], moving: str) -> None:
    found: dict[str, Any] = json.loads(command(capsys, "check", moving, "--json"))
    assert found["areas"] == [
        {"name": "a", "process": "main", "kind": "anon", "size_bytes": 16384, "parts": 4, "mapped_share": 1.0,
         "touches_per_second": 1000.0, "most_touches_per_second": 1000.0},
        {"name": "cold", "process": "main", "kind": "anon", "size_bytes": 8192, "parts": 1, "mapped_share": 0.5,
         "touches_per_second": 0.0, "most_touches_per_second": 0.0},
    ]  # fmt: skip
    assert (found["phases"], found["seconds"], found["warnings"]) == (4, 4.0, [])
    assert (found["most_mapped_bytes"], found["most_mapped_seconds"]) == (24576, 2.0)
    text = command(capsys, "check", moving)
    assert "4 phases in 4 s; 1 processes, 5 areas and parts" in text
    assert "at most 24.0 KiB mapped, at 2 s" in text


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        (("size: 16K", "size: 1G"), "memory: 1.0 GiB are more than free memory and swap, 16.0 MiB"),
        (("swap: none", "reserved: 16380K"), "memory: 24.0 KiB are more than is free, 4.0 KiB"),
        (("rate: 1000", "rate: 4M"), "rate: 4,000,000 touches a second are more than an emulated processor"),
        (("every: 2s", "every: 9s"), "areas: cold: is never mapped"),
    ],
)
def test_warnings(capsys: pytest.CaptureFixture[str], tmp_path: Path, change: tuple[str, str], warning: str) -> None:
    path = tmp_path / "w.yaml"
    text = MOVING.replace(*change)
    path.write_text(text.replace("size: 4K", "size: 256M") if "1G" in text else text)
    assert f"warning: {warning}" in command(capsys, "check", str(path))


@pytest.mark.parametrize("what", ["check", "plot"])
def test_an_invalid_file_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, what: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(MOVING.replace("rate: 1000", "rate: fast"))
    assert main(["workload", what, str(path)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert f"{path}: line 3: access[0].hot.rate: 'fast': is not a rate" in err


@pytest.mark.parametrize(
    "words",
    [["check"], ["list", "zipf"], ["check", "zipf", "-o", "x.svg"], ["plot", "zipf", "-o", "/nowhere/x.svg"],
     ["plot", "zipf", "--json", "-o", "x.svg"]],
)  # fmt: skip
def test_words_that_do_not_go_together(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["workload", *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_plot_as_numbers(capsys: pytest.CaptureFixture[str], moving: str) -> None:
    found: dict[str, Any] = json.loads(command(capsys, "plot", moving, "--json", "--rows", "4"))
    area, cold = found["areas"]
    rates = [part["touches_per_page_second"] for part in area["parts"]]
    assert rates == [[1000.0 if time == part else 0.0 for time in range(4)] for part in range(4)]
    assert [part["offset_bytes"] for part in area["parts"]] == [0, 4096, 8192, 12288]
    assert cold["parts"][0]["touches_per_page_second"] == [None, None, 0.0, 0.0]


def test_plot_in_a_terminal(capsys: pytest.CaptureFixture[str], moving: str) -> None:
    lines = command(capsys, "plot", moving, "--rows", "4").splitlines()
    rows = [line.split("s ", 1)[1] for line in lines if line[:8].strip().replace(".", "").isdigit()]
    assert len(rows) == 8
    for time, row in enumerate(rows[:4]):
        hottest = [at for at, digit in enumerate(row) if digit == "9"]
        assert len(row) * time // 4 <= hottest[0] <= hottest[-1] < len(row) * (time + 1) // 4
        assert set(row) <= set("089")  # 8 where a column has a piece of it
    assert [set(row) for row in rows[4:]] == [{" "}, {" "}, {"0"}, {"0"}]


def test_plot_as_svg(capsys: pytest.CaptureFixture[str], moving: str, tmp_path: Path) -> None:
    path = tmp_path / "w.svg"
    assert command(capsys, "plot", moving, "-o", str(path)) == ""
    root = ET.fromstring(path.read_text())
    shapes = [one for one in root if one.tag.endswith("rect")]
    texts = [one.text or "" for one in root if one.tag.endswith("text")]
    hot = [one for one in shapes if one.get("fill") == "#ffd800" and float(one.get("height", "0")) > 20]
    assert len(hot) == 4
    assert [float(one.get("x", "0")) for one in hot] == sorted(float(one.get("x", "0")) for one in hot)
    assert [float(one.get("y", "0")) for one in hot] == sorted(float(one.get("y", "0")) for one in hot)
    assert {"a, 16.0 KiB", "cold, 8.0 KiB", "0 s", "4 s"} <= set(texts)
    assert command(capsys, "plot", moving, "-o", "-") == path.read_text()


def test_levels_are_thirds() -> None:
    assert [level(rate, 100.0) for rate in (0, 1e-9, 0.01, 10, 31.6, 100)] == [0, 1, 1, 7, 8, 9]


def test_list_has_the_shipped_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert [one["name"] for one in json.loads(command(capsys, "list", "--json"))["workloads"]] == shipped()
    assert all(name in command(capsys, "list") for name in shipped())


@pytest.mark.parametrize("name", shipped())
def test_shipped_files_fit_their_machines(capsys: pytest.CaptureFixture[str], name: str) -> None:
    warnings = json.loads(command(capsys, "check", name, "--json"))["warnings"]
    assert not [warning for warning in warnings if "kill" in warning or "never mapped" in warning]
