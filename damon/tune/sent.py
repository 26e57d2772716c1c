# SPDX-License-Identifier: GPL-2.0-only
"""The files of a workload on their way to a worker, where they are all in one directory."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from damon.errors import InvalidInput
from damon.tune.study import WorkloadFile
from damon.workload.load import read_yaml
from damon.workload.replays import is_replay

#: Bytes of a workload's files, which a worker has in memory.
MOST: Final = 1 << 30


@dataclass(frozen=True)
class Sent:
    """A file of a workload.

    Attributes:
        name: in the directory.
        sha256: of the content.
        content: of the file.
    """

    name: str
    sha256: str
    content: bytes


def packed(workload: WorkloadFile) -> list[Sent]:
    """The workload's file, and after it the traces that it names, by names that are theirs in one directory.

    Raises:
        InvalidInput: they are too much, or cannot be read any more.
    """
    try:
        size = sum(path.stat().st_size for path in {workload.path, *workload.traces})
        if size > MOST:
            raise InvalidInput(
                f"--cluster: {workload.name}: {size} bytes: at most {MOST} are sent to workers; "
                "run it without --cluster"
            )
        if workload.path in workload.traces or not workload.traces:
            return [_sent(workload.path.name, workload.path.read_bytes())]
        traces = {path: _sent("", path.read_bytes()) for path in workload.traces}
    except OSError as error:
        raise InvalidInput(f"--cluster: {workload.name}: {error.strerror}; start again") from None
    traces = {path: Sent(f"{one.sha256}.trace", one.sha256, one.content) for path, one in traces.items()}
    _, data = read_yaml(workload.path.read_text())
    for spec in data["areas"].values():
        if is_replay(spec):
            spec["trace"] = traces[workload.path.parent / spec["trace"]].name
    return [_sent(workload.path.name, msgspec.json.encode(data)), *traces.values()]  # JSON is YAML


def _sent(name: str, content: bytes) -> Sent:
    return Sent(name, hashlib.sha256(content).hexdigest(), content)


#: What this process has seen to be whole: its size, and when it was changed.
_whole: dict[Path, tuple[int, int]] = {}


def unpacked(directory: Path, files: Sequence[tuple[str, str]], contents: Sequence[bytes]) -> Path:
    """The workload's file below ``directory``, with what it names beside it; what is there as it was is left.

    Args:
        directory: of this user.
        files: of each ``Sent``, the name and the hash.
        contents: of each.

    Raises:
        PermissionError: it is another user's.
    """
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to another user")
    own = directory / files[0][1]
    own.mkdir(exist_ok=True)
    for (name, sha256), content in zip(files, contents, strict=True):
        path = own / name
        if not _is_whole(path, sha256):
            fd, part = tempfile.mkstemp(dir=own)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(content)
                os.replace(part, path)
            except BaseException:  # a full disk
                os.unlink(part)
                raise
    return own / files[0][0]


def _is_whole(path: Path, sha256: str) -> bool:
    """Is the file there, with this hash? It is read once, and again when it has changed."""
    try:
        state = path.stat()
        found = state.st_size, state.st_ctime_ns
        if _whole.get(path) != found:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    return False
            _whole[path] = found
    except FileNotFoundError:
        return False
    return True
