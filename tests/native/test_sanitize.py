# SPDX-License-Identifier: GPL-2.0-only
"""Some random operations on the C helpers under AddressSanitizer and UBSan; ``make sanitize`` plays more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def _has_runtime() -> bool:
    try:
        found = subprocess.run(["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    return Path(found.stdout.strip()).is_absolute()


@pytest.mark.skipif(not _has_runtime(), reason="gcc has no AddressSanitizer here: install gcc and libasan")
def test_random_operations_leave_no_report() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.sanitize", "3"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "3 seeds, and no report"), done.stderr[-4000:]
