# SPDX-License-Identifier: GPL-2.0-only
"""``make docs``: the pages as HTML, without a warning, and each of them in the contents."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import damon
import vmtest
from share import images

DOCS = Path(__file__).parents[1] / "docs"


def test_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(tmp_path / "read"), "-b", "html"]
    done = subprocess.run([*words, str(DOCS), str(tmp_path / "html")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages <= {path.relative_to(tmp_path / "html") for path in (tmp_path / "html").rglob("*.html")}


def test_a_page_that_is_missing_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/conf.py").write_text((DOCS / "conf.py").read_text())
    (tmp_path / "docs/index.md").write_text("# x\n\n[y](nowhere.md#z)\n")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(tmp_path / "docs"), str(tmp_path / "html")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "nowhere.md" in done.stderr


@pytest.mark.parametrize("package", [damon, vmtest], ids=lambda package: package.__name__)
def test_the_reference_has_each_public_name_once(package: ModuleType) -> None:
    page = (DOCS / f"reference/api/{package.__name__}.md").read_text()
    assert sorted(re.findall(r"^\.\. auto\w+:: (\w+)$", page, re.MULTILINE)) == sorted(package.__all__)


@pytest.mark.parametrize("name", sorted(images.PICTURES))
def test_pictures_are_current(name: str) -> None:
    assert (images.IMAGES / name).read_text() == images.PICTURES[name](), "run: make docs-images"
