# SPDX-License-Identifier: GPL-2.0-only
"""A tree of nodes as a file system, through FUSE. Errors of a write reach the writer as errno, at once.

The kernel's requests are read and, as far as they need nothing of a node, answered in C (``damon/native/src/fuse*.c``),
without the interpreter's lock. Names and attributes of nodes stay with the kernel for good: a node never changes
them, and what leaves the tree is taken back before the write that removed it returns. Values are asked for each time.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import stat
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from damon.damond.fusemount import mount
from damon.errors import DamonError
from damon.modules.sysfs import Directory, File, Node
from damon.native import bind

log = logging.getLogger("damon.damond")

#: Requests served at the same time: commands wait for workers, and others must not wait for them.
MAX_THREADS: Final = 32
#: Of what the kernel asks (``linux/fuse.h``), by the names there.
OPCODES: Final = {
    1: "LOOKUP", 2: "FORGET", 3: "GETATTR", 4: "SETATTR", 14: "OPEN", 15: "READ", 16: "WRITE", 17: "STATFS",
    18: "RELEASE", 20: "FSYNC", 22: "GETXATTR", 25: "FLUSH", 27: "OPENDIR", 28: "READDIR", 29: "RELEASEDIR",
    34: "ACCESS", 35: "CREATE", 36: "INTERRUPT", 39: "IOCTL", 42: "BATCH_FORGET", 44: "READDIRPLUS", 46: "LSEEK",
}  # fmt: skip
#: One entry of a listing, before its name (``struct packed``): number or 0, mode, length.
ENTRY: Final = struct.Struct("=QII")
PATIENCE_MS: Final = 10_000

_LOOKUP = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_uint64, ctypes.c_char_p)
_LIST = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p)
_SHOW = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p)
_STORE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_uint64, ctypes.c_void_p, ctypes.c_size_t)
_MORE = ctypes.CFUNCTYPE(ctypes.c_int)


class _Calls(ctypes.Structure):
    """``struct fs_calls``."""

    _fields_ = (("lookup", _LOOKUP), ("list", _LIST), ("show", _SHOW), ("store", _STORE), ("more", _MORE))


_new = bind("damon_fuse_new", ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Calls), ctypes.c_uint32, ctypes.c_uint32,
            ctypes.c_int)  # fmt: skip
_greet = bind("damon_fuse_greet", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
_serve = bind("damon_fuse_serve", ctypes.c_int, ctypes.c_void_p)
_inode = bind("damon_fuse_inode", ctypes.c_int64, ctypes.c_void_p, ctypes.c_uint32)
_hold = bind("damon_fuse_hold", None, ctypes.c_void_p, ctypes.c_uint64)
_gone = bind("damon_fuse_gone", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64)
_forget = bind("damon_fuse_forget", ctypes.c_int, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p, ctypes.c_uint64)
_list = bind("damon_fuse_list", ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t,
             ctypes.c_uint32)  # fmt: skip
_counts = bind("damon_fuse_counts", ctypes.c_uint64, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64))


class _Inode:
    """What the kernel has of a node."""

    __slots__ = ("above", "name", "node", "number", "tree")

    def __init__(self, tree: Tree, number: int, node: Node, name: str, above: _Inode | None) -> None:
        self.tree, self.number, self.node, self.name, self.above = tree, number, node, name, above

    def gone(self) -> None:
        self.tree.gone(self)

    @property
    def path(self) -> str:
        return f"{self.above.path}/{self.name}".lstrip("/") if self.above is not None else ""


def _answered(function: Callable[..., Any]) -> Callable[..., int]:
    """What it raises is a negative errno."""

    def call(*words: Any) -> int:
        try:
            return int(function(*words))
        except DamonError as error:
            return -(error.errno or errno.EIO)
        except Exception:
            log.exception("a request failed")
            return -errno.EIO

    return call


class Tree:
    """The calls of the C side on the tree below ``root``.

    Args:
        fd: of ``/dev/fuse``, mounted.
        more: starts another thread that serves; 0, or a negative errno.
    """

    def __init__(self, root: Directory, fd: int, more: Callable[[], int]) -> None:
        calls: dict[str, Callable[..., int]] = {
            "lookup": self._look_up,
            "list": self._list,
            "show": self._show,
            "store": self._store,
            "more": more,
        }
        kinds = dict(_Calls._fields_)
        self._calls = _Calls(*(kinds[name](_answered(function)) for name, function in calls.items()))
        self.handle = _new(fd, ctypes.byref(self._calls), os.getuid(), os.getgid(), MAX_THREADS)
        if not self.handle:
            raise MemoryError
        self._inodes: dict[int, _Inode] = {}
        #: Held while the kernel gets or gives up a node. Its holder waits for nothing else.
        self._telling = threading.RLock()
        #: Held while nodes that have gone are reported to the kernel.
        self._forgetting = threading.Lock()
        self._left: list[_Inode] = []
        self._tell(root, "", None)

    def _tell(self, node: Node, name: str, above: _Inode | None) -> _Inode:
        """The kernel may hear of ``node`` from now on; the caller holds ``_telling``."""
        if isinstance(node.watcher, _Inode):
            return node.watcher
        number = _inode(self.handle, (stat.S_IFDIR if isinstance(node, Directory) else stat.S_IFREG) | node.mode)
        if number < 0:
            raise DamonError(-number)
        made = _Inode(self, number, node, name, above)
        self._inodes[number] = node.watcher = made
        if node.removed or (above is not None and above.node.removed):  # just now, by another thread
            made.gone()
            raise DamonError(errno.ENOENT)
        return made

    def gone(self, inode: _Inode) -> None:
        """Its node has left the tree."""
        with self._telling:
            if self._inodes.get(inode.number) is inode:
                del self._inodes[inode.number]
                if _gone(self.handle, inode.number):
                    self._left.append(inode)

    def settle(self) -> None:
        """Return when the kernel has forgotten the nodes that left the tree. Others must serve meanwhile."""
        if not self._left:  # what left before this call is either in there, or its teller holds the lock
            with self._forgetting:
                return
        with self._forgetting:
            with self._telling:
                left, self._left = self._left, []
            for inode in left:  # from the top down: most of it the kernel forgets with the first one
                assert inode.above is not None
                _forget(self.handle, inode.above.number, os.fsencode(inode.name), inode.number)

    def _directory(self, number: int) -> tuple[_Inode, Directory]:
        inode = self._inodes.get(number)
        if inode is None:
            raise DamonError(errno.ENOENT)
        if not isinstance(inode.node, Directory):
            raise DamonError(errno.ENOTDIR)
        return inode, inode.node

    def _look_up(self, parent: int, name: bytes) -> int:
        with self._telling:
            above, directory = self._directory(parent)
            word = os.fsdecode(name)
            node = directory.child(word)
            if node is None:
                raise DamonError(errno.ENOENT)
            number = self._tell(node, word, above).number
            _hold(self.handle, number)
            return number

    def _list(self, number: int, listing: int) -> int:
        packed, count = bytearray(), 0
        with self._telling:
            above, directory = self._directory(number)
            for name in directory.names():
                word = os.fsencode(name)
                packed += self._entry(above, directory, name, len(word)) + word
                count += 1
            return int(_list(self.handle, listing, bytes(packed), len(packed), count))

    def _entry(self, above: _Inode, directory: Directory, name: str, length: int) -> bytes:
        # Numbered directories come into being when a client opens them: listing is not that.
        node = directory.made_child(name)
        if node is None:
            return ENTRY.pack(0, stat.S_IFDIR, length)
        kind = stat.S_IFDIR if isinstance(node, Directory) else stat.S_IFREG
        try:
            return ENTRY.pack(self._tell(node, name, above).number, kind, length)
        except DamonError:  # gone meanwhile: the next request for it reports that
            return ENTRY.pack(0, kind, length)

    def _file(self, number: int) -> tuple[_Inode, File]:
        inode = self._inodes.get(number)
        if inode is None or not isinstance(inode.node, File):
            raise DamonError(errno.ENODEV)
        return inode, inode.node

    def _show(self, number: int, text: int) -> int:
        shown = self._file(number)[1].read()
        ctypes.memmove(text, shown, len(shown))
        return len(shown)

    def _store(self, number: int, data: int, size: int) -> int:
        inode, file = self._file(number)
        written = ctypes.string_at(data, size)
        try:
            return file.write(written)
        except DamonError as error:
            log.info("%s: write of %r refused: %s", inode.path, written[:64], error)
            raise
        finally:
            self.settle()

    @property
    def open_files(self) -> int:
        """How many are open right now."""
        return int(_counts(self.handle, (ctypes.c_uint64 * 64)()))

    def requests(self) -> dict[str, int]:
        """How many there were of each kind."""
        counts = (ctypes.c_uint64 * 64)()
        _counts(self.handle, counts)
        return {OPCODES.get(opcode, str(opcode)): count for opcode, count in enumerate(counts) if count}


class Mount:
    """A mounted tree, served by threads of its own until ``close()``."""

    def __init__(self, root: Directory, directory: str) -> None:
        self._root, self._directory = root, directory
        self._threads: list[threading.Thread] = []
        self.tree: Tree | None = None

    def open(self) -> None:
        """Mount; ``OSError`` when the kernel does not take it, ``MissingCapability`` when it may not be asked."""
        fd = mount(Path(self._directory))
        self.tree = Tree(self._root, fd, self._more)
        result = _greet(self.tree.handle, PATIENCE_MS)
        if result < 0:
            os.close(fd)
            raise OSError(
                -result,
                f"--mount: {str(self._directory)!r}: mounting failed: {os.strerror(-result)}; give another directory",
            )
        self._more()

    def _more(self) -> int:
        thread = threading.Thread(target=self._serve, name="damond-fuse", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # as many as there can be
            return -errno.EAGAIN
        self._threads.append(thread)
        return 0

    def _serve(self) -> None:
        assert self.tree is not None
        result = _serve(self.tree.handle)
        if result < 0:
            log.error("%s: requests can't be read any more: %s", self._directory, os.strerror(-result))

    def settle(self) -> None:
        """What has left the tree without a write is gone for everybody when this returns."""
        if self.tree is not None:
            self.tree.settle()

    @property
    def alive(self) -> bool:
        """False once it has been unmounted."""
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        """Wait until it is unmounted and all requests are answered."""
        for thread in self._threads:
            thread.join(5.0)
