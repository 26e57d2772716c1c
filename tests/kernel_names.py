# SPDX-License-Identifier: GPL-2.0-only
"""``docs/reference/damon/names.md``: where each function of the kernel's core, operations sets and modules is here.

``python -m tests.kernel_names TREE...`` writes it, from kernel trees (or directories that have their ``mm/damon``). The
reasons for what has no function of the same name are in ``kernel_names.yaml``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/reference/damon/names.md"
FILES = ("core", "ops-common", "paddr", "vaddr", "modules-common", "reclaim", "lru_sort", "stat")
#: Why no function here has the kernel's name, as on the page.
REASONS = {
    "c": "memory, lists and start-up of C",
    "checks": "a check of the debug option",
    "method": "method of a class",
    "public": "in `damon`'s API, where the package's name stands for the prefix",
    "renamed": "has the name of 7.3",
    "part": "part of",
    "memory": "page tables and folios: what a machine does",
    "set": "method of the operations set, or part of it",
    "module": "method of the module's class, or of one above it; parameters are `damon.modules.params`",
}
_DEFINITION = re.compile(r"^(?!#|return|else|if|typedef)(?:[\w*]+[ \t\n*]+)+?\**(\w+)\([^;{}]*?\)\s*\n?\{", re.M)


@dataclass(frozen=True)
class Row:
    """A function of the kernel, and what became of it: a place ("core/quota.py::damos_adjust_quota") or a reason."""

    file: str
    name: str
    place: str = ""
    reason: str = ""


def functions(tree: Path) -> dict[str, str]:
    """By name: the file in ``mm/damon`` (without ``.c``) that defines it."""
    found: dict[str, str] = {}
    for file in FILES:
        path = tree / f"mm/damon/{file}.c"
        for name in _DEFINITION.findall(path.read_text()) if path.exists() else ():
            found.setdefault(name, file)
    return found


def _defined(node: ast.AST, prefix: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            yield prefix + child.name
            if isinstance(child, ast.ClassDef):
                yield from _defined(child, f"{prefix}{child.name}.")


def places() -> dict[str, str]:
    """By "file::name" of each function, class and method of the package: its last name."""
    found = {}
    # damon/modules is a link, which rglob() does not follow.
    for top, prefix in ((ROOT / "damon", ""), (ROOT / "modules", "modules/")):
        for path in sorted(top.rglob("*.py")):
            for name in _defined(ast.parse(path.read_text())):
                found[f"{prefix}{path.relative_to(top)}::{name}"] = name.rpartition(".")[2]
    return found


def rules() -> list[dict[str, Any]]:
    """The rules of ``kernel_names.yaml``: ``reason``, ``names`` (patterns) and, for most, ``place``."""
    loaded: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests/kernel_names.yaml").read_text())
    return loaded


def rows(trees: Iterable[Path]) -> list[Row]:
    """One for each function of any of the trees. ``LookupError``: nothing is said of one."""
    wanted: dict[str, str] = {}
    for tree in trees:
        wanted |= {name: file for name, file in functions(tree).items() if name not in wanted}
    here: dict[str, str] = {}
    for place, name in places().items():
        if place.split("/")[0] in ("core", "model", "ops", "modules"):
            here.setdefault(name, place)
    reasons, found = rules(), []
    for name, file in sorted(wanted.items(), key=lambda item: (FILES.index(item[1]), item[0])):
        if name in here:
            found.append(Row(file, name, here[name]))
            continue
        for rule in reasons:
            if any(fnmatchcase(name, str(pattern)) for pattern in rule["names"]):
                found.append(Row(file, name, str(rule.get("place", "")), str(rule["reason"])))
                break
        else:
            raise LookupError(f"{file}.c: {name}: no function here has its name, and kernel_names.yaml gives no reason")
    return found


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def page(found: list[Row]) -> str:
    """The page's text."""
    same = sum(not row.reason for row in found)
    lines = [
        "# Names of the kernel's functions",
        "",
        "For kernel developers who look for a function. The tables have each function of the kernel's",
        f"`mm/damon/{{{','.join(FILES)}}}.c`",
        f"in 6.12 and 7.3 ({len(found)}) and its counterpart in pydamon. {same} have the same name. Paths are",
        "below `damon/`. `python -m tests.kernel_names TREE ...` writes this page.",
    ]
    for file in FILES:
        of_file = [row for row in found if row.file == file]
        if of_file:
            lines += ["", f"## {file}.c", "", "| kernel | pydamon | reason for another name |", "| --- | --- | --- |"]
            lines += [f"| `{row.name}` | {_code(row.place)} | {REASONS.get(row.reason, '')} |" for row in of_file]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(rows(map(Path, sys.argv[1:]))))
