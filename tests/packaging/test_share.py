# SPDX-License-Identifier: GPL-2.0-only
"""Man pages and completions are those of the commands as they are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from share import generate

SHARE = Path(generate.__file__).parent


@pytest.mark.parametrize("name", sorted(generate.files()))
def test_generated_files_are_current(name: str) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("argparse words its help differently in each version of Python; the files are those of 3.11")
    assert (SHARE / name).read_text() == generate.files()[name], "run: make share"


@pytest.mark.parametrize("name", sorted(generate.COMMANDS))
def test_pages_of_commands_are_current(name: str) -> None:
    if sys.version_info[:2] != (3, 11):
        pytest.skip("argparse words its help differently in each version of Python; the pages are those of 3.11")
    assert (generate.PAGES / f"{name}.md").read_text() == generate.pages()[f"{name}.md"], "run: make share"


def _bash_offers(command: str, *words: str) -> set[str]:
    """What bash completes the last word to."""
    script = (SHARE / f"bash-completion/completions/{command}").read_text()
    typed = " ".join(f"'{word}'" for word in (command, *words))
    script += f"\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; COMP_LINE='{command} {' '.join(words)}'\n"
    script += f"_shtab_{command.replace('-', '_')}; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_bash_completes_commands_options_workloads_and_modules() -> None:
    assert {"run", "record", "report"} <= _bash_offers("damon", "r")
    assert _bash_offers("damon", "run", "--du") == {"--duration"}
    assert "hot-cold" in _bash_offers("damon", "run", "--sim", "hot")
    assert "damon_reclaim" in _bash_offers("damon", "run", "--module", "damon_r")
    assert "--kernel" in _bash_offers("vmtest", "exec", "--ker")


@pytest.mark.parametrize("command", sorted(generate.COMMANDS))
def test_man_pages_format_without_a_warning(command: str) -> None:
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed: the page is not formatted")
    words: list[str | Path] = ["groff", "-man", "-Tutf8", "-ww", SHARE / f"man/man1/{command}.1"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "damon" in done.stdout
