# SPDX-License-Identifier: GPL-2.0-only
"""The import cycles of both packages, imports in functions counted.

``python -m tests.rules.import_cycles`` prints them.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("damon", "vmtest")
Graph = dict[str, set[str]]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Each module's file, by its full name; what a link shows is a module of both packages."""
    found = {}
    for package in PACKAGES:
        for directory, _, names in os.walk(root / package, followlinks=True):
            for path in (Path(directory, name) for name in names if name.endswith(".py")):
                parts = path.relative_to(root).with_suffix("").parts
                found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, path: Path) -> Iterator[tuple[str, str]]:
    """What each import statement of a module names: a module, and what is taken from it or ""."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def graph(files: dict[str, Path]) -> Graph:
    """What each module imports of the others."""
    found: Graph = {}
    for name, path in files.items():
        targets = (
            f"{module}.{part}" if f"{module}.{part}" in files else module for module, part in imported(name, path)
        )
        found[name] = {target for target in targets if target in files and target != name}
    return found


def _reached(imports: Graph, name: str) -> set[str]:
    reached: set[str] = set()
    left = [name]
    while left:
        fresh = imports[left.pop()] - reached
        reached |= fresh
        left += fresh
    return reached


def cycles(imports: Graph) -> list[list[str]]:
    """The largest groups of modules in which each reaches every other."""
    reached = {name: _reached(imports, name) for name in imports}
    groups = {frozenset(other for other in reached[name] if name in reached[other]) for name in imports}
    return sorted(sorted(group) for group in groups if group)


if __name__ == "__main__":
    for group in cycles(graph(modules())):
        print(*group)
