# SPDX-License-Identifier: GPL-2.0-only
"""Words that this project does not use any more: the field's own stand in their place (CONTRIBUTING.md)."""

from __future__ import annotations

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Lists the retired words.
PAGE = ROOT / "docs/reference/vocabulary.md"
TOPS = ("benchmarks", "damon", "docs", "examples", "images", "modules", "share", "tests", "vmtest", "workloads")
ENDINGS = {".c", ".h", ".md", ".py", ".sh", ".toml", ".yaml"}
#: What stood there, and what to write.
RETIRED = {
    r"main job": "reclaim, lru_sort or the demo",
    r"the gate": "CI",
    r"judg\w*": "check, verify, verdict",
    r"surroundings": "environment",
    r"presences?": "placeholder process",
    r"the house|rooms": "architecture, packages",
    r"wish\w*": "request",
}
#: The same for comments, docstrings and messages of the packages; identifiers, also quoted ones, are left out.
PACKAGES = ("damon", "images", "modules", "vmtest")
IN_PACKAGES = {
    r"told|tells": "reports, prints",
    r"nobody|somebody|anybody|whoever": "the role: process, client, user, caller",
    r"wants": "needs, takes",
    r"troubles?": "failure",
    r"folders?": "directory",
}
IDENTIFIERS = re.compile(r"``.*?``|\{[^{}]*\}|^ +\w+: |^[rbf]*\"\w+\"$", re.MULTILINE)


def _files() -> Iterator[Path]:
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in ENDINGS)
    for top in TOPS:
        found = (path for path in (ROOT / top).rglob("*") if path.suffix in ENDINGS)
        yield from (path for path in found if path not in (PAGE, Path(__file__)))


def test_retired_words_stay_away() -> None:
    words = {re.compile(rf"(?<![A-Za-z]){word}(?![A-Za-z])", re.I): better for word, better in RETIRED.items()}
    found = []
    for path in _files():
        text = path.read_text()
        for pattern, better in words.items():
            for hit in pattern.finditer(text):
                line = text.count("\n", 0, hit.start()) + 1
                found.append(f"{path.relative_to(ROOT)}:{line}: {hit[0]!r}: write {better}")
    assert not found, "\n".join(found)


def _prose(path: Path) -> Iterator[tuple[int, str]]:
    """Comments and strings with their lines, without identifiers in them."""
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type in (tokenize.COMMENT, tokenize.STRING):
                yield token.start[0], IDENTIFIERS.sub("", token.string)


def test_packages_name_roles_and_objects() -> None:
    words = {re.compile(rf"\b(?:{word})\b(?!\.\w)", re.I): better for word, better in IN_PACKAGES.items()}
    found = []
    for path in (path for top in PACKAGES for path in (ROOT / top).rglob("*.py")):
        for line, text in _prose(path):
            for pattern, better in words.items():
                found += [
                    f"{path.relative_to(ROOT)}:{line}: {hit[0]!r}: write {better}" for hit in pattern.finditer(text)
                ]
    assert not found, "\n".join(found)


def test_the_page_lists_each_of_them() -> None:
    section = PAGE.read_text().partition("## Retired words\n")[2]
    assert [word for word in (*RETIRED, *IN_PACKAGES) if not re.search(word, section, re.I)] == []
