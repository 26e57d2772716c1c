# SPDX-License-Identifier: GPL-2.0-only
"""The shell commands, the commands in running text and the links of the pages: README.md, docs/ and others."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
#: ``docs/reference/commands`` is written from the parsers themselves.
PAGES = sorted(
    [
        *(page for page in DOCS.rglob("*.md") if page.parent != DOCS / "reference/commands"),
        *(
            ROOT / name
            for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "examples/README.md")
        ),
    ]
)
#: Languages of blocks that are a shell's; a block without one shows commands and what they print.
SHELL = ("", "console", "sh")
_BLOCK = re.compile(r"^( *)```([^\n]*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
#: ``$ ``, ``# `` (root), ``rack1$ ``, ``~/project$ ``.
_PROMPT = re.compile(r"^(?:[\w~/.-]*\$|#) (?=\S)")
#: A command line of a CI configuration.
_CI = re.compile(r"^ *- (?:run: )?((?:vmtest|damon|pip) .*)$", re.MULTILINE)
_STARTS = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:damon|damond|damon-workload|vmtest|make|python|pip|sh|cp|export) ")
_END = frozenset({"|", "||", "&&", ";", "&", "(", ")"})


@dataclass(frozen=True, slots=True)
class Command:
    """One simple command: where it stands, and its words."""

    page: str
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code: the line that it begins at, and its text."""

    language: str
    line: int
    text: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, without the indentation of a list."""
    text = page.read_text()
    return [
        Block(
            found[2].strip(),
            text.count("\n", 0, found.start(3)) + 1,
            re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE),
        )
        for found in _BLOCK.finditer(text)
    ]


def transcript(text: str) -> list[tuple[str, str]]:
    """Each command after ``$ `` at the beginning of a line, and what is shown below it."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command, output) for command, _, output in (part.partition("\n") for part in parts)]


def _lines(block: Block) -> Iterator[tuple[int, str]]:
    """Command lines of a block. Where one line has a prompt, those without are output."""
    rows = block.text.splitlines()
    prompts = any(row.startswith("$ ") or re.match(r"[\w~/-]+\$ ", row) for row in rows)
    prompts = prompts or bool(rows and rows[0].startswith("# ") and _STARTS.match(rows[0][2:]))
    index = 0
    while index < len(rows):
        line, row = block.line + index, rows[index]
        while row.endswith("\\") and index + 1 < len(rows):
            index += 1
            row = f"{row[:-1].rstrip()} {rows[index].strip()}"
        index += 1
        prompt = _PROMPT.match(row)
        if prompts and prompt:
            yield line, row[prompt.end() :]
        elif not prompts and _STARTS.match(f"{row} "):
            yield line, row


def split(line: str) -> Iterator[tuple[str, ...]]:
    """The simple commands of a shell line, those in ``$(...)`` among them."""
    for inner in re.findall(r"\$\(([^()]*)\)", line):
        yield from split(inner)
    lexer = shlex.shlex(re.sub(r"\$\([^()]*\)", "1", line), posix=True, punctuation_chars="();<>|&")
    lexer.whitespace_split = True
    words: list[str] = []
    redirected = False
    for word in [*lexer, ";"]:
        if word in _END:
            if words:
                yield tuple(words)
            words = []
        elif set(word) <= set("<>&"):
            redirected = True
            if words and words[-1].isdigit():
                del words[-1]
        elif redirected:
            redirected = False
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
            words.append(word)


def commands(page: Path) -> Iterator[Command]:
    """Every simple command of the page's blocks."""
    name = str(page.relative_to(ROOT))
    for block in blocks(page):
        if block.language in SHELL:
            found = list(_lines(block))
        elif block.language == "yaml":
            text = block.text
            found = [(block.line + text.count("\n", 0, hit.start(1)), hit[1]) for hit in _CI.finditer(text)]
        else:
            continue
        for line, row in found:
            if "[--" not in row:  # the synopsis of a command
                yield from (Command(name, line, words) for words in split(row))


def spans(page: Path) -> Iterator[tuple[int, str]]:
    """Line and text of each ``code`` in running text."""
    text = _BLOCK.sub(lambda found: "\n" * found[0].count("\n"), page.read_text())
    for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        yield text.count("\n", 0, found.start()) + 1, " ".join(found[1].split())


def slug(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


def anchors(page: Path) -> set[str]:
    """Of all headings of a page, and its explicit ones."""
    text = _BLOCK.sub("", page.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE)} | set(
        re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE)
    )
