# SPDX-License-Identifier: GPL-2.0-only
"""Workload files: what is read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pytest

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.load import load_workload, parse_workload
from damon.workload.model import Access, Area, Event, Kind, Pattern, PhaseEvent, Swap
from damon.workload.quantities import parse_bytes, parse_duration, parse_rate, parse_size
from tests.changed import changed
from tests.workload.bad_values import GOOD

SHIPPED = sorted((Path(__file__).parents[2] / "workloads").glob("*.yaml"))


def test_a_whole_file() -> None:
    workload = parse_workload(GOOD, "mine")
    assert workload.name == "mine"
    assert workload.areas == (
        Area("a", 1 << 20),
        Area("b", 8192, Kind.FILE, "other", mapped_at_start=False),
    )
    first, late = workload.phases
    assert (first.name, first.duration_us) == ("phase 0", 1_000_000)
    assert first.accesses == (Access("a", 2000.0, Pattern.ZIPF, 0.0, skew=0.5),)
    assert late.events == (PhaseEvent(Event.MMAP, "b"),)
    assert (workload.machine.memory, workload.machine.reserved, workload.machine.swap) == (64 << 20, 8 << 20, None)
    assert workload.processes == ("main", "other")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_valid(path: Path) -> None:
    assert load_workload(path).name == path.stem


def test_the_main_workload_is_that_of_the_readme() -> None:
    workload = load_workload(next(path for path in SHIPPED if path.stem == "hot-cold"))
    assert {area.name: area.size >> 20 for area in workload.areas} == {"hot": 32, "cold": 224}


def test_plain_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """``1e6`` is a number, and a process may be called ``on``."""
    path = tmp_path / "w.yaml"
    path.write_text(
        "areas: {a: {size: 0x2000, process: on}}\nphases: [{duration: 1e6, access: [{area: a, rate: 1e3}]}]\n"
    )
    workload = load_workload(path)
    assert workload.areas == (Area("a", 8192, process="on"),)
    assert (workload.phases[0].duration_us, workload.phases[0].accesses[0].rate) == (10**6, 1000.0)


def test_the_name_or_the_first_line_decides_the_form(tmp_path: Path) -> None:
    yaml_text = "# a comment\nareas: {a: {size: 4K}}\nphases: [{duration: 1s}]\n"
    masim_text = "# a comment\na, 4096\n\nfirst: phase\n1000\na, 0, 4096, 1\n"
    files: list[tuple[str, str, Literal["auto", "yaml", "masim"]]] = [
        ("w.yml", yaml_text, "auto"), ("w.txt", yaml_text, "auto"), ("w.cfg", yaml_text, "yaml"),
        ("w.cfg", masim_text, "auto"), ("default", masim_text, "auto"), ("w.yaml", masim_text, "masim"),
    ]  # fmt: skip
    for name, text, form in files:
        path = tmp_path / name
        path.write_text(text)
        assert load_workload(path, form).areas == (Area("a", 4096),)


def test_events_may_repeat_when_each_round_leaves_what_it_found() -> None:
    data = {
        "areas": {"a": {"size": 4096, "mapped": False}}, "repeat": True,
        "phases": [{"duration": 1, "mmap": ["a"]}, {"duration": 1, "munmap": ["a"]}],
    }  # fmt: skip
    assert parse_workload(data).repeat
    data["phases"] = [{"duration": 1, "exit": ["main"]}]
    with pytest.raises(InvalidInput, match="has exited already"):
        parse_workload(data)


def test_swap_has_a_default_and_its_own_fields() -> None:
    data = changed(GOOD, "machine", {})
    assert parse_workload(data).machine.swap == Swap(1 << 30)
    data = changed(GOOD, "machine", {"swap": {"size": "8K", "read_us": 3}})
    assert parse_workload(data).machine.swap == Swap(8192, 3, 5.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("32M", 32 << 20),
        ("32 MiB", 32 << 20),
        ("32mb", 32 << 20),
        ("4096", 4096),
        (8192, 8192),
        ("0.5G", 1 << 29),
        ("64T", 1 << 46),
        (" 4K ", 4096),
    ],
)
def test_sizes(text: str | int, value: int) -> None:
    assert parse_size(text, "x") == value
    assert parse_bytes(text, "x") == value


def test_strides_need_no_whole_pages() -> None:
    assert parse_bytes("64", "x") == 64


def test_durations_and_rates() -> None:
    assert [parse_duration(d, "x") for d in ("60s", "250ms", "2 m", 77, "1.5s", "10us")] == [
        60_000_000, 250_000, 120_000_000, 77, 1_500_000, 10,
    ]  # fmt: skip
    assert [parse_rate(r, "x") for r in ("200k", "2M", "2M/s", 5, 0.5)] == [200e3, 2e6, 2e6, 5.0, 0.5]


@pytest.mark.parametrize("parse", [parse_bytes, parse_size, parse_duration, parse_rate])
@pytest.mark.parametrize("value", [True, None, "", "x", float("nan"), float("inf"), -1, [], "1e3", "\u0663"])
def test_what_is_no_quantity(parse: Any, value: Any) -> None:
    with pytest.raises(InvalidInput, match=rf"^x: {re.escape(quoted(value))}: is not .*; give "):
        parse(value, "x")
