# SPDX-License-Identifier: GPL-2.0-only
"""The data paths on the architecture page: every function named there exists, and no path goes back up."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/explanation/architecture.md"
#: As in the import contract, top to bottom, and what C does at the end.
LAYERS = (
    "damon/cli", "damon/damond", "damon/library", "modules", "damon/core", "damon/ops", "damon/mm", "damon/model",
    "damon/native",
)  # fmt: skip
STEP = re.compile(r"`([\w/]+\.(?:py|c)):([\w.]+)`")


def paths() -> dict[str, list[tuple[str, str]]]:
    """The steps of each path by its heading: file and function."""
    (section,) = re.findall(r"^## Data paths\n(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    parts = re.split(r"^### (.*)\n", section, flags=re.MULTILINE)[1:]
    return {title: STEP.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def functions(path: Path) -> set[str]:
    """The functions and methods that a file defines, methods with their class."""
    if path.suffix == ".c":
        return set(re.findall(r"^[\w *]*?\b(\w+)\([^;]*?\)\s*\{", path.read_text(), re.MULTILINE | re.DOTALL))
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            found |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
    return found


def layer(file: str) -> int:
    (index,) = [index for index, top in enumerate(LAYERS) if file.startswith(f"{top}/")]
    return index


def test_there_are_paths() -> None:
    assert len(paths()) >= 3
    assert all(len(steps) >= 8 for steps in paths().values())


@pytest.mark.parametrize("title", paths())
def test_every_function_of_a_path_exists(title: str) -> None:
    missing = [f"{file}:{name}" for file, name in paths()[title] if name not in functions(ROOT / file)]
    assert not missing


@pytest.mark.parametrize("title", [title for title, steps in paths().items() if steps[0][0].startswith("damon/")])
def test_a_path_never_goes_back_up(title: str) -> None:
    layers = [layer(file) for file, _name in paths()[title]]
    assert layers == sorted(layers)
