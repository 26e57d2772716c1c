# SPDX-License-Identifier: GPL-2.0-only
"""Every citation of the DAMON rules, e.g. "(DAMON spec, core 3.4-3.7)", leads to a section that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RULES = ROOT / "docs/reference/damon"
SOURCES = [
    path
    for top in ("damon", "modules", "vmtest", "tests", "benchmarks", "examples")
    for pattern in ("*.py", "*.c", "*.h")
    for path in sorted((ROOT / top).rglob(pattern))
    if path != Path(__file__)
]
CITATION = re.compile(r"DAMON spec,\s+((?:\w+ )?[^)\"]*?)(?=[)\"]|\. |\.$)", re.DOTALL)
SECTION = r"\d+(?:\.\d+[a-z]?)?"
HEADING = re.compile(rf"^#{{2,3}} ({SECTION})\.? ", re.MULTILINE)


def sections(name: str) -> set[str]:
    """Those of ``core.md`` and ``core-regions.md``, of ``damos.md`` and ``damos-filters.md`` are one sequence."""
    return {found for page in RULES.glob(f"{name}*.md") for found in HEADING.findall(page.read_text())}


def cited(text: str) -> Iterator[tuple[str, str]]:
    """File and section of a citation's text: "core 3.4-3.7, damos 5" is five sections; "" is a whole file."""
    name = ""
    for word in re.split(r",\s*|\s+and\s+|\s+", text.strip()):
        if re.fullmatch(r"[a-z]+", word):
            if name and word in ("head", "step"):
                continue
            name = word
            yield name, ""
        elif match := re.fullmatch(rf"({SECTION})-({SECTION})", word):
            first, last = match.groups()
            prefix, _, low = first.rpartition(".")
            for number in range(int(low), int(last.rpartition(".")[2]) + 1):
                yield name, f"{prefix}.{number}" if prefix else str(number)
        elif re.fullmatch(SECTION, word):
            yield name, word
        else:
            raise AssertionError(f"{text!r}: {word!r} is neither a file of {RULES.name} nor a section")


CITATIONS = [
    (f"{path.relative_to(ROOT)}:{source.count(chr(10), 0, match.start()) + 1}", " ".join(match[1].split()))
    for path in SOURCES
    for source in [path.read_text()]
    for match in CITATION.finditer(source)
]


def test_the_source_cites() -> None:
    assert len(CITATIONS) > 60


@pytest.mark.parametrize(("place", "text"), CITATIONS, ids=[place for place, _ in CITATIONS])
def test_a_citation_leads_somewhere(place: str, text: str) -> None:
    for name, section in cited(text):
        assert (RULES / f"{name}.md").is_file(), f"{place}: there is no {name}.md"
        assert not section or section in sections(name), f"{place}: {name}.md has no section {section}"


@pytest.mark.parametrize("page", sorted(RULES.glob("*.md")), ids=lambda page: page.stem)
def test_each_section_has_an_anchor(page: Path) -> None:
    lines = page.read_text().splitlines()
    for above, line in zip(["", *lines], lines, strict=False):
        if match := HEADING.match(f"{line}\n"):
            assert above == f"({page.stem.partition('-')[0]}-{match[1].replace('.', '-')})=", line
