# SPDX-License-Identifier: GPL-2.0-only
"""Workload files: what is read, and every refusal as one line that names the place."""

from __future__ import annotations

import contextlib
import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.workload.load import load_workload, parse_duration, parse_rate, parse_size, parse_workload
from damon.workload.masim import FULL_SPEED, parse_masim
from damon.workload.model import Access, Area, Event, Kind, Pattern, PhaseEvent

SHIPPED = sorted((Path(__file__).parents[2] / "workloads").glob("*.yaml"))
GOOD: dict[str, Any] = {
    "areas": {"a": {"size": "1 MiB"}, "b": {"size": 8192, "kind": "file", "process": "other", "mapped": False}},
    "phases": [
        {"duration": "1s", "access": [{"area": "a", "rate": "2k", "pattern": "zipf", "skew": 0.5, "write": 0}]},
        {"name": "late", "duration": 1000, "mmap": ["b"], "access": [{"area": "b", "rate": 5, "stride": "4K"}]},
    ],
    "machine": {"memory": "64M", "reserved": "8M", "swap": "none"},
}


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


def test_the_main_workload_is_what_the_readme_says() -> None:
    workload = load_workload(next(path for path in SHIPPED if path.stem == "hot-cold"))
    assert {area.name: area.size >> 20 for area in workload.areas} == {"hot": 32, "cold": 224}


def _changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with one field changed; ``path`` as in the messages."""
    data = copy.deepcopy(GOOD)
    place: Any = data
    keys = [int(k) if k.isdigit() else k for k in path.replace("[", ".").replace("]", "").split(".")]
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return data


BAD = [
    ("areas", {}, "areas"),
    ("areas", [], "areas"),
    ("areas.a.size", 0, "areas.a.size: 0"),
    ("areas.a.size", 4097, "areas.a.size: 4097"),
    ("areas.a.size", "1.5 pages", "areas.a.size"),
    ("areas.a.size", -4096, "areas.a.size"),
    ("areas.a.size", True, "areas"),
    ("areas.a.kind", "hugetlb", "hugetlb"),
    ("areas.a.populated", True, "populated"),
    ("areas.a.process", "two words", "process"),
    ("phases", [], "phases"),
    ("phases[0].duration", "0s", "phases[0].duration"),
    ("phases[0].duration", "fast", "phases[0].duration: 'fast'"),
    ("phases[0].access[0].area", "c", "phases[0].access[0].area: 'c' is no area: known are a, b"),
    ("phases[0].access[0].area", "b", "phases[0].access[0].area: 'b' is not mapped"),
    ("phases[0].access[0].rate", 0, "phases[0].access[0].rate: 0"),
    ("phases[0].access[0].rate", -1, "phases[0].access[0].rate"),
    ("phases[0].access[0].rate", "often", "phases[0].access[0].rate: 'often'"),
    ("phases[0].access[0].rate", float("inf"), "phases[0].access[0].rate"),
    ("phases[0].access[0].rate", float("nan"), "phases[0].access[0].rate"),
    ("phases[0].access[0].pattern", "spiral", "spiral"),
    ("phases[0].access[0].write", 1.5, "phases[0].access[0].write"),
    ("phases[0].access[0].skew", 0, "phases[0].access[0].skew"),
    ("phases[0].access[0].speed", 1, "speed"),
    ("phases[1].access[0].stride", "16K", "phases[1].access[0].stride: '16K'"),
    ("phases[1].access[0].stride", 0, "phases[1].access[0].stride: 0"),
    ("phases[1].mmap", ["a"], "phases[1].mmap: 'a' is mapped already"),
    ("phases[1].mmap", ["z"], "phases[1].mmap: 'z' is no area"),
    ("phases[1].munmap", ["b"], "phases[1].munmap: 'b' is not mapped"),
    ("phases[1].exit", ["a"], "phases[1].exit: 'a' is no process"),
    ("phases[1].exit", ["other"], "which has exited"),
    ("machine.memory", "1 byte", "machine.memory"),
    ("machine.reserved", "64M", "machine.reserved"),
    ("machine.swap", {"size": 5}, "machine.swap.size: 5"),
    ("machine.swap", "some", "machine.swap"),
    ("machine.cpus", 4, "cpus"),
    ("repeat", "often", "repeat"),
    ("repeat", True, "repeat"),
    ("phase", [], "phase"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_refusals_name_the_place(path: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_workload(_changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_refusals_name_the_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    for text, message in (
        ("areas:\n  a: {size: 4K}\n  a: {size: 8K}\n", "w.yaml:3: key 'a' is given twice"),
        ("areas: [\n", "w.yaml:2"),
        ("just words\n", "w.yaml: workload"),
        ("areas: {a: {size: 5}}\nphases: [{duration: 1s}]\n", "w.yaml: areas.a.size: 5"),
    ):
        path.write_text(text)
        with pytest.raises(InvalidInput) as caught:
            load_workload(path)
        assert message in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="no text"):
        load_workload(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_workload(tmp_path / "nothing.yaml")
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_workload(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"), [("32M", 32 << 20), ("32 MiB", 32 << 20), ("4096", 4096), (8192, 8192), ("0.5G", 1 << 29)]
)
def test_sizes(text: str | int, value: int) -> None:
    assert parse_size(text, "x") == value


def test_durations_and_rates() -> None:
    assert [parse_duration(d, "x") for d in ("60s", "250ms", "2 m", 77, "1.5s", "10us")] == [
        60_000_000, 250_000, 120_000_000, 77, 1_500_000, 10,
    ]  # fmt: skip
    assert [parse_rate(r, "x") for r in ("200k", "2M", "2M/s", 5, 0.5)] == [200e3, 2e6, 2e6, 5.0, 0.5]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "size", "rate"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from([path for path, _, _ in BAD]), values)
def test_any_value_anywhere_is_taken_or_refused_in_one_line(path: str, value: Any) -> None:
    try:
        parse_workload(_changed(path, value))
    except InvalidInput as error:
        assert "\n" not in str(error)


@given(st.text(max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    for parse in (lambda: parse_workload(yaml.safe_load(text)), lambda: parse_masim(text, "x")):
        with contextlib.suppress(InvalidInput, yaml.YAMLError):
            parse()


MASIM = """\
# regions
a, 10485760
b, 20480, none

first phase
2000
a, 1, 64, 3
b, 0, 4096, 1, ro

idle
500
a, 0, 64, 0
"""


def test_masim() -> None:
    workload = parse_masim(MASIM, "m")
    assert workload.areas == (Area("a", 10 << 20), Area("b", 20480))
    first, idle = workload.phases
    assert (first.name, first.duration_us, idle.accesses) == ("first phase", 2_000_000, ())
    assert first.accesses == (
        Access("a", FULL_SPEED * 3 / 4, Pattern.RANDOM, 1.0, 64),
        Access("b", FULL_SPEED / 4, Pattern.STRIDED, 0.0, 4096),
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a, 10485760", "a", "line 2"),
        ("10485760", "lots", "line 2: size 'lots'"),
        ("b, 20480", "a, 20480", "line 3: region 'a' is given twice"),
        ("2000", "soon", "line 6: time in ms 'soon'"),
        ("a, 1, 64, 3", "c, 1, 64, 3", "line 7: region 'c' is unknown"),
        ("a, 1, 64, 3", "a, 2, 64, 3", "line 7: random '2'"),
        ("a, 1, 64, 3", "a, 1, 0, 3", "line 7: stride '0'"),
        ("4096, 1, ro", "40960, 1, ro", "line 8: stride 40960"),
        ("4096, 1, ro", "4096, 1, xx", "line 8: mode 'xx'"),
        ("4096, 1, ro", "4096, x", "line 8: weight 'x'"),
        ("b, 0, 4096", "a, 0, 4096", "line 8: region 'a' is given twice"),
    ],
)
def test_masim_refusals_name_the_line(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_masim(MASIM.replace(old, new, 1), "m")
    assert message in str(caught.value)
