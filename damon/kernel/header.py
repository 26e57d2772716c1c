# SPDX-License-Identifier: GPL-2.0-only
"""What a tree's ``damon.h`` declares: records and their fields, constants, functions. No offset is written here.

The C side is compiled against the same header (``shim/access.c``), with the files that :func:`generated` makes of it. A
field that a patch adds is there with no change here; one that a version lacks is a macro that is not defined.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from damon.errors import InvalidInput

_COMMENT: Final = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_FUNCTION_POINTER: Final = re.compile(r"\(\s*\*\s*(\w+)\s*\)\s*\((.*)\)\s*$", re.DOTALL)
_PROTOTYPE: Final = re.compile(r"^[a-z][\w \t*\n]*?\b(\w+)\(([^;{}]*?)\)\s*;", re.MULTILINE)


@dataclass
class Header:
    """``records``: fields by record; ``operations``: parameters of each function of ``struct damon_operations``."""

    records: dict[str, list[str]] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    functions: dict[str, int] = field(default_factory=dict)
    operations: dict[str, int] = field(default_factory=dict)
    callbacks: dict[str, int] = field(default_factory=dict)
    rand_takes_ctx: bool = False


def _closing(text: str, at: int, pair: str = "{}") -> int:
    """The index of what closes the bracket at ``at``."""
    depth = 0
    for index in range(at, len(text)):
        depth += (text[index] == pair[0]) - (text[index] == pair[1])
        if not depth:
            return index
    raise InvalidInput("damon.h: a bracket is not closed; give an unchanged kernel tree")


def _arguments(text: str) -> int:
    """How many parameters a list has."""
    depth, count = 0, 0
    for char in text:
        depth += (char == "(") - (char == ")")
        count += char == "," and not depth
    return 0 if text.strip() in ("", "void") else count + 1


def _members(body: str) -> list[str]:
    """The declarations of a record's body, those of unnamed records in it among them."""
    members, at, start = [], 0, 0
    while at < len(body):
        if body[at] == "{":
            end = _closing(body, at)
            tail = body.index(";", end)
            name = body[end + 1 : tail].strip()
            members += [name] if name else _members(body[at + 1 : end])
            at = start = tail + 1
        elif body[at] == ";":
            members.append(body[start:at].strip())
            at = start = at + 1
        else:
            at += 1
    return [member for member in members if member]


def _names(declaration: str) -> list[tuple[str, int]]:
    """Names that a declaration declares; of a pointer to a function also its number of parameters, else -1."""
    pointer = _FUNCTION_POINTER.search(declaration)
    if pointer:
        return [(pointer[1], _arguments(pointer[2]))]
    found = []
    for one in declaration.split(","):
        name = re.search(r"(\w+)\s*(?:\[[^\]]*\])?\s*$", one)
        if name and ":" not in one:  # a bit field has no address
            found.append((name[1], -1))
    return found


def parse(text: str) -> Header:
    """What ``damon.h`` declares."""
    text = _COMMENT.sub(" ", text)
    header = Header()
    for match in re.finditer(r"^struct (\w+) \{", text, re.MULTILINE):
        body = text[match.end() : _closing(text, match.end() - 1)]
        names = [name for member in _members(body) for name in _names(member)]
        header.records[match[1]] = [name for name, _ in names]
        if match[1] == "damon_operations":
            header.operations = {name: nr for name, nr in names if nr >= 0}
    for match in re.finditer(r"^enum \w+ \{(.*?)\};", text, re.MULTILINE | re.DOTALL):
        for constant in match[1].split(","):
            name = constant.split("=")[0].strip()
            if name.isidentifier():
                header.constants.append(name)
    for match in _PROTOTYPE.finditer(text):
        header.functions[match[1]] = _arguments(match[2])
    rand = re.search(r"\bdamon_rand\(([^)]*)\)", text)
    header.rand_takes_ctx = rand is not None and "damon_ctx" in rand[1]
    return header


def generated(header: Header) -> dict[str, str]:
    """The files that ``access.c`` includes, by name."""
    features = [f"#define NARGS_{name} {nr}" for name, nr in header.functions.items()]
    features += [f"#define NARGS_OPS_{name} {nr}" for name, nr in header.operations.items()]
    fields = []
    for record, names in header.records.items():
        fields.append(f"RECORD({record})")
        fields += [f"FIELD({record}, {name})" for name in names]
        features += [f"#define HAVE_{record}_{name} 1" for name in names]
    if header.rand_takes_ctx:
        features.append("#define SHIM_RAND_TAKES_CTX 1")
    return {
        "features.h": "\n".join(features) + "\n",
        "fields.h": "\n".join(fields) + "\n",
        "constants.h": "".join(f"CONSTANT({name})\n" for name in header.constants),
    }


def functions_of(source: str, names: list[str], path: str) -> str:
    """The text of the functions ``names`` and the plain ``#define``s of a C file, with their line numbers.

    Raises:
        InvalidInput: the file has no such function.
    """
    plain = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source)
    parts = re.findall(r"^#define [A-Z]\w*[ \t]+[^\n\\]+$", plain, re.MULTILINE)
    for name in names:
        match = re.search(rf"^(?:static )?[\w *]+\b{name}\([^;{{]*?\)\s*\{{", plain, re.MULTILINE)
        if match is None:
            raise InvalidInput(f"{path}: {name}(): the file has no such function; give another kernel tree")
        end = _closing(plain, match.end() - 1)
        line = plain.count("\n", 0, match.start()) + 1
        parts.append(f'#line {line} "{path}"\n{source[match.start() : end + 1]}')
    return "\n".join(parts) + "\n"
