# SPDX-License-Identifier: GPL-2.0-only
"""A function of more than 40 lines or 15 branches has the reason in the comment above it: ``Long: ...``.

Of the product's Python functions three may pass 60 lines, of its C functions none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = ("damon", "images", "modules", "vmtest")
OTHERS = ("benchmarks", "examples", "share", "tests")
LINES, BRANCHES = 40, 15
MOST_LINES, ABOVE_MOST = 60, 3
BRANCHING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
C_BRANCHING = re.compile(r"\b(?:if|for|while|case)\b")
REASON = re.compile(r"\bLong\b.*: ")


@dataclass(frozen=True)
class Function:
    """``comment``: what stands above it."""

    name: str
    lines: int
    branches: int
    comment: str


def _python(path: Path) -> Iterator[Function]:
    text = path.read_text()
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = begin = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
            while begin and lines[begin - 1].lstrip().startswith("#"):
                begin -= 1
            branches = sum(isinstance(part, BRANCHING) for part in ast.walk(node))
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            yield Function(node.name, length, branches, "\n".join(lines[begin:first]))


def _c(path: Path) -> Iterator[Function]:
    """By the lines that are nothing but a brace, as clang-format leaves those of functions only."""
    for match in re.finditer(
        r"(?P<comment>(?:^/\*(?:(?!\*/).)*\*/\n)?)(?P<head>^\w[^;{}#]*?\b(?P<name>\w+)\([^;{}]*\)\n)\{\n(?P<body>.*?)^\}$",
        path.read_text(),
        re.MULTILINE | re.DOTALL,
    ):
        text = match["head"] + match["body"]
        yield Function(match["name"], text.count("\n") + 2, len(C_BRANCHING.findall(text)), match["comment"])


def _functions(tops: tuple[str, ...], pattern: str) -> Iterator[Function]:
    parts = _python if pattern == "*.py" else _c
    for top in tops:
        for path in sorted((ROOT / top).rglob(pattern)):
            for one in parts(path):
                yield Function(f"{path.relative_to(ROOT)}: {one.name}", one.lines, one.branches, one.comment)


@pytest.mark.parametrize("pattern", ["*.py", "*.[ch]"])
def test_a_long_function_has_its_reason_above(pattern: str) -> None:
    long = {
        one.name
        for one in _functions((*PRODUCT, *OTHERS), pattern)
        if (one.lines > LINES or one.branches > BRANCHES) and not REASON.search(one.comment)
    }
    assert long == set(), "shorten it, or write the reason in the comment above it: Long: ..."


def test_few_functions_are_very_long() -> None:
    found = [one.name for one in _functions(PRODUCT, "*.py") if one.lines > MOST_LINES]
    assert len(found) <= ABOVE_MOST, found
    assert [one.name for one in _functions(PRODUCT, "*.[ch]") if one.lines > MOST_LINES] == []


def test_functions_of_c_are_found() -> None:
    found = {one.name: one for one in _functions(PRODUCT, "*.c")}
    serve = found["damon/native/src/fuse_ops.c: fs_serve"]
    assert serve.lines == 50
    assert serve.branches == 26
    assert serve.comment.startswith("/* Long: ")
    assert len(found) > 400
