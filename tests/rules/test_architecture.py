# SPDX-License-Identifier: GPL-2.0-only
"""The architecture page: data paths go down and name what exists; the import cycles are those that it defends."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.rules import import_cycles

ROOT = Path(__file__).parents[2]
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


def defended_cycles() -> list[list[str]]:
    """The groups of modules that the page's section on import cycles lists, each with its reason."""
    (section,) = re.findall(r"^### Import cycles\n(.*?)^#", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    items = [re.sub(r"\s+", " ", item) for item in re.split(r"^- ", section, flags=re.MULTILINE)[1:]]
    found = [re.fullmatch(r"((?:`[\w.]+`(?:, )?)+): \w.*\. ?", item) for item in items]
    assert all(found), "an item is a list of modules, a colon and the reason"
    return sorted(sorted(re.findall(r"`([\w.]+)`", match[1])) for match in found if match)


def test_the_import_cycles_are_those_that_the_page_defends() -> None:
    assert import_cycles.cycles(import_cycles.graph(import_cycles.modules())) == defended_cycles()


def test_cycles_are_found_with_imports_in_functions_and_for_types(tmp_path: Path) -> None:
    texts = {
        "damon/__init__.py": "",
        "damon/a.py": "from damon import b\n",
        "damon/b.py": "if TYPE_CHECKING:\n    from .c import C\n",
        "damon/c/__init__.py": "def f():\n    import damon.a\n",
        "damon/d.py": "import damon.a\n",
        "vmtest/__init__.py": "",
    }
    for name, text in texts.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = import_cycles.graph(import_cycles.modules(tmp_path))
    assert found["damon.d"] == {"damon.a"}
    assert import_cycles.cycles(found) == [["damon.a", "damon.b", "damon.c"]]
