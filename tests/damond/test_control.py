# SPDX-License-Identifier: GPL-2.0-only
"""The control socket: hostile clients, and a client's errors when the service ends or stays silent."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from damon.damond import control
from damon.damond.client import Client, ServiceLost
from damon.damond.control import MAX_CLIENTS, MAX_REQUEST, ControlServer
from damon.damond.runtime import socket_path
from damon.errors import DamonError, InvalidInput
from tests.damond.conftest import Damond
from tests.waiting import HANG_S, until

Start = Callable[..., Damond]


def _greet(name: str, times: int = 1, names: Sequence[str] = (), ids: Sequence[int] = ()) -> str:
    return f"{name} {list(names)} {list(ids)}" * times


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    server = ControlServer(tmp_path / "socket", {"greet": _greet})
    yield tmp_path / "socket"
    server.close()
    assert not (tmp_path / "socket").exists()


def _connect(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(600)
    made.connect(str(path))
    return made


def _answers(path: Path, data: bytes) -> list[dict[str, Any]]:
    """What comes back for ``data`` until the server, or we, end the connection."""
    with _connect(path) as raw:
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        return [json.loads(line) for line in raw.makefile("rb")]


def test_a_connection_carries_many_requests(path: Path) -> None:
    with Client(path) as client:
        assert client.call("greet", name="x") == "x [] []"
        assert client.call("greet", name="x", times=2, names=["a"], ids=[1]) == "x ['a'] [1]" * 2
        with pytest.raises(InvalidInput, match=r"request greet: times: .*: is of the wrong type"):
            client.call("greet", name="x", times="2")
        assert client.call("greet", name="y") == "y [] []"


def _request(arguments: str) -> bytes:
    return f'{{"call": "greet", "args": {arguments}}}'.encode()


@pytest.mark.parametrize(
    "request_",
    [
        b"[" * 200_000, b"[" * 200_000 + b"]" * 200_000, b'{"call":' * 100_000, b"", b"null", b"[]", b'"greet"',
        b"\xff\xfe", b"9" * 5000, b'{"call": []}', b'{"call": {}}', b'{"call": "nope"}', _request('[["name", "x"]]'),
        _request('"ab"'), _request("{}"), _request('{"name": 1}'), _request('{"name": "x", "times": true}'),
        _request('{"name": "x", "self": 1}'), _request('{"name": "x", "names": "abc"}'),
        _request('{"name": "x", "ids": [null]}'),
    ],
)  # fmt: skip
def test_what_is_no_request_is_einval(path: Path, request_: bytes, caplog: pytest.LogCaptureFixture) -> None:
    refused, fine = _answers(path, request_ + b"\n" + b'{"call": "greet", "args": {"name": "z"}}\n')
    assert refused["errno"] == errno.EINVAL
    assert len(refused["error"]) < 400
    assert fine == {"result": "z [] []"}
    assert not any(record.exc_info for record in caplog.records)


def test_a_request_is_bounded(path: Path) -> None:
    (answer,) = _answers(path, b"x" * (MAX_REQUEST + 1))
    assert answer["errno"] == errno.EMSGSIZE
    with Client(path) as client:
        assert client.call("greet", name="x") == "x [] []"


@pytest.mark.parametrize("sent", [b"", b'{"call"'])
def test_a_request_has_to_come_in_time(path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "IDLE_S" if not sent else "REQUEST_S", 0.05)
    with _connect(path) as raw:
        raw.sendall(sent)
        stream = raw.makefile("rb")
        assert json.loads(stream.readline())["errno"] == errno.ETIMEDOUT
        assert stream.readline() == b""


def test_a_client_that_takes_no_answer_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "ANSWER_S", 0.05)
    with _connect(path) as raw:
        raw.sendall(b'{"call": "greet", "args": {"name": "0123456789", "times": 1000000}}\n')
        raw.settimeout(600)
        until(lambda: not any(thread.name == "damond-client" for thread in threading.enumerate()))


def test_there_is_an_end_to_clients(path: Path) -> None:
    clients = [Client(path) for _ in range(MAX_CLIENTS)]
    for client in clients:
        client.call("greet", name="x")
    with Client(path) as more, pytest.raises(DamonError, match="clients: 64: no more can connect; end one") as refused:
        more.call("greet", name="x")
    assert refused.value.errno == errno.EUSERS
    for client in clients:
        client.close()

    def served() -> bool:
        with Client(path) as client:
            try:
                return bool(client.call("greet", name="x"))
            except DamonError:
                return False

    until(served)


def test_out_of_descriptors_it_goes_on(damond: Damond, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(damond.runtime))
    pid = damond.process.pid
    was = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (min(set(range(len(used) + 1)) - used), was[1]))
    kept: list[socket.socket] = []

    def refused() -> bool:  # the accept() that waits already has its descriptor
        kept.append(_connect(socket_path(damond.mount)))
        return "damond-control: a connection was not accepted: " in damond.log.read_text()

    until(refused)
    with Client(socket_path(damond.mount), 60) as patient:
        with Client(socket_path(damond.mount), 0.2) as waiting:
            with pytest.raises(ServiceLost, match=rf"process {pid}\): did not answer status within 0.2 s; ") as lost:
                waiting.call("status")
            assert lost.value.errno == errno.ETIMEDOUT
        said = damond.damon("status", "--timeout", "0.2")
        assert (said.returncode, said.stdout, said.stderr.count("\n")) == (1, "", 1)
        assert "did not answer status" in said.stderr
        resource.prlimit(pid, resource.RLIMIT_NOFILE, was)
        assert patient.call("status")["pid"] == pid
    for one in kept:
        one.close()
    assert damond.status()["pid"] == pid
    assert "Traceback" not in damond.log.read_text()


@pytest.fixture
def impostor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bool], dict[str, str]]]:
    """A service that reads a request and then either ends or stays silent; the environment to find it with."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    mount = tmp_path / "sys"
    listener = socket.socket(socket.AF_UNIX)
    kept: list[socket.socket] = []

    def serve(silent: bool) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.recv(1 << 16)
            kept.append(client)
            if not silent:
                client.shutdown(socket.SHUT_RDWR)

    def go(silent: bool) -> dict[str, str]:
        listener.bind(str(socket_path(mount)))
        listener.listen()
        threading.Thread(target=serve, args=(silent,), daemon=True).start()
        return dict(os.environ, DAMOND_MOUNT=str(mount))

    yield go
    listener.shutdown(socket.SHUT_RDWR)
    for one in (listener, *kept):
        one.close()


COMMANDS = (
    "status", "lsmod", "modprobe damon_stat", "rmmod damon_stat", "param get damon_stat.enabled",
    "param set damon_stat.enabled=Y", "param list damon_stat", "top --once", "top --json",
)  # fmt: skip


@pytest.mark.parametrize("words", [*COMMANDS, "record --damond -o data"])
def test_a_service_that_ends_meanwhile(impostor: Callable[[bool], dict[str, str]], words: str, tmp_path: Path) -> None:
    environment = impostor(False)
    command = [sys.executable, "-m", "damon.cli.main", *words.split()]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=HANG_S
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert f"damon: damond (process {os.getpid()}): ended before it answered " in done.stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_a_service_that_stays_silent(impostor: Callable[[bool], dict[str, str]], words: str) -> None:
    environment = impostor(True)
    command = [sys.executable, "-m", "damon.cli.main", *words.split(), "--timeout", "0.1"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done
    assert "within 0.1 s; read its log, wait longer with --timeout" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ended_while_a_command_waits_for_a_worker(damond: Damond, number: int) -> None:
    """The worker would look at the request after an hour."""
    done = damond.damon("modprobe", "damon_reclaim", "sample_interval=3600000000", "aggr_interval=3600000000")
    assert (done.returncode, done.stderr) == (0, "")
    assert damond.damon("param", "set", "damon_reclaim.enabled=Y").returncode == 0
    descriptors = len(os.listdir(f"/proc/{damond.process.pid}/fd"))
    command = [sys.executable, "-m", "damon.cli.main", "param", "set", "damon_reclaim.commit_inputs=Y"]
    with subprocess.Popen(command, env=damond.environment, stderr=subprocess.PIPE, text=True) as waiting:
        until(lambda: len(os.listdir(f"/proc/{damond.process.pid}/fd")) > descriptors)
        assert damond.end(number) == 0
        _, err = waiting.communicate(timeout=HANG_S)
    assert (waiting.returncode, err.count("\n")) == (1, 1), err
    assert f"damond (process {damond.process.pid}): ended before it answered param_set" in err
    assert "Traceback" not in damond.log.read_text()
    assert list(damond.runtime.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root")
def test_exec_of_a_service_that_was_killed(damond: Damond, tmp_path: Path) -> None:
    damond.end(signal.SIGKILL)
    done = damond.damon("exec", "--", "touch", str(tmp_path / "ran"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "has ended, and the command was not started" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_what_is_refused_is_in_the_log(damond: Damond) -> None:
    assert damond.damon("param", "set", "damon_reclaim.min_age=x").returncode == 2
    assert damond.damon("modprobe", "damon_reclaim", "nonsense=1").returncode == 2
    with pytest.raises(OSError):
        damond.parameter("damon_reclaim", "min_age").write_text("y")
    log = damond.log.read_text()
    assert 'request param_set {"module": "damon_reclaim", "parameter": "min_age", "value": "x"} refused: ' in log
    assert "request modprobe " in log
    assert "module/damon_reclaim/parameters/min_age: write of b'y' refused: min_age: 'y': " in log


def test_several_parameters(damond: Damond) -> None:
    said = damond.damon("param", "get", "damon_reclaim.min_age", "damon_stat.enabled", "lru_sort.enabled")
    assert said.stdout == "damon_reclaim.min_age=120000000\ndamon_stat.enabled=N\nlru_sort.enabled=N\n"
    assert (said.returncode, said.stderr) == (0, "")
    one_wrong = damond.damon("param", "get", "damon_reclaim.min_age", "damon_reclaim.nonsense")
    assert (one_wrong.returncode, one_wrong.stdout) == (2, "")
    several = damond.damon("param", "set", "damon_reclaim.min_age=1", "damon_reclaim.quota_ms=1")
    assert (several.returncode, several.stderr.count("\n")) == (2, 1)
    assert damond.damon("param", "get", "damon_reclaim.min_age").stdout == "120000000\n"
