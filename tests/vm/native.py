# SPDX-License-Identifier: GPL-2.0-only
"""The project's C programs for a guest of another architecture: the project's own build, with another compiler."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests.vm.job import PROJECT
from vmtest.images.arch import Architecture
from vmtest.images.hostpkgs import program

ROOT = Path(__file__).parents[2]


def trees(arch: Architecture) -> tuple[tuple[str, str], ...]:
    """What lies over the project's tree in the guest: nothing where this machine's own programs run.

    Raises:
        MachineLacks: the compiler is missing.
        subprocess.CalledProcessError: the build failed.
    """
    if arch.native:
        return ()
    place = ROOT / "build" / arch.name
    place.mkdir(parents=True, exist_ok=True)
    words = [sys.executable, "setup.py", "-q", "build_ext"]
    words += ["--build-lib", str(place), "--build-temp", str(place / "objects")]
    compiler = {"CC": program(f"{arch.prefix}gcc")}
    with FileLock(str(place / ".lock")):
        subprocess.run(words, cwd=ROOT, env={**os.environ, **compiler}, check=True, capture_output=True)
    return ((str(place / "damon/native"), f"{PROJECT}/damon/native"),)
