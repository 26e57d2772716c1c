# SPDX-License-Identifier: GPL-2.0-only
"""Spreads a run over the workers of a Dask scheduler: sends each once what it lacks, and takes back what it did.

A job whose worker dies runs elsewhere: the scheduler sees to that. A job that ended, however, is never repeated.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec

from .. import scheduler, untrusted
from ..errors import HarnessError, InvalidInput, MachineLacks
from ..qemu import dump, run_directory
from ..results import evidence, manifest, outcome, symbols
from ..results.job import Job
from ..results.outcome import Outcome
from ..scheduler import Tls
from ..suite.pool import Listener
from ..terminal import say
from . import store, worker
from .worker import Answer, Parcel

if TYPE_CHECKING:
    from ..suite.command import Runner

#: A job is sent so often with content that a worker lacks before something else must be wrong.
ROUNDS = 12
#: Of one job: both streams of its test, its console, a dump that is small enough to travel.
ARTIFACTS = untrusted.Limits(bytes=2 << 30, entries=1000)


def cluster_runner(
    address: str, *, most: int | None = None, tls: Tls = (None, None, None), performer: str = ""
) -> Runner:
    """A runner for :func:`vmtest.suite.command.run_suite`.

    Args:
        address: of the scheduler, ``tcp://HOST:8786`` or ``tls://HOST:8786``.
        most: jobs under way at once; None: as many as the workers have threads.
        tls: files of authority, certificate and key.
        performer: "module:function" that performs a job on a worker; default the real one.

    Raises:
        InvalidInput: address or files are wrong.
        MachineLacks: the library is not installed.
    """
    scheduler.check_address(address, tls)
    if scheduler.is_open(address):
        say(f"cluster {address!r} {scheduler.OPEN}")
    scheduler.check_installed()

    def run(jobs: Sequence[Job], directory: Path, listener: Listener) -> tuple[list[Outcome], bool]:
        if rooted := next((job for job in jobs if job.machine_args.get("root")), None):
            what = f"{rooted.name}: root: {rooted.machine_args['root']!r}: is a directory of this host"
            raise InvalidInput(f"{what}: it is not sent to workers; run it without --cluster")
        with contextlib.ExitStack() as stack:
            client = stack.enter_context(scheduler.connected(address, tls))
            scheduler.check_workers(client, address, worker.about, "pydamon[cluster,vmtest]")
            parcels, contents = _parcels(jobs, performer, stack)
            return _Spread(client, jobs, parcels, contents, directory, listener, most).run()

    return run


def _parcels(jobs: Sequence[Job], performer: str, stack: contextlib.ExitStack) -> tuple[list[Parcel], dict[str, Path]]:
    """Jobs ready to travel, and the files behind all hashes."""
    run = uuid.uuid4().hex[:12]
    contents: dict[str, Path] = {}
    archives: dict[str, str] = {}
    parcels = []
    packed = stack.enter_context(run_directory.temporary("trees"))
    for index, job in enumerate(jobs):
        for file in (job.kernel, job.rootfs):
            contents[file.sha256] = Path(file.path)
        for host, _guest in job.trees:
            if host not in archives:
                archive = packed / f"{len(archives)}.tar"
                store.pack_tree(Path(host), archive)
                archives[host] = manifest.sha256_of(archive)
                contents[archives[host]] = archive
        trees = [archives[host] for host, _guest in job.trees]
        parcels.append(Parcel(run=run, index=index, job=job, trees=trees, performer=performer))
    return parcels, contents


class _Spread:
    def __init__(
        self,
        client: Any,
        jobs: Sequence[Job],
        parcels: list[Parcel],
        contents: dict[str, Path],
        directory: Path,
        listener: Listener,
        most: int | None,
    ) -> None:
        self._client = client
        self._jobs = jobs
        self._parcels = parcels
        self._contents = contents
        self._directory = directory
        self._listener = listener
        self._most = most or len(jobs)
        self._rounds = [0] * len(jobs)
        self._results: dict[int, Outcome] = {}
        self._begun: set[int] = set()

    def run(self) -> tuple[list[Outcome], bool]:
        from distributed import as_completed

        run = self._parcels[0].run
        self._client.subscribe_topic(worker.topic(run), self._heard)
        waiting = list(range(len(self._jobs)))[::-1]
        under_way: dict[Any, int] = {}
        completed: Any = as_completed(loop=self._client.loop)
        interrupted = False

        def submit(index: int) -> None:
            future = self._submit(index)
            under_way[future] = index
            completed.add(future)

        try:
            while waiting and len(under_way) < self._most:
                submit(waiting.pop())
            for future in completed:
                index = under_way.pop(future)
                if self._take(index, future):
                    if waiting:
                        submit(waiting.pop())
                else:
                    submit(index)
                if not under_way:
                    break
        except KeyboardInterrupt:
            interrupted = True
            with contextlib.suppress(Exception):
                self._client.cancel(list(under_way))
                self._client.run(worker.stop, run)
        missing = "the run was ended before"
        made = [self._results.get(i) or job.outcome(outcome.NOT_RUN, missing) for i, job in enumerate(self._jobs)]
        return made, interrupted

    def _submit(self, index: int) -> Any:
        self._rounds[index] += 1
        parcel = self._parcels[index]
        key = f"vmtest-{parcel.run}-{index}-{self._rounds[index]}"
        data = msgspec.msgpack.encode(parcel)
        return self._client.submit(worker.handle, data, key=key, pure=False, retries=0, priority=-index)

    def _heard(self, event: Any) -> None:
        _stamp, message = event
        index, phase = message["index"], message["phase"]
        job = self._jobs[index]
        if index in self._results:
            return
        if phase == "starts":
            self._listener.begins(job, message["where"])
        else:
            self._listener.phase(job, phase)

    def _take(self, index: int, future: Any) -> bool:
        """Whether a job has ended with this; if not, it is to be sent again."""
        job = self._jobs[index]
        try:
            answer = msgspec.msgpack.decode(future.result(), type=Answer)
            if answer.missing:
                if self._rounds[index] >= ROUNDS:
                    raise MachineLacks(
                        f"worker: {answer.host}: still lacks what was sent {ROUNDS} times; make space on its disk"
                    )
                # Now, not after the sending: if that worker dies, the scheduler would repeat the task on one that lacks
                # nothing, and the job would run there beside the next round's.
                future.release()
                self._send(answer.worker, answer.missing)
                return False
            assert answer.outcome is not None
            result = self._unpacked(job, answer)
        except Exception as error:
            # Also of the scheduler: a job that several workers died of is no longer tried.
            said = str(error).splitlines()[0] if str(error) else ""
            result = job.outcome(outcome.HARNESS_ERROR, f"{type(error).__name__}: {said}")
        self._results[index] = result
        self._listener.ends(job, result)
        return True

    def _send(self, place: str, hashes: list[str]) -> None:
        # A worker that dies meanwhile is the next round's concern. The library tries for long to reach one.
        with contextlib.suppress(OSError, KeyError, ValueError):
            if place not in self._client.nthreads():
                return
            for sha256 in hashes:
                self._send_one(place, sha256)

    def _send_one(self, place: str, sha256: str) -> None:
        if not self._client.run(store.missing, [sha256], workers=[place])[place]:
            return
        transfer, offset = uuid.uuid4().hex, 0
        with self._contents[sha256].open("rb") as stream:
            while data := stream.read(store.CHUNK_BYTES):
                self._client.run(store.append, sha256, transfer, offset, data, workers=[place])
                offset += len(data)
        try:
            self._client.run(store.finish, sha256, transfer, workers=[place])
        except InvalidInput as error:
            raise HarnessError(str(error)) from error

    def _unpacked(self, job: Job, answer: Answer) -> Outcome:
        """The outcome, its artifacts in place as if the job had run here."""
        result = answer.outcome
        assert result is not None
        # Which job it was, and where its artifacts are, is known here.
        result.name, result.directory = job.name, job.directory if result.directory else ""
        result.kernel, result.machine = job.kernel_name, job.machine_name
        result.workload, result.test = job.workload_name, job.test_name
        if not answer.artifacts:
            return result
        place = self._directory / job.directory
        place.mkdir(parents=True, exist_ok=True)
        with gzip.open(io.BytesIO(answer.artifacts)) as archive:
            what = f"artifacts from worker {answer.host!r}"
            untrusted.place(cast(IO[bytes], archive), ".", place, what, ARTIFACTS)
        if dump.room_for(place, 0, dump.MOST):
            result.warnings += worker.drop_dump(place, too_large=0)
        if result.excerpt and job.vmlinux and Path(job.vmlinux.path).is_file():
            result.excerpt = symbols.decode(result.excerpt, Path(job.vmlinux.path))
            (place / "excerpt.txt").write_text(result.excerpt + "\n", encoding="utf-8")
        evidence.keep_kernel_config(place, Path(job.kernel_config.path) if job.kernel_config else None)
        if (place / manifest.NAME).exists():
            kept = manifest.read(place)
            kept.job, kept.outcome = job, result
            kept.dump = kept.dump if (place / dump.NAME).exists() else ""
            manifest.write(kept, place)
        return result
