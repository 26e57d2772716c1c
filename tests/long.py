# SPDX-License-Identifier: GPL-2.0-only
"""What is too long for each run: ``python -m tests.long [PART ...]`` runs all of it, or some, one after the other.

``make test-long`` calls it. docs/explanation/testing.md has for each part when it last ran and what it showed.
"""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "--durations=20"]
#: By name: the command, and what its environment has besides.
PARTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "marked": (
        [*PYTEST, "-m", "long and not arm64", "--outcomes", "build/outcomes.json", "tests"],
        {"VMTEST_REQUIRED": "1"},
    ),
    "examples": ([*PYTEST, "-m", "not long", "tests/mm", "tests/core"], {"PYDAMON_EXAMPLES": "20"}),
    "differential": (
        [
            *[sys.executable, "-m", "tests.differential", "--seconds", "3600"],
            *["linux-source-7.3", "linux-source-7.2", "linux-source-6.12"],
        ],
        {"PYDAMON_KERNELS_REQUIRED": "1"},
    ),
    "mutations": (
        [sys.executable, "-m", "tests.differential.mutations", "--jobs", "2"],
        {"PYDAMON_KERNELS_REQUIRED": "1"},
    ),
    "soak": ([sys.executable, "benchmarks/soak.py", "--hours", "2"], {}),
    "boots": ([sys.executable, "benchmarks/boots.py", "--count", "200", "--jobs", "4"], {}),
    "kills": ([sys.executable, "-m", "benchmarks.damond_kills"], {}),
    "writes": ([*PYTEST, "tests/damond/test_fuzz.py"], {"DAMOND_FUZZ_WRITES": "100000"}),
    "debug": (["make", "test-debug"], {}),
    "arm64": (["make", "test-arm64"], {}),
}


def main(names: list[str]) -> int:
    """0 when all parts that were asked for ended with 0."""
    if unknown := [name for name in names if name not in PARTS]:
        print(f"part: {unknown[0]}: is unknown; choose of {', '.join(PARTS)}", file=sys.stderr)
        return 2
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    rows = []
    for name in names or PARTS:
        words, more = PARTS[name]
        print(f"== {name}: {' '.join(words)}", flush=True)
        began = datetime.datetime.now(datetime.UTC)
        code = subprocess.run(words, cwd=ROOT, env={**os.environ, **more}, check=False).returncode
        took = datetime.datetime.now(datetime.UTC) - began
        rows.append(
            (name, code, f"{began:%Y-%m-%d} at {commit.stdout.strip() or 'no commit'}, {took.seconds // 60} min")
        )
    for name, code, when in rows:
        print(f"{name:<10} {'ok' if code == 0 else f'ended with {code}':<15} {when}")
    return int(any(code for _, code, _ in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
