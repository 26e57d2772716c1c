# SPDX-License-Identifier: GPL-2.0-only
"""What is wrong in a workload file is refused in one line that names file, line, field, value and remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from damon.errors import InvalidInput
from damon.workload.load import load_workload, parse_workload
from damon.workload.schema import (
    TAKES,
    AccessFields,
    AreaFields,
    FileFields,
    HotplugFields,
    MachineFields,
    NodeFields,
    PhaseFields,
    ProcessFields,
    SwapFields,
)
from tests.workload.examples import changed

#: Path of the field, a wrong value for it, and what the message says. Every field is here.
BAD: list[tuple[str, Any, str]] = [
    ("areas", {}, "areas: {}: is empty"),
    ("areas", [], "areas: []: is not valid; give a mapping of names"),
    ("areas", {"a b": {"size": 4096}}, "areas: 'a b': is not a name; give 1 to 64 of letters"),
    ("areas", {"a" * 65: {"size": 4096}}, "is not a name; give 1 to 64"),
    ("areas", {3: {"size": 4096}}, "areas: a key: is not text"),
    ("areas.a", 3, "areas.a: 3: is not valid; give an area"),
    ("areas.a", {}, "areas.a.size: is missing; give a size"),
    ("areas.a.size", 0, "areas.a.size: 0: is not a size; give bytes above 0"),
    ("areas.a.size", 4097, "areas.a.size: 4097: is not a multiple of 4096"),
    ("areas.a.size", "1.5 pages", "areas.a.size: '1.5 pages': is not a size"),
    ("areas.a.size", -4096, "areas.a.size: -4096: is not a size"),
    ("areas.a.size", True, "areas.a.size: True: is not valid"),
    ("areas.a.size", "65T", "areas.a.size: '65T': is not a size; give bytes above 0, up to 64T"),
    ("areas.a.size", 10**400, "areas.a.size: 1000"),
    ("areas.a.size", "9" * 400, "areas.a.size: '999"),
    ("areas.a.size", float("nan"), "areas.a.size: nan: is not a size"),
    ("areas.a.kind", "hugetlb", "areas.a.kind: 'hugetlb': is not valid; give anon or file"),
    ("areas.a.populated", True, "areas.a: 'populated': is not a field; known are size, kind, process"),
    ("areas.a.populate", "maybe", "areas.a.populate: 'maybe': is not valid; give true or false"),
    ("areas.a.mapped", 1, "areas.a.mapped: 1: is not valid; give true or false"),
    ("areas.a.mapped", False, "phases[0].access[0].area: 'a': is not mapped"),
    ("areas.a.process", "two words", "areas.a.process: 'two words': is not a name; give 1 to 64"),
    ("areas.a.process", 7, "areas.a.process: 7: is not valid; give a name"),
    ("areas.a.memcg", 7, "areas.a.memcg: 7: is not valid; give the name of a cgroup"),
    ("areas.a.memcg", "a//b", "areas.a.memcg: 'a//b': is not a cgroup; give a name below the root"),
    ("areas.a.memcg", "../b", "areas.a.memcg: '../b': is not a cgroup"),
    ("areas.a.memcg", "/", "areas.a.memcg: '/': is not a cgroup; give a name below the root"),
    ("processes", ["main"], "processes: ['main']: is not valid; give a mapping of names to processes"),
    ("processes", {"mian": {}}, "processes: 'mian': maps no area; those that do are main, other"),
    ("processes.main", 5, "processes.main: 5: is not valid; give a process"),
    ("processes.main.memcg", "a b", "processes.main.memcg: 'a b': is not a cgroup; give a name below the root"),
    ("processes.main.memgc", "a", "processes.main: 'memgc': is not a field; known are memcg"),
    ("phases", [], "phases: []: is empty"),
    ("phases", {}, "phases: {}: is not valid; give a list"),
    ("phases[0]", "x", "phases[0]: 'x': is not valid; give a phase"),
    ("phases[0]", {}, "phases[0].duration: is missing; give a duration"),
    ("phases[0].duration", "0s", "phases[0].duration: '0s': is not a duration; give 1us or more"),
    ("phases[0].duration", "fast", "phases[0].duration: 'fast'"),
    ("phases[0].duration", "1000000h", "phases[0].duration: '1000000h'"),
    ("phases[0].duration", True, "phases[0].duration: True"),
    ("phases[0].name", "a\nb", "phases[0].name: 'a\\nb': is not a name; give 1 to 64 of printable"),
    ("phases[0].name", 'say "x"', "phases[0].name"),
    ("phases[0].name", 5, "phases[0].name: 5: is not valid; give text"),
    ("phases[0].lasts", 5, "phases[0]: 'lasts': is not a field; known are duration"),
    ("phases[0].access", "a", "phases[0].access: 'a': is not valid; give a list"),
    ("phases[0].access[0]", "a", "phases[0].access[0]: 'a': is not valid; give an access"),
    ("phases[0].access[0]", {"area": "a"}, "phases[0].access[0].rate: is missing"),
    ("phases[0].access", [{"area": "a", "rate": 1}] * 2, "phases[0].access[1].area: 'a': is given twice"),
    ("phases[0].access[0].area", "c", "phases[0].access[0].area: 'c': is not an area; known are a, b"),
    ("phases[0].access[0].area", "b", "phases[0].access[0].area: 'b': is not mapped"),
    ("phases[0].access[0].area", None, "phases[0].access[0].area: None: is not valid; give the name of an area"),
    ("phases[0].access[0].rate", 0, "phases[0].access[0].rate: 0: is not a rate; give touches a second above 0"),
    ("phases[0].access[0].rate", -1, "phases[0].access[0].rate: -1"),
    ("phases[0].access[0].rate", "often", "phases[0].access[0].rate: 'often'"),
    ("phases[0].access[0].rate", "11G", "up to 10G"),
    ("phases[0].access[0].rate", float("inf"), "phases[0].access[0].rate: inf"),
    ("phases[0].access[0].rate", float("nan"), "phases[0].access[0].rate: nan"),
    (
        "phases[0].access[0].pattern",
        "spiral",
        "pattern: 'spiral': is not valid; give sequential, strided, random or zipf",
    ),
    ("phases[0].access[0].write", 1.5, "phases[0].access[0].write: 1.5: is not valid; give a share from 0 to 1"),
    ("phases[0].access[0].write", float("nan"), "phases[0].access[0].write: nan"),
    ("phases[0].access[0].skew", 0, "phases[0].access[0].skew: 0: is not valid; give a number from 0.001 to 8"),
    ("phases[0].access[0].speed", 1, "phases[0].access[0]: 'speed': is not a field; known are area, rate"),
    (
        "phases[1].access[0].stride",
        "16K",
        "phases[1].access[0].stride: '16K': is more than the area has; give at most 8192",
    ),
    ("phases[1].access[0].stride", 0, "phases[1].access[0].stride: 0: is not a size"),
    ("phases[1].access[0].stride", 0.5, "phases[1].access[0].stride: 0.5: is not a size"),
    ("phases[1].mmap", "b", "phases[1].mmap: 'b': is not valid; give a list of areas"),
    ("phases[1].mmap", ["a"], "phases[1].mmap: 'a': is mapped already"),
    ("phases[1].mmap", ["z"], "phases[1].mmap[0]: 'z': is not an area; known are a, b"),
    ("phases[1].mmap", [[]], "phases[1].mmap[0]: []: is not valid; give the name of an area"),
    ("phases[1].munmap", ["b"], "phases[1].munmap: 'b': is not mapped"),
    ("phases[1].munmap", [0], "phases[1].munmap[0]: 0: is not valid; give the name"),
    ("phases[1].exit", ["a"], "phases[1].exit[0]: 'a': is not a process; known are main, other"),
    ("phases[1].exit", ["other"], "phases[1].mmap: 'b': belongs to process other, which has exited"),
    ("phases[1].exit", ["main", "main"], "phases[1].exit: 'main': has exited already"),
    ("phases[1].exit", [None], "phases[1].exit[0]: None: is not valid; give the name of a process"),
    ("phases[1].online", {"size": "2M"}, "phases[1].online: {'size': '2M'}: is not valid; give a list of memory"),
    ("phases[1].online", ["2M"], "phases[1].online[0]: '2M': is not valid; give memory, e.g. {node: 1, size: 512M}"),
    ("phases[1].online", [{"node": 0}], "phases[1].online[0].size: is missing"),
    ("phases[1].online", [{"size": "3M"}], "phases[1].online[0].size: '3M': is not a multiple of 2M"),
    (
        "phases[1].online",
        [{"size": "2M", "node": 1}],
        "phases[1].online.node: 1: is not a node; machine.nodes has none",
    ),
    (
        "phases[1].offline",
        [{"size": "2M", "node": -1}],
        "phases[1].offline[0].node: -1: is not valid; give the number of a node",
    ),
    ("phases[1].offline", [{"size": "2M", "nid": 1}], "phases[1].offline[0]: 'nid': is not a field; known are size"),
    ("phases[1].offline", "all", "phases[1].offline: 'all': is not valid; give a list of memory"),
    (
        "phases[1].offline",
        [{"size": "66M"}],
        "phases[1].offline.size: 69206016: is more than node 0 has then; give at most 67108864",
    ),
    ("machine", [], "machine: []: is not valid; give a machine"),
    ("machine.memory", "1 byte", "machine.memory: '1 byte': is not a size"),
    ("machine.memory", "4M", "machine.reserved: '8M': leaves nothing of the 4194304 bytes"),
    ("machine.reserved", "64M", "machine.reserved: '64M': leaves nothing"),
    ("machine.reserved", -1, "machine.reserved: -1"),
    ("machine.swap", {"size": 5}, "machine.swap.size: 5: is not a multiple"),
    ("machine.swap", {"size": 4096, "device": "zram"}, "machine.swap: 'device': is not a field"),
    ("machine.swap", {"size": 4096, "read_us": -1}, "machine.swap.read_us: -1: is not valid; give microseconds from 0"),
    ("machine.swap", {"size": 4096, "write_us": "x"}, "machine.swap.write_us: 'x': is not valid; give microseconds"),
    (
        "machine.swap",
        "some",
        "machine.swap: 'some': is not valid; give none, a swap device, e.g. {size: 1G}, or a list of 1 to 8",
    ),
    ("machine.swap", [], "machine.swap: []: is not valid; give none, a swap device"),
    ("machine.swap", [{"size": 4096}] * 9, "or a list of 1 to 8"),
    ("machine.swap", [{"size": 4096}, "disk"], "machine.swap[1]: 'disk': is not valid; give a swap device"),
    ("machine.swap", [{"size": 4096}, {}], "machine.swap[1].size: is missing"),
    ("machine.swap", [{"size": 5}], "machine.swap[0].size: 5: is not a multiple"),
    (
        "machine.swap",
        {"size": 4096, "priority": -1},
        "machine.swap.priority: -1: is not valid; give a whole number from 0",
    ),
    ("machine.swap", [{"size": 4096, "priority": 1.5}], "machine.swap[0].priority: 1.5: is not valid"),
    ("machine.file_read_us", -0.5, "machine.file_read_us: -0.5: is not valid"),
    ("machine.file_write_us", float("inf"), "machine.file_write_us: inf: is not valid"),
    ("machine.fault_us", "1us", "machine.fault_us: '1us': is not valid"),
    ("machine.reclaim_us", float("nan"), "machine.reclaim_us: nan: is not valid"),
    ("machine.scan_us", 10**400, "machine.scan_us: 1000"),
    ("machine.migrate_us", -1, "machine.migrate_us: -1: is not valid; give microseconds"),
    ("machine.thp", "sometimes", "machine.thp: 'sometimes': is not valid; give always, madvise or never"),
    *(
        (
            "machine.hz",
            hz,
            f"machine.hz: {hz}: is not valid; give 100, 250, 300 or 1000 ticks a second, or 0 for exact time",
        )
        for hz in (60, -1, 250.0, True)
    ),
    ("machine.hz", "250", "machine.hz: '250': is not valid"),
    ("machine.huge_us", "1ms", "machine.huge_us: '1ms': is not valid; give microseconds"),
    ("machine.nodes", {"size": "1G"}, "machine.nodes: {'size': '1G'}: is not valid; give a list of 1 to 8 nodes"),
    ("machine.nodes", [{"size": "4M"}] * 9, "is not valid; give a list of 1 to 8 nodes"),
    ("machine.nodes", [4], "machine.nodes[0]: 4: is not valid; give a node"),
    ("machine.nodes", [{}], "machine.nodes[0].size: is missing; give a size"),
    ("machine.nodes", [{"size": "64M", "cpus": 4}], "machine.nodes[0]: 'cpus': is not a field; known are size, lat"),
    ("machine.nodes", [{"size": 5}], "machine.nodes[0].size: 5: is not a multiple"),
    (
        "machine.nodes",
        [{"size": "64M", "latency_ns": -1}],
        "machine.nodes[0].latency_ns: -1: is not valid; give nanoseconds",
    ),
    (
        "machine.nodes",
        [{"size": "64M", "distances": 10}],
        "machine.nodes[0].distances: 10: is not valid; give distances from 10",
    ),
    (
        "machine.nodes",
        [{"size": "64M", "distances": [9]}],
        "machine.nodes[0].distances[0]: 9: is not valid; give distances from 10",
    ),
    (
        "machine.nodes",
        [{"size": "64M", "distances": [20]}],
        "machine.nodes[0].distances: [20]: is not one distance to each node; give 1",
    ),
    (
        "machine.nodes",
        [{"size": "64M", "distances": [10, 20]}],
        "is not one distance to each node; give 1, 10 to node 0",
    ),
    ("machine.nodes", [{"size": "32M"}] * 3, "machine.memory: '64M': is not the sum of the nodes, 100663296; give"),
    ("processes.main.node", -1, "processes.main.node: -1: is not valid; give the number of a node"),
    ("processes.main.node", 1, "processes.main.node: 1: is not a node; machine.nodes has none"),
    ("machine.cpus", 4, "machine: 'cpus': is not a field; known are memory"),
    ("repeat", "often", "repeat: 'often': is not valid; give true or false"),
    ("repeat", True, "phases[1].mmap: 'b': is mapped already"),
    ("format", 2, "format: 2: this program reads versions 1 to 1; use a later pydamon"),
    ("format", "1", "format: '1': this program reads versions 1 to 1"),
    ("name", [], "name: []: is not valid; give text"),
    ("phase", [], "file: 'phase': is not a field; known are areas, phases"),
]


@pytest.mark.parametrize(("path", "value", "message"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_refusals_name_the_place(path: str, value: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_workload(changed(path, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_field_is_refused_somewhere_and_has_its_remedy() -> None:
    structs = (
        FileFields,
        AreaFields,
        ProcessFields,
        PhaseFields,
        HotplugFields,
        AccessFields,
        MachineFields,
        NodeFields,
        SwapFields,
    )
    names = {name for struct in structs for name in struct.__struct_fields__}
    messages = " ".join(message for _, _, message in BAD)
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
