# SPDX-License-Identifier: GPL-2.0-only
"""Errors are written ``<what>: <value>: <why>; <remedy>`` (docs/reference/vocabulary.md)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("damon", "images", "modules", "vmtest")
KINDS = {"DamonError", "InvalidInput", "MachineLacks", "MissingCapability", "ServiceLost"}
FORM = re.compile(r"[^;]+: .*; .+", re.DOTALL)
#: Where the text is the reason alone; what calls it puts the field and the value before it.
REASONS = {"modules/params.py", "modules/sysfs/values.py"}


def _text(node: ast.expr) -> str | None:
    """A literal with ``{}`` for what is filled in; None for anything else."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp):
        left, right = _text(node.left), _text(node.right)
        return None if left is None else left + (right or "{}")
    return None


def _messages(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in KINDS:
            yield from ((node.lineno, text) for text in map(_text, node.args) if text)


def _wrong(name: str, text: str) -> bool:
    """One that ends with what is filled in hands on the text of another error."""
    if name in REASONS and re.match("(is|has) ", text):
        return re.fullmatch(r"[^;]+; .+", text) is None
    return FORM.fullmatch(text) is None and not text.endswith("{}")


def test_each_error_has_the_form() -> None:
    paths = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    found = [(str(path.relative_to(ROOT)), line, text) for path in paths for line, text in _messages(path)]
    assert len(found) > 300
    assert [f"{name}:{line}: {text}" for name, line, text in found if _wrong(name, text)] == []
