# SPDX-License-Identifier: GPL-2.0-only
"""A fixed number of inputs for each parser, the same each time, and all that failed before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import place
from tests.fuzz.case import FAILURES, Target, TooManyCalls, check, kind_of, smaller
from tests.fuzz.mutate import LONGEST, Mutator
from tests.fuzz.targets import TARGETS
from tests.fuzz.words import VALUES

KEPT = sorted(path for path in FAILURES.iterdir() if path.name != "README")


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, tmp_path: Path) -> None:
    """Else the mutations of them would test little."""
    place.use(tmp_path)
    target = TARGETS[name]
    taken = 0
    for data in target.seeds():
        assert check(target, data) == ""
        try:
            target.run(data)
            taken += 1
        except target.refused:
            pass
    assert taken or name == "manifest"  # its files are nowhere


@pytest.mark.parametrize("name", TARGETS)
def test_inputs(name: str, tmp_path: Path) -> None:
    """In a process with limited memory, which may die."""
    words = [sys.executable, "-m", "tests.fuzz", "--cases", "1", "--seed", "0", "--processes", "1", "--target", name]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=None, cwd=FAILURES.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TARGETS[name].cases:,} cases" in done.stdout


def test_what_failed_before(tmp_path: Path) -> None:
    place.use(tmp_path)
    found = {path.name: check(TARGETS[path.name.rpartition("-")[0]], path.read_bytes()) for path in KEPT}
    assert {name: problem for name, problem in found.items() if problem} == {}


# -- the fuzzer itself


def test_one_seed_the_same_inputs() -> None:
    for target in TARGETS.values():
        seeds = target.seeds()
        first, second = (Mutator(seeds, target.form, 5) for _ in range(2))
        inputs = [first.next() for _ in range(50)]
        assert inputs == [second.next() for _ in range(50)]
        assert len(set(inputs)) > 30
        assert max(map(len, inputs)) <= LONGEST + 100


def test_inputs_do_not_change_what_later_ones_are_made_of() -> None:
    before = json.dumps(VALUES)
    mutator = Mutator([b'{"a": [1, {"b": []}]}'], "json", 1)
    for _ in range(3000):
        mutator.next()
    assert json.dumps(VALUES) == before


def _target(run: Callable[[bytes], None]) -> Target:
    return Target("x", "text", lambda: [b"a"], run, (KeyError,), 1)


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        ("raise IndexError('no')", "IndexError: 'no' at "),
        ("raise KeyError('fine')", ""),
        ("raise KeyError('x' * 1001)", "a message with a line of 1003 characters"),
        ("raise Refused('a\\x1b[m')", "a message with character '\\x1b'"),
        ("raise Refused('')", "an empty message"),
        ("raise Refused('a\\n' * 60)", "a message of 61 lines"),
        ("raise SystemExit(1)", "SystemExit: '1' at "),
        ("raise MemoryError", "MemoryError"),
        ("while True: len('')", "more than 3000000 calls"),
        ("def f(): f()\nf()", "RecursionError"),
        ("threading.Thread(target=time.sleep, args=(5,), daemon=True).start()", "a thread is left"),
    ],
)
def test_what_is_no_refusal_is_found(what: str, problem: str) -> None:
    import threading
    import time

    class Refused(KeyError):
        def __str__(self) -> str:
            return str(self.args[0])

    names = {"Refused": Refused, "threading": threading, "time": time}
    found = check(_target(lambda data: exec(what, dict(names))), b"")
    assert found.startswith(problem)
    assert bool(found) == bool(problem)
    assert sys.getprofile() is None


def test_a_failing_input_becomes_small() -> None:
    def run(data: bytes) -> None:
        if b"7" in data and b"8" in data:
            raise IndexError

    target = _target(run)
    data = b"x" * 500 + b"7" + b"y" * 300 + b"8" + b"z" * 100
    problem = check(target, data)
    assert sorted(smaller(target, data, problem)) == sorted(b"78")
    assert kind_of(problem) == kind_of(check(target, b"78"))
    assert issubclass(TooManyCalls, BaseException)
