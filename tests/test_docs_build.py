# SPDX-License-Identifier: GPL-2.0-only
"""``make docs``: the pages as HTML without a warning, their search, the public names, the pictures."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import damon
import vmtest
from share import images

DOCS = Path(__file__).parents[1] / "docs"


#: What is typed into the search, and the page that is wanted among the first three hits.
SEARCHES = {
    "quota": "reference/damon/damos",
    "page_idle": "explanation/linux",
    "add an action": "how-to/extend",
    "boot parameters": "how-to/boot",
    "panic": "how-to/debug-kernel",
    "cluster": "how-to/cluster",
    "damo": "how-to/damo",
    "wheel": "tutorials/first-run",
}


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as HTML, built without a warning."""
    scratch = tmp_path_factory.mktemp("docs")
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", str(scratch / "read"), "-b", "html"]
    done = subprocess.run([*words, str(DOCS), str(scratch / "html")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return scratch / "html"


def test_each_page_is_built(html: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert pages <= {path.relative_to(html) for path in html.rglob("*.html")}


def search(html: Path, *queries: str) -> list[list[str]]:
    """Of each query the pages that the search of the built documentation lists, best first."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed: the search of the pages is a script")
    words = ["node", str(Path(__file__).with_name("search.js")), str(html), *queries]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_search_finds_the_right_page_among_the_first_three(html: Path) -> None:
    found = dict(zip(SEARCHES, search(html, *SEARCHES), strict=True))
    missed = {query: found[query][:3] for query, page in SEARCHES.items() if page not in found[query][:3]}
    assert missed == {}


def test_the_search_finds_nothing_where_there_is_nothing(html: Path) -> None:
    assert search(html, "xyzzyplugh") == [[]]


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
