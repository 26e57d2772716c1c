# SPDX-License-Identifier: GPL-2.0-only
"""Recording and reading back: every region as the tracepoint had it, in each form, however the recording ended."""

from __future__ import annotations

import errno
import json
import os
import stat
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from damon.core import Damon
from damon.core.events import AGGREGATED
from damon.core.regions import kdamond_reset_aggregated
from damon.core.trace import TraceEvent
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosFilterType, DamosQuota, DamosQuotaGoal
from damon.model.scheme import DamosQuotaGoalMetric as Metric
from damon.model.target import DamonTarget
from damon.records import heatmap, params
from damon.records.environment import LinuxEnvironment, SimEnvironment
from damon.records.form import Key
from damon.records.read import Damaged, Item, read
from damon.records.recorder import Recorder
from damon.workload.load import load_workload
from tests.contexts import new_ctx, selected
from tests.fakes import FakeMachine, FakeSpace, regions_of

MIB = 1 << 20
Seen = list[tuple[int, int, list[tuple[int, int, int, int]]]]  # time, target, regions


def _two_targets() -> tuple[Damon, DamonCtx]:
    """vaddr on two processes whose first MiB is hot."""
    spaces = [FakeSpace(lambda addr: addr % (1 << 30) < MIB) for _ in range(2)]
    for pid, space in enumerate(spaces, 7):
        space.pid = pid
        space.areas = [(base, base + 16 * MIB) for base in (1 << 30, 2 << 30, 9 << 30)]
    machine = FakeMachine(processes=spaces)
    damon = Damon(machine, seed=3)
    ctx = selected(damon, "vaddr")
    ctx.targets += [DamonTarget(space=machine.open_process(pid)) for pid in (7, 8)]
    return damon, ctx


def _listen(damon: Damon) -> Seen:
    seen: Seen = []

    def note(event: TraceEvent) -> None:
        seen.append((event.time_ns, event.fields[0], [row[:4] for row in event.regions()]))

    damon.trace.subscribe(note, [AGGREGATED])
    return seen


def _run(
    damon: Damon, ctx: DamonCtx, recorder: Recorder, seconds: float, each: Callable[[], None] = lambda: None
) -> None:
    damon.start([ctx])
    recorder.watch(ctx)
    for _ in range(round(seconds * 10)):
        damon.machine.clock.sleep_us(100_000)
        recorder.poll()
        each()
    recorder.refresh()
    damon.stop([ctx])


@pytest.mark.parametrize("form", ["json_compressed", "json", "perf_script"])
def test_what_was_traced_is_what_is_read(tmp_path: Path, form: str) -> None:
    damon, ctx = _two_targets()
    seen = _listen(damon)
    path = tmp_path / "damon.data"
    recorder = Recorder(damon, path, output_type=form, flush_s=0.35)
    _run(damon, ctx, recorder, 3)
    recorder.finish()
    items = list(read(path))
    assert recorder.nr_snapshots == len(items) == len(seen) >= 58
    for target in (0, 1):
        expected = [(time, rows) for time, index, rows in seen if index == target]
        found = [(s.end_ns, [row[:4] for row in s.rows]) for record, s in items if record.key.target == target]
        assert found == expected
        starts = [s.start_ns for record, s in items if record.key.target == target]
        if form != "perf_script":
            assert starts == [expected[0][0] - 100_000_000] + [time for time, _ in expected[:-1]]
    # one record for each target, whatever the number of writes
    assert [key.target for key in dict.fromkeys(record.key for record, _ in items)] == [0, 1]
    switches = sum(a[0].key != b[0].key for a, b in zip(items, items[1:], strict=False))
    assert switches == 1
    for entry in tmp_path.iterdir():
        assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["damon.data", "damon.data.kdamonds"]
    if form == "json_compressed":
        records = json.loads(zlib.decompress(path.read_bytes()))
    elif form == "json":
        records = json.loads(path.read_text())
    else:
        return
    names = "kdamond_idx context_idx intervals scheme_idx target_id scheme_filters data_source snapshots"
    assert [" ".join(record) for record in records] == [names, names]
    assert records[0]["intervals"]["sample_us"] == "5000"


def test_one_seed_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        machine = SimulatedMachine(load_workload("workloads/stairs.yaml"), 5)
        damon = Damon(machine, seed=5)
        ctx = selected(damon, "vaddr")
        ctx.targets += [DamonTarget(space=machine.open_process(pid)) for pid in machine.pids.values()]
        recorder = Recorder(damon, tmp_path / name, SimEnvironment(machine), events=[AGGREGATED, "damos_esz"])
        _run(damon, ctx, recorder, 2)
        recorder.finish()
        parts = [(tmp_path / f"{name}{end}").read_bytes() for end in ("", ".mem_footprint", ".vmas", ".trace")]
        files.append(parts)
        machine.close()
    assert files[0] == files[1]
    lines = files[0][3].decode().splitlines()
    assert lines[0].split()[:5] == ["kdamond.0", "0", "[000]", "0.100000:", "damon:damon_aggregated:"]
    footprints = json.loads(files[0][1])
    assert [snapshot["time"] for snapshot in footprints] == [0.1, 1.1]
    pid, footprint = footprints[1]["footprints"][0].values()
    assert pid == 1000
    assert footprint["size"] >= footprint["resident"] > 0
    (vmas,) = json.loads(files[0][2])  # they never changed
    assert vmas["procvmas"][0]["vmas"][0]["start"] > 0


def test_it_is_readable_at_any_time(tmp_path: Path) -> None:
    damon, ctx = _two_targets()
    path = tmp_path / "damon.data"
    recorder = Recorder(damon, path, flush_s=0.5)
    assert list(read(path)) == []
    counts: list[int] = []
    _run(damon, ctx, recorder, 4, lambda: counts.append(len(list(read(path)))))
    assert counts == sorted(counts)
    assert counts[-1] >= 68
    assert max(counts[n + 1] - counts[n] for n in range(len(counts) - 1)) == 10
    # what a kill at this moment leaves: several records of each target, and the last half second is missing
    killed = list(read(path))
    assert len(killed) == counts[-1]
    assert {record.key for record, _ in killed} == {Key(0, 0), Key(0, 1)}
    times = [s.end_ns for record, s in killed if record.key.target == 1]
    assert times == sorted(times)
    recorder.finish()
    assert len(list(read(path))) == recorder.nr_snapshots


def test_memory_is_bounded_however_long_it_takes(tmp_path: Path) -> None:
    damon = Damon(FakeMachine())
    rows = [(4096 * i, 4096 * (i + 1), i % 20) for i in range(200)]
    ctx = new_ctx(damon, regions=[regions_of(*rows), regions_of(*rows)])
    recorder = Recorder(damon, tmp_path / "damon.data", flush_s=1)
    held: list[int] = []
    tracemalloc.start()
    for step in range(300):
        damon.machine.clock.sleep_us(100_000)
        kdamond_reset_aggregated(ctx)
        recorder.poll()
        if step % 10 == 9:
            held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.reset_peak()
    recorder.finish()  # with several records of each target: it is regrouped
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held[-1] < held[2] + (1 << 17)
    assert peak < held[-1] + (6 << 20)
    assert (tmp_path / "damon.data").stat().st_size > 100_000
    assert len(list(read(tmp_path / "damon.data"))) == 600


def test_a_full_disk_ends_it_with_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damon, ctx = _two_targets()
    path = tmp_path / "damon.data"
    recorder = Recorder(damon, path, flush_s=0.5)

    def full(fd: int, data: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    damon.start([ctx])
    pwrite = os.pwrite
    for step in range(30):
        damon.machine.clock.sleep_us(100_000)
        if step == 15:
            written = len(list(read(path)))
            monkeypatch.setattr(os, "pwrite", full)
        if step < 19:
            recorder.poll()
            continue
        with pytest.raises(OSError, match=r"damon\.data: cannot be written: No space left.*; make room") as caught:
            recorder.poll()
        assert caught.value.errno == errno.ENOSPC
        break
    assert len(list(read(path))) == written > 20
    with pytest.raises(OSError, match="No space left"):
        recorder.finish()
    assert len(list(read(path))) == written
    monkeypatch.setattr(os, "pwrite", pwrite)
    damon.stop([ctx])


def test_nothing_is_lost_when_there_is_room_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damon, ctx = _two_targets()
    recorder = Recorder(damon, tmp_path / "damon.data", flush_s=0.5)
    seen = _listen(damon)
    pwrite, full = os.pwrite, False

    def sometimes(fd: int, data: bytes, at: int) -> int:
        if full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return pwrite(fd, data, at)

    monkeypatch.setattr(os, "pwrite", sometimes)
    damon.start([ctx])
    failures = 0
    for step in range(30):
        full = 10 <= step < 20
        damon.machine.clock.sleep_us(100_000)
        try:
            recorder.poll()
        except OSError:
            failures += 1
    damon.stop([ctx])
    recorder.finish()
    assert failures == 2
    assert len(list(read(tmp_path / "damon.data"))) == len(seen)


def test_tuned_intervals_are_spelled_out(tmp_path: Path) -> None:
    machine = FakeMachine(lambda addr: addr < MIB // 4)
    damon = Damon(machine)
    ctx = new_ctx(damon, attrs=DamonAttrs(intervals_goal=DamonIntervalsGoal(400, 3, 5000, 20000)))
    path = tmp_path / "damon.data"
    recorder = Recorder(damon, path)
    _run(damon, ctx, recorder, 4)
    recorder.finish()
    (record,) = json.loads(zlib.decompress(path.read_bytes()))
    first, last = record["snapshots"][0], record["snapshots"][-1]
    assert (first["sample_interval_us"], last["sample_interval_us"]) == ("5000", "20000")
    assert first["regions"][0]["nr_accesses"]["percent"] is None
    assert first["regions"][0]["age"]["usec"] is None
    for region in last["regions"]:
        assert region["nr_accesses"]["percent"] == region["nr_accesses"]["samples"] * 5
        assert region["age"]["usec"] == str(int(region["age"]["aggr_intervals"]) * 400_000)


def test_hits_of_probes(tmp_path: Path) -> None:
    damon = Damon(FakeMachine())
    ctx = new_ctx(damon, regions=[regions_of((0, 4096, 3, 1, 5))], probes=[DamonProbe(), DamonProbe()])
    ctx.targets[0].regions[0].probe_hits[:2] = [5, 255]
    recorder = Recorder(damon, tmp_path / "damon.data")
    kdamond_reset_aggregated(ctx)
    recorder.finish()
    ((_, snapshot),) = list(read(tmp_path / "damon.data"))
    assert snapshot.rows == ((0, 4096, 3, 5, (5, 255)),)


def test_parameters_beside_it(tmp_path: Path) -> None:
    damon, ctx = _two_targets()
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(ms=3, sz=4096, reset_interval=1000))
    scheme.quota.goals.append(DamosQuotaGoal(Metric.NODE_MEM_FREE_BP, 50, nid=1))
    scheme.add_filter(DamosFilter(DamosFilterType.ADDR, matching=True, addr_start=0, addr_end=4096))
    scheme.add_filter(DamosFilter(DamosFilterType.ANON, matching=False, allow=True))
    ctx.schemes += [scheme, Damos()]
    recorder = Recorder(damon, tmp_path / "damon.data")
    _run(damon, ctx, recorder, 1)
    recorder.finish()
    (kdamond,) = json.loads((tmp_path / "damon.data.kdamonds").read_text())
    (context,) = kdamond["contexts"]
    assert [target["pid"] for target in context["targets"]] == ["7", "8"]
    regions = context["targets"][0]["regions"]
    assert [int(r["end"]) - int(r["start"]) for r in regions] == [16 * MIB] * 3  # pieces of one range are one
    written, plain = context["schemes"]
    assert written["action"] == "pageout"
    assert [rule["filter_type"] for rule in written["filters"]] == ["addr", "anon"]
    assert written["quotas"]["goals"][0]["metric"] == "node_mem_free_bp"
    assert 100 < int(plain["stats"]["nr_tried"]) <= ctx.schemes[1].stat.nr_tried  # as they were shortly before the end
    assert params.kdamond(ctx, 5)["contexts"][0]["targets"] == []  # the worker's end destroys them


def test_events_that_come_too_fast_are_counted(tmp_path: Path) -> None:
    damon, ctx = _two_targets()
    recorder = Recorder(damon, tmp_path / "damon.data", capacity=100)
    damon.start([ctx])
    damon.machine.clock.sleep_us(5_000_000)
    damon.stop([ctx])
    recorder.finish()
    assert recorder.lost > 0
    assert 0 < recorder.nr_snapshots < 100
    assert not damon.trace.enabled(AGGREGATED)


def test_this_machines_processes() -> None:
    environment = LinuxEnvironment()
    pid = os.getpid()
    footprint = environment.footprint([pid, (1 << 22) + 1])
    ours, gone, system = footprint["footprints"]
    assert ours["pid"] == pid
    assert ours["footprint"]["size"] > ours["footprint"]["resident"] > 100
    assert set(gone["footprint"].values()) == {0}
    assert system["pid"] is None
    assert system["footprint"]["total"] > system["footprint"]["free"] > 0
    assert list(system["footprint"]) == ["total", "free", "available", "buffers", "cached"]
    (vmas, none) = environment.vmas([pid, (1 << 22) + 1])
    assert any(vma["name"] == "[stack]" for vma in vmas["vmas"])
    assert none["vmas"] == []
    stats = environment.stats([pid, (1 << 22) + 1])
    assert stats[0]["fields"][0] == str(pid)
    assert stats[1]["fields"] is None


def test_a_damaged_file_is_read_up_to_there(tmp_path: Path) -> None:
    damon, ctx = _two_targets()
    path = tmp_path / "damon.data"
    recorder = Recorder(damon, path, flush_s=0.2)
    _run(damon, ctx, recorder, 3)
    recorder.finish()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    got: list[Item] = []
    with pytest.raises(Damaged, match="ends too early"):
        got.extend(read(path))
    assert 10 < len(got) < recorder.nr_snapshots
    report = heatmap.report(path, 5, 5)
    assert report.damaged is not None
    assert sum(target.nr_snapshots for target in report.targets) == len(got)


def test_parameters_of_the_level_next() -> None:
    """As damo has them."""
    idle = DamonFilter(DamonFilterType.PGIDLE_SET, True, True)
    size = DamonFilter(DamonFilterType.HUGEPAGE_SIZE, True, range_min=4096, range_max=8192)
    scheme = Damos()
    scheme.add_filter(DamosFilter(DamosFilterType.PROBE_HITS_WSUM, True, range_min=3, range_max=30))
    ctx = new_ctx(Damon(FakeMachine()), scheme, probes=[DamonProbe(1, [idle, size], [DamonPrep()])])
    (context,) = params.kdamond(ctx, 5)["contexts"]
    (probe,) = context["probes"]
    assert probe["preps"] == [{"prep_action": "set_pgidle"}]
    ranges = [(rule["filter_type"], rule["range_min"], rule["range_max"]) for rule in probe["filters"]]
    assert ranges == [("pgidle_set", None, None), ("hugepage_size", "4096", "8192")]
    (rule,) = context["schemes"][0]["filters"]
    assert (rule["filter_type"], rule["probe_hits_wsum_range"], rule["hugepage_size"]) == (
        "probe_hits_wsum", ["3", "30"], None,
    )  # fmt: skip
