# SPDX-License-Identifier: GPL-2.0-only
"""``--sanitize``: what the plain build does not notice ends the run, with file and line."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.kernel.trees import changed, source
from tests.waiting import HANG_S

TRIED = "\ts->stat.nr_tried++;\n"


def _run(engine: str, *words: str) -> tuple[int, str]:
    """In a process of its own: the runtime has to be loaded first, so the command starts itself again."""
    command = [sys.executable, "-m", "damon", "run", "--engine", engine, *words, "--module", "damon_reclaim"]
    command += ["min_age=1000000", "--sim", "hot-cold", "--duration", "6", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=4 * HANG_S, check=False)
    return done.returncode, done.stderr


def test_the_tree_as_it_is() -> None:
    source()
    code, said = _run("linux-source-7.3", "--sanitize")
    assert code == 0, said
    assert "ERROR" not in said
    assert "runtime error" not in said


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("\t*((volatile char *)s + sizeof(*s)) = 1;\n", r"AddressSanitizer: heap-buffer-overflow"),
        ("\t{ volatile unsigned long n = 64 + !sz_tried; s->stat.nr_tried += 0 * (1UL << n); }\n",
         r"core\.c:\d+:\d+: runtime error: shift exponent 64 is too large"),
    ],
    ids=["address", "undefined"],
)  # fmt: skip
def test_what_a_plain_build_does_not_notice(new: str, said: str) -> None:
    tree = str(changed((TRIED, TRIED + new)))
    assert _run(f"kernel:{tree}")[0] == 0
    code, errors = _run(f"kernel:{tree}", "--sanitize")
    assert code == 1, errors
    assert re.search(said, errors), errors
    assert re.search(r"damos_update_stat .*/mm/damon/core\.c:\d+", errors), errors
