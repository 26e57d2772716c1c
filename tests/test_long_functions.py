# SPDX-License-Identifier: GPL-2.0-only
"""A function of more than 40 lines or 15 branches has the reason for it in a comment above; three may pass 60 lines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOPS = ("damon", "images", "modules", "vmtest")
LINES, BRANCHES = 40, 15
MOST_LINES, ABOVE_MOST = 60, 3
BRANCHING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions() -> Iterator[tuple[str, Function, list[str]]]:
    for top in TOPS:
        for path in sorted((ROOT / top).rglob("*.py")):
            text = path.read_text()
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, Function):
                    yield f"{path.relative_to(ROOT)}: {node.name}", node, text.splitlines()


def _lines(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _explained(function: Function, lines: list[str]) -> bool:
    first = min([function.lineno, *(decorator.lineno for decorator in function.decorator_list)])
    return lines[first - 2].lstrip().startswith("# ")


def test_a_long_function_has_its_reason_above() -> None:
    long = {
        name
        for name, function, lines in _functions()
        if (_lines(function) > LINES or sum(isinstance(node, BRANCHING) for node in ast.walk(function)) > BRANCHES)
        and not _explained(function, lines)
    }
    assert long == set(), "shorten it, or write the reason in a comment above it"


def test_few_functions_are_very_long() -> None:
    found = [name for name, function, _ in _functions() if _lines(function) > MOST_LINES]
    assert len(found) <= ABOVE_MOST, found
