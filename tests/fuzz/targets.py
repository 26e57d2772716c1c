# SPDX-License-Identifier: GPL-2.0-only
"""The table of everything that reads foreign text. A new parser gets a row."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from damon.errors import DamonError, InvalidInput
from tests.fuzz import seeds
from tests.fuzz.case import Target

_scratch: list[Path] = []


def use(directory: Path) -> None:
    """Where targets write what they read from files."""
    _scratch[:] = [directory]


def _file(data: bytes, name: str = "input") -> Path:
    path = _scratch[0] / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _records(data: bytes) -> None:
    from damon.records import heatmap

    path = _file(data)
    json.dumps(heatmap.as_object(path, heatmap.report(path, 3, 8)))


class _Said(Exception):
    """What a command said when it refused its input."""


def _report(data: bytes) -> None:
    """As a user sees it: an exit code, a line."""
    from damon.cli.main import main

    path = _file(data)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["report", str(path), *(["--json"] if len(data) % 2 else [])])
    assert code in {0, 1, 2}, code
    assert (code == 0) == (not err.getvalue()), (code, err.getvalue())
    if code:
        assert err.getvalue().count("\n") == 1, err.getvalue()
        raise _Said(err.getvalue().rstrip("\n"))


def _import(data: bytes) -> None:
    """As a user sees it; what it makes can be opened."""
    from damon.cli.main import main
    from damon.workload.tracefile.reader import Trace

    path = _file(data)
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
        raise _Said(err.getvalue().rstrip("\n"))


def _trace_file(data: bytes) -> None:
    """Opened, copied or mapped; scaled; replayed if it is small."""
    from unittest.mock import patch

    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload
    from damon.workload.tracefile import reader
    from damon.workload.tracefile.change import Change, change_trace
    from damon.workload.tracefile.form import HEADER, MAGIC
    from damon.workload.tracefile.writer import TraceWriter

    begin = data.rfind(b'{"format"')
    if len(data) % 3 and begin >= HEADER.size:  # else most inputs fail at their length
        head = HEADER.pack(MAGIC, 1, HEADER.size, begin, len(data) - begin, len(data))
        data = head + data[HEADER.size :]
    path = _file(data, "w.trace")
    with patch.object(reader, "MAX_COPIED", len(data) % 2 << 20):
        workload = load_workload(path)
        trace = reader.Trace(path)
        with TraceWriter(path.with_name("changed.trace")) as writer:
            change_trace(trace, writer, Change(size_scale=0.5, time_scale=2.0, anonymise=True))
        if sum(area.size for area in workload.areas) < 64 << 20:
            with SimulatedMachine(workload, 1) as machine:
                for _ in range(3):
                    machine.clock.sleep_us(100_000)
                    machine.areas()


def _convert(data: bytes) -> None:
    from damon.records.convert import CONVERTERS, regroup

    for change in (regroup, *CONVERTERS.values()):
        change(_file(data, "convert/input"))
    assert os.listdir(_scratch[0] / "convert") == ["input"]


def _workload(data: bytes) -> None:
    from damon.workload import rates
    from damon.workload.load import load_workload
    from damon.workload.plan import Options, compile_plan

    workload = load_workload(_file(data, "w.yaml"))
    compile_plan(workload, Options())
    rates.summary(workload)


def _policies(data: bytes) -> None:
    from damon.cli.policies import read_policies

    read_policies([_file(data, "p.yaml")])


def _study(data: bytes) -> None:
    """What a file names is looked for in an empty directory, and only pydamon's own engine may be opened."""
    from damon.tune.study import load_study

    if b"linux" in data or b"kernel" in data:
        return  # a package would be fetched
    study = load_study(_file(data, "studies/s.yaml"))
    for point in itertools.islice(study.space.points(), 20):
        study.words(point, study.coarse or study.stage)


def _study_results(data: bytes) -> None:
    from damon.tune.results import Results

    with Results(_file(data, "study.jsonl")) as results:
        results.finish([])


def _masim(data: bytes) -> None:
    from damon.workload.load import load_workload
    from damon.workload.plan import Options, compile_plan

    compile_plan(load_workload(_file(data, "w.cfg")), Options())


def _plan(data: bytes) -> None:
    from damon.workload.plan import change_options

    change_options(_text(data), seed=1, duration_us=5)


def _quantities(data: bytes) -> None:
    from damon.workload.quantities import parse_bytes, parse_duration, parse_rate, parse_size

    _one_of([partial(parse, field="x") for parse in (parse_bytes, parse_size, parse_duration, parse_rate)], data)


def _one_of(parsers: list[Callable[[str], Any]], data: bytes) -> None:
    """The first byte chooses the parser of the rest."""
    if data:
        parsers[data[0] % len(parsers)](_text(data[1:]))


#: Options with a value of their own grammar, behind what else the command needs.
_OPTIONS = (
    "damon run --sim w --duration", "damon run --sim w --seed", "damon report --rows", "damon report --columns",
    "damon record --linux --region", "damon record --linux --pid", "damon record --linux --sample-us",
    "damon record --linux --flush", "damond --sim w --speed", "damon-workload w --duration", "damon-workload w --seed",
    "damon-workload w --interval", "vmtest exec --timeout", "vmtest exec --cpus", "vmtest exec --gdb",
    "vmtest run w --jobs",
)  # fmt: skip


@cache
def _parser(program: str) -> argparse.ArgumentParser:
    modules = {"damon": "damon.cli.main", "damond": "damon.cli.damond", "vmtest": "vmtest.cli.main"}
    made: argparse.ArgumentParser = import_module(modules.get(program, "damon.workload.runner")).parser()
    return made


def _arguments(data: bytes) -> None:
    """The first byte chooses the option that has the rest as its value."""
    if not data:
        return
    program, *words = _OPTIONS[data[0] % len(_OPTIONS)].split()
    words[-1] += "=" + _text(data[1:]).replace("\0", "")
    err = io.StringIO()
    try:
        with redirect_stderr(err):
            _parser(program).parse_args(words)
    except SystemExit as error:
        assert error.code == 2, error.code
        raise _Said(err.getvalue().removesuffix("\n")) from None


def _suite(data: bytes) -> None:
    from vmtest.suite.command import show_matrix
    from vmtest.suite.expand import expand
    from vmtest.suite.load import load
    from vmtest.terminal import output

    suite = load(_file(data, "suite.yaml"))
    cells = expand(suite)
    with redirect_stdout(io.StringIO()):
        show_matrix(suite, cells[:3], output())


def _manifest(data: bytes) -> None:
    from vmtest.results import manifest

    found = manifest.read(_file(data, "manifest.json"))
    assert not found.job.directory.startswith("/")
    manifest.check_files(found.job)


def _run_report(data: bytes) -> None:
    """``run.json`` of a run with rows: its page."""
    from damon.report import page
    from damon.report.gather import Limits, gather
    from damon.results.run import Run

    place = _file(data, "run/run.json").parent
    for name, content in seeds.RUN_TABLES.items():
        (place / f"{name}.jsonl").write_text(json.dumps(content) + "\n")
    page.html([gather(Run.open(place), "run", Limits(8, 8, 100))])


def _results(data: bytes) -> None:
    from vmtest.results import html, writers

    directory = _file(data, "results/results.json").parent
    run = writers.read(directory)
    writers.write_all(run, directory)
    html.write(directory)


def _ktap(data: bytes) -> None:
    from vmtest.results import ktap

    text = data.decode(errors="replace")
    ktap.parse(text)
    ktap.remarks(text)


def _console(data: bytes) -> None:
    from vmtest import patterns

    for line in data.decode(errors="replace").splitlines():
        patterns.classify(line)
        patterns.noteworthy(line)
        patterns.BEGINNINGS.search(line)


def _machine(data: bytes) -> None:
    """Values of ``vmtest exec``'s machine."""
    from vmtest import specs, topology
    from vmtest.config import GuestConfig
    from vmtest.kselftest.collection import timeout_of
    from vmtest.sizes import parse_size

    def whole(text: str) -> None:
        words: dict[str, Any] = dict(word.split("=", 1) for word in text.split("\n") if "=" in word)
        names = {"memory", "memory_max", "swap", "hugepages", "thp", "append", "numa_cpus", "numa_memory", "in_cgroup"}
        GuestConfig(**{name: value for name, value in words.items() if name in names})

    def nodes(text: str) -> None:
        topology.make(1 << 30, 4, 2, *[*text.split("\n"), "", "", ""][:3])

    _one_of(
        [
            partial(parse_size, name="x"), specs.Swap.parse, specs.huge_pages, specs.Cgroup.parse, specs.Step.parse,
            partial(specs.piece, name="x"), timeout_of, whole, nodes,
        ],
        data,
    )  # fmt: skip


def _kconfig(data: bytes) -> None:
    from vmtest.images import features
    from vmtest.images.arch import of_image

    path = _file(data, ".config")
    config = features.read(path)
    for feature in features.features().values():
        feature.missing(config)
    of_image(path)


def _tar(data: bytes) -> None:
    from vmtest import untrusted

    place = Path(tempfile.mkdtemp(dir=_scratch[0]))
    limits = untrusted.Limits(bytes=1 << 20, entries=100)
    try:
        untrusted.place(io.BytesIO(data), "out", place / "in/out", "guest", limits)
    finally:
        there = sorted(entry.name for entry in (place / "in").iterdir()) if (place / "in").exists() else []
        assert there in ([], ["out"]), there
        assert [entry.name for entry in place.iterdir()] in ([], ["in"])
        shutil.rmtree(place)


@cache
def _loader() -> Any:
    from damon.core import Damon
    from damon.modules.loader import Loader
    from tests.fakes import FakeMachine

    return Loader(Damon(FakeMachine()))


def _parameters(data: bytes) -> None:
    """``NAME=VALUE`` a line, for a module by the first byte."""
    from damon.modules.loader import find_modules

    kinds = list(find_modules().values())
    if data:
        module = _loader().prepare(kinds[data[0] % len(kinds)], [word for word in _text(data[1:]).split("\n") if word])
        module.check()
        for parameter in module.parameters.values():
            parameter.parse(parameter.show())


def _cmdline(data: bytes) -> None:
    from damon.cli.run import module_words
    from damon.library import open_engine
    from damon.modules.loader import prepare_modules

    text = _text(data)
    if "/" not in text:  # would be the path of a module to run
        prepare_modules(_loader(), module_words(argparse.Namespace(cmdline=text, module=[]), open_engine()))


@cache
def _server() -> Any:
    """A control server that does not listen, with calls of each type that there is."""
    from damon.damond.control import ControlServer

    def modprobe(name: str, words: Sequence[str]) -> list[str]:
        if "/" in name:
            return []
        return list(_loader().prepare(name, words).parameters)

    def requests(pids: Sequence[int]) -> int:
        return len(pids)

    def parameters(pid: int) -> int:
        return pid

    def status() -> dict[str, int]:
        return {"pid": 1}

    server = object.__new__(ControlServer)
    server._calls = {"modprobe": modprobe, "requests": requests, "parameters": parameters, "status": status}
    return server


def _control(data: bytes) -> None:
    answer = _server()._answer(data)
    assert json.dumps(answer)
    if "errno" in answer:
        assert answer["errno"] != 5, answer  # EIO: an unexpected error
        assert isinstance(answer["errno"], int)
        raise _Said(answer["error"])


@cache
def _metrics() -> Any:
    from damon.damond.metrics import application
    from tests.damond.snapshots import SNAPSHOT

    return application(lambda: SNAPSHOT)


def _http(data: bytes) -> None:
    """What comes to ``damond --metrics``, behind the bound of its length."""
    from damon.damond.http import MAX_HEAD, respond

    answer = respond(_metrics(), data[:MAX_HEAD])
    status = answer.split(b"\r\n")[0]
    if not status.startswith(b"HTTP/1.0 "):  # a request of HTTP/0.9 gets the content alone
        return
    assert b" 500 " not in status, answer[:200]
    if b" 200 " not in status:
        raise _Said(status.decode("latin-1"))


def _address(data: bytes) -> None:
    """Of ``--metrics``. No address is bound that others could connect to."""
    from damon.damond.endpoint import bind

    text = _text(data)
    if not text.startswith("/"):
        with bind(text) as made:
            assert made.getsockname()[0] in ("::1", "127.0.0.1") or made.getsockname()[0].startswith("127.")


def _snapshot_answer(data: bytes) -> None:
    from damon.damond.snapshot import from_object

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    from_object(value)


def _trace(data: bytes) -> None:
    from damon.core.trace import Trace
    from damon.mm.clock import VirtualClock
    from damon.trace.server import _Client

    client = object.__new__(_Client)
    client._trace, client._capacity = Trace(VirtualClock()), 10
    client._subscribe(data.decode(errors="replace"))[1].close()


def _sysfs(data: bytes) -> None:
    """``PATH VALUE`` a line, written to a tree with one of everything."""
    from damon.core import Damon
    from damon.modules.sysfs import Admin, File
    from tests.fakes import FakeMachine, FakeSpace

    damon = Damon(FakeMachine(processes=[FakeSpace()]), level="next")  # which has all files
    admin = Admin(damon)
    refusal: DamonError | None = None
    try:
        for line in data.split(b"\n")[:60]:
            path, _, value = line.partition(b" ")
            node = admin.find(_text(path)) if path else None
            try:
                if isinstance(node, File):
                    node.write(value)
            except DamonError as error:
                refusal = error
        for path_, node in itertools.islice(admin.walk(), 3000):  # regions come by the 100,000
            if isinstance(node, File) and node.mode & 0o400:
                text = node.read().decode("latin-1")
                assert text.endswith("\n") or len(text) == 4096, path_
    finally:
        for worker in list(damon.running) if hasattr(damon, "running") else []:
            damon.stop([worker])
    if refusal is not None:
        raise refusal


def _conditions(data: bytes) -> None:
    """Those of ``--require`` and of study files."""
    from damon.results.conditions import check, read_conditions
    from damon.results.figures import FIGURES

    found = read_conditions(_text(data), "require")
    assert all(len(str(one)) < 300 for one in check(found, dict.fromkeys(FIGURES, 0.5)))


def _native_plan(data: bytes) -> None:
    """The program that performs workloads, built with it."""
    import subprocess

    from damon.native import WORKLOAD_PROGRAM

    done = subprocess.run([WORKLOAD_PROGRAM, "--check"], input=data, capture_output=True, check=False)
    assert done.returncode in {0, 2}, (done.returncode, done.stderr[-200:])
    if done.returncode:
        raise _Said(done.stderr.decode().removesuffix("\n"))


def _targets() -> list[Target]:
    from vmtest.errors import HarnessError

    ours, theirs = (InvalidInput,), (HarnessError,)
    return [
        Target("records", "json", seeds.records, _records, ours, 400),
        Target("records-packed", "zlib", lambda: [zlib.compress(one) for one in seeds.records()], _records, ours, 250),
        Target("report", "json", seeds.records, _report, (_Said,), 40),
        Target("import", "json", seeds.records, _import, (_Said,), 60),
        Target("trace-file", "text", seeds.traces, _trace_file, ours, 150),
        Target("convert", "zlib", lambda: [zlib.compress(one) for one in seeds.recordings()], _convert, ours, 150),
        Target("workload", "yaml", seeds.workloads, _workload, ours, 200),
        Target("policies", "yaml", seeds.policies, _policies, ours, 300),
        Target("study", "yaml", seeds.studies, _study, ours, 200),
        Target("study-results", "json", seeds.study_results, _study_results, ours, 300),
        Target("masim", "text", seeds.masim, _masim, ours, 600),
        Target("plan", "text", seeds.plans, _plan, ours, 800),
        Target("native-plan", "text", seeds.plans, _native_plan, (_Said,), 150),
        Target("quantities", "text", seeds.quantities, _quantities, ours, 2000),
        Target("conditions", "text", seeds.conditions, _conditions, ours, 2000),
        Target("arguments", "text", seeds.arguments, _arguments, (_Said,), 800),
        Target("suite", "yaml", seeds.suites, _suite, theirs, 120),
        Target("manifest", "json", seeds.manifests, _manifest, theirs, 300),
        Target("run-report", "json", seeds.runs, _run_report, (DamonError,), 40),
        Target("results", "json", seeds.results, _results, theirs, 60),
        Target("ktap", "text", seeds.ktap, _ktap, (), 400),
        Target("console", "text", seeds.console, _console, (), 300),
        Target("machine", "text", seeds.machine, _machine, theirs, 2000),
        Target("kconfig", "text", seeds.kconfigs, _kconfig, theirs, 300),
        Target("tar", "text", seeds.tars, _tar, theirs, 100),
        Target("parameters", "text", seeds.parameters, _parameters, (DamonError,), 600),
        Target("cmdline", "text", seeds.cmdlines, _cmdline, (DamonError,), 600),
        Target("control", "json", seeds.requests, _control, (_Said,), 600),
        Target("http", "text", seeds.http, _http, (_Said,), 300),
        Target("address", "text", seeds.addresses, _address, (DamonError,), 300),
        Target("snapshot", "json", seeds.snapshots, _snapshot_answer, ours, 300),
        Target("trace", "text", seeds.subscriptions, _trace, (DamonError,), 600),
        Target("sysfs", "text", seeds.stores, _sysfs, (DamonError,), 200),
    ]


TARGETS = {target.name: target for target in _targets()}
assert os.name == "posix"
