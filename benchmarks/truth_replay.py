# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.truth_replay CAPTURE.trace ...``: a capture, its replay, and that of a record of it.

A directory of ``damon accuracy --out`` has both of one run in a guest: the capture, and the record of a monitor beside
it (``--monitor``). The capture is cut to the record's time and process. Of a capture alone, the record is made of the
replay (vaddr, 5 ms and 100 ms).

Of the capture itself plain Python counts, from the file: the memory that is accessed in each second, and what a policy
reclaims that takes each page that was not accessed for some seconds, and refaults. The same is measured on the
simulated machine, of the replay of the capture and of that of the record; and what damon_reclaim does to both. Virtual
time: the same numbers anywhere.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from damon.cli.main import main as damon
from damon.guests.truth.convert import Truth, convert
from damon.mm.sim import SimulatedMachine
from damon.model.machine import Advice
from damon.records.read import read
from damon.workload.load import load_workload
from damon.workload.tracefile.change import Change, change_trace
from damon.workload.tracefile.form import unpack_rows
from damon.workload.tracefile.mapping import areas_of
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.writer import TraceWriter
from tests import buffers
from tests.buffers import addresses

SECOND = 10**9
PAGE = 4096
MIB = 1 << 20
#: A space's number or a pid, and a page or an address: it only has to identify one.
Page = tuple[int, int]


@dataclass
class Policy:
    """Which pages are there, and since when they are idle."""

    idle_s: int
    last: dict[Page, int] = field(default_factory=dict)  #: of pages that are there
    gone: set[Page] = field(default_factory=set)  #: reclaimed
    working_set: list[int] = field(default_factory=list)  #: bytes by second
    resident: list[int] = field(default_factory=list)
    reclaimed: int = 0
    refaults: int = 0

    def second(self, number: int, touched: set[Page], mapped: set[Page]) -> set[Page]:
        """A second with these accesses; what is to be reclaimed then.

        Args:
            number: of the second.
            touched: pages that are there and were accessed.
            mapped: all that can be there.
        """
        for page in touched:
            self.last[page] = number
        self.refaults += len(touched & self.gone)
        self.gone -= touched
        self.last = {page: at for page, at in self.last.items() if page in mapped}
        self.gone &= mapped
        cold = {page for page, at in self.last.items() if number - at >= self.idle_s}
        for page in cold:
            del self.last[page]
        self.gone |= cold
        self.reclaimed += len(cold) * PAGE
        self.working_set.append(len(touched) * PAGE)
        self.resident.append(len(self.last) * PAGE)
        return cold


def seconds(trace: Trace) -> list[int]:
    """Begins of seconds, more or less: edges of windows, as a window's accesses can be at any time in it."""
    what, found = trace.description, [0]
    for t in range(SECOND, what.duration_ns, SECOND):
        windows = (trace.window_at(space, t - 1) for space in range(len(what.spaces)))
        found.append(max(t, *(window.t1 for window in windows if window), 0))
    return found


def of_capture(trace: Trace, edges: list[int], idle_s: int) -> Policy:
    """By the file alone."""
    policy, what = Policy(idle_s), trace.description
    areas = [one for one in areas_of(trace) if one.mapped]
    windows = [
        [(t0, t1, unpack_rows(rows)) for t0, t1, rows in trace.windows(space)] for space in range(len(what.spaces))
    ]
    for number, (low, high) in enumerate(pairwise(edges)):
        there = [a for a in areas if any(begin < high <= end for begin, end in a.mapped)]
        mapped: set[Page] = {(a.space, page) for a in there for page in range(a.first, a.first + a.nr_pages)}
        touched: set[Page] = set()
        for space, of_space in enumerate(windows):
            for t0, t1, rows in of_space:
                if low <= (t0 + t1) // 2 < high:
                    touched |= {(space, page) for start, end, *_ in rows for page in range(start, end)}
        policy.second(number, touched & mapped, mapped)
    return policy


def of_replay(path: Path, edges: list[int], idle_s: int) -> Policy:
    """On the simulated machine: what is there is accessed in a second, or new."""
    policy = Policy(idle_s)
    workload = load_workload(path)
    with SimulatedMachine(workload, 1) as machine:
        spaces = {pid: machine.open_process(pid) for pid in machine.pids.values()}
        for number, edge in enumerate(edges[1:]):
            batches = {}
            for pid, space in spaces.items():
                addrs = list(_present(machine, pid))
                batches[pid] = (addrs, space.mkold(addresses(addrs), len(addrs)))
            machine.clock.sleep_us(-(-(edge - machine.clock.now_ns()) // 1000))
            touched: set[Page] = set()
            mapped: set[Page] = set()
            for pid, space in spaces.items():
                addrs, batch = batches[pid]
                young = buffers.young(space, batch)
                now = set(_present(machine, pid))
                old = {addr for addr, is_young in zip(addrs, young, strict=True) if not is_young}
                touched |= {(pid, addr) for addr in now - old}
                mapped |= {(pid, addr) for addr in now}
            for pid, addr in sorted(policy.second(number, touched, mapped | policy.gone)):
                spaces[pid].madvise(addr, PAGE, Advice.PAGEOUT)
    return policy


def _present(machine: SimulatedMachine, pid: int) -> Iterator[int]:
    space = machine.open_process(pid)
    for low, high in space.mappings():
        for folios in space.folios(low, high):
            yield from (folio.addr for folio in folios)


def reclaim(path: Path, scratch: Path, idle_s: int, seconds_: float) -> tuple[float, float]:
    """Bytes that damon_reclaim reclaims of a replay without quotas and watermarks, and refaults."""
    result = scratch / "result.json"
    params = [f"min_age={idle_s * 10**6}", "quota_sz=0", "quota_ms=0"]
    params += ["wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "min_nr_regions=1000", "max_nr_regions=2000"]
    words = ["run", "--sim", str(path), "--duration", f"{seconds_:g}", "--module", "damon_reclaim", *params]
    assert damon([*words, "--quiet", "--json", str(result)]) == 0
    found = json.loads(result.read_text())
    return found["modules"]["damon_reclaim"]["applied_bytes"], found["memory"]["refaults"]


def record_of_replay(path: Path, scratch: Path) -> Path:
    """The trace of a DAMON record of a replay."""
    duration = Trace(path).description.duration_ns / SECOND
    record, trace = str(scratch / "record"), scratch / "record.trace"
    words = ["--ops", "vaddr", "--update-us", "1000000", "--seed", "2", "--duration", f"{duration:g}", "--quiet"]
    assert damon(["record", "--sim", str(path), *words, "-o", record]) == 0
    assert damon(["import", record, "-o", str(trace), "--quiet"]) == 0
    return trace


def of_one_run(directory: Path, monitor: str, scratch: Path) -> tuple[Path, Path]:
    """The traces of a capture and of the record beside it, of the same time and the same processes."""
    trace, whole, part = scratch / "record.trace", scratch / "whole.trace", scratch / f"{directory.name}.trace"
    assert damon(["import", str(directory / f"{monitor}.data"), "-o", str(trace), "--quiet"]) == 0
    (pid,) = map(int, (directory / f"{monitor}.pids").read_text().split())
    truth = Truth(directory / f"{monitor}.raw")
    process = [space.name for space in truth.layout.spaces if space.pid == pid][-1]  # since its last execve
    begins = [window.begin_ns for window in truth.windows()]
    starts = [snapshot.start_ns for _, snapshot in read(directory / f"{monitor}.data") if snapshot.start_ns is not None]
    begin = max(one for one in begins if one <= starts[0]) - begins[0]
    duration = min(Trace(trace).description.duration_ns, begins[-1] - begins[0] - begin)
    with TraceWriter(whole) as writer:
        convert(directory / f"{monitor}.raw", writer)
    with TraceWriter(part) as writer:
        change_trace(Trace(whole), writer, Change(begin, begin + duration, process))
    return part, trace


def show(path: Path, idle_s: int, monitor: str) -> None:
    with tempfile.TemporaryDirectory(prefix="damon-truth-") as name:
        scratch = Path(name)
        if path.is_dir():
            capture, record = of_one_run(path, monitor, scratch)
        else:
            capture, record = path, record_of_replay(path, scratch)
        edges = seconds(Trace(capture))
        columns = [of_capture(Trace(capture), edges, idle_s)]
        columns += [of_replay(one, edges, idle_s) for one in (capture, record)]
        module = [reclaim(one, scratch, idle_s, edges[-1] / SECOND) for one in (capture, record)]
    print(f"\n{path.stem:<34}{'capture':>10}{'replay':>10}{'':>9}{'of record':>10}")
    figures: tuple[tuple[str, Callable[[Policy], float]], ...] = (
        ("working set, mean MiB", lambda one: sum(one.working_set) / len(one.working_set) / MIB),
        ("working set p50, MiB", lambda one: sorted(one.working_set)[len(one.working_set) // 2] / MIB),
        ("working set p95, MiB", lambda one: sorted(one.working_set)[len(one.working_set) * 95 // 100] / MIB),
        ("resident, mean MiB", lambda one: sum(one.resident) / len(one.resident) / MIB),
        (f"reclaimed when idle for {idle_s} s, MiB", lambda one: one.reclaimed / MIB),
        ("refaults", lambda one: one.refaults),
    )
    for name, figure in figures:
        _line(name, [figure(one) for one in columns])
    for at, name in enumerate(("damon_reclaim: reclaimed, MiB", "damon_reclaim: refaults")):
        values = [one[at] / (1 if at else MIB) for one in module]
        print(f"  {name:<32}{'':>10}{values[0]:>10.2f}{'':>9}{values[1]:>10.2f}{_share(values[1], values[0]):>9}")


def _line(name: str, values: list[float]) -> None:
    capture, replay, record = values
    print(f"  {name:<32}{capture:>10.2f}{replay:>10.2f}{_share(replay, capture):>9}"
          f"{record:>10.2f}{_share(record, capture):>9}")  # fmt: skip


def _share(value: float, of: float) -> str:
    if not of:
        return ""
    return f"{(value / of - 1) * 100:+.1f} %" if value < 10 * of else f"x {value / of:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("capture", nargs="+", type=Path, help="a trace file, or a directory of damon accuracy --out")
    parser.add_argument("--monitor", default="host", metavar="NAME", help="whose record, of a directory (host)")
    parser.add_argument("--idle", type=int, default=3, metavar="S", help="reclaim what is idle for so long (3)")
    given = parser.parse_args()
    for path in given.capture:
        show(path, given.idle, given.monitor)


if __name__ == "__main__":
    main()
