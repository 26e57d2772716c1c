# SPDX-License-Identifier: GPL-2.0-only
"""Programs below ``examples/`` print what the pages that explain them say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Program: the page that shows its output.
SHOWN = {"choosing_intervals.py": "how-to/choosing-intervals.md"}


@pytest.mark.parametrize(("name", "page"), SHOWN.items())
def test_an_example_prints_what_its_page_says(name: str, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / name), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed
    assert f"```\n$ python examples/{name}\n{printed}```\n" in (ROOT / "docs" / page).read_text()
