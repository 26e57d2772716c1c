# SPDX-License-Identifier: GPL-2.0-only
"""Compiles ``damon/kernel/shim`` without a warning against each kernel tree in the cache: a part of ``make lint``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from damon.kernel import build, packages


def compiles(tree: Path) -> bool:
    """Whether each file of the shim compiles without a warning; the compiler prints those that there are."""
    checked = [flag for flag in build.CFLAGS if flag != "-w"]
    flags = [os.environ.get("CC", "cc"), *checked, "-Wall", "-Wextra", "-Werror"]
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        build.generate(tree, out)
        done = [
            subprocess.run([*flags, *words, "-c", str(path), "-o", "/dev/null"], check=False)
            for path, words in build.shim_files(tree, out).items()
        ]
    return not any(one.returncode for one in done)


def main() -> int:
    """The exit code: 1 when there is a warning."""
    trees = packages.cached()
    if not trees:
        fetch = "damon modinfo --engine linux-source-7.3 damon_stat"
        print(f"damon/kernel/shim: not compiled: there is no kernel tree in the cache; `{fetch}` fetches one")
    return max([not compiles(one.tree) for one in trees], default=False)


if __name__ == "__main__":
    sys.exit(main())
