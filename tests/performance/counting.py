# SPDX-License-Identifier: GPL-2.0-only
"""What a run costs, as counts that are the same on every machine: ``python -m tests.performance.counting NAME`` prints
one number.

Each is the difference of a longer and a shorter run (or of more and fewer regions), so that the start is no part of it.
"""

from __future__ import annotations

import csv
import math
import os
import random
import sys
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[2]
OURS = tuple(f"{ROOT / part}{os.sep}" for part in ("damon", "modules"))
HISTORY = Path(__file__).with_name("history.csv")
COUNT = "count: "
SECONDS = (5, 25)
#: So many that the start, with what it parses, needs less.
REGIONS = (8000, 32_000)
AGGREGATIONS_PER_SECOND = 10


def history() -> list[dict[str, str]]:
    """The rows of ``history.csv``."""
    with HISTORY.open(newline="") as stream:
        return list(csv.DictReader(stream))


def run(seconds: float, *parameters: str) -> None:
    """DAMON_RECLAIM over the demo's workload, as the command does it."""
    from damon.cli import steps
    from damon.cli.main import main

    words = ["run", "--module", "damon_reclaim", "min_age=2000000", *parameters, "--sim", "hot-cold", "--seed", "1"]
    with patch.object(steps, "_PATIENCE_S", math.inf):  # a machine that is slow, or busy, takes fewer beats at a time
        code = main([*words, "--duration", str(seconds), "--quiet"])
    assert code in (0, None), code


def native_calls_per_aggregation() -> float:
    """Calls of C routines of the helper library in an aggregation interval of 20 samples."""
    import damon.native

    count = 0
    bind = damon.native.bind

    def counting(name: str, restype: Any, *argtypes: Any) -> Callable[..., Any]:
        function = bind(name, restype, *argtypes)

        def call(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            return function(*arguments)

        return call

    damon.native.bind = counting  # before any routine is bound
    return _per_second(lambda: count) / AGGREGATIONS_PER_SECOND


def python_calls_per_virtual_second() -> float:
    """Calls of this project's Python functions in a second of virtual time, of all threads."""
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        if event == "call" and frame.f_code.co_filename.startswith(OURS) and frame.f_code.co_name[0] != "<":
            count += 1

    threading.setprofile(profile)
    sys.setprofile(profile)
    return _per_second(lambda: count)


def _per_second(counted: Callable[[], int]) -> float:
    run(1)  # what is loaded or made once
    marks = [counted()]
    for seconds in SECONDS:
        run(seconds)
        marks.append(counted())
    shorter, longer = (after - before for before, after in zip(marks, marks[1:], strict=False))
    return (longer - shorter) / (SECONDS[1] - SECONDS[0])


def peak_bytes_per_region() -> float:
    """The most memory that Python and the library's arrays have at once, for each region more."""
    peaks = []
    run(1)
    for nr in REGIONS:
        tracemalloc.start()
        run(1, f"min_nr_regions={nr}", f"max_nr_regions={2 * nr}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    return (peaks[1] - peaks[0]) / (REGIONS[1] - REGIONS[0])


def _system_calls(physical: bool) -> float:
    """Of one region's sample, of a thousand random pages of a GiB on a made-up kernel, made old and asked for."""
    from damon.mm.linux.native import Sampler
    from damon.model.arrays import U8, Buffer
    from tests.buffers import addresses
    from tests.mm.linux.dictated import ANON
    from tests.mm.linux.fake import FakeKernel, present

    pages, samples = 1 << 18, 1000
    draw = random.Random(1)
    picked = sorted(draw.sample(range(pages), samples))
    with tempfile.TemporaryDirectory() as made, FakeKernel(Path(made), [ANON] * pages) as kernel:
        sampler, out = Sampler(kernel.files), Buffer(U8, samples)
        addrs = addresses([page << 12 for page in picked])
        if physical:
            sampler.mkold_phys(addrs, samples)
            sampler.young_phys(samples, out)
        else:
            frames = list(range(pages))
            draw.shuffle(frames)
            path = kernel.process(1, [(0, pages)], {page: present(frames[page]) for page in range(pages)})
            pagemap = os.open(path, os.O_RDONLY)
            sampler.mkold_virt(pagemap, addrs, samples)
            sampler.young_virt(pagemap, samples, out)
            os.close(pagemap)
        return sum(kernel.files.counters().values()) / samples


COUNTS: dict[str, Callable[[], float]] = {
    "native_calls_per_aggregation": native_calls_per_aggregation,
    "python_calls_per_virtual_second": python_calls_per_virtual_second,
    "system_calls_per_physical_sample": partial(_system_calls, True),
    "system_calls_per_virtual_sample": partial(_system_calls, False),
    "peak_bytes_per_region": peak_bytes_per_region,
}


def main() -> None:
    print(f"{COUNT}{COUNTS[sys.argv[1]]():.6g}")


if __name__ == "__main__":
    main()
