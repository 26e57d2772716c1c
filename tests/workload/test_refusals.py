# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong in a workload file is refused in one line that names file, line, field, value and remedy."""

from __future__ import annotations

import errno
import re
from pathlib import Path
from typing import Any

import pytest

from damon.errors import InvalidInput
from damon.workload.generators import GrowFields, HotFields, InstanceFields, ProgramFields, RhythmFields
from damon.workload.load import load_workload, parse_workload
from damon.workload.plan import compile_plan
from damon.workload.schema import (
    TAKES,
    AccessFields,
    AreaFields,
    CgroupFields,
    FileFields,
    HotplugFields,
    MachineFields,
    NodeFields,
    PhaseFields,
    ProcessFields,
    SwapFields,
    TraceFields,
)
from damon.workload.tracefile.form import TracedArea
from tests.changed import GONE, changed
from tests.refusals import refused
from tests.workload.bad_generated import BAD_GENERATED, GENERATED
from tests.workload.bad_values import BAD, BAD_TRACES, GOOD
from tests.workload.traces import Window, write


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_refusals_name_the_place(path: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_workload(changed(GOOD, path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value", "message"), BAD_GENERATED, ids=[f"{path}={value}"[:60] for path, value, _ in BAD_GENERATED]
)
def test_refusals_of_what_is_expanded(path: str, value: Any, message: tuple[str, str]) -> None:
    parse_workload(GENERATED)
    with pytest.raises(InvalidInput) as caught:
        parse_workload(changed(GENERATED, path, value))
    first, _, rest = str(caught.value).partition(message[0])
    assert not first, caught.value
    assert message[1] in rest, caught.value
    assert "\n" not in str(caught.value)


def test_what_is_missing_without_phases() -> None:
    for gone, message in (("duration", "phases: is missing; give a list of phases"), ("areas", "areas: is missing")):
        data = changed(GOOD if gone == "areas" else GENERATED, gone, GONE)
        with pytest.raises(InvalidInput, match=message):
            parse_workload(data)


def test_every_field_is_refused_somewhere_and_has_its_remedy() -> None:
    structs = (
        FileFields,
        AreaFields,
        ProcessFields,
        CgroupFields,
        PhaseFields,
        HotplugFields,
        AccessFields,
        MachineFields,
        NodeFields,
        SwapFields,
        RhythmFields,
        HotFields,
        GrowFields,
        ProgramFields,
        InstanceFields,
        TraceFields,
    )
    names = {name for struct in structs for name in struct.__struct_encode_fields__}
    messages = " ".join(message for _, _, message in (*BAD, *BAD_TRACES))
    messages += " " + " ".join("".join(message) for _, _, message in BAD_GENERATED)
    assert {name for name in names if name not in TAKES} == set()
    assert {name for name in names if not re.search(rf"\b{name}(:|\[)", messages)} == set()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("areas:\n  a: {size: 4K}\n  a: {size: 8K}\n", "w.yaml: line 3: key 'a': is given twice"),
        ("areas: [\n", "w.yaml: line 2: not valid YAML"),
        ("just words\n", "w.yaml: line 1: file: 'just words': is not a mapping"),
        ("", "w.yaml: file: None: is not a mapping"),
        ("areas:\n  b: {size: 4K}\n  a:\n    size: 5\nphases: [{duration: 1s}]\n", "w.yaml: line 4: areas.a.size: 5"),
        (
            "areas:\n  a: {size: 4K}\nphases:\n- duration: 1s\n- 5\n",
            "w.yaml: line 5: phases[1]: 5: is not valid; give a phase",
        ),
        (
            "areas:\n  a: {size: 4K}\nphases:\n- duration: 1:30\n",
            "w.yaml: line 4: phases[0].duration: '1:30': is not a duration",
        ),
        (
            "areas:\n  a:\n    size: 4K\n    knid: file\nphases: [{duration: 1s}]\n",
            "w.yaml: line 2: areas.a: 'knid': is not a field",
        ),
        ("areas: {2020-13-45: 1}\nphases: [1]\n", "w.yaml: line 2: phases[0]: 1"),
        ("areas: {6.12: {size: 4K}}\nphases: [1]\n", "w.yaml: line 1: a key: is not text; put it in quotes"),
        ("a: " + "[" * 5000, "w.yaml: line 1: more than 50 levels of nesting"),
        ("areas: &a [*a]\nphases: []\n", "w.yaml: line 1: an alias stands within what it is an alias of"),
        ("? [a]\n: 1\n", "w.yaml: line 1: a key: is not text; put it in quotes"),
        (
            "areas: {a: !!python/object:os.system x}\n",
            "w.yaml: line 1: tag 'tag:yaml.org,2002:python/object:os.system': is not a tag",
        ),
        (
            "areas: {a: {size: 4K}}\nphases: [{duration: 1s, access: !!set {a}}]\n",
            "w.yaml: line 2: tag 'tag:yaml.org,2002:set': is not a tag",
        ),
        ("\0", "w.yaml: line 1: not valid YAML: character 0x0"),
    ],
)
def test_refusals_name_the_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        load_workload(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="line 1: byte 0xff: is not UTF-8; save it"):
        load_workload(path)
    with pytest.raises(
        InvalidInput, match=r"^workload file: '.*nothing\.yaml': No such file or directory; correct the path"
    ):
        load_workload(tmp_path / "nothing.yaml")
    with pytest.raises(InvalidInput, match=r"^workload file: '.*': Is a directory; "):
        load_workload(tmp_path)


@pytest.mark.parametrize(
    ("path", "value", "message"), BAD_TRACES, ids=[f"{path}={value}" for path, value, _ in BAD_TRACES]
)
def test_refusals_of_traces_name_the_place(tmp_path: Path, path: str, value: Any, message: str) -> None:
    areas = [TracedArea("heap", 0, 0, 4, mapped=((0, 10**9),))]
    write(tmp_path / "t.trace", [("p", 4, [Window(0, 10**9, [(0, 4, 1.0, 1.0)])])], areas, 2 * 10**9)
    (tmp_path / "damaged").write_bytes(b"DAMTRACE")
    data = {**GOOD, "areas": {**GOOD["areas"], "t": {"trace": "t.trace"}}}
    assert parse_workload(data, directory=tmp_path).areas[2].name == "t.heap"
    with pytest.raises(InvalidInput) as caught:
        parse_workload(changed(data, path, value), directory=tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_trace_that_went_away_is_not_performed(tmp_path: Path) -> None:
    path = write(tmp_path / "t", [("p", 4, [])], [TracedArea("heap", 0, 0, 4, mapped=((0, 9),))], 9)
    workload = load_workload(path)
    path.unlink()
    with refused(errno.EINVAL) as caught:
        compile_plan(workload)
    assert "No such file or directory" in str(caught.value)


@pytest.mark.parametrize("name", ["a\nb", "x" * 200 + "/" + "y" * 200, "blank "])
def test_a_path_that_a_plan_cannot_have(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.parent.mkdir(exist_ok=True)
    write(place, [("p", 4, [])], [TracedArea("heap", 0, 0, 4, mapped=((0, 9),))], 9)
    if len(name) > 300:  # long ones are fine
        assert f"trace {place}\n" in compile_plan(load_workload(place))
        return
    with refused(errno.EINVAL) as caught:
        compile_plan(load_workload(place))
    assert "rename it" in str(caught.value)


def test_a_trace_without_areas_is_no_workload(tmp_path: Path) -> None:
    with refused(errno.EINVAL) as caught:
        load_workload(write(tmp_path / "t", [], [], 9))
    assert "maps no area" in str(caught.value)
