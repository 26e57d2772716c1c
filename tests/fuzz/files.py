# SPDX-License-Identifier: GPL-2.0-only
"""Readers of files: what each makes of foreign bytes."""

from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from contextlib import redirect_stderr, redirect_stdout

from damon.errors import InvalidInput
from tests.fuzz import seeds
from tests.fuzz.place import Said, file_of, scratch, text_of


def records(data: bytes) -> None:
    from damon.records import heatmap

    path = file_of(data)
    json.dumps(heatmap.as_object(path, heatmap.report(path, 3, 8)))


def record_run(data: bytes) -> None:
    """Records, and the same text as what lies beside them, as a run directory."""
    from damon.results.records import record_to_run
    from damon.results.run import Run

    path, out = file_of(data), scratch[0] / "run-directory"
    for name in ("kdamonds", "vmas", "mem_footprint"):
        path.with_name(f"{path.name}.{name}").write_bytes(data)
    shutil.rmtree(out, ignore_errors=True)
    record_to_run(path, out, "jsonl")
    list(Run.open(out).snapshots())


def report(data: bytes) -> None:
    """As a user sees it: an exit code, a line."""
    from damon.cli.main import main

    path = file_of(data)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["report", str(path), *(["--json"] if len(data) % 2 else [])])
    assert code in {0, 1, 2}, code
    assert (code == 0) == (not err.getvalue()), (code, err.getvalue())
    if code:
        assert err.getvalue().count("\n") == 1, err.getvalue()
        raise Said(err.getvalue().rstrip("\n"))


def import_record(data: bytes) -> None:
    """As a user sees it; what it makes can be opened."""
    from damon.cli.main import main
    from damon.workload.tracefile.reader import Trace

    path = file_of(data)
    made = path.with_name("made.trace")
    made.unlink(missing_ok=True)
    err = io.StringIO()
    with redirect_stderr(err):
        code = main(["import", str(path), "-o", str(made), "--quiet", *(["--size-scale=0.3"] if len(data) % 2 else [])])
    assert code in {0, 1, 2}, code
    if code != 2:
        Trace(made)
    if err.getvalue():
        assert err.getvalue().count("\n") <= 2, err.getvalue()
        raise Said(err.getvalue().rstrip("\n"))


def measured(data: bytes, hole: int = 0) -> bytes:
    """A trace file whose header has its lengths, most times: else most inputs fail at them.

    Args:
        data: of the file.
        hole: zeros before the description.
    """
    from damon.workload.tracefile.form import HEADER, MAGIC

    begin = data.rfind(b'{"format"')
    if not len(data) % 3 or begin < HEADER.size:
        return data
    whole = data[HEADER.size : begin] + bytes(hole) + data[begin:]
    size = HEADER.size + len(whole)
    return HEADER.pack(MAGIC, 1, HEADER.size, begin + hole, len(data) - begin, size) + whole


def trace_file(data: bytes) -> None:
    """Opened, copied or mapped; scaled; cut; replayed if it is small."""
    from unittest.mock import patch

    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload
    from damon.workload.tracefile import reader
    from damon.workload.tracefile.change import Change, change_trace
    from damon.workload.tracefile.writer import TraceWriter

    path = file_of(measured(data), "w.trace")
    with patch.object(reader, "MAX_COPIED", len(data) % 2 << 20):
        workload = load_workload(path)
        trace = reader.Trace(path)
        with TraceWriter(path.with_name("changed.trace")) as writer:
            change_trace(trace, writer, Change(size_scale=0.5, time_scale=2.0, anonymise=True))
        with TraceWriter(path.with_name("cut.trace")) as writer:
            change_trace(trace, writer, Change(trace.description.duration_ns // 2))
        if sum(area.size for area in workload.areas) < 64 << 20:
            with SimulatedMachine(workload, 1) as machine:
                for _ in range(3):
                    machine.clock.sleep_us(100_000)
                    machine.areas()


def raw_truth(data: bytes) -> None:
    from damon.guests.truth.convert import convert
    from damon.workload.tracefile.reader import Trace
    from damon.workload.tracefile.writer import TraceWriter

    path = file_of(data)
    made = path.with_name("made.trace")
    with TraceWriter(made) as writer:
        convert(path, writer)
    Trace(made)


def truth_lines(data: bytes) -> None:
    from damon.guests.truth.layout import lay_out
    from damon.guests.truth.maps import Maps

    maps = Maps(4096, 4096, 0)
    maps.feed(data)
    maps.close()
    lay_out(maps)


def convert(data: bytes) -> None:
    from damon.records.convert import CONVERTERS, regroup

    for change in (regroup, *CONVERTERS.values()):
        change(file_of(data, "convert/input"))
    assert os.listdir(scratch[0] / "convert") == ["input"]


def workload(data: bytes) -> None:
    from damon.workload import rates
    from damon.workload.load import load_workload
    from damon.workload.plan import Options, compile_plan

    workload = load_workload(file_of(data, "w.yaml"))
    compile_plan(workload, Options())
    rates.summary(workload)


def study(data: bytes) -> None:
    """What a file names is looked for in an empty directory, and only pydamon's own engine may be opened."""
    from damon.tune.study import load_study

    if b"linux" in data or b"kernel" in data:
        return  # a package would be fetched
    study = load_study(file_of(data, "studies/s.yaml"))
    for point in itertools.islice(study.space.points(), 20):
        study.words(point, study.coarse or study.stage)


def guest_results(data: bytes) -> None:
    from damon.guests.kept import Kept

    Kept(file_of(data, "study.jsonl.guests"))


def frames(data: bytes) -> None:
    from damon.results.frames import Frames

    Frames.parse(data)


def study_results(data: bytes) -> None:
    from damon.tune.results import Results

    with Results(file_of(data, "study.jsonl")) as results:
        results.finish([])


def masim(data: bytes) -> None:
    from damon.workload.load import load_workload
    from damon.workload.plan import Options, compile_plan

    compile_plan(load_workload(file_of(data, "w.cfg")), Options())


def plan(data: bytes) -> None:
    from damon.workload.plan import change_options

    change_options(text_of(data), seed=1, duration_us=5)


def suite(data: bytes) -> None:
    from vmtest.suite.command import show_matrix
    from vmtest.suite.expand import expand
    from vmtest.suite.load import load
    from vmtest.terminal import output

    suite = load(file_of(data, "suite.yaml"))
    cells = expand(suite)
    with redirect_stdout(io.StringIO()):
        show_matrix(suite, cells[:3], output())


def manifest(data: bytes) -> None:
    from vmtest.results import manifest

    found = manifest.read(file_of(data, "manifest.json"))
    assert not found.job.directory.startswith("/")
    manifest.check_files(found.job)


def run_report(data: bytes) -> None:
    """``run.json`` of a run with rows: its page."""
    from damon.report import page
    from damon.report.gather import Limits, gather
    from damon.results.run import Run

    place = file_of(data, "run/run.json").parent
    for name, content in seeds.RUN_TABLES.items():
        (place / f"{name}.jsonl").write_text(json.dumps(content) + "\n")
    page.html([gather(Run.open(place), "run", Limits(8, 8, 100))])


def results(data: bytes) -> None:
    from vmtest.results import html, writers

    directory = file_of(data, "results/results.json").parent
    run = writers.read(directory)
    writers.write_all(run, directory)
    html.write(directory)


def policies(data: bytes) -> None:
    from damon.cli.policies import read_policies

    read_policies([file_of(data, "p.yaml")])


def conditions(data: bytes) -> None:
    """Those of ``--require`` and of study files."""
    from damon.results.conditions import check, read_conditions
    from damon.results.figures import FIGURES

    found = read_conditions(text_of(data), "require")
    assert all(len(str(one)) < 300 for one in check(found, dict.fromkeys(FIGURES, 0.5)))


def native_plan(data: bytes) -> None:
    """The program that performs workloads, built with it."""
    import subprocess

    from damon.native import WORKLOAD_PROGRAM

    done = subprocess.run([WORKLOAD_PROGRAM, "--check"], input=data, capture_output=True, check=False)
    assert done.returncode in {0, 2}, (done.returncode, done.stderr[-200:])
    if done.returncode:
        raise Said(done.stderr.decode().removesuffix("\n"))


def performed_trace(data: bytes) -> None:
    """By the program, checked as a whole or mapped; with its own plan, or that of another file where it has none."""
    import subprocess

    from damon.native import WORKLOAD_PROGRAM
    from damon.workload.plan import Options, compile_plan
    from damon.workload.replays import workload_of
    from tests.workload.native import virtual_time

    def plan(of: bytes) -> str:
        workload = workload_of(file_of(of, "w.trace"), {"populate": False})
        if sum(area.size for area in workload.areas) > 64 << 20:
            raise InvalidInput("too big for here")
        return compile_plan(workload, Options(duration_us=50_000))

    hole = (65 << 20) * (len(data) % 16 == 1)
    try:
        made = plan(measured(data, hole))
    except InvalidInput:
        nearest = min(seeds.traces(), key=lambda seed: abs(len(seed) - len(data)))
        made = plan(nearest)
        file_of(measured(data, hole), "w.trace")
    done = subprocess.run([WORKLOAD_PROGRAM], input=made.encode(), capture_output=True, env=virtual_time(), check=False)
    assert done.returncode in {0, 2}, (done.returncode, done.stderr[-200:])
    if done.returncode:
        raise Said(done.stderr.decode().removesuffix("\n"))
