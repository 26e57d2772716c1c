# SPDX-License-Identifier: GPL-2.0-only
"""Suite files: what they say, what is wrong with them and where, and the jobs they make."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from vmtest.errors import InvalidInput
from vmtest.suite.expand import expand
from vmtest.suite.load import SuiteError, load, parse

GOOD = """\
name: both
timeouts: {boot: 60, command: 20}
kernels:
  page-idle:
  bare: {variant: page-idle-no-damon, append: quiet}
machines:
  small: {memory: 512M, cpus: 1}
  numa: {memory: 1G, cpus: 2, numa: 2, swap: "zram:256M"}
workloads:
  none:
  busy: {command: "yes >/dev/null", env: {LOAD: "1"}}
tests:
  uname: uname -r
  slow: {command: sleep 5, timeouts: {command: 30}, env: {A: b}}
exclude:
  - {kernel: bare, machine: numa}
expect:
  - {kernel: bare, test: slow, verdict: command-timeout, reason: too slow there}
"""


def test_the_matrix_in_the_files_order() -> None:
    cells = expand(parse(GOOD))
    names = [cell.name for cell in cells]
    assert len(names) == len(set(names)) == 2 * 2 * 2 * 2 - 4
    assert names[:3] == [
        "page-idle/small/none/uname",
        "page-idle/small/none/slow",
        "page-idle/small/busy/uname",
    ]
    assert not any(name.startswith("bare/numa") for name in names)
    slow = next(cell for cell in cells if cell.name == "bare/small/busy/slow")
    assert slow.limits.command == 30
    assert slow.limits.boot == 60
    assert slow.env == {"LOAD": "1", "A": "b"}
    assert slow.expected is not None
    assert slow.expected.reason == "too slow there"
    assert cells[0].expected is None
    assert cells[0].limits.command == 20


def test_include_keeps_only_what_it_names() -> None:
    suite = parse(GOOD + "include:\n  - {machine: small, workload: none}\n  - {test: slow, kernel: page-idle}\n")
    names = [cell.name for cell in expand(suite)]
    assert "page-idle/numa/busy/slow" in names
    assert "page-idle/numa/busy/uname" not in names
    assert len(names) == 4 + 3


@pytest.mark.parametrize(
    ("filters", "count"),
    [([], 12), (["uname"], 6), (["bare/*"], 4), (["numa", "bare/*"], 8), (["!slow"], 6), (["numa", "!busy"], 2)],
)
def test_filters(filters: list[str], count: int) -> None:
    assert len(expand(parse(GOOD), filters)) == count


def test_a_filter_that_leaves_nothing_is_refused_with_an_example() -> None:
    with pytest.raises(
        InvalidInput, match=r"leaves none of 12 jobs; give one that matches e\.g\. 'page-idle/small/none/uname'"
    ):
        expand(parse(GOOD), ["nothing"])


@pytest.mark.parametrize(
    ("old", "new", "place", "what"),
    [
        ("name: both\n", "", "^timeouts", "'name' is missing"),
        ("name: both", "name: [a]", "name: ^[a]", "Expected `str`, got `array`"),
        ("cpus: 1", "cpus: one", "cpus: ^one", "machines.small.cpus: Expected `int`, got `str`"),
        ("cpus: 1", "cpu: 1", "^cpu: 1", "machines.small: 'cpu' is unknown here; known: memory, cpus, numa"),
        ("memory: 512M", "memory: lots", "memory: ^lots", "machines.small.memory: memory: 'lots': "),
        ("zram:256M", "floppy:1M", 'swap: ^"floppy', "swap: 'floppy:1M': is not valid"),
        ("numa: 2", "numa: 3", "numa: ^3, swap", "numa: 3: every node has a processor; give 1 to cpus"),
        (
            "cpus: 1",
            "memory_max: 256M, cpus: 1",
            "memory_max: ^256M",
            "machines.small.memory_max: memory_max: '256M': is not",
        ),
        (
            "cpus: 1",
            'plug: ["5s:+2M"], cpus: 1',
            'plug: ^["5s',
            "machines.small.plug: plug: +2M of node 0 after 5 s: mem",
        ),
        ("numa: 2", 'numa: 2, numa_cpus: "2,1"', 'numa_cpus: ^"2,1"', "adds up to 3, cpus is 2"),
        (
            "cpus: 1",
            'cgroups: ["a b"], cpus: 1',
            'cgroups: ^["a b"]',
            "machines.small.cgroups: cgroup: 'a b': is not valid",
        ),
        ("cpus: 1", "in_cgroup: x, cpus: 1", "in_cgroup: ^x", "machines.small.in_cgroup: in_cgroup: 'x': "),
        ("cpus: 1", "dump_on_panic: 1, cpus: 1", "dump_on_panic: ^1", "Expected `bool`, got `int`"),
        ("boot: 60", "boot: 0", "boot: ^0", "timeouts.boot: Expected `float` > 0"),
        ("boot: 60", "bot: 60", "{^bot: 60", "'bot' is unknown here; known: boot, silence"),
        ("{command: 30}", "{comand: 30}", "{^comand: 30", "'comand' is unknown here; known: boot, silence"),
        ("{A: b}", "{A: 1}", "env: ^{A: 1}", "Expected `str`, got `int`"),
        ("kernel: bare, test: slow", "kernel: beer, test: slow", "kernel: ^beer", "'beer' is none of page-idle, bare"),
        ("reason: too slow there", "reason: ''", "reason: ^''", "reason: Expected `str` of length >= 1"),
        (", reason: too slow there", "", "- ^{kernel: bare, test", "'reason' is missing"),
        ("verdict: command-timeout", "verdict: sometimes", "verdict: ^sometimes", "expect[0].verdict: 'sometimes': "),
        (
            "variant: page-idle-no-damon",
            "variant: a, image: b",
            "bare: ^{variant: a",
            "give one of variant, image and tree",
        ),
        (
            "page-idle-no-damon",
            "page-idel",
            "variant: ^page-idel",
            "kernel variant: 'page-idel': is unknown; give one of page-idle",
        ),
        (
            "  bare: {variant: page-idle-no-damon, append",
            "  bare: {append",
            "^bare",
            "kernel variant: 'bare': is unknown",
        ),
        ("  bare:", "  page-idle:", "^page-idle: {", "key 'page-idle': is given twice"),
        ("  uname: uname -r", "  u name: uname -r", "^u name", "name 'u name' must be letters"),
        ("tests:", "tests: [", "slow^:", "expected"),
        ("cpus: 1}", "cpus: 1", "numa^: {memory", "expected"),
        ('command: "yes >/dev/null"', 'command: x, ready: "("', 'ready: ^"(', "workloads.busy.ready: "),
    ],
)
def test_what_is_wrong_is_reported_with_its_place(old: str, new: str, place: str, what: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(SuiteError) as caught:
        parse(text, "x.yaml")
    before = text[: text.index(place.replace("^", "")) + place.index("^")]
    where = f"x.yaml:{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}: "
    lines = [line for line in str(caught.value).splitlines() if what in line]
    assert lines, str(caught.value)
    assert lines[0].startswith(where), lines


def test_all_findings_are_reported_at_once_in_order() -> None:
    text = GOOD.replace("cpus: 1", "cpus: x").replace("A: b", "A: 1").replace("boot: 60", "boot: -1")
    with pytest.raises(SuiteError) as caught:
        parse(text)
    assert [line.split(":")[1] for line in str(caught.value).splitlines()] == ["2", "7", "14"]


@pytest.mark.parametrize("text", ["", "- a\n", "just text\n", "name: x\n", "a: !!python/object:os.system {}\n", "\x00"])
def test_what_is_no_suite_at_all(text: str) -> None:
    with pytest.raises(SuiteError, match=r"suite\.yaml:"):
        parse(text)


def test_kernels_may_be_a_list_of_variants_and_tests_plain_commands() -> None:
    suite = parse("name: x\nkernels: [page-idle, page-idle-no-damon]\ntests: {true: 'true'}\n".replace("true:", "yes:"))
    assert list(suite.kernels) == ["page-idle", "page-idle-no-damon"]
    assert suite.tests["yes"].command == "true"
    assert [cell.name for cell in expand(suite)] == [
        "page-idle/default/none/yes",
        "page-idle-no-damon/default/none/yes",
    ]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match=r"b\.yaml:1:1: byte 0xff: is not UTF-8"):
        load(tmp_path / "b.yaml")


@given(st.data())
def test_a_file_with_a_piece_cut_out_is_a_suite_or_refused(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(GOOD)))
    end = data.draw(st.integers(start, min(len(GOOD), start + 40)))
    try:
        expand(parse(GOOD[:start] + GOOD[end:]))
    except InvalidInput as error:
        assert str(error)


def test_a_machine_takes_all_plain_values_of_a_guests_configuration() -> None:
    suite = parse(GOOD.replace("cpus: 1}", "cpus: 1, qemu_args: [-name, x]}"))
    assert asdict(suite.machines["small"])["qemu_args"] == ("-name", "x")
    with pytest.raises(SuiteError, match="'trees' is unknown here"):
        parse(GOOD.replace("cpus: 1}", "cpus: 1, trees: {}}"))


def test_the_shipped_suites_are_good() -> None:
    directory = Path(__file__).parents[1] / "vm/suites"
    suite = load(directory / "modules.yaml")
    cells = expand(suite)
    assert len(cells) == 3 * 2 * 3 * 2
    for host in suite.trees:
        assert (directory / host / "pyproject.toml").is_file()
    for workload in suite.workloads.values():
        name = next(word for word in workload.command.split() if word.endswith(".yaml"))
        assert (directory / "../../.." / Path(name).relative_to("/opt/project")).is_file()


def _names(count: int, value: str) -> str:
    return "{" + ", ".join(f"n{number}: {value}" for number in range(count)) + "}"


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        (f"tests: {_names(1001, 'x')}", "tests has 1001 names; give at most 1000"),
        (f"exclude: [{', '.join(['{test: a}'] * 201)}]", "exclude must be a list of at most 200"),
        ("tests: {a: ''}", "tests.a.command: '': "),
        ("tests: {a: {command: '  '}}", "tests.a.command: '  ': "),
        ("workloads: {w: {command: x, ready: 'a{99999999999}'}}", "workloads.w.ready: "),
        (f"workloads: {{w: {{command: x, ready: '{'(' * 5000}'}}}}", "workloads.w.ready: "),
        ("timeouts: {boot: .inf}", "timeouts.boot: Expected `float` <= 1000000000.0"),
        ("machines: {m: {memory: " + "9" * 90 + "M}}", "machines.m.memory"),
    ],
)
def test_limits(addition: str, message: str) -> None:
    parts = {"kernels": "kernels: [page-idle]", "tests": "tests: {a: x}"}
    parts[addition.partition(":")[0]] = addition
    with pytest.raises(SuiteError) as caught:
        parse("\n".join(["name: x", *parts.values()]))
    assert message in str(caught.value)


def test_a_matrix_that_is_too_large_is_not_made() -> None:
    suite = parse(f"name: x\nkernels: [page-idle]\nworkloads: {_names(400, '')}\ntests: {_names(400, 'x')}\n")
    with pytest.raises(InvalidInput, match="160000 jobs, at most 100000 can be"):
        expand(suite)


def test_not_all_findings_are_reported_when_there_are_many() -> None:
    with pytest.raises(SuiteError) as caught:
        parse(f"name: x\nkernels: [page-idle]\ntests: {_names(200, '1')}\n")
    lines = str(caught.value).splitlines()
    assert len(lines) == 51
    assert lines[-1].endswith("and 150 findings more")
