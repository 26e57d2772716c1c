# SPDX-License-Identifier: GPL-2.0-only
"""Commands, options, files and links that the pages name exist. Nothing is run: each command goes to its parser."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import io
import pkgutil
import re
from collections.abc import Iterator, Sequence
from functools import cache
from operator import attrgetter
from pathlib import Path

import pytest

from damon.modules.loader import find_module, find_modules
from damon.modules.module import Module
from damon.workload.find import shipped
from share.generate import COMMANDS, parsers_below
from tests.documentation import DOCS, PAGES, ROOT, Command, anchors, blocks, commands, slug, spans, split
from vmtest import Guest
from vmtest.images.variants import variants
from vmtest.suite.expand import expand
from vmtest.suite.load import parse

NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
#: Source that names pages.
SOURCES = sorted(
    path
    for top in ("benchmarks", "damon", "examples", "images", "modules", "share", "tests", "vmtest", "workloads")
    for ending in (".py", ".c", ".h", ".yaml", ".service")
    for path in (ROOT / top).rglob(f"*{ending}")
)
TOPS = "benchmarks|damon|docs|examples|images|modules|share|tests|vmtest|workloads"


@cache
def parser(program: str) -> argparse.ArgumentParser:
    return COMMANDS[program][0]()


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The arguments as the command's own parser has them; an error is a failed assertion with the parser's message."""
    program, *rest = words
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        try:
            found, extra = parser(program).parse_known_args([word for word in rest if word != "..."])
        except SystemExit as end:
            assert end.code == 0, said.getvalue().strip()
            return argparse.Namespace()
    assert not extra, f"unknown: {' '.join(extra)}"
    return found


def check_parameters(kind: type[Module], words: Sequence[str]) -> None:
    known = {spec.name for spec in kind.specs()}
    unknown = [word for word in words if re.match(r"\w+=", word) and word.partition("=")[0] not in known]
    assert not unknown, f"{kind.name} has no parameter {unknown}"


def check_modules(found: argparse.Namespace) -> None:
    """Modules and parameters of ``--module``, ``--cmdline``, ``modprobe``, ``modinfo`` and ``param``."""
    given = [list(words) for words in getattr(found, "module", None) or [] if isinstance(words, list)]
    texts = [str(getattr(found, "cmdline", ""))]
    texts += [" ".join(map(str, getattr(found, name, None) or ())) for name in ("names", "words")]
    pairs = re.findall(r"(?<!\S)(damon_\w+)\.(\w+)", " ".join(texts))
    given += [[module, f"{name}="] for module, name in pairs]
    if isinstance(name := getattr(found, "name", None), str):
        given.append([name, *(getattr(found, "words", None) or ())])
    for module, *words in given:
        if module in find_modules() or "/" in module:
            check_parameters(find_module(str(ROOT / module) if "/" in module else module), words)
        else:  # of an exported policy, which --with builds
            assert getattr(found, "extra", None), f"no module {module}"


def check_names(found: argparse.Namespace) -> None:
    """Shipped workloads and kernels that are given by name."""
    workload = getattr(found, "sim", None)
    if isinstance(workload, str):
        made = workload.endswith(".trace")  # by damon import
        example = any(ROOT.glob(f"examples/*/{workload}"))
        assert made or example or workload in shipped() or (ROOT / workload).exists() or workload.isupper(), workload
    kernel = getattr(found, "kernel", None)
    if isinstance(kernel, str) and re.fullmatch(r"[a-z0-9.-]+", kernel) and not kernel.startswith("linux-image"):
        assert kernel in variants(), kernel


def message(error: AssertionError) -> str:
    return (str(error).splitlines() or ["wrong"])[0]


def check_files(words: list[str]) -> None:
    """Words that are paths below a directory of the repository, and modules of ``python -m``."""
    for word in words:
        if re.match(rf"(?:{TOPS})/", word):
            assert (ROOT / re.split(r"[:\s]", word)[0]).exists(), f"no such file: {word}"
    module = re.match(r"\S*python3? -m ((?:tests|benchmarks|share|damon|vmtest)\.\S+)", " ".join(words))
    if module:
        path = ROOT / module[1].replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").exists(), f"no such module: {module[1]}"


def check_make(words: Sequence[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    for word in words[1:]:
        if "=" in word:
            assert re.search(rf"\b{word.partition('=')[0]}\b", text), f"make has no variable {word}"
        elif not word.startswith("-"):
            assert re.search(rf"^{re.escape(word)}:", text, re.MULTILINE), f"make has no target {word}"


def check(words: tuple[str, ...]) -> None:
    program = Path(words[0]).name
    if program in COMMANDS:
        found = parsed([program, *words[1:]])
        check_modules(found)
        check_names(found)
        if "--" in words and (started := words[words.index("--") + 1 :]):
            check(started)
    elif program == "make" and not any(word.startswith(("O=", "-C")) for word in words):  # not a kernel's
        check_make(words)
    elif program in ("sh", "bash") and words[1:2] == ("-c",):
        for inner in split(words[2]):
            check(inner)
    check_files(list(words))


@pytest.mark.parametrize("page", NAMES)
def test_commands_parse(page: str) -> None:
    wrong = []
    for command in commands(ROOT / page):
        try:
            check(command.words)
        except AssertionError as error:
            wrong.append(f"{command}: {message(error)}")
    assert not wrong, "\n".join(wrong)


def chosen(words: Sequence[str]) -> argparse.ArgumentParser:
    """The parser of ``damon record``, of ``vmtest exec``, ..."""
    found = parser(words[0])
    for word in words[1:]:
        below = [action for action in found._actions if isinstance(action, argparse._SubParsersAction)]
        if not below or not re.fullmatch(r"[a-z]+", word):
            break
        assert word in below[0].choices, f"{found.prog} has no command {word}"
        found = below[0].choices[word]
    return found


def options(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word == "--":
            return
        if re.match(r"--[a-z]", word):
            yield word.partition("=")[0]


@pytest.mark.parametrize("page", NAMES)
def test_commands_in_running_text_exist(page: str) -> None:
    """`damon run --linux`: command and options, not what is left out or stands for something."""
    wrong = []
    for line, span in spans(ROOT / page):
        words = re.sub(r"[][|]", " ", span).split()
        if words[0] not in COMMANDS:
            continue
        try:
            known = {name for one in parsers_below(chosen(words)) for name in one._option_string_actions}
            unknown = [option for option in options(words) if option not in known]
            assert not unknown, f"no option {unknown}"
        except AssertionError as error:
            wrong.append(f"{page}:{line}: `{span}`: {message(error)}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", NAMES)
def test_files_in_running_text_exist(page: str) -> None:
    missing = []
    for line, span in spans(ROOT / page):
        path = span.partition(":")[0]
        if re.fullmatch(rf"(?:{TOPS})/[\w./*-]+", path) and not any(ROOT.glob(path.rstrip("/"))):
            missing.append(f"{page}:{line}: `{span}`")
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("page", [name for name in NAMES if not name.startswith("docs/")])
def test_links_outside_of_docs_lead_somewhere(page: str) -> None:
    """Sphinx checks those of ``docs/``."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", (ROOT / page).read_text()):
        if not re.match(r"https?:|mailto:", target):
            name, _, anchor = target.partition("#")
            path = (ROOT / page).parent / name if name else ROOT / page
            if not path.exists() or (anchor and anchor not in anchors(path)):
                dead.append(target)
    assert not dead


def test_pages_that_source_names_exist() -> None:
    dead = []
    for path in SOURCES:
        if path.name == "test_machine.py":  # has a tree of its own
            continue
        for name, anchor in re.findall(r"\b(docs/[\w/-]+\.md)(?:#([\w-]+))?", path.read_text()):
            page = ROOT / name
            if not page.exists() or (anchor and anchor not in anchors(page)):
                dead.append(f"{path.relative_to(ROOT)}: {name}{'#' if anchor else ''}{anchor}")
    assert not dead, "\n".join(dead)


@pytest.mark.parametrize("page", NAMES)
def test_python_compiles_and_its_imports_exist(page: str) -> None:
    for block in blocks(ROOT / page):
        if block.language != "python":
            continue
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] in ("damon", "vmtest"):
                module = importlib.import_module(str(node.module))
                missing = [one.name for one in node.names if not hasattr(module, one.name)]
                assert not missing, f"{page}:{block.line}: {node.module} has no {missing}"


def test_the_suite_file_of_the_reference_makes_jobs() -> None:
    (text,) = [block.text for block in blocks(DOCS / "reference/suites.md") if block.language == "yaml"]
    jobs = expand(parse(text))
    assert len(jobs) > 50
    assert {job.kernel_name for job in jobs} >= {"page-idle", "mine", "next"}


def test_lines_of_pages_wrap_at_100() -> None:
    """Tables, blocks, headings and links have lines as long as they need."""
    long = []
    for page in PAGES:
        text = re.sub(r"^( *)```.*?^ *```$", lambda hit: "\n" * hit[0].count("\n"), page.read_text(), flags=re.M | re.S)
        for number, row in enumerate(text.splitlines(), 1):
            if len(row) > 100 and " " in row.strip() and not row.startswith(("|", "#")) and "](" not in row:
                long.append(f"{page.relative_to(ROOT)}:{number}: {len(row)}")
    assert not long, "\n".join(long)


def resolves(name: str) -> bool:
    """A dotted name below ``damon`` or ``vmtest``, or of a guest: an attribute or a module."""
    first, _, rest = name.partition(".")
    try:
        attrgetter(rest)(Guest()) if first.lower() == "guest" else pkgutil.resolve_name(name)
    except (AttributeError, ImportError):
        return False
    return True


@pytest.mark.parametrize("page", NAMES)
def test_names_of_the_api_exist(page: str) -> None:
    """`damon.open_engine()` and `Guest.get()` in running text, ``damon.X`` and ``guest.X`` in blocks of Python."""
    found = {name for _, span in spans(ROOT / page) for name in re.findall(r"^((?:damon|vmtest|Guest)\.[\w.]+)", span)}
    for block in blocks(ROOT / page):
        if block.language == "python":
            found |= set(re.findall(r"(?<![\w.\"])((?:damon|vmtest|guest)\.[A-Za-z_]\w*(?:\.[a-z]\w*)?)\(", block.text))
    files = r"\.(h|service|data|vmas|py|md|yaml)$|\.PID\."
    assert [name for name in sorted(found) if not re.search(files, name) and not resolves(name.rstrip("."))] == []


def test_what_is_wrong_is_found() -> None:
    for words, why in (
        (("damon", "run", "--linux", "--simm"), "--simm"),
        (("damon", "dump"), "dump"),
        (("damon", "run", "--sim", "hot-cold", "--module", "damon_reclaim", "min_ag=1"), "min_ag"),
        (("damon", "run", "--sim", "warm", "--module", "damon_reclaim"), "warm"),
        (("vmtest", "exec", "--kernel", "no-such", "--", "true"), "no-such"),
        (("vmtest", "exec", "--", "damon", "recrod"), "recrod"),
        (("vmtest", "exec", "--", "sh", "-c", "cd /tmp; damon record --linux --pdi 1"), "--pdi"),
        (("vmtest", "run", "tests/vm/suites/nothing.yaml"), "nothing.yaml"),
        (("python", "-m", "benchmarks.nothing"), "nothing"),
        (("make", "nothing"), "nothing"),
    ):
        with pytest.raises(AssertionError, match=re.escape(why)):
            check(words)
    assert [name for name in ("damon.mm.sim", "Guest.get", "damon.open_engin", "Guest.take") if not resolves(name)] == [
        "damon.open_engin",
        "Guest.take",
    ]
    assert slug("What is `acted on`, and what is not") == "what-is-acted-on-and-what-is-not"
    assert any(isinstance(one, Command) for one in commands(DOCS / "how-to/export.md"))
