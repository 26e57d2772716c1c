# SPDX-License-Identifier: GPL-2.0-only
"""A trace performed in a guest and recorded there by DAMON: the record shows the trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from damon.records.read import read
from damon.workload.tracefile.form import Row, TracedArea
from tests.vm.job import COUNTED, PYTHON, RunningWorkload, workload
from tests.waiting import HANG_S, until
from tests.workload.traces import Window, write
from vmtest import Guest

pytestmark = [pytest.mark.guest(memory="1G", **COUNTED), pytest.mark.long]

S, MS = 10**9, 10**6
WINDOW = 200 * MS
#: First page and end of each area: one of two is hot, first the one and then the other; one is warm, one is cold.
AREAS = {"first": (0, 1024), "second": (1024, 2048), "warm": (2048, 4096), "cold": (4096, 16384)}
TURN, END = 13 * S, 26 * S
#: Until regions have the shape of what they are on, seconds.
SETTLE = 4
#: Touches of a page in a window: every 10 and every 100 ms.
HOT, WARM = 20.0, 2.0
SAMPLE_US, SAMPLES = 20_000, 20


def _trace(path: Path) -> Path:
    windows = []
    for t0 in range(0, END, WINDOW):
        hot = AREAS["first" if t0 < TURN else "second"]
        rows: list[Row] = sorted([(*hot, HOT, 0.5), (*AREAS["warm"], WARM, 0.0)])
        windows.append(Window(t0, t0 + WINDOW, rows))
    areas = [TracedArea(name, 0, low, end - low, mapped=((0, END),)) for name, (low, end) in AREAS.items()]
    return write(path, [("web", 16384, windows)], areas, END)


def _record(guest: Guest, running: RunningWorkload, to: Path) -> float:
    """Records the replay, and returns when it began, in seconds of the guest."""
    said = guest.run(f"kill -USR1 {running.pid} && cat /proc/uptime", timeout=HANG_S).check().text
    until(lambda: len(running.reports()) > 1)
    words = f"{PYTHON} -m damon.cli.main record --linux --ops vaddr --quiet --pid {running.pid} -o /tmp/replay.data"
    words += f" --sample-us {SAMPLE_US} --aggr-us {SAMPLES * SAMPLE_US} --min-nr-regions 100 --duration 20"
    guest.run(f"{words} --accesses-only", timeout=HANG_S).check()
    guest.get("/tmp/replay.data", to)
    return float(said.split()[0]) - float(running.reports()[1]["seconds"])


def _heat(data: Path, began: float, areas: dict[str, tuple[int, int]]) -> tuple[dict[tuple[str, bool], float], float]:
    """The share of samples with an access, by area, and whether after the turn; the length of a sample in ns."""
    heat: dict[tuple[str, bool], list[float]] = {}
    snapshots = [snapshot for _, snapshot in read(data)]
    first = snapshots[0].end_ns / 1e9 - began
    for snapshot in snapshots:
        t = snapshot.end_ns / 1e9 - began
        if t - first < SETTLE or -0.5 < t - TURN / 1e9 < SETTLE or t > END / 1e9:
            continue
        for name, (low, high) in areas.items():
            parts = [(min(e, high) - max(s, low), nr) for s, e, nr, *_ in snapshot.rows if s < high and e > low]
            share = sum(size * nr for size, nr in parts) / SAMPLES / sum(size for size, _ in parts)
            heat.setdefault((name, t > TURN / 1e9), []).append(share)
    sample = (snapshots[-1].end_ns - snapshots[0].end_ns) / (len(snapshots) - 1) / SAMPLES
    return {key: sum(values) / len(values) for key, values in heat.items()}, sample


def test_a_replay_recorded(shared_guest: Guest, tmp_path: Path) -> None:
    """Heat by area and time: what the trace says of samples of that length, and the turn in time."""
    path = _trace(tmp_path / "web.trace")
    shared_guest.run(["mkdir", "-p", str(tmp_path)]).check()
    shared_guest.put(path, str(path))
    with workload(shared_guest, path) as running:
        began = _record(shared_guest, running, tmp_path / "replay.data")
        end = running.reports()[-1]
    seen, sample = _heat(tmp_path / "replay.data", began, running.areas)
    warm = min(1.0, sample / (WINDOW / WARM))
    shown = {f"{name} {when}": round(value, 3) for (name, when), value in seen.items()}
    print(f"  samples of {sample / 1e6:.1f} ms; warm {warm:.2f} expected; {shown}; {end['touches']} touches,")
    print(f"  {end['dropped']} dropped, up to {end['late_us']} us late")
    for late in (False, True):
        assert seen["first" if not late else "second", late] > 0.85
        assert seen["second" if not late else "first", late] < 0.1
        assert seen["warm", late] == pytest.approx(warm, abs=0.08)
        assert seen["cold", late] < 0.03
    due = (1024 * HOT + 2048 * WARM) / (WINDOW / 1e9) * end["seconds"]
    assert end["touches"] + end["dropped"] == pytest.approx(due, rel=0.03)
    assert end["touches"] > 0.9 * due
