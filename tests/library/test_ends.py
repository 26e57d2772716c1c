# SPDX-License-Identifier: GPL-2.0-only
"""Programs that forget to stop their workers, or are ended: Python ends all the same, in the order one expects."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAD = """
import atexit, sys, damon
from tests.fakes import FakeMachine, regions_of
from damon.mm.clock import RealClock

def context(clock):
    if clock == "sim":
        machine = damon.open_machine(sim="workloads/hot-cold.yaml", seed=1)
    else:
        machine = FakeMachine()
        machine.clock = RealClock()
    kernel = damon.Damon(machine)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    return machine, kernel, ctx

machine, kernel, ctx = context(sys.argv[1])
"""

FORGOTTEN = """
block = damon.running(kernel, ctx)
block.__enter__()
"""


def run(program: str, clock: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", HEAD + program, clock]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=600)


clocks = pytest.mark.parametrize("clock", ["sim", "real"])


@clocks
@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        ("", 0, ""),
        ("raise KeyError('mine')", 1, "KeyError: 'mine'"),
        ("sys.exit(7)", 7, ""),
        ("results = damon.aggregations(kernel, ctx); next(results)", 0, ""),
        ("kernel.call(ctx, damon.DamonCallControl(lambda ctx: None, repeat=True))", 0, ""),
        ("machine.close()", 0, ""),
        ("del machine, kernel, ctx", 0, ""),
    ],
    ids=["plain", "exception", "sys.exit", "aggregations", "callback", "machine closed", "names deleted"],
)
def test_a_program_without_the_end_of_its_block_ends(clock: str, end: str, code: int, said: str) -> None:
    done = run(FORGOTTEN + "machine.clock.sleep_us(200000)\n" + end, clock)
    assert done.returncode == code, done.stderr
    assert done.stderr.strip().rpartition("\n")[2] == said
    assert "Exception ignored" not in done.stderr


@clocks
def test_started_and_never_stopped(clock: str) -> None:
    done = run("kernel.start([ctx])\nmachine.clock.sleep_us(200000)\nprint(ctx.passed_sample_intervals > 0)", clock)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_a_worker_has_ended_before_what_was_registered_before_it_runs() -> None:
    program = """
atexit.register(lambda: print("before", kernel.nr_running_ctxs))
kernel.start([ctx])
atexit.register(lambda: print("after", kernel.nr_running_ctxs))
"""
    assert run(program, "real").stdout == "after 1\nbefore 0\n"


def test_a_worker_that_is_stuck_in_a_users_function_does_not_keep_python() -> None:
    program = """
import threading
def stuck(ctx):
    began.set()
    threading.Event().wait()
began = threading.Event()
kernel.start([ctx])
kernel.call(ctx, damon.DamonCallControl(stuck, repeat=True))
began.wait()
"""
    assert run(program, "real").returncode == 0


@clocks
def test_without_a_block_as_in_a_notebook(clock: str) -> None:
    program = """
kernel.start([ctx])
machine.clock.sleep_us(300000)
print(kernel.nr_running_ctxs)
kernel.stop()
print(kernel.nr_running_ctxs, ctx.error)
kernel.stop()
machine.close()
machine.close()
"""
    done = run(program, clock)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n0 None\n", "")
