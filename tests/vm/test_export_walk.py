# SPDX-License-Identifier: GPL-2.0-only
"""docs/how-to/export.md: its steps, from a policy in Python to a kernel in a guest, print what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.waiting import HANG_S

PAGE = Path(__file__).parents[2] / "docs/how-to/export.md"
#: The last step builds a kernel; tests/vm/test_export.py has one with exported C built in.
LAST = "5. "
MARK = "=== "
WALL_TIME = re.compile(r"(virtual seconds in )[\d.]+ s")


def steps() -> tuple[str, list[tuple[str, list[str]]]]:
    """The policy, and each command with the lines that the page shows below it."""
    (section,) = re.findall(r"^## One policy.*?\n(.*?)^## ", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    section = textwrap.dedent(section[: section.index(f"\n{LAST}")])
    blocks = [textwrap.dedent(text) for text in re.findall(r"^ *```\w*\n(.*?)^ *```$", section, re.M | re.S)]
    shown: list[tuple[str, list[str]]] = []
    for line in "".join(blocks[1:]).splitlines():
        if line.startswith("$ "):
            shown.append((line[2:], []))
        elif line.strip():
            shown[-1][1].append(line.strip())
    return blocks[0], shown


def script(commands: list[str]) -> str:
    """The commands in one shell, a mark before each; it waits for a damond until that answers."""
    lines = ["set -e"]
    for command in commands:
        lines += [f"echo '{MARK}'", command]
        if command.startswith("export DAMOND_MOUNT"):
            lines.append("until damon status >/dev/null 2>&1; do kill -0 %1; done")
    return "\n".join([*lines, "wait || true"])


@pytest.mark.guest
def test_the_steps_print_what_the_page_shows(tmp_path: Path) -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse cannot be opened")
    policy, shown = steps()
    assert len(shown) > 8
    (tmp_path / "policy.py").write_text(policy)
    (tmp_path / "run").mkdir(mode=0o700)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RUNTIME_DIRECTORY": str(tmp_path / "run"),
    }
    done = subprocess.run(
        ["bash", "-c", script([command for command, _ in shown])],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = [WALL_TIME.sub(r"\1some", text) for text in done.stdout.split(MARK)[1:]]
    assert [[line.strip() for line in text.splitlines() if line.strip()] for text in printed] == [
        [WALL_TIME.sub(r"\1some", line) for line in lines] for _, lines in shown
    ]
