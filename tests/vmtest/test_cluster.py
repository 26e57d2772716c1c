# SPDX-License-Identifier: GPL-2.0-only
"""Two local workers with a stand-in for the guest: files travel once, a killed worker's jobs run elsewhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed", reason="the cluster extra is not installed")

import dask
from distributed import LocalCluster
from msgspec.structs import replace

from tests.files import lay
from tests.vmtest.suite_fakes import Heard, job
from tests.waiting import until
from vmtest.cluster import store
from vmtest.cluster.client import cluster_runner
from vmtest.errors import InvalidInput, MachineLacks
from vmtest.results import manifest
from vmtest.results.job import Job
from vmtest.suite import pool
from vmtest.suite.admission import Admission

ROOT = Path(__file__).parents[2]
PERFORMER = "tests.vmtest.cluster_fakes:perform"


@pytest.fixture(scope="module", autouse=True)
def what_the_library_keeps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Its directory is in one of pytest's, and its event loop is not left to the thread that it was made in."""
    with dask.config.set({"temporary-directory": str(tmp_path_factory.mktemp("dask"))}):
        yield
    asyncio.set_event_loop(None)


class Workers:
    """A scheduler here, and workers as processes with a cache each."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir(exist_ok=True)
        self.cluster = LocalCluster(
            n_workers=0, dashboard_address="127.0.0.1:0", host="127.0.0.1", processes=True, silence_logs=50,
            local_directory=str(directory),
        )  # fmt: skip
        self.address: str = self.cluster.scheduler_address
        self.processes: list[subprocess.Popen[bytes]] = []

    def add(self) -> subprocess.Popen[bytes]:
        number = len(self.processes)
        env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(self.directory / f"cache{number}")}
        env["TMPDIR"] = str(self.temporary)
        words = [sys.executable, "-m", "distributed.cli.dask_worker", self.address, "--no-nanny", "--nthreads", "1"]
        words += ["--no-dashboard", "--name", f"w{number}", "--local-directory", str(self.directory / f"w{number}")]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(words, env=env, cwd=self.directory, stdout=quiet, stderr=quiet)
        self.processes.append(process)
        return process

    def cache(self, number: int) -> Path:
        return self.directory / f"cache{number}" / "pydamon" / "content"

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        self.cluster.close()


@pytest.fixture
def workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workers]:
    from vmtest import scheduler

    # How long a worker takes to start is the machine's affair.
    monkeypatch.setattr(scheduler, "CONNECT_S", 600.0)
    made = Workers(tmp_path)
    try:
        made.add()
        made.add()
        yield made
    finally:
        made.close()


def _jobs(directory: Path, commands: dict[str, str]) -> list[Job]:
    tree = lay(directory / "tree", {"inner/file": "x"})
    plain = job(directory, trees=((str(tree), "/opt/t"),), env={"LOG": str(directory / "log")})
    files = {"kernel": manifest.file_ref(Path(plain.kernel.path)), "rootfs": manifest.file_ref(Path(plain.rootfs.path))}
    return [replace(plain, test_name=name, command=command, **files) for name, command in commands.items()]


def _log(directory: Path) -> list[list[str]]:
    return [line.split() for line in (directory / "log").read_text().splitlines()]


# Long: all that is looked at is of one run, which takes seconds.
def test_a_killed_workers_job_runs_elsewhere_and_verdicts_are_never_retried(workers: Workers, tmp_path: Path) -> None:
    # The long one goes on until it was begun twice, which it is because its first worker is killed.
    commands = {"a": "pass 1", "b": "fail 1", "long": "pass 2", "c": "panic 1", "d": "raise", "e": "pass 1"}
    jobs = _jobs(tmp_path, commands)
    heard = Heard()
    killed: list[int] = []

    def kill() -> None:
        until(lambda: (tmp_path / "log").exists() and any(name == "long" for name, *_ in _log(tmp_path)))
        killed.extend(int(pid) for name, pid, _ in _log(tmp_path) if name == "long")
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    results, interrupted = cluster_runner(workers.address, performer=PERFORMER)(jobs, tmp_path / "out", heard)
    assert killed
    assert not interrupted
    wanted = {"a": "pass", "b": "fail", "long": "pass", "c": "panic", "d": "harness-error", "e": "pass"}
    assert {result.test: result.verdict for result in results} == wanted
    assert [result.test for result in results] == list(commands)
    log = _log(tmp_path)
    runs = {name: [int(pid) for found, pid, _ in log if found == name] for name in commands}
    assert len(runs["long"]) == 2
    assert runs["long"][0] == killed[0] != runs["long"][1]
    for name in ("b", "c", "d"):
        assert runs[name]
        assert len([pid for pid in runs[name] if pid != killed[0]]) <= 1, "a verdict is no reason to try again"
    assert sorted(heard.ended) == sorted(commands)
    assert [path.name for path in workers.temporary.iterdir()] == [], "the next job removes what a killed worker left"
    # The same jobs here: the same outcomes and the same files, but for times and host.
    from tests.vmtest import cluster_fakes

    (tmp_path / "log").write_text(f"long {killed[0]} bzImage\n")
    local, _ = pool.run(jobs, tmp_path / "here", Heard(), admission=Admission(2), performer=cluster_fakes.perform)
    assert [(one.name, one.verdict, one.directory) for one in local] == [
        (one.name, one.verdict, one.directory) for one in results
    ]
    for one in results:
        if one.directory:
            there, here = tmp_path / "out" / one.directory, tmp_path / "here" / one.directory
            assert {path.name for path in there.iterdir()} == {path.name for path in here.iterdir()}
            assert (there / "stdout").read_text() == (here / "stdout").read_text() == "[['inner', 'inner/file']]"
            assert manifest.read(there).job == manifest.read(here).job, "a rerun here finds its files here"


def test_a_job_that_a_dead_worker_asked_content_for_runs_once(
    workers: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second worker that lacks content dies when it has said so; the other lacks nothing any more."""
    from vmtest.cluster.client import _Spread

    served: list[str] = []
    dead: list[str] = []
    send = _Spread._send

    def send_or_kill(spread: _Spread, place: str, hashes: list[str]) -> None:
        if served and place != served[0] and not dead:
            dead.append(place)
            client = spread._client
            number = int(client.run(lambda dask_worker: dask_worker.name, workers=[place])[place][1:])
            workers.processes[number].kill()
            until(lambda: place not in client.nthreads())
            # The scheduler has given its tasks to the other by now, and that one has performed them.
            until(lambda: not any(client.processing().values()))
        else:
            served.append(place)
        send(spread, place, hashes)

    until(lambda: len(workers.cluster.scheduler_info["workers"]) == 2)
    monkeypatch.setattr(_Spread, "_send", send_or_kill)
    commands = dict.fromkeys("abcdef", "pass 1")
    results, _ = cluster_runner(workers.address, performer=PERFORMER)(
        _jobs(tmp_path, commands), tmp_path / "o", Heard()
    )
    assert dead
    assert {result.verdict for result in results} == {"pass"}
    assert sorted(name for name, *_ in _log(tmp_path)) == sorted(commands)


def test_content_travels_once_and_is_what_it_was(workers: Workers, tmp_path: Path) -> None:
    jobs = _jobs(tmp_path, {str(number): "pass 1" for number in range(8)})
    run = cluster_runner(workers.address, performer=PERFORMER)
    run(jobs, tmp_path / "out", Heard())
    caches = [workers.cache(number) for number in (0, 1)]
    stamps = {path: path.stat().st_mtime_ns for cache in caches if cache.exists() for path in cache.iterdir()}
    assert len([path for path in stamps if path.is_file()]) in {3, 6}, "kernel, image, tree: on each that had a job"
    for path in stamps:
        if path.is_file():
            assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    run(jobs, tmp_path / "out2", Heard())
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert all(found[2] == "bzImage" for found in _log(tmp_path))


def test_what_arrives_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    good = hashlib.sha256(b"content").hexdigest()
    store.append(good, "t1", 0, b"con")
    store.append(good, "t1", 3, b"tenX")
    with pytest.raises(InvalidInput, match="send it again"):
        store.finish(good, "t1")
    assert store.missing([good]) == [good]
    assert list(store.directory().iterdir()) == []
    store.append(good, "t2", 0, b"con")
    store.append(good, "t2", 3, b"tent")
    store.finish(good, "t2")
    assert store.missing([good]) == []
    with pytest.raises(InvalidInput, match=r"^content: .*: is not a SHA-256"):
        store.path_of("../etc/passwd")


@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("host:8786", "^cluster: 'host:8786': .*; give one like tcp://"),
        ("tcp://host", "^cluster: 'tcp://host': .*; give one like"),
        ("tls://h:1", "^cluster: 'tls://h:1': .*; give --tls-ca"),
    ],
)
def test_addresses(address: str, what: str) -> None:
    with pytest.raises(InvalidInput, match=what):
        cluster_runner(address)


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("tcp://10.0.0.1:8786", True),
        ("tcp://rack1:8786", True),
        ("tcp://[fe80::1]:8786", True),
        ("tcp://127.0.0.1:8786", False),
        ("tcp://localhost:8786", False),
        ("tcp://[::1]:8786", False),
        ("tls://10.0.0.1:8786", False),
    ],
)
def test_a_cluster_without_authentication_is_reported(
    address: str, warned: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pem").touch()
    cluster_runner(address, tls=(tmp_path / "pem",) * 3 if address.startswith("tls") else (None, None, None))
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if warned else 0)
    assert ("neither encrypted nor authenticated" in said and "use tls://" in said) == warned


def test_no_scheduler_and_no_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmtest import scheduler

    monkeypatch.setattr(scheduler, "CONNECT_S", 1.0)
    jobs = _jobs(tmp_path, {"a": "pass 1"})
    with pytest.raises(MachineLacks, match=r"^cluster: .*: does not answer within 1 s"):
        cluster_runner("tcp://127.0.0.1:1")(jobs, tmp_path, Heard())
    alone = Workers(tmp_path)
    try:
        with pytest.raises(MachineLacks, match=r"^cluster: .*: has no workers"):
            cluster_runner(alone.address)(jobs, tmp_path, Heard())
    finally:
        alone.close()


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed.security import Security

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT))
    security = Security.temporary()
    names = ("tls_ca_file", "tls_client_cert", "tls_client_key")
    ca, cert, key = (tmp_path / name for name in names)
    for file in (ca, cert, key):
        file.write_text(getattr(security, file.name))
    options: dict[str, Any] = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "silence_logs": 50}
    options["local_directory"] = str(tmp_path)
    with LocalCluster(**options, security=security, dashboard_address="127.0.0.1:0", protocol="tls://") as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        run = cluster_runner(cluster.scheduler_address, tls=(ca, cert, key), performer=PERFORMER)
        results, _ = run(_jobs(tmp_path, {"a": "pass 1"}), tmp_path / "out", Heard())
        assert [result.verdict for result in results] == ["pass"]
        with pytest.raises(InvalidInput, match=r"^cluster: .*: .*; give --tls-ca"):
            cluster_runner(cluster.scheduler_address)
