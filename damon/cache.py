# SPDX-License-Identifier: GPL-2.0-only
"""Cache of what was built, keyed by content: one directory an entry, complete or absent, safe with several builders.

An entry's time of modification is when it was used last. A process holds a shared lock on each entry that it uses, so
that :func:`prune` of another one leaves it.

``vmtest/cache.py`` is a link to this file, as neither package imports the other; they share the directory.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import stat
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from .errors import MissingCapability
from .progress import Progress

MANIFEST = "manifest.json"
#: Entries that no process has used for so long are removed when another one of their kind is made.
UNUSED_S = 30 * 86400.0
#: Entries that one process holds at most, each with a descriptor; the others were used by it just before.
_HELD = 128
_held: OrderedDict[str, int] = OrderedDict()
_holding = threading.Lock()


def cache_root() -> Path:
    """``$XDG_CACHE_HOME/pydamon`` or ``~/.cache/pydamon``, made when missing, for its owner only.

    What is in it is executed and booted, so it must be this user's own.

    Raises:
        MissingCapability: the directory cannot be made, or belongs to another user.
    """
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        root = Path(base or Path.home() / ".cache") / "pydamon"
    except RuntimeError as error:
        raise MissingCapability(
            "cache directory: this user has no home (no $HOME, no entry in the password database); "
            "set XDG_CACHE_HOME to a writable directory"
        ) from error
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            root.mkdir(mode=0o700)
        _check_own(root)
    except OSError as error:
        raise MissingCapability(
            f"cache directory: {root}: {error.strerror}; set XDG_CACHE_HOME to a writable directory"
        ) from error
    return root


def _check_own(root: Path) -> None:
    """Whether no other user can have written there."""
    link, found = root.lstat(), root.stat()
    others = {link.st_uid, found.st_uid} - {os.getuid()}
    why, remedy = "", "set XDG_CACHE_HOME to a directory of your own"
    if others:
        why = f"belongs to user {others.pop()}, not to {os.getuid()}, who runs this"
    elif not stat.S_ISDIR(found.st_mode):
        why = "is not a directory"
    elif found.st_mode & 0o022:
        why = f"may be written by others (mode {stat.S_IMODE(found.st_mode):04o})"
        remedy = "look at what is in it, then: chmod go-w, or remove it"
    if why:
        raise MissingCapability(f"cache directory: {root}: {why}; {remedy}")


def content_key(parts: Mapping[str, str | bytes]) -> str:
    """Key of an entry: 16 hexadecimal digits over every named part of its recipe."""
    digest = hashlib.sha256()
    for name in sorted(parts):
        value = parts[name]
        data = value.encode() if isinstance(value, str) else value
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()[:16]


def lookup(kind: str, key: str) -> Path | None:
    """Directory of a complete entry, used from now on by this process, or None."""
    directory = cache_root() / kind / key
    return directory if complete(directory) and use(directory) else None


def complete(directory: Path) -> bool:
    """Has it been built to the end?"""
    return (directory / MANIFEST).is_file()


def use(directory: Path, now: float | None = None) -> bool:
    """This process uses an entry from now on, until it ends; False when there is none any more.

    Args:
        directory: of the entry.
        now: the time, in seconds since the epoch; None: the system's.
    """
    name = str(directory)
    with contextlib.suppress(OSError):  # another user's, or a file system that can only be read
        os.utime(directory, None if now is None else (now, now))
    with _holding:
        if name in _held and _is_there(_held[name], directory):
            _held.move_to_end(name)
            return True
        try:
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return False
        with contextlib.suppress(OSError):  # no locks there
            fcntl.flock(descriptor, fcntl.LOCK_SH)  # one that removes it has it until it has been renamed
        if not _is_there(descriptor, directory):
            os.close(descriptor)
            return False
        if name in _held:
            os.close(_held.pop(name))  # of one that was removed and built again
        _held[name] = descriptor
        if len(_held) > _HELD:
            os.close(_held.popitem(last=False)[1])
        return True


def _is_there(descriptor: int, directory: Path) -> bool:
    """Is the open directory still the one with that name?"""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(directory))
    except OSError:
        return False


def manifest(directory: Path) -> dict[str, object]:
    """The facts of a complete entry; none of one that cannot be read."""
    try:
        found = json.loads((directory / MANIFEST).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def manifests(kind: str) -> Iterator[dict[str, object]]:
    """The facts of each complete entry of a kind, in no order."""
    return (manifest(path.parent) for path in (cache_root() / kind).glob(f"*/{MANIFEST}"))


def obtain(
    kind: str,
    key: str,
    label: str,
    build: Callable[[Path, Progress], None],
    facts: Mapping[str, object],
    clock: Callable[[], float] = time.time,
) -> Path:
    """Directory of the entry ``kind/key``; ``build`` fills a temporary one when there is none yet.

    Only one process builds an entry at a time; the others wait and take the result. The temporary directory is renamed
    into place when ``build`` returns, and removed when it raises; one left by a killed builder is removed by the next.
    After a build what has not been used for long is removed.

    Args:
        kind: group of entries, a directory of the cache.
        key: from :func:`content_key`.
        label: shown while it is built.
        build: fills the directory it is given.
        facts: written to the entry's manifest when ``build`` has returned.
        clock: the time, in seconds since the epoch.

    Raises:
        MissingCapability: the disk is full.
    """
    found = lookup(kind, key)
    if found:
        return found
    try:
        made = _built(cache_root() / kind, key, label, build, facts)
        prune(kind, clock())
        return made
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise MissingCapability(
            f"{label}: {error.strerror} in {cache_root()}; make room there, or set XDG_CACHE_HOME to another directory"
        ) from error


def _built(
    parent: Path, key: str, label: str, build: Callable[[Path, Progress], None], facts: Mapping[str, object]
) -> Path:
    parent.mkdir(parents=True, exist_ok=True)
    with Progress(label) as progress, locked(parent / f"{key}.lock", progress):
        found = lookup(parent.name, key)
        if found:
            return found
        _sweep(parent, key)
        scratch = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=parent))
        started = time.monotonic()
        try:
            build(scratch, progress)
            entry = {**facts, "key": key, "build_seconds": round(time.monotonic() - started, 1)}
            (scratch / MANIFEST).write_text(json.dumps(entry, indent=1, sort_keys=True) + "\n")
            scratch.chmod(0o755)
            target = parent / key
            if target.exists():  # incomplete: made by something other than this function
                shutil.rmtree(target)
            scratch.rename(target)
        except BaseException:
            shutil.rmtree(scratch, ignore_errors=True)
            raise
        use(target)
        return target


@contextlib.contextmanager
def reused(kind: str, key: str, progress: Progress, clock: Callable[[], float] = time.time) -> Iterator[Path]:
    """A directory that is never complete, for one process at a time; made when there is none, as in :func:`obtain`."""
    directory = cache_root() / kind / key
    directory.parent.mkdir(parents=True, exist_ok=True)
    with locked(Path(f"{directory}.lock"), progress):
        if not directory.exists():
            prune(kind, clock())
        directory.mkdir(exist_ok=True)
        use(directory)
        yield directory


def prune(kind: str, now: float, *, kept: int = 0, unused_s: float = UNUSED_S) -> list[str]:
    """Remove the entries of a kind that no process uses, and that none has used for long; their keys.

    An entry is renamed before it is removed, so that there is never a part of one. Its empty lock file stays: another
    process may wait for it.

    Args:
        kind: group of entries.
        now: the time, in seconds since the epoch.
        kept: so many stay, those that were used last, however long ago.
        unused_s: how long ago the others were used.
    """
    parent = cache_root() / kind
    found = []
    for directory in parent.iterdir():
        with contextlib.suppress(OSError):
            if directory.is_dir() and not directory.name.startswith("."):
                found.append((directory.stat().st_mtime, directory))
    old = [directory for used, directory in sorted(found, reverse=True)[kept:] if now - used > unused_s]
    return [directory.name for directory in old if _removed(directory, now - unused_s)]


def _removed(directory: Path, before: float) -> bool:
    """Remove an entry, unless it is being built or used, or was used since ``before``."""
    with contextlib.ExitStack() as stack:
        try:
            locks = [stack.enter_context(_open_lock(directory.with_name(f"{directory.name}.lock")))]
            locks.append(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW))
            stack.callback(os.close, locks[-1])
            for lock in locks:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(locks[-1]).st_mtime > before:
                return False
            gone = tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent)
            os.rename(directory, gone)
        except OSError:
            return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


def _sweep(parent: Path, mine: str) -> None:
    """Removes what killed builders left: scratch directories whose entry is not being built."""
    for stale in list(parent.glob(".*.*")):
        key = stale.name[1:].rpartition(".")[0]
        if key == mine:
            _discard(stale, key)
            continue
        with contextlib.suppress(BlockingIOError), _open_lock(parent / f"{key}.lock") as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _discard(stale, key)


def _discard(stale: Path, key: str) -> None:
    """Under another name first: a compiler that has outlived its builder finds no place to write to."""
    try:
        gone = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=stale.parent))
    except OSError:  # a full disk has no room for a name, and gets some by the removal
        gone = stale
    with contextlib.suppress(OSError):
        os.rename(stale, gone)
    shutil.rmtree(gone, ignore_errors=True)


@contextlib.contextmanager
def locked(path: Path, progress: Progress) -> Iterator[None]:
    """Holds the lock file ``path``, which is made when missing and stays; shows when another process has it."""
    with _open_lock(path) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                progress.update("another process is building it, waiting")
                time.sleep(0.2)
        yield


@contextlib.contextmanager
def _open_lock(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
