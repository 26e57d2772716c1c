# SPDX-License-Identifier: GPL-2.0-only
"""The stream of events: protocol, slow and broken clients, several at once, the socket's life."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from damon.core import Damon
from damon.core.events import AGGREGATED, EVENTS
from damon.core.regions import kdamond_reset_aggregated
from damon.core.trace import damos_trace_esz
from damon.errors import DamonError, InvalidInput
from damon.model.context import DamonCtx
from damon.model.probe import DamonProbe
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.trace.client import TraceClient, until_signal
from damon.trace.server import MAX_CLIENTS, TraceServer
from tests.fakes import FakeMachine, regions_of
from tests.waiting import until

K = 1 << 10


@pytest.fixture
def damon() -> Damon:
    return Damon(FakeMachine())


@pytest.fixture
def ctx(damon: Damon) -> DamonCtx:
    ctx = damon.new_ctx()
    ctx.targets.append(DamonTarget(regions=regions_of((0, 4096, 3, 1, 5), (4096, 8192, 20, 1, 0))))
    ctx.schemes.append(Damos())
    return ctx


@pytest.fixture
def server(damon: Damon, tmp_path: Path) -> Iterator[TraceServer]:
    with TraceServer(damon.trace, tmp_path / "trace", capacity=1000) as server:
        yield server


def test_script_lines_as_damo_splits_them(damon: Damon, ctx: DamonCtx, server: TraceServer, tmp_path: Path) -> None:
    damon.machine.clock.sleep_us(82_877_315_633)
    client = TraceClient(str(tmp_path / "trace"), ["damon:damon_aggregated"])
    kdamond_reset_aggregated(ctx)
    damos_trace_esz(ctx, ctx.schemes[0])
    client.finish()
    lines = list(client)
    head = "MainThread 0 [000] 82877.315633: damon:damon_aggregated: target_id=0 nr_regions=2"
    assert [" ".join(line.split()) for line in lines] == [f"{head} 0-4096: 3 5", f"{head} 4096-8192: 20 0"]


def test_json_lines_have_every_field(damon: Damon, ctx: DamonCtx, server: TraceServer, tmp_path: Path) -> None:
    client = TraceClient(str(tmp_path / "trace"), form="json")
    ctx.probes = [DamonProbe(), DamonProbe()]
    ctx.targets[0].regions.remove(1)
    ctx.targets[0].regions[0].probe_hits[:2] = [7, 255]
    kdamond_reset_aggregated(ctx)
    damos_trace_esz(ctx, ctx.schemes[0])
    client.finish()
    head = {"time_ns": 0, "comm": "MainThread", "pid": 0, "cpu": 0}
    region = {"target_id": 0, "nr_regions": 1, "start": 0, "end": 4096, "nr_accesses": 3, "age": 5}
    assert [json.loads(line) for line in client] == [
        {"event": "damon_aggregated", **head, **region},
        {"event": "damon_region_aggregated", **head, **region, "probe_hits": [7, 255]},
        {"event": "damos_esz", **head, "context_idx": 0, "scheme_idx": 0, "esz": 0},
    ]


def test_each_client_gets_what_it_asked_for(damon: Damon, ctx: DamonCtx, server: TraceServer, tmp_path: Path) -> None:
    path = str(tmp_path / "trace")
    clients = [TraceClient(path, [event]) for event in ("damon_aggregated", "damos_esz", "damon:damos_esz")]
    for _ in range(3):
        kdamond_reset_aggregated(ctx)
        damos_trace_esz(ctx, ctx.schemes[0])
    for client in clients:
        client.finish()
    assert [len(list(client)) for client in clients] == [6, 3, 3]
    until(lambda: server.nr_clients == 0)
    assert not any(damon.trace.enabled(event) for event in EVENTS)


def test_a_client_that_reads_nothing_loses_events_and_blocks_no_other(
    damon: Damon, ctx: DamonCtx, server: TraceServer, tmp_path: Path
) -> None:
    ctx.targets[0] = DamonTarget(regions=regions_of(*((4096 * i, 4096 * (i + 1)) for i in range(100))))
    client = TraceClient(str(tmp_path / "trace"), [AGGREGATED])
    rounds = 2000
    for _ in range(rounds):
        kdamond_reset_aggregated(ctx)
    client.finish()
    lines = list(client)
    notes = [line.split() for line in lines if line.startswith("#")]
    lost = sum(int(words[2]) for words in notes)
    assert lost > 0
    assert all(words[1::2] == ["lost", "events"] for words in notes)
    events = [line for line in lines if not line.startswith("#")]
    assert len(events) + lost == rounds * 100
    assert lost % 100 == 0
    snapshots = [events[i : i + 100] for i in range(0, len(events), 100)]
    assert all(" 0-4096:" in snapshot[0] and "405504-409600:" in snapshot[-1] for snapshot in snapshots)


def test_a_client_that_vanishes_is_forgotten(damon: Damon, ctx: DamonCtx, server: TraceServer, tmp_path: Path) -> None:
    client = TraceClient(str(tmp_path / "trace"), [AGGREGATED])
    assert server.nr_clients == 1
    client.close()
    until(lambda: server.nr_clients == 0)
    kdamond_reset_aggregated(ctx)
    assert not damon.trace.enabled(AGGREGATED)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (b"damon-trace 1 script damon_aggregated,nope\n", "error event: 'nope': is unknown; give one of damon"),
        (b"damon-trace 1 yaml all\n", "error form: 'yaml': is unknown; give one of script, json"),
        (b"damon-trace 2 json all\n", "error version: '2': "),
        (b"GET / HTTP/1.1\n", "error request: 'GET / HTTP/1.1"),
        (b"\xff\xfe\n", "error request: '\ufffd\ufffd"),
        (b"x" * 5000, "error request: is not a line"),
    ],
)
def test_wrong_requests_get_one_line(server: TraceServer, tmp_path: Path, request_: bytes, answer: str) -> None:
    with socket.socket(socket.AF_UNIX) as raw:
        raw.connect(str(tmp_path / "trace"))
        raw.sendall(request_)
        file = raw.makefile("rb")
        assert file.readline().decode().startswith(answer)
        assert file.readline() == b""
    until(lambda: server.nr_clients == 0)


def test_the_client_reports_the_reason(server: TraceServer, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="event: 'damon:nope': is unknown"):
        TraceClient(str(tmp_path / "trace"), ["damon:nope"])
    with pytest.raises(DamonError, match=r"^trace events: '.*/elsewhere': No such file.*; start damond") as caught:
        TraceClient(str(tmp_path / "elsewhere"))
    assert caught.value.errno == errno.ENOENT


def test_the_socket_is_its_owners_and_goes_with_the_server(damon: Damon, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    server = TraceServer(damon.trace, path)
    server.start()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(DamonError, match=r"^socket: .*/trace': another process listens") as caught:
        TraceServer(damon.trace, path).start()
    assert caught.value.errno == errno.EADDRINUSE
    server.close()
    server.close()
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))  # as after SIGKILL
    with TraceServer(damon.trace, path):
        TraceClient(str(path)).close()
    path.write_text("precious")
    with pytest.raises(InvalidInput, match=r"^socket: .*: exists and is not a socket"):
        TraceServer(damon.trace, path).start()
    assert path.read_text() == "precious"
    with pytest.raises(InvalidInput, match=r"^socket: .*: is too long"):
        TraceServer(damon.trace, tmp_path / ("x" * 108)).start()


def test_at_the_servers_end_clients_get_what_waits(damon: Damon, ctx: DamonCtx, tmp_path: Path) -> None:
    with TraceServer(damon.trace, tmp_path / "trace") as server:
        client = TraceClient(str(tmp_path / "trace"))
        kdamond_reset_aggregated(ctx)
        server.close()
        assert len(list(client)) == 2
    assert not any(damon.trace.enabled(event) for event in EVENTS)


def test_a_signal_before_it_is_connected_ends_it_in_order(
    damon: Damon, ctx: DamonCtx, server: TraceServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(TraceClient):
        def __init__(self, *arguments: Any) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            super().__init__(*arguments)

    monkeypatch.setattr("damon.trace.client.TraceClient", Interrupted)
    before = signal.getsignal(signal.SIGINT)
    with until_signal(str(tmp_path / "trace")) as client:
        assert list(client) == []
    assert signal.getsignal(signal.SIGINT) is before
    until(lambda: server.nr_clients == 0)


def test_there_is_an_end_to_clients(server: TraceServer, tmp_path: Path) -> None:
    path = str(tmp_path / "trace")
    clients = [TraceClient(path) for _ in range(MAX_CLIENTS)]
    with pytest.raises(InvalidInput, match=r"^clients: 64: "):
        TraceClient(path)
    for client in clients:
        client.close()
    until(lambda: server.nr_clients == 0)
    TraceClient(path).close()


def test_no_thread_or_file_stays(damon: Damon, ctx: DamonCtx, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with TraceServer(damon.trace, tmp_path / "trace"):
            clients = [TraceClient(str(tmp_path / "trace")) for _ in range(4)]
            kdamond_reset_aggregated(ctx)
            clients[0].close()
        for client in clients[1:]:
            client.close()
    until(lambda: len(os.listdir("/proc/self/fd")) <= before)
