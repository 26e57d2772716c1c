# SPDX-License-Identifier: GPL-2.0-only
"""The steps of the data paths on the architecture page are there: each ``file.py:function`` names a function."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/explanation/architecture.md"
STEP = re.compile(r"`((?:damon|images|modules|vmtest)/[\w/]+\.py):([\w.]+)`")


def _has(path: Path, name: str) -> bool:
    body: list[ast.stmt] = ast.parse(path.read_text()).body
    for part in name.split("."):
        found = [node for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == part]
        if not found:
            return False
        body = found[0].body
    return True


def test_each_step_is_a_function() -> None:
    section = PAGE.read_text().partition("\n## Data paths\n")[2].partition("\n## ")[0]
    steps = STEP.findall(section)
    assert len(steps) > 10
    assert [f"{file}:{name}" for file, name in steps if not _has(ROOT / file, name)] == []
