# SPDX-License-Identifier: GPL-2.0-only
"""The suite of guest tests below ``examples/`` passes as a user runs it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.guest
def test_the_example_of_a_suite_passes() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "examples/guest_tests"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if "no guest" in done.stdout and done.returncode == 0:
        pytest.skip(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout
    assert re.search(r"^3 passed in ", done.stdout, re.MULTILINE), done.stdout
