# SPDX-License-Identifier: GPL-2.0-only
"""The notebooks of examples/notebooks, run as they are."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = Path(__file__).parents[1] / "examples" / "notebooks"
#: A part of the last cell's output.
_LAST = {
    "compare_policies": r"10 s: .+: \d+",
    "operations_set": r"0x7\w+",
    "tune_module": r"damon_reclaim\.enabled=Y damon_reclaim\.min_age=\d+",
}


#: Runs a notebook and prints its code cells. Its kernel is reached by sockets in this directory.
_PROGRAM = """
import asyncio, json, sys, nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
manager = AsyncKernelManager(transport="ipc", ip="kernel")
NotebookClient(notebook, km=manager, timeout=600, resources={"metadata": {"path": "."}}).execute()
print(json.dumps([cell for cell in notebook.cells if cell.cell_type == "code"]))
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[Any]]:
    """The code cells of a notebook, by its name, after a run in a kernel of its own."""

    @cache
    def cells(name: str) -> list[Any]:
        place = tmp_path_factory.mktemp(name)
        words = [sys.executable, "-c", _PROGRAM, str(NOTEBOOKS / f"{name}.ipynb")]
        home = {name: str(place) for name in ("HOME", "IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "TMPDIR")}
        done = subprocess.run(words, cwd=place, env=os.environ | home, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return list(json.loads(done.stdout))

    return cells


def test_each_notebook_is_tested() -> None:
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(_LAST)


@pytest.mark.parametrize("name", _LAST)
def test_a_notebook_runs(name: str, run: Callable[[str], list[Any]]) -> None:
    texts = ["".join(_text(output) for output in cell["outputs"]) for cell in run(name)]
    assert re.search(_LAST[name], texts[-1]), texts[-1]


def test_results_are_shown_as_tables(run: Callable[[str], list[Any]]) -> None:
    first = run("compare_policies")[0]
    (shown,) = [output for output in first["outputs"] if output["output_type"] == "execute_result"]
    assert "<caption>run" in "".join(shown["data"]["text/html"])


def _text(output: Any) -> str:
    return "".join(output.get("text") or output.get("data", {}).get("text/plain", ""))
