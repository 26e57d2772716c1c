# SPDX-License-Identifier: GPL-2.0-only
"""Readers of texts, of arguments, of what a guest writes, and of what comes to damond."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from damon.errors import DamonError
from tests.fuzz.place import Said, file_of, scratch, text_of


def quantities(data: bytes) -> None:
    from damon.workload.quantities import parse_bytes, parse_duration, parse_rate, parse_size

    one_of([partial(parse, field="x") for parse in (parse_bytes, parse_size, parse_duration, parse_rate)], data)


def one_of(parsers: list[Callable[[str], Any]], data: bytes) -> None:
    """The first byte chooses the parser of the rest."""
    if data:
        parsers[data[0] % len(parsers)](text_of(data[1:]))


#: Options with a value of their own grammar, behind what else the command needs.
OPTIONS = (
    "damon run --sim w --duration", "damon run --sim w --seed", "damon report --rows", "damon report --columns",
    "damon record --linux --region", "damon record --linux --pid", "damon record --linux --sample-us",
    "damon record --linux --flush", "damond --sim w --speed", "damon-workload w --duration", "damon-workload w --seed",
    "damon-workload w --interval", "vmtest exec --timeout", "vmtest exec --cpus", "vmtest exec --gdb",
    "vmtest run w --jobs",
)  # fmt: skip


@cache
def parser(program: str) -> argparse.ArgumentParser:
    modules = {"damon": "damon.cli.main", "damond": "damon.cli.damond", "vmtest": "vmtest.cli.main"}
    made: argparse.ArgumentParser = import_module(modules.get(program, "damon.workload.runner")).parser()
    return made


def arguments(data: bytes) -> None:
    """The first byte chooses the option that has the rest as its value."""
    if not data:
        return
    program, *words = OPTIONS[data[0] % len(OPTIONS)].split()
    words[-1] += "=" + text_of(data[1:]).replace("\0", "")
    err = io.StringIO()
    try:
        with redirect_stderr(err):
            parser(program).parse_args(words)
    except SystemExit as error:
        assert error.code == 2, error.code
        raise Said(err.getvalue().removesuffix("\n")) from None


def ktap(data: bytes) -> None:
    from vmtest.results import ktap

    text = data.decode(errors="replace")
    ktap.parse(text)
    ktap.remarks(text)


def console(data: bytes) -> None:
    from vmtest import patterns

    for line in data.decode(errors="replace").splitlines():
        patterns.classify(line)
        patterns.noteworthy(line)
        patterns.BEGINNINGS.search(line)


def machine(data: bytes) -> None:
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

    one_of(
        [
            partial(parse_size, name="x"), specs.Swap.parse, specs.huge_pages, specs.Cgroup.parse, specs.Step.parse,
            partial(specs.piece, name="x"), timeout_of, whole, nodes,
        ],
        data,
    )  # fmt: skip


def kconfig(data: bytes) -> None:
    from vmtest.images import features
    from vmtest.images.arch import of_image

    path = file_of(data, ".config")
    config = features.read(path)
    for feature in features.features().values():
        feature.missing(config)
    of_image(path)


def tar(data: bytes) -> None:
    from vmtest import untrusted

    place = Path(tempfile.mkdtemp(dir=scratch[0]))
    limits = untrusted.Limits(bytes=1 << 20, entries=100)
    try:
        untrusted.place(io.BytesIO(data), "out", place / "in/out", "guest", limits)
    finally:
        there = sorted(entry.name for entry in (place / "in").iterdir()) if (place / "in").exists() else []
        assert there in ([], ["out"]), there
        assert [entry.name for entry in place.iterdir()] in ([], ["in"])
        shutil.rmtree(place)


@cache
def loader() -> Any:
    from damon.core import Damon
    from damon.modules.loader import Loader
    from tests.fakes import FakeMachine

    return Loader(Damon(FakeMachine()))


def parameters(data: bytes) -> None:
    """``NAME=VALUE`` a line, for a module by the first byte."""
    from damon.modules.loader import find_modules

    kinds = list(find_modules().values())
    if data:
        module = loader().prepare(kinds[data[0] % len(kinds)], [word for word in text_of(data[1:]).split("\n") if word])
        module.check()
        for parameter in module.parameters.values():
            parameter.parse(parameter.show())


def cmdline(data: bytes) -> None:
    from damon.cli.run import module_words
    from damon.library import open_engine
    from damon.modules.loader import prepare_modules

    text = text_of(data)
    if "/" not in text:  # would be the path of a module to run
        prepare_modules(loader(), module_words(argparse.Namespace(cmdline=text, module=[]), open_engine()))


@cache
def server() -> Any:
    """A control server that does not listen, with calls of each type that there is."""
    from damon.damond.control import ControlServer

    def modprobe(name: str, words: Sequence[str]) -> list[str]:
        if "/" in name:
            return []
        return list(loader().prepare(name, words).parameters)

    def requests(pids: Sequence[int]) -> int:
        return len(pids)

    def parameters(pid: int) -> int:
        return pid

    def status() -> dict[str, int]:
        return {"pid": 1}

    server = object.__new__(ControlServer)
    server._calls = {"modprobe": modprobe, "requests": requests, "parameters": parameters, "status": status}
    return server


def control(data: bytes) -> None:
    answer = server()._answer(data)
    assert json.dumps(answer)
    if "errno" in answer:
        assert answer["errno"] != 5, answer  # EIO: an unexpected error
        assert isinstance(answer["errno"], int)
        raise Said(answer["error"])


@cache
def metrics() -> Any:
    from damon.damond.metrics import application
    from tests.damond.snapshots import SNAPSHOT

    return application(lambda: SNAPSHOT)


def http(data: bytes) -> None:
    """What comes to ``damond --metrics``, behind the bound of its length."""
    from damon.damond.http import MAX_HEAD, respond

    answer = respond(metrics(), data[:MAX_HEAD])
    status = answer.split(b"\r\n")[0]
    if not status.startswith(b"HTTP/1.0 "):  # a request of HTTP/0.9 gets the content alone
        return
    assert b" 500 " not in status, answer[:200]
    if b" 200 " not in status:
        raise Said(status.decode("latin-1"))


def address(data: bytes) -> None:
    """Of ``--metrics``. No address is bound that others could connect to."""
    from damon.damond.endpoint import bind

    text = text_of(data)
    if not text.startswith("/"):
        with bind(text) as made:
            assert made.getsockname()[0] in ("::1", "127.0.0.1") or made.getsockname()[0].startswith("127.")


def snapshot_answer(data: bytes) -> None:
    from damon.damond.snapshot import from_object

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return
    from_object(value)


def trace_request(data: bytes) -> None:
    from damon.core.trace import Trace
    from damon.mm.clock import VirtualClock
    from damon.trace.server import _Client

    client = object.__new__(_Client)
    client._trace, client._capacity = Trace(VirtualClock()), 10
    client._subscribe(data.decode(errors="replace"))[1].close()


def sysfs(data: bytes) -> None:
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
            node = admin.find(text_of(path)) if path else None
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
