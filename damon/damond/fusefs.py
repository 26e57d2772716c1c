# SPDX-License-Identifier: GPL-2.0-only
"""A tree of nodes as a file system, through FUSE. Errors of a write reach the writer as errno, at once."""

from __future__ import annotations

import ctypes
import errno
import itertools
import logging
import os
import stat
import threading
import time
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from damon.errors import DamonError, MissingCapability
from damon.modules.sysfs import Directory, File, Node
from damon.modules.sysfs.node import PAGE

try:
    import mfusepy  # type: ignore[import-untyped]
except OSError:
    raise MissingCapability("there is no libfuse; install it (Debian: apt-get install libfuse3-3)") from None

log = logging.getLogger("damon.damond")

#: Options of the mount. Names may be remembered: what they lead to is looked at again with every use. Attributes and
#: "no such file" may not, so that what has gone is gone at once.
OPTIONS: Final = {
    "fsname": "damond",
    "subtype": "damon",
    "direct_io": True,
    "entry_timeout": 3600.0,
    "attr_timeout": 0.0,
    "negative_timeout": 0.0,
}
#: Requests served at the same time: commands wait for workers, and others must not wait for them.
MAX_THREADS: Final = 32
#: Paths remembered.
MAX_KNOWN: Final = 100_000

_local = threading.local()


def _threads() -> dict[str, int]:
    """libfuse complains of its own defaults where it has these options."""
    version = mfusepy.fuse_version_major, mfusepy.fuse_version_minor
    return {"max_threads": MAX_THREADS, "max_idle_threads": MAX_THREADS} if version >= (3, 12) else {}


class _Handle:
    """One open file: the text that is being read."""

    __slots__ = ("file", "text")

    def __init__(self, file: File) -> None:
        self.file = file
        self.text = b""


class TreeOperations(mfusepy.Operations):  # type: ignore[misc]
    """What FUSE asks of ``root``.

    Attributes:
        mounted: set once the kernel has taken the mount.
    """

    use_ns = True

    def __init__(self, root: Directory) -> None:
        self._root = root
        self._uid, self._gid = os.getuid(), os.getgid()
        self._now = time.time_ns()
        self._handles: dict[int, _Handle] = {}
        self._numbers = itertools.count(1)
        self._known: dict[str, Node] = {}
        self._attributes: dict[tuple[bool, int], dict[str, int]] = {}
        self.mounted = threading.Event()

    def init(self, path: str) -> None:
        self.mounted.set()

    def _find(self, path: str) -> Node:
        """A path leads to the same node until that one is removed."""
        node = self._known.get(path)
        if node is None or node.removed:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known.pop(path, None)
            node = self._known[path] = self._look_up(path)
        return node

    def _look_up(self, path: str) -> Node:
        """From the directory above, if that is known: the kernel asks for each level, top down."""
        above, _, name = path.rpartition("/")
        folder = self._known.get(above)
        if isinstance(folder, Directory) and not folder.removed:
            node = folder.child(name)
            if node is not None:
                return node
        return self._root.find(path[1:])

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if fh and fh in self._handles:
            node: Node = self._handles[fh].file
        else:
            node = self._find(path)
        return self._attributes_of(node)

    def _attributes_of(self, node: Node) -> dict[str, int]:
        folder, mode = isinstance(node, Directory), node.mode
        known = self._attributes.get((folder, mode))
        if known is None:
            known = self._attributes[folder, mode] = {
                "st_mode": (stat.S_IFDIR if folder else stat.S_IFREG) | mode,
                "st_nlink": 2 if folder else 1,
                "st_size": 0 if folder else PAGE,
                "st_uid": self._uid,
                "st_gid": self._gid,
                "st_atime": self._now,
                "st_mtime": self._now,
                "st_ctime": self._now,
            }
        return known

    def access(self, path: str, amode: int) -> int:
        node = self._find(path)
        if isinstance(node, File) and amode & os.W_OK and not node.mode & 0o200:
            raise DamonError(errno.EACCES)
        return 0

    def opendir(self, path: str) -> int:
        if not isinstance(self._find(path), Directory):
            raise DamonError(errno.ENOTDIR)
        return 0

    def readdir(self, path: str, fh: int) -> Iterator[Any]:
        node = self._find(path)
        assert isinstance(node, Directory)
        yield from (".", "..")
        for name in node.names():  # with its type, which saves those who walk a question for each
            folder = name.isdigit() or isinstance(node.child(name), Directory)  # numbers are: do not make them for that
            yield name, {"st_mode": stat.S_IFDIR if folder else stat.S_IFREG}, 0

    def open(self, path: str, flags: int) -> int:
        node = self._find(path)
        if not isinstance(node, File):
            raise DamonError(errno.EISDIR)
        wanted = {os.O_RDONLY: 0o400, os.O_WRONLY: 0o200, os.O_RDWR: 0o600}[flags & os.O_ACCMODE]
        if node.mode & wanted != wanted:
            raise DamonError(errno.EACCES)
        number = next(self._numbers)
        self._handles[number] = _Handle(node)
        return number

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        handle = self._handles[fh]
        if not offset:  # from the start is anew, however often
            handle.text = handle.file.read()
        elif handle.file.removed:
            raise DamonError(errno.ENODEV)
        return handle.text[offset : offset + size]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        try:
            return self._handles[fh].file.write(data)
        except DamonError as error:
            log.info("%s: write of %r refused: %s", path[1:], data[:64], error)
            raise

    def release(self, path: str, fh: int) -> int:
        self._handles.pop(fh, None)
        return 0

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        """Opened to be overwritten: nothing to do."""
        node = self._find(path)
        if isinstance(node, Directory):
            raise DamonError(errno.EISDIR)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": PAGE, "f_namemax": 255}

    def create(self, path: str, mode: int, fi: Any = None) -> NoReturn:
        raise DamonError(errno.EACCES)

    def _not_permitted(self, *words: Any) -> NoReturn:
        raise DamonError(errno.EPERM)

    mkdir = rmdir = unlink = rename = symlink = link = mknod = chmod = chown = _not_permitted

    @property
    def open_files(self) -> int:
        """How many are open right now."""
        return len(self._handles)


class _Fuse(mfusepy.FUSE):  # type: ignore[misc]
    """Threads of libfuse stay known to Python from their first request on: else each request costs a thread state."""

    def __init__(self, *words: Any, **options: Any) -> None:
        self._answers: dict[int, Any] = {}
        super().__init__(*words, **options)

    def _wrapper(self, func: Any, *args: Any, **kwargs: Any) -> Any:
        if not hasattr(_local, "known"):
            _local.known = True
            ctypes.pythonapi.PyGILState_Ensure()
        return super()._wrapper(func, *args, **kwargs)

    def fgetattr(self, path: bytes, buf: Any, fip: Any) -> int:
        """Asked most of all, and few different answers: each is put together once."""
        attributes = self.operations.getattr(path.decode(self.encoding, self.errors), fip.contents.fh if fip else None)
        kind = attributes["st_mode"]
        answer = self._answers.get(kind)
        if answer is None:
            answer = mfusepy.c_stat()
            mfusepy.set_st_attrs(answer, attributes, use_ns=True)
            self._answers[kind] = answer
        ctypes.memmove(buf, ctypes.byref(answer), ctypes.sizeof(answer))
        return 0


class Mount:
    """A mounted tree, served by threads of its own until ``close()``."""

    def __init__(self, root: Directory, folder: str) -> None:
        self.operations = TreeOperations(root)
        self._folder = folder
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="damond-fuse", daemon=True)

    def _serve(self) -> None:
        try:
            _Fuse(self.operations, self._folder, foreground=True, **OPTIONS, **_threads())
        except BaseException as error:
            self._error = error

    def open(self, patience_s: float = 10.0) -> None:
        """Mount; ``OSError`` when the kernel does not take it."""
        self._thread.start()
        deadline = time.monotonic() + patience_s
        while not self.operations.mounted.wait(0.05):
            if not self._thread.is_alive() or time.monotonic() > deadline:
                reason = self._error or "no answer from the kernel"
                raise OSError(errno.EIO, f"mounting {self._folder} failed: {reason}")

    @property
    def alive(self) -> bool:
        """False once somebody has unmounted it."""
        return self._thread.is_alive()

    def join(self) -> None:
        """Wait until it is unmounted and all requests are answered."""
        self._thread.join(5.0)
