# SPDX-License-Identifier: GPL-2.0-only
"""The dialect of YAML: one table that both readers of documents follow, alone and behind their files."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

import damon.quoting
import damon.workload.yaml12
import vmtest.quoting
import vmtest.yaml12
from damon.quoting import cut, listed, quoted
from damon.workload.load import load_workload
from vmtest.errors import HarnessError
from vmtest.suite.load import load

READERS = (damon.workload.yaml12, vmtest.yaml12)
INF = math.inf

#: A plain scalar, and its value.
SCALARS: list[tuple[str, Any]] = [
    ("1:30", "1:30"), ("190:20:30", "190:20:30"), ("010", 10), ("0o10", 8), ("0o8", "0o8"), ("0x1F", 31),
    ("0X1F", "0X1F"), ("-0x1F", "-0x1F"), ("0b11", "0b11"), ("1_000", "1_000"), ("+12", 12), ("-12", -12), ("0", 0),
    ("1e3", 1000.0), ("1e+3", 1000.0), ("1.5E-1", 0.15), ("1.", 1.0), (".5", 0.5), ("-.5", -0.5), (".", "."),
    ("e3", "e3"), ("1e", "1e"), (".inf", INF), ("-.inf", -INF), ("+.INF", INF), (".Inf", INF), ("inf", "inf"),
    ("nan", "nan"), ("yes", "yes"), ("no", "no"), ("on", "on"), ("off", "off"), ("y", "y"), ("n", "n"), ("Yes", "Yes"),
    ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"), ("false", False), ("~", None), ("null", None),
    ("Null", None), ("NULL", None), ("nULL", "nULL"), ("", None), ("2020-01-01", "2020-01-01"),
    ("12:30:45", "12:30:45"),
    ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"), ("=", "="), ("<<", "<<"), ("512M", "512M"),
    ("1e3s", "1e3s"),
    ("\u0661", "\u0661"), ("!!str 010", "010"), ("!!int 010", 10), ('!!int "0x10"', 16), ("!!float 1", 1.0),
    ("!!null ~", None), ("!!bool true", True), ('"010"', "010"), ("'yes'", "yes"),
    ("9" * 100, int("9" * 100)), ("|-\n  a\n  b", "a\nb"), (">-\n  a\n  b", "a b"), ('"\\/\\x41\\u263a"', "/A\u263a"),
]  # fmt: skip

#: A document, and its data.
DOCUMENTS: list[tuple[str, Any]] = [
    ("\ufeffa: 1\n", {"a": 1}),
    ("%YAML 1.2\n---\na: 010\n", {"a": 10}),
    ("%YAML 1.1\n---\na: 010\n", {"a": 10}),
    ("a: 1\n...\n", {"a": 1}),
    ("# nothing\n", None),
    ("", None),
    ("a: &x [1, 2]\nb: *x\n", {"a": [1, 2], "b": [1, 2]}),
    ("a: &x {k: 1, l: 2}\nb: {<<: *x, k: 3}\n", {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}),
    ("a: {<<: [{k: 1}, {k: 2, l: 2}], m: 3}\n", {"a": {"k": 1, "l": 2, "m": 3}}),
    ('"<<": 1\n', {"<<": 1}),
    ("'010': 1\n", {"010": 1}),
    ("!!str 5: 1\n", {"5": 1}),
    ("!!map {a: !!seq [1]}\n", {"a": [1]}),
    ("a: {b, c: 1}\n", {"a": {"b": None, "c": 1}}),
]

LISTS = "\n".join(
    f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}' if n else 'x'] * 10)}]" for n in range(12)
)  # 10**12 values when written out

#: A document that is refused; where, and why.
REFUSED: list[tuple[str, int, str]] = [
    ("a: 1\nb: 2\na: 3\n", 3, "key 'a': is given twice"),
    ("a: {b: 1, b: 1}\n", 1, "key 'b': is given twice"),
    ("a: {1: 2}\n", 1, "a key: is not text"),
    ("a:\n  6.10: 2\n", 2, "a key: is not text"),
    ("true: 2\n", 1, "a key: is not text"),
    ("~: 2\n", 1, "a key: is not text"),
    (": 2\n", 1, "not valid YAML"),
    ("? [a]\n: 1\n", 1, "a key: is not text"),
    ("? {a: 1}\n: 1\n", 1, "a key: is not text"),
    ("a: !!set {b}\n", 1, "tag 'tag:yaml.org,2002:set'"),
    ("a: !!omap [b: 1]\n", 1, "tag 'tag:yaml.org,2002:omap'"),
    ("a: !!pairs [b: 1]\n", 1, "tag 'tag:yaml.org,2002:pairs'"),
    ("a: !!binary aGk=\n", 1, "tag 'tag:yaml.org,2002:binary'"),
    ("a: !!timestamp 2020-01-01\n", 1, "tag 'tag:yaml.org,2002:timestamp'"),
    ("a: !!python/object/apply:os.system [x]\n", 1, "tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
    ("a: !own b\n", 1, "tag '!own'"),
    ("a: !!int b\n", 1, "tag int: the value is not of that type"),
    ("a: !!bool yes\n", 1, "tag bool: the value is not of that type"),
    ("a: !!str [b]\n", 1, "tag 'tag:yaml.org,2002:str'"),
    ("a: !!seq {b: 1}\n", 1, "tag 'tag:yaml.org,2002:seq'"),
    ("a: " + "9" * 5000 + "\n", 1, "a number of 5000 characters"),
    ("a: 0x" + "f" * 5000 + "\n", 1, "a number of 5002 characters"),
    ("a: &a [*a]\n", 1, "an alias stands within what it is an alias of"),
    ("a: &a {b: *a}\n", 1, "an alias stands within what it is an alias of"),
    ("a: &a {<<: *a}\n", 1, "an alias stands within what it is an alias of"),
    (f"a:\n{LISTS}\n", 6, "more than 100000 values, aliases expanded"),
    ("a: " + "[" * 5000, 1, "more than 50 levels of nesting"),
    ("a: " + "{b: " * 5000, 1, "more than 50 levels of nesting"),
    ("- " * 500, 1, "more than 50 levels of nesting"),
    ("a: *b\n", 1, "not valid YAML: found undefined alias 'b'"),
    ("a: {<<: 1}\n", 1, "<<: merges what is not a mapping"),
    ("a: {<<: [1]}\n", 1, "<<: merges what is not a mapping"),
    ("a:\t1\n", 1, "not valid YAML: found character '\\t'"),
    ("a:\n\tb: 1\n", 2, "not valid YAML: found character '\\t'"),
    ("a: 1\n---\nb: 2\n", 2, "not valid YAML: but found another document"),
    ("a: [\n", 2, "not valid YAML: expected the node content"),
    ("a: 1\nb: \x01\n", 2, "not valid YAML: character 0x1"),
    ("a: \ud800\n", 1, "not valid YAML: character 0xd800"),
    ('a: "\\UFFFFFFFF"\n', 1, "not valid YAML"),
    ("%YAML 2.0\n---\na: 1\n", 1, "not valid YAML"),
    ("# " + "x" * (1 << 20), 0, "longer than 1048576 characters"),
]  # fmt: skip

each_reader = pytest.mark.parametrize("reader", READERS, ids=["damon", "vmtest"])


@each_reader
@pytest.mark.parametrize(("text", "value"), SCALARS, ids=[text[:20] for text, _ in SCALARS])
def test_scalars(reader: ModuleType, text: str, value: Any) -> None:
    for document in (f"a: {text}\n", f"- {text}\n"):
        data = reader.plain(reader.compose(document))
        found = data["a"] if isinstance(data, dict) else data[0]
        assert (found, type(found)) == (value, type(value))
        assert not isinstance(found, date)


@each_reader
def test_not_a_number(reader: ModuleType) -> None:
    assert all(math.isnan(value) for value in reader.plain(reader.compose("[.nan, .NaN, .NAN]")))


@each_reader
@pytest.mark.parametrize(("text", "value"), DOCUMENTS)
def test_documents(reader: ModuleType, text: str, value: Any) -> None:
    assert reader.plain(reader.compose(text)) == value


@each_reader
@pytest.mark.parametrize(("text", "line", "message"), REFUSED, ids=[text[:20] for text, *_ in REFUSED])
def test_refusals(reader: ModuleType, text: str, line: int, message: str) -> None:
    with pytest.raises(reader.Malformed) as caught:
        reader.plain(reader.compose(text))
    assert message in caught.value.what
    assert caught.value.line == line
    assert (caught.value.column > 0) == (line > 0)


@pytest.mark.parametrize("read", [load_workload, load], ids=["workload", "suite"])
@pytest.mark.parametrize(("text", "line", "message"), REFUSED, ids=[text[:20] for text, *_ in REFUSED])
def test_refusals_behind_files(
    tmp_path: Path, read: Callable[[Path], object], text: str, line: int, message: str
) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises((OSError, HarnessError)) as caught:
        read(path)
    said = str(caught.value)
    if "\ud800" in text:
        message = "byte 0xed: is not UTF-8"
    assert message.replace("characters", "") in said.replace("bytes", "")
    assert str(path) in said
    assert "\n" not in said
    assert len(said) < 400


def nodes(node: yaml.Node | None) -> Any:
    """A node's content: its kind, tag, place and value."""
    if node is None:
        return None
    said = (type(node), node.tag, node.start_mark.line, node.start_mark.column)
    if isinstance(node, yaml.MappingNode):
        return (*said, [(nodes(key), nodes(value)) for key, value in node.value])
    return (*said, [nodes(item) for item in node.value] if isinstance(node, yaml.SequenceNode) else node.value)


def composed(reader: ModuleType, text: str) -> Any:
    try:
        return nodes(reader.compose(text))
    except reader.Malformed as error:
        return error.what, error.line, error.column


PIECES = [
    *" \n-:,[]{}ab1&*'\"#.~\t?!|>%\u263a\u2028\ufeff\r",
    "\n  ", "\n- ", "- ", ": ", "k: ", "{k: ", ", ", "&a ", "*a", "<<: ",
    "---\n", "...\n", "!!str ", "%YAML 1.2\n", "null", "0x1", "# c\n",
]  # fmt: skip


def random_text(draw: random.Random, files: list[str]) -> str:
    """Pieces of documents, or lines of one that is read here with a few places changed."""
    if draw.random() < 0.4:
        return "".join(draw.choices(PIECES, k=draw.randint(1, 12)))
    lines = draw.choice(files).splitlines(keepends=True)
    first = draw.randrange(len(lines))
    text = "".join(lines[first : first + draw.randint(1, 12)])
    for _ in range(draw.randint(0, 3)):
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(PIECES) + text[at + draw.choice([0, 0, 1, 3]) :]
    return text


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
def test_both_parsers_of_pyyaml_find_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = damon.workload.yaml12
    draw = random.Random(1)
    files = [path.read_text() for path in sorted((Path(__file__).parents[1] / "workloads").glob("*.yaml"))]
    texts = files + [text for text, *_ in DOCUMENTS + REFUSED] + [random_text(draw, files) for _ in range(1500)]
    found = [composed(reader, text) for text in texts]
    native, taken = reader._native, []

    def noted(text: str) -> Any:
        taken.append(text)
        assert native is not None
        return native(text)

    monkeypatch.setattr(reader, "_native", noted)
    for text in files:
        composed(reader, text)
    assert len(taken) > len(files) // 2
    monkeypatch.setattr(reader, "_native", None)  # as where PyYAML was built without libyaml
    for text, before in zip(texts, found, strict=True):
        assert composed(reader, text) == before, repr(text)


def test_it_is_one_source() -> None:
    for ours, theirs in ((damon.workload.yaml12, vmtest.yaml12), (damon.quoting, vmtest.quoting)):
        assert ours.__file__
        assert theirs.__file__
        assert Path(ours.__file__).read_bytes() == Path(theirs.__file__).read_bytes()


def test_a_device_is_not_read_to_its_end(tmp_path: Path) -> None:
    for path in (Path("/dev/zero"), tmp_path / "link.yaml"):
        if path.parent == tmp_path:
            os.symlink("/dev/zero", path)
        for read in (load_workload, load):
            with pytest.raises((OSError, HarnessError), match="longer than 1048576 bytes"):
                read(path)


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, b"x" * 10**6, 10**5000, -(10**5000), ["x" * 10**6] * 1000, {"k" * 1000: ["v"] * 10**6},
     "a\nb\r\u2028", list(range(10**6)), 1e308, None, {"a", "b"}],
    ids=range(11),
)  # fmt: skip
def test_a_value_in_a_message_is_short_and_one_line(value: object) -> None:
    text = quoted(value)
    assert len(text) <= 60
    assert len(text.splitlines()) == 1
    assert text.isprintable()


def test_a_value_is_not_written_out_to_be_cut() -> None:
    """2**40 items when written out; a value that contains itself as well."""
    bomb: list[Any] = ["x"]
    for _ in range(40):
        bomb = [bomb, bomb]
    assert quoted(bomb).startswith("[[[[...], ")
    bomb.append(bomb)
    assert len(quoted(bomb)) <= 60


def test_names_and_foreign_lines_in_a_message() -> None:
    assert listed(["a", "b"]) == "a, b"
    many = listed([f"n{number}" for number in range(1000)])
    assert many.endswith("n19 and 980 more")
    assert len(listed(["x" * 1000])) <= 80
    assert cut("a\nb\t\x1b[31m c") == "a b  [31m c"
    assert len(cut("x" * 1000)) == 200
