# SPDX-License-Identifier: GPL-2.0-only
"""Starts workers, counts what they did, keeps the inputs for which something does not hold."""

from __future__ import annotations

import argparse
import hashlib
import json
import queue
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fuzz.case import FAILURES
from tests.fuzz.targets import TARGETS

_REPORT_S = 60.0
_SILENT_S = 600.0


@dataclass
class _Found:
    """What came out so far."""

    cases: Counter[str] = field(default_factory=Counter)
    problems: dict[Path, str] = field(default_factory=dict)

    def keep(self, target: str, data: bytes, problem: str) -> None:
        """Write the input where ``test_fuzz.py`` replays it."""
        path = FAILURES / f"{target}-{hashlib.sha256(data).hexdigest()[:8]}"
        FAILURES.mkdir(exist_ok=True)
        path.write_bytes(data)
        self.problems[path] = problem
        print(f"{target}: {problem}: kept as {path}", flush=True)


# Long: the workers are started, waited for and ended in one place, whatever ends the run.
def run(given: argparse.Namespace, scratch: Path) -> int:
    """The exit code."""
    names = given.target or list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        print(f"no target {unknown[0]!r}; there are {', '.join(TARGETS)}", file=sys.stderr)
        return 2
    if given.seconds is None and given.cases is None:
        given.cases = 1.0
    seed = given.seed if given.seed is not None else 0 if given.cases else random.SystemRandom().randrange(1 << 31)
    print(f"seed {seed}, {given.processes} processes, {len(names)} targets", flush=True)
    found = _Found()
    lines: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
    began = time.monotonic()
    end = began + given.seconds if given.seconds else None
    shares = [names[number :: given.processes] for number in range(given.processes)] if given.cases else []
    shares = shares or [names[number:] + names[:number] for number in range(given.processes)]
    workers = [
        _Worker(number, scratch, share, seed + number * 1_000_003, given, lines)
        for number, share in enumerate(shares)
        if share
    ]
    reported = began
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for one in workers:
            one.start(end)
        while any(one.alive for one in workers):
            try:
                number, words = lines.get(timeout=1.0)
                workers[number].take(words, found, end)
            except queue.Empty:
                for one in workers:
                    one.guard()
            if time.monotonic() - reported >= _REPORT_S:
                reported = time.monotonic()
                _show(found, reported - began)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    finally:
        for one in workers:
            one.end()
    _show(found, time.monotonic() - began)
    for name in names:
        print(f"  {name:16} {found.cases[name]:>10,} cases")
    for path, problem in found.problems.items():
        print(f"  {path.name}: {problem}")
    return 1 if found.problems else 0


def _show(found: _Found, seconds: float) -> None:
    total = sum(found.cases.values())
    print(
        f"{seconds:7.0f} s: {total:,} cases, {total / max(seconds, 1):.0f}/s, {len(found.problems)} problems",
        flush=True,
    )


class _Worker:
    """A process that tries inputs, and the next one when it died."""

    def __init__(
        self,
        number: int,
        scratch: Path,
        names: list[str],
        seed: int,
        given: argparse.Namespace,
        lines: queue.Queue[Any],
    ) -> None:
        self._number, self._names, self._seed, self._given, self._lines = number, names, seed, given, lines
        self._directory = scratch / str(number)
        self._directory.mkdir()
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = 0
        self._heard = time.monotonic()
        self.alive = True

    def start(self, end: float | None) -> None:
        words = [sys.executable, "-m", "tests.fuzz", "--worker", str(self._directory), "--seed", str(self._seed)]
        words += [word for name in self._names for word in ("--target", name)]
        if end is not None:
            words += ["--seconds", str(max(end - time.monotonic(), 0.1))]
        if self._given.cases:
            words += ["--cases", str(self._given.cases)]
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        threading.Thread(target=self._read, args=(self._process,), daemon=True).start()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put((self._number, json.loads(line)))
        process.wait()
        self._lines.put((self._number, None))

    def take(self, words: dict[str, Any] | None, found: _Found, end: float | None) -> None:
        """What it said; None: it has ended."""
        self._heard = time.monotonic()
        if words is None:
            assert self._process is not None
            self._ended(self._process.returncode, found, end)
        elif "problem" in words:
            found.keep(words["target"], bytes.fromhex(words["input"]), words["problem"])
        else:
            found.cases[words["target"]] += words["cases"]

    def _ended(self, code: int, found: _Found, end: float | None) -> None:
        self.alive = False
        if not code:
            return
        current = self._directory / "current"
        if not current.exists() or not current.stat().st_size:
            raise SystemExit(f"a worker died between inputs: exit code {code}")
        name, _, data = current.read_bytes().partition(b"\n")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        found.keep(name.decode(), data, f"the process died: {how}")
        self._deaths += 1
        self._seed += 7919
        if self._deaths <= 20 and (end is None or time.monotonic() < end):
            if name.decode() in self._names and self._given.cases:
                self._names = [other for other in self._names if other != name.decode()]
            self.alive = bool(self._names)
            if self.alive:
                self.start(end)

    def guard(self) -> None:
        """End one that is silent for long: a call of C's that does not return takes no signal."""
        if self.alive and self._process is not None and time.monotonic() - self._heard > _SILENT_S:
            self._process.kill()

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
