# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.sanitize SEEDS [SEED]``: the C helpers with AddressSanitizer and UBSan under random operations.

Memory that Python lends to C comes from malloc then, with poisoned bytes on both sides: a routine that leaves its
array is found. What a sanitizer finds ends the run with its report; the seed printed last plays it again.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "damon/native/src"
LIBRARY = ROOT / "build/sanitize/libdamon.so"
#: As setup.py has them; memory that is not aligned is what x86 and the records of FUSE allow.
FLAGS = (
    "-O1",
    "-g",
    "-std=gnu11",
    "-fPIC",
    "-shared",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fvisibility=hidden",
)
SANITIZE = (
    "-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
)  # fmt: skip


def build() -> Path:
    """The library, unless it is newer than its sources."""
    sources = [*SOURCES.glob("*.c"), *SOURCES.glob("*.h")]
    if not LIBRARY.exists() or LIBRARY.stat().st_mtime < max(path.stat().st_mtime for path in sources):
        LIBRARY.parent.mkdir(parents=True, exist_ok=True)
        files = sorted(str(path) for path in SOURCES.glob("*.c"))
        made = LIBRARY.with_suffix(f".{os.getpid()}")
        subprocess.run(["gcc", *FLAGS, *SANITIZE, *files, "-o", str(made)], check=True)
        made.replace(LIBRARY)
    return LIBRARY


def environment(library: Path) -> dict[str, str]:
    """What a Python has in it that loads ``library``: the runtimes come before it."""
    runtimes = [
        subprocess.run(
            ["gcc", f"-print-file-name=lib{name}.so"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("asan", "ubsan")
    ]
    return {
        **os.environ,
        "LD_PRELOAD": ":".join(runtimes),
        "PYDAMON_SANITIZED": str(library),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def main() -> int:
    words = sys.argv[1:] or ["1000"]
    command = [sys.executable, "-m", "tests.sanitize.operations", *words]
    return subprocess.run(command, cwd=ROOT, env=environment(build()), check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
