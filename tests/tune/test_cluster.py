# SPDX-License-Identifier: GPL-2.0-only
"""Two Dask workers, one of which is killed: the same result file as here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("distributed", reason="the extra cluster is not installed")
pytest.importorskip("optuna", reason="the extra tune is not installed")

import dask
from distributed import LocalCluster
from distributed.comm.core import CommClosedError

from damon import scheduler
from damon.errors import InvalidInput, MissingCapability
from damon.scheduler import check_address, is_open
from damon.tune import cluster, sent, stages
from damon.tune.cluster import Cluster, perform_there
from damon.tune.evaluate import Evaluator
from damon.tune.pool import WorkerDied
from damon.tune.results import Results
from damon.tune.sent import packed
from damon.tune.study import load_study
from tests.tune.conftest import WORKLOAD, Quiet, Searched
from tests.waiting import until
from tests.workload.traces import random_trace

ROOT = Path(__file__).parents[2]


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """The address of a scheduler, and its two workers."""
    monkeypatch.setattr(scheduler, "CONNECT_S", 600.0)  # how long a worker takes to start is the machine's affair
    processes: list[subprocess.Popen[bytes]] = []
    with dask.config.set({"temporary-directory": str(tmp_path / "dask")}):
        made = LocalCluster(
            n_workers=0, dashboard_address="127.0.0.1:0", host="127.0.0.1", processes=True, silence_logs=50,
            local_directory=str(tmp_path / "dask"),
        )  # fmt: skip
        try:
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
                env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path / name)}
                words = [sys.executable, "-m", "distributed.cli.dask_worker", made.scheduler_address, "--no-nanny"]
                words += ["--nthreads", "1", "--no-dashboard", "--local-directory", str(tmp_path / name)]
                quiet = subprocess.DEVNULL
                processes.append(subprocess.Popen(words, env=env, cwd=tmp_path, stdout=quiet, stderr=quiet))
            yield made.scheduler_address, processes
        finally:
            for process in processes:
                process.kill()
                process.wait()
            made.close()
    asyncio.set_event_loop(None)


@pytest.mark.parametrize(("name", "traces"), [("sweep", False), ("tune", True)], ids=["sweep", "tune"])
def test_a_worker_is_killed_and_the_file_is_the_same(
    workers: tuple[str, list[subprocess.Popen[bytes]]], written: Callable[..., Path],
    searched: Searched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, traces: bool,
) -> None:  # fmt: skip
    """With a trace, which is sent once, and with a workload that names it."""
    address, processes = workers
    if traces:
        monkeypatch.setattr(cluster, "SMALL", 0)
        _traced(tmp_path)
    path = written(duration="60s", workloads=["t.trace", "traced.yaml"] if traces else ["w.yaml"])
    wanted, _ = searched(path, getattr(stages, name), "here")
    study = load_study(path)
    there, killed = tmp_path / "there", []

    def kill() -> None:
        until(lambda: there.exists() and there.read_bytes().count(b"\n") >= 5)
        killed.append(processes[0].pid)
        os.kill(processes[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    runner = Cluster(address, study.workloads)
    try:
        until(lambda: len(runner._client.nthreads()) == 2)
        killer.start()
        with Results(there) as results:
            evaluator = Evaluator(study, results, runner, Quiet())
            found = getattr(stages, name)(evaluator)
            results.finish(evaluator.order)
    finally:
        runner.close()
    killer.join()
    assert killed
    assert processes[0].wait() == -signal.SIGKILL
    assert found == wanted
    assert there.read_bytes() == (tmp_path / "here").read_bytes()


def _traced(directory: Path) -> None:
    """A trace, and a workload that names it beside areas of its own."""
    random_trace(directory / "t.trace", 5)
    replay = "areas:\n  replay: {trace: ./t.trace, loop: true, time_scale: 100}\n"
    (directory / "traced.yaml").write_text(WORKLOAD.replace("areas:\n", replay))


def test_a_worker_that_dies_while_a_file_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one gets the file; where none can, it is said. It is never sent to all: Dask does not end then."""
    asked: list[dict[str, object]] = []
    failures = [0]

    def scatter(content: bytes, **how: object) -> SimpleNamespace:
        asked.append(how)
        if len(asked) <= failures[0]:
            raise CommClosedError("the worker is gone")
        return SimpleNamespace(status="finished", content=content)

    client = SimpleNamespace(scatter=scatter, close=lambda: None)
    monkeypatch.setattr(scheduler, "connected", lambda *_: client)
    monkeypatch.setattr(scheduler, "check_workers", lambda *_: None)
    runner, file = Cluster("tcp://127.0.0.1:1", ()), sent.Sent("t.trace", "0" * 64, b"x")
    for failures[0], calls in ((0, 1), (2, 3)):
        asked.clear()
        runner._there.clear()
        assert runner._sent(file) is runner._sent(file)
        assert asked == [{"hash": False}] * calls
    failures[0] = 3
    asked.clear()
    runner._there["0" * 64].status = "lost"
    with pytest.raises(WorkerDied, match=r"cluster: t\.trace: cannot be sent .*start again"):
        runner._sent(file)


def test_addresses(tmp_path: Path) -> None:
    for address in ("host:1", "http://host:1", "tcp://host", ""):
        with pytest.raises(InvalidInput, match="is not an address"):
            check_address(address, (None, None, None))
    with pytest.raises(InvalidInput, match="needs certificates"):
        check_address("tls://host:1", (None, None, None))
    with pytest.raises(InvalidInput, match="does not exist"):
        check_address("tls://host:1", (tmp_path / "no", None, None))
    closed = ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:1", "tls://rack:1"]
    opened = {address: is_open(address) for address in (*closed, "tcp://rack:1", "tcp://10.0.0.1:1")}
    assert list(opened.values()) == [False] * 4 + [True] * 2
    with pytest.raises(MissingCapability, match="does not answer"):
        Cluster("tcp://127.0.0.1:1", ())


@pytest.mark.parametrize("workload", ["w.yaml", "t.trace", "traced.yaml"])
def test_what_travels_is_taken_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Callable[..., Path], workload: str
) -> None:
    """Once a file is there and was read, it is read again when it has changed."""
    import tempfile

    import msgspec

    from damon.tune.pool import perform_encoded
    from damon.tune.request import Task

    (tmp_path / "there").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "there"))
    _traced(tmp_path)
    study = load_study(written(duration="1s", workloads=[workload]))
    (one,) = study.workloads
    data = msgspec.msgpack.encode(Task(study.run(one, "", 1, None)))
    files = packed(one)
    names, contents = [(file.name, file.sha256) for file in files], [file.content for file in files]
    wanted = perform_encoded(data, str(one.path))
    assert perform_there(data, names, *contents) == wanted
    found = {path.name: path for path in (tmp_path / f"there/pydamon-study-{os.getuid()}").rglob("*.*")}
    assert found.keys() == {name for name, _ in names}
    found[names[-1][0]].write_text("not what was sent")
    assert perform_there(data, names, *contents) == wanted
    assert found[names[-1][0]].read_bytes() == contents[-1]
    perform_there(data, names, *contents)
    reads: list[Path] = []
    monkeypatch.setattr(hashlib, "file_digest", lambda file, _: reads.append(Path(file.name)))
    assert perform_there(data, names, *contents) == wanted
    assert not reads


def test_what_is_too_large_is_not_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: Callable[..., Path]
) -> None:
    _traced(tmp_path)
    (one,) = load_study(written(workloads=["traced.yaml"])).workloads
    monkeypatch.setattr(sent, "MOST", (tmp_path / "t.trace").stat().st_size)
    with pytest.raises(InvalidInput, match=r"--cluster: traced: .* at most .* are sent to workers"):
        packed(one)
    (tmp_path / "t.trace").unlink()
    with pytest.raises(InvalidInput, match="No such file or directory; start again"):
        packed(one)
