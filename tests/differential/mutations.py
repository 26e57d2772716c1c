# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.differential.mutations``: does the fuzzer find what is wrong in ``damon.core``?

Each mutation is a change of the core's text. It is made in a copy of the package, in a temporary directory, and the
fuzzer has ``--seconds`` of processor time there to find a difference.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.differential.mutants import MUTATIONS, Mutation

ROOT: Final = Path(__file__).parents[2]
#: What the copy has; the packages are links in the tree, and stay so.
COPIED: Final = (
    "damon",
    "modules",
    "workloads",
    "tests/__init__.py",
    "tests/fakes.py",
    "tests/differential",
    "tests/kernel",
)
_SOURCES: Final = "damon/native/src"
_LIBRARY: Final = "damon/native/libdamon.so"
_CFLAGS: Final = ("-O2", "-std=gnu11", "-ffp-contract=off", "-fno-strict-aliasing", "-fPIC", "-fvisibility=hidden")
_COUNTS: Final = re.compile(r"^\S+: (\d+) cases, .*?, ([\d.]+) s$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """``cases`` and ``seconds`` of processor time until the end; ``difference``: what was found, or what went wrong."""

    mutation: Mutation
    found: bool
    cases: int
    seconds: float
    difference: str

    def __str__(self) -> str:
        verdict = "found" if self.found else "NOT FOUND"
        return f"{verdict:<9} {self.cases:>5} cases {self.seconds:>6.1f} s  {self.mutation.name}: {self.difference}"


def copy_tree(place: Path) -> None:
    """The parts of the project that the fuzzer needs, at ``place``."""
    for name in COPIED:
        source, target = ROOT / name, place / name
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


def apply(mutation: Mutation, place: Path) -> None:
    """Make the changes in the copy at ``place``.

    Raises:
        ValueError: a text is not there exactly once.
    """
    for file, old, new in mutation.changes:
        path = place / file
        text = path.read_text()
        if text.count(old) != 1:
            raise ValueError(
                f"mutation {mutation.name}: {file} has {text.count(old)} times: {old}; bring it up to date"
            )
        path.write_text(text.replace(old, new))


class Objects:
    """The C helper's objects, compiled once; a mutation compiles its own files only."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._objects: dict[str, Path] = {}

    def _all(self) -> dict[str, Path]:
        with self._lock:
            if not self._objects:
                self._place.mkdir()
                names = sorted((ROOT / _SOURCES).glob("*.c"))
                with ThreadPoolExecutor(os.cpu_count()) as pool:
                    self._objects = dict(zip((path.name for path in names), pool.map(self._shared, names), strict=True))
            return dict(self._objects)

    def _shared(self, source: Path) -> Path:
        return self._compile(source, self._place / f"{source.stem}.o")

    @staticmethod
    def _compile(source: Path, out: Path) -> Path:
        subprocess.run(["cc", *_CFLAGS, "-c", str(source), "-o", str(out)], check=True)
        return out

    def link(self, mutation: Mutation, place: Path) -> None:
        """The library at ``place`` anew, when ``mutation`` changes a C file."""
        changed = {file for file, _, _ in mutation.changes if file.endswith(".c")}
        if changed:
            objects = self._all()
            for file in changed:
                source = place / file
                objects[source.name] = self._compile(source, source.with_suffix(".o"))
            words = ["cc", "-shared", *map(str, objects.values()), "-o", str(place / _LIBRARY)]
            subprocess.run(words, check=True)


def fuzz(mutation: Mutation, place: Path, version: str, seconds: float, seed: int) -> Result:
    """Run the fuzzer of the copy at ``place``."""
    words = [sys.executable, "-m", "tests.differential", "--no-shrink", "--seconds", str(seconds), "--seed", str(seed)]
    environment = {**os.environ, "PYTHONPATH": str(place), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([*words, version], cwd=place, env=environment, capture_output=True, text=True, check=False)
    counts = _COUNTS.findall(done.stdout)
    cases, took = counts[-1] if counts else ("0", "0")
    if done.returncode not in (0, 1) or not counts:
        return Result(mutation, False, int(cases), float(took), f"the fuzzer failed: {done.stderr.strip()[-500:]}")
    difference = re.search(r": seed \d+: (.*)", done.stdout)
    said = difference.group(1)[:150] if difference else ""
    return Result(mutation, done.returncode == 1 and bool(said), int(cases), float(took), said)


def play(mutation: Mutation, objects: Objects, version: str, seconds: float, seed: int = 0) -> Result:
    """One mutation, in a directory of its own that is removed."""
    with tempfile.TemporaryDirectory(prefix="pydamon-mutation-") as name:
        place = Path(name)
        copy_tree(place)
        apply(mutation, place)
        objects.link(mutation, place)
        return fuzz(mutation, place, version, seconds, seed)


def _played(
    pool: ThreadPoolExecutor, chosen: Sequence[Mutation], objects: Objects, given: argparse.Namespace
) -> Iterator[Result]:
    """Results as they come."""
    jobs = [pool.submit(play, one, objects, given.version, given.seconds, given.seed) for one in chosen]
    return (job.result() for job in as_completed(jobs))


def main(words: Sequence[str] | None = None) -> int:
    """0 when each mutation was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="of mutations (default: all)")
    parser.add_argument("--version", default="linux-source-7.3")
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time for each (default 60)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    given = parser.parse_args(words)
    known = {mutation.name: mutation for mutation in MUTATIONS}
    if unknown := [name for name in given.names if name not in known]:
        print(f"mutation: {unknown[0]}: is unknown; choose of {', '.join(known)}", file=sys.stderr)
        return 2
    missed = 0
    with tempfile.TemporaryDirectory(prefix="pydamon-objects-") as name, ThreadPoolExecutor(given.jobs) as pool:
        objects = Objects(Path(name) / "objects")
        chosen = [known[name] for name in given.names] or list(MUTATIONS)
        for result in _played(pool, chosen, objects, given):
            print(result, flush=True)
            missed += not result.found
    print(f"{len(chosen) - missed} of {len(chosen)} found")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
