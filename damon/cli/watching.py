# SPDX-License-Identifier: GPL-2.0-only
"""The look at all page frames, as a process of its own: what it needs itself is gone before anything is measured.

Then it measures how long a worker will wait for the processor: next to the workload, and to the command's looks at it.
"""

from __future__ import annotations

import itertools
import json
import sys
from array import array
from collections.abc import Iterable

from damon.errors import MissingCapability
from damon.mm.frames import FrameRun
from damon.mm.linux import LinuxMachine
from damon.mm.linux.beside import Pace, Watch, runs


def looked_at(machine: LinuxMachine, without: Iterable[int], memcg_id: int, shared_rate: float) -> list[FrameRun]:
    """All frames in use but ``without``, in two looks: the second is at what has come into use during the first.

    A program that has just begun takes its busiest memory then, and what replays a capture does.
    """
    first = Watch(machine, without, memcg_id)
    second = Watch(machine, itertools.chain(without, first.pfns), memcg_id)
    found = [*first.runs(shared_rate), *second.runs(shared_rate)]
    return runs(sorted(found, key=lambda run: run.pfn))


def main() -> int:
    """The frames of standard input (64 bits each) are left out. The rows of the others go to standard output, as JSON,
    and how long a thread waits for the processor (:class:`Pace`).

    Arguments: the number of a cgroup, and the rate of what is shared (:meth:`Watch.runs`).
    """
    without = array("Q", sys.stdin.buffer.read())
    try:
        with LinuxMachine() as machine:
            found = looked_at(machine, without, int(sys.argv[1]), float(sys.argv[2]))
            pace = Pace.measured(machine.clock)
    except MissingCapability as error:
        print(error, file=sys.stderr)
        return 3
    rows = [[run.pfn, run.nr, run.rate, run.charged, run.locked, run.mapped] for run in found]
    json.dump({"frames": rows, "late_ns": pace.late_ns, "run_delay": pace.run_delay}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
