# SPDX-License-Identifier: GPL-2.0-only
"""Cache of what was built, keyed by content: one folder an entry, complete or absent, safe with several builders."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from filelock import FileLock, Timeout

from .errors import MachineLacks
from .progress import Progress

MANIFEST = "manifest.json"


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/pydamon`` or ``~/.cache/pydamon``, made when missing.

    Raises:
        MachineLacks: the folder cannot be made.
    """
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base) / "pydamon"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MachineLacks(
            f"cache folder {root} cannot be made ({error.strerror}); set XDG_CACHE_HOME to a writable folder"
        ) from error
    return root


def content_key(parts: Mapping[str, str | bytes]) -> str:
    """Key of an entry: 16 hexadecimal digits over every named part of its recipe."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        value = parts[name]
        data = value.encode() if isinstance(value, str) else value
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


def lookup(kind: str, key: str) -> Path | None:
    """Folder of a complete entry, or None."""
    folder = cache_root() / kind / key
    return folder if (folder / MANIFEST).is_file() else None


def obtain(
    kind: str, key: str, label: str, build: Callable[[Path, Progress], None], facts: Mapping[str, object]
) -> Path:
    """Folder of the entry ``kind/key``; ``build`` fills a temporary folder when there is none yet.

    Only one process builds an entry at a time; the others wait and take the result. The temporary folder is renamed
    into place when ``build`` returns, and removed when it raises; one left by a killed builder is removed by the next.

    Args:
        kind: group of entries, a folder of the cache.
        key: from :func:`content_key`.
        label: what a person sees while it is built.
        build: fills the folder it is given.
        facts: written to the entry's manifest.
    """
    found = lookup(kind, key)
    if found:
        return found
    parent = cache_root() / kind
    parent.mkdir(parents=True, exist_ok=True)
    with Progress(label) as progress, _locked(parent / f"{key}.lock", progress):
        found = lookup(kind, key)
        if found:
            return found
        _sweep(parent, key)
        scratch = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=parent))
        started = time.monotonic()
        try:
            build(scratch, progress)
            manifest = {**facts, "key": key, "build_seconds": round(time.monotonic() - started, 1)}
            (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
            scratch.chmod(0o755)
            target = parent / key
            if target.exists():  # incomplete: made by something other than this function
                shutil.rmtree(target)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        return target


def _sweep(parent: Path, mine: str) -> None:
    """Removes what killed builders left: scratch folders whose entry nobody is building."""
    for stale in parent.glob(".*.*"):
        key = stale.name[1:].rpartition(".")[0]
        if key == mine:
            shutil.rmtree(stale, ignore_errors=True)
            continue
        lock = FileLock(str(parent / f"{key}.lock"))
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(stale, ignore_errors=True)


class _locked:
    """Holds a file lock; says so while another process has it."""

    def __init__(self, path: Path, progress: Progress) -> None:
        self._lock = FileLock(str(path))
        self._progress = progress

    def __enter__(self) -> None:
        while True:
            try:
                self._lock.acquire(timeout=1)
                return
            except Timeout:
                self._progress.update("another process is building it, waiting")

    def __exit__(self, *_exc: object) -> None:
        self._lock.release()
