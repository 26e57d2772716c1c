# SPDX-License-Identifier: GPL-2.0-only
"""A process that tries inputs. It notes each before it tries it, so that its parent knows what it died of."""

from __future__ import annotations

import json
import logging
import math
import os
import resource
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from tests.fuzz import place
from tests.fuzz.case import Hangs, Target, check, kind_of, smaller
from tests.fuzz.mutate import Mutator
from tests.fuzz.targets import TARGETS

#: Memory that reading an input of at most 64 KiB may need, the interpreter included.
MEMORY: int = 2 << 30
#: Seconds of one input after which it is given up: a guard against waiting for ever, no measure.
HANG_S: float = 60.0
_ROUND = 40
_TURN_S = 2.0


def run(scratch: Path, names: list[str], seed: int, cases: float | None, seconds: float | None) -> int:
    """Write a line of JSON for each round and each problem to standard output; 0."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us
    signal.signal(signal.SIGALRM, _hang)
    logging.disable(logging.CRITICAL)
    files = scratch / "files"
    files.mkdir(exist_ok=True)
    place.use(files)
    chosen = [TARGETS[name] for name in names]
    mutators = {one.name: Mutator(one.seeds(), one.form, seed) for one in chosen}
    left = {one.name: max(int(one.cases * (cases or 1)), 1) for one in chosen}
    known: set[tuple[str, str]] = set()
    end = time.monotonic() + seconds if seconds else None
    note = os.open(scratch / "current", os.O_RDWR | os.O_CREAT, 0o600)
    while any(left.values()) and (end is None or time.monotonic() < end):
        for target in chosen:
            if cases:
                count = min(left[target.name], _ROUND)
                left[target.name] -= count
                for _ in range(count):
                    _try(target, mutators[target.name].next(), note, known)
            else:  # each target has the same time
                turn_end = min(time.monotonic() + _TURN_S, end or math.inf)
                count = 0
                while time.monotonic() < turn_end:
                    _try(target, mutators[target.name].next(), note, known)
                    count += 1
            _say({"target": target.name, "cases": count})
    return 0


def _try(target: Target, data: bytes, note: int, known: set[tuple[str, str]]) -> None:
    written = target.name.encode() + b"\n" + data
    os.pwrite(note, written, 0)
    os.ftruncate(note, len(written))
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        problem = check(target, data)
    except Hangs:
        problem = f"more than {HANG_S:g} seconds"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.ftruncate(note, 0)
    if problem and (key := (target.name, kind_of(problem))) not in known:
        known.add(key)
        if "seconds" not in problem:
            signal.setitimer(signal.ITIMER_REAL, HANG_S)
            with suppress(Hangs):
                data = smaller(target, data, problem)
            signal.setitimer(signal.ITIMER_REAL, 0)
        _say({"target": target.name, "problem": problem, "input": data.hex()})


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hangs


def _say(words: dict[str, object]) -> None:
    print(json.dumps(words), file=sys.__stdout__, flush=True)
