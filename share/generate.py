# SPDX-License-Identifier: GPL-2.0-only
"""Man pages, shell completions and pages of the documentation, from the parsers of the commands (``make share``).

They are kept in the tree because a build has neither the parsers' dependencies nor these generators.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import shtab

from damon.cli.damond import parser as damond_parser
from damon.cli.main import parser as damon_parser
from damon.modules.loader import find_modules
from damon.workload.find import shipped
from damon.workload.runner import parser as workload_parser
from share.manpage import man_page
from share.pages import page
from share.parsers import commands
from vmtest.cli.main import parser as vmtest_parser

HERE: Final = Path(__file__).parent
PAGES: Final = HERE.parent / "docs/reference/commands"
#: Each command: its parser, and what ``whatis`` says of it.
COMMANDS: Final = {
    "damon": (damon_parser, "data access monitoring and access-aware operation schemes in user space"),
    "damond": (damond_parser, "serve the kernel's DAMON interfaces from user space"),
    "damon-workload": (workload_parser, "perform the memory accesses of a workload file"),
    "vmtest": (vmtest_parser, "run commands and test suites in QEMU guests"),
}
# Shell functions that complete what a value is, by its METAVAR.
PREAMBLE: Final = {
    "bash": """\
_damon_workloads() { compgen -W "%(workloads)s" -- "$1"; _shtab_compgen_files "$1"; }
_damon_modules() { compgen -W "%(modules)s" -- "$1"; }
""",
    "zsh": """\
_damon_workloads() { _alternative 'names:shipped workload:(%(workloads)s)' 'files:file:_files' }
_damon_modules() { compadd -- %(modules)s }
""",
}
COMPLETIONS: Final[dict[str, Mapping[str, object]]] = {
    "WORKLOAD": {"bash": "_damon_workloads", "zsh": "_damon_workloads"},
    "NAME": {"bash": "_damon_modules", "zsh": "_damon_modules"},
    "FILE": shtab.FILE,
    "RECORD": shtab.FILE,
    "PATH": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "DIR|PACKAGE": shtab.DIRECTORY,
    "DIRECTORY": shtab.DIRECTORY,
}


def parsers_below(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """``parser`` and those of its commands."""
    yield parser
    for _, command in commands(parser).values():
        yield from parsers_below(command)


def _with_completions(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Says of each argument how a shell completes it; ``NAME`` is a module where the argument is called so."""
    for one in parsers_below(parser):
        for action in one._actions:
            metavar = action.metavar[0] if isinstance(action.metavar, tuple) else action.metavar
            how = COMPLETIONS.get(str(metavar or action.dest).upper())
            if how is not None and (metavar != "NAME" or "module" in action.dest):
                action.complete = how  # type: ignore[attr-defined]
    return parser


def completion(name: str, shell: str) -> str:
    """The completion script of ``name`` for ``shell``."""
    names = {"workloads": " ".join(shipped()), "modules": " ".join(find_modules())}
    preamble = PREAMBLE[shell] % names
    return shtab.complete(_with_completions(COMMANDS[name][0]()), shell=shell, preamble=preamble).rstrip() + "\n"


def files() -> dict[str, str]:
    """Every generated file: its path below ``share/`` and its text."""
    found = {}
    for name, (parser, summary) in COMMANDS.items():
        found[f"man/man1/{name}.1"] = man_page(parser(), summary, [other for other in COMMANDS if other != name])
        found[f"bash-completion/completions/{name}"] = completion(name, "bash")
        found[f"zsh/site-functions/_{name}"] = completion(name, "zsh")
    return found


def pages() -> dict[str, str]:
    """The commands' pages of the documentation: name below ``docs/reference/commands/`` and text."""
    return {f"{name}.md": page(parser(), summary) for name, (parser, summary) in COMMANDS.items()}


def main() -> int:
    """Write them; the exit code."""
    found = {HERE / name: text for name, text in files().items()} | {
        PAGES / name: text for name, text in pages().items()
    }
    for path, text in found.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        print(f"{path.relative_to(HERE.parent)}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
