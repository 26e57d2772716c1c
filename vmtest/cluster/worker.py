# SPDX-License-Identifier: GPL-2.0-only
"""What runs on a worker: one job, with files that have travelled. Its artifacts go back with its outcome."""

from __future__ import annotations

import contextlib
import io
import platform
import tarfile
import threading
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import msgspec
from msgspec.structs import replace

from ..errors import HarnessError
from ..qemu import dump, run_directory
from ..results.job import FileRef, Job
from ..results.outcome import Outcome
from ..sizes import MIB
from ..suite.admission import Admission
from ..suite.perform import Stopped, Watch, perform
from . import store

# The scheduler limits the number of jobs at once, the worker what memory holds.
_admission = Admission(1 << 20)
_guard = threading.Lock()
_watches: dict[str, set[Watch]] = {}
_stopped: set[str] = set()
WAIT_SECONDS = 0.2

Performer = Callable[[Job, Path, Watch], Outcome]


class Parcel(msgspec.Struct, frozen=True, kw_only=True):
    """A job on its way out.

    Attributes:
        run: name of the run, unique.
        index: of the job in the run.
        trees: for each tree of the job the hash of its archive.
        performer: "module:function" that performs it.
    """

    run: str
    index: int
    job: Job
    trees: list[str]
    performer: str


class Answer(msgspec.Struct, kw_only=True):
    """What comes back: hashes that the worker lacks, or the outcome and a tar archive of the artifacts.

    Attributes:
        host: name of the worker's machine.
        worker: its address, where missing content is sent.
    """

    host: str
    worker: str = ""
    missing: list[str] = []
    outcome: Outcome | None = None
    artifacts: bytes = b""


def about() -> str:
    """The version of this worker."""
    return metadata.version("pydamon")


def handle(parcel: bytes) -> bytes:
    """Performs a job, unless content is missing; the task that the scheduler hands out."""
    return msgspec.msgpack.encode(_handle(msgspec.msgpack.decode(parcel, type=Parcel)))


def _handle(parcel: Parcel) -> Answer:
    job, host = parcel.job, platform.node()
    missing = store.missing([job.kernel.sha256, job.rootfs.sha256, *parcel.trees])
    if missing:
        return Answer(host=host, worker=_address(), missing=missing)
    local = replace(
        job,
        kernel=FileRef(str(store.path_of(job.kernel.sha256)), job.kernel.sha256),
        rootfs=FileRef(str(store.path_of(job.rootfs.sha256)), job.rootfs.sha256),
        # The symbols stay where the run was started: addresses are looked up there.
        vmlinux=None,
        kernel_config=None,
        trees=tuple(
            (str(store.unpacked_tree(sha256)), guest)
            for sha256, (_host, guest) in zip(parcel.trees, job.trees, strict=True)
        ),
    )
    watch = Watch(lambda phase: _tell(parcel, phase))
    with _guard:
        _watches.setdefault(parcel.run, set()).add(watch)
        watch.stopped = parcel.run in _stopped
    try:
        with run_directory.temporary("job") as scratch:
            directory = scratch / "artifacts"
            outcome = _perform(parcel, local, directory, watch)
            outcome.warnings += drop_dump(directory, too_large=dump.TRAVELS)
            return Answer(host=host, outcome=outcome, artifacts=_packed(directory))
    finally:
        with _guard:
            _watches[parcel.run].discard(watch)


def drop_dump(directory: Path, *, too_large: int) -> list[str]:
    """Removes a guest's dump from its artifacts when it is larger than so many bytes; returns the notes about it."""
    path = directory / dump.NAME
    if not path.is_file() or path.stat().st_size <= too_large:
        return []
    size = path.stat().st_size
    path.unlink()
    return [f"no dump of the guest's memory: its {size // MIB} MiB were too many to send or keep"]


def _perform(parcel: Parcel, job: Job, directory: Path, watch: Watch) -> Outcome:
    while not _admission.admit(job.config):
        if why := _admission.hopeless(job.config):
            return job.outcome("machine-lacks", why)
        time.sleep(WAIT_SECONDS)
    try:
        _tell(parcel, "starts")
        return _named(parcel.performer)(job, directory, watch)
    except Stopped:
        return job.outcome("not-run", "the run was ended before")
    except HarnessError as error:
        return job.outcome("harness-error", str(error).splitlines()[0])
    finally:
        _admission.release(job.config)


def _named(name: str) -> Performer:
    if name == "":
        return perform
    from importlib import import_module

    module, _, function = name.partition(":")
    found: Performer = getattr(import_module(module), function)
    return found


def _packed(directory: Path) -> bytes:
    if not directory.is_dir():
        return b""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=3) as archive:
        archive.add(directory, arcname=".")
    return stream.getvalue()


def _tell(parcel: Parcel, phase: str) -> None:
    from distributed import get_worker

    with contextlib.suppress(Exception):  # progress is a courtesy
        event = {"index": parcel.index, "phase": phase, "where": platform.node()}
        get_worker().log_event(topic(parcel.run), event)


def _address() -> str:
    from distributed import get_worker

    return str(get_worker().address)


def topic(run: str) -> str:
    """The topic under which workers report a run's phases."""
    return f"vmtest-{run}"


def stop(run: str) -> None:
    """Ends what runs here of a run, guests included."""
    with _guard:
        _stopped.add(run)
        watches = list(_watches.get(run, ()))
    for watch in watches:
        watch.stop()
