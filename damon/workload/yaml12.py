# SPDX-License-Identifier: GPL-2.0-only
"""Documents of YAML 1.2, as far as its core schema goes, read from files of any source.

Plain scalars mean what they look like: ``1:30``, ``on`` and ``1_000`` are text, ``010`` is ten, ``1e6`` is a number.
Keys are text, and no key stands twice. ``<<`` merges mappings. Other tags (``!!set``, ``!!python/...``) are refused.
Bytes, nesting, and values after aliases are expanded have limits. ``vmtest/yaml12.py`` is a link to this file.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 50
MAX_VALUES: Final = 100_000
MAX_DIGITS: Final = 100
_TAG: Final = "tag:yaml.org,2002:"
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII
)
_NULL: Final = re.compile(r"~|null|Null|NULL|")
_BOOL: Final = re.compile(r"true|True|TRUE|false|False|FALSE")
#: libyaml takes some texts that PyYAML refuses, or finds other nodes or places in them, only with one of these: tags,
#: explicit keys, block scalars, directives, tabs, and characters that it does not count as PyYAML does.
_DIFFERS: Final = re.compile(r"[!?|>]|^%|[^\n -~\u00a0-\u2027\u202a-\ud7ff]", re.MULTILINE)


class Malformed(ValueError):
    """No document, or more than is read; ``line`` and ``column`` count from 1 and are 0 where there is no place."""

    def __init__(self, what: str, line: int = 0, column: int = 0) -> None:
        super().__init__(what)
        self.what, self.line, self.column = what, line, column


def _wrong(mark: Any, what: str) -> Malformed:
    return Malformed(what, mark.line + 1, mark.column + 1)


class _Limited(Composer, BaseResolver):
    """Events to nodes, counting what the aliases stand for."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form
    #: From the parser beside it in a loader.
    peek_event: Callable[[], Any]

    def __init__(self) -> None:
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = self._values = 0
        self._sizes: dict[str, int] = {}  # values of each anchor's node; 0 while it is open

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            size = self._sizes.get(event.anchor or "", 1)
            if not size:
                raise _wrong(event.start_mark, "an alias stands within what it is an alias of; write the value out")
            self._count(size, event.start_mark)
            return super().compose_node(parent, index)
        before = self._values
        self._count(1, event.start_mark)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _wrong(event.start_mark, f"more than {MAX_DEPTH} levels of nesting; flatten it")
        if event.anchor is not None:
            self._sizes[event.anchor] = 0
        node = super().compose_node(parent, index)
        if event.anchor is not None:
            self._sizes[event.anchor] = self._values - before
        self._depth -= 1
        return node

    def _count(self, values: int, mark: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            raise _wrong(mark, f"more than {MAX_VALUES} values, aliases expanded; make it smaller")


class _Loader(_Limited, Reader, Scanner, Parser):
    """Any text to nodes, or what is wrong with it."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        _Limited.__init__(self)


_native: Callable[[str], _Limited] | None = None
if yaml.__with_libyaml__:
    from yaml._yaml import CParser

    class _NativeLoader(_Limited, CParser):
        """By libyaml, in a tenth of the time: a text without ``_DIFFERS`` to the same nodes, or to any error."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            _Limited.__init__(self)

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            event = self.peek_event()
            if isinstance(event, yaml.ScalarEvent) and not event.value and not event.style:
                raise ValueError("a value that is left out has another place here")
            return super().compose_node(parent, index)

    _native = _NativeLoader


for _name, _form, _first in (
    ("null", _NULL, ["~", "n", "N", ""]),
    ("bool", _BOOL, list("tTfF")),
    ("int", _INT, list("-+0123456789")),
    ("float", _FLOAT, list("-+.0123456789")),
    ("merge", re.compile("<<"), ["<"]),
):
    _Limited.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_form.pattern})\Z", re.ASCII), _first)


def read_text(path: Path) -> str:
    """The text of a file, UTF-8 with or without a byte order mark.

    Raises:
        OSError: it cannot be read. Malformed: it is not text, or longer than ``MAX_BYTES``.
    """
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Malformed(f"longer than {MAX_BYTES} bytes; make it smaller")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Malformed(f"byte {data[error.start]:#04x}: is not UTF-8; save it as UTF-8 text", line, 1) from None


def _nodes(text: str) -> yaml.Node | None:
    if _native is not None and not _DIFFERS.search(text):
        with contextlib.suppress(yaml.YAMLError, ValueError):
            return _native(text).get_single_node()
    return _Loader(text).get_single_node()


def compose(text: str) -> yaml.Node | None:
    """The nodes of the one document in ``text``, which have places; None if there is none.

    Raises:
        Malformed: it is none, or beyond the limits.
    """
    if len(text) > MAX_BYTES:
        raise Malformed(f"longer than {MAX_BYTES} characters; make it smaller")
    try:
        node = _nodes(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _wrong(mark, f"not valid YAML: {error.problem or error.context}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        raise Malformed(
            f"not valid YAML: character {_code(error.character):#x}: {error.reason}", line, column
        ) from None
    except Malformed:
        raise
    except (ValueError, OverflowError) as error:  # of PyYAML's scanner: an escape beyond Unicode
        raise Malformed(f"not valid YAML: {error}", 1, 1) from None
    return node if isinstance(node, yaml.Node) else None


def _code(character: str | int) -> int:
    return character if isinstance(character, int) else ord(character)


def plain(node: yaml.Node | None) -> Any:
    """The data of ``node``: dict, list, str, int, float, bool, None.

    Raises:
        Malformed: a tag that is not of the core schema, a value that is not of its tag, a key that is not text or
            stands twice.
    """
    if node is None:
        return None
    kind = node.tag.removeprefix(_TAG)
    if isinstance(node, yaml.ScalarNode) and kind in _SCALARS:
        return _scalar(node, kind)
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [plain(item) for item in node.value]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        return _mapping(node)
    raise _wrong(node.start_mark, f"tag {node.tag!r}: is not a tag of such a value here; leave it out")


def _scalar(node: yaml.ScalarNode, kind: str) -> str | int | float | bool | None:
    text = node.value
    form = _SCALARS[kind]
    if form is None:
        return str(text)
    if not form.fullmatch(text):
        raise _wrong(node.start_mark, f"tag {kind}: the value is not of that type; leave the tag out")
    if kind == "null":
        return None
    if kind == "bool":
        return str(text).lower() == "true"
    if len(text) > MAX_DIGITS:
        raise _wrong(node.start_mark, f"a number of {len(text)} characters; write at most {MAX_DIGITS}")
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


#: What a scalar of each kind looks like; None: anything.
_SCALARS: Final[dict[str, re.Pattern[str] | None]] = {
    "str": None,
    "merge": None,  # "<<" as a value
    "null": _NULL,
    "bool": _BOOL,
    "int": _INT,
    "float": _FLOAT,
}


def _mapping(node: yaml.MappingNode) -> dict[str, Any]:
    own: dict[str, Any] = {}
    merged: dict[str, Any] = {}
    for key_node, value_node in node.value:
        if key_node.tag == f"{_TAG}merge":
            for further in _merged(value_node):
                for name, value in further.items():
                    merged.setdefault(name, value)
            continue
        key = plain(key_node) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise _wrong(key_node.start_mark, "a key: is not text; put it in quotes")
        if key in own:
            raise _wrong(key_node.start_mark, f"key {key[:40]!r}: is given twice; remove one")
        own[key] = plain(value_node)
    return {**merged, **own}


def _merged(node: yaml.Node) -> Iterator[dict[str, Any]]:
    parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
    for part in parts:
        if not isinstance(part, yaml.MappingNode):
            raise _wrong(part.start_mark, "<<: merges what is not a mapping; give one, or a list of them")
        yield _mapping(part)
