# SPDX-License-Identifier: GPL-2.0-only
"""Files and directories as kernfs has them: text that is shown and stored, entries that come and go (spec, sysfs 1)."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar

from damon.errors import DamonError

#: What one write can bring and one read can show.
PAGE: Final = 4096


class Watcher(Protocol):
    """Who shows a node to others."""

    def gone(self) -> None:
        """The node has left the tree, maybe while the tree's lock is held: must not wait."""


class Node:
    """An entry. ``removed`` is set when it has left the tree; who still holds it open gets ENODEV."""

    mode: int
    removed: bool = False
    watcher: Watcher | None = None

    def remove(self) -> None:
        self.removed = True
        if self.watcher is not None:
            self.watcher.gone()


N = TypeVar("N", bound=Node)


class File(Node):
    """One value as text.

    Args:
        show: the text that is read, newline included; None: cannot be read.
        store: takes the text that was written; raises ``DamonError`` to refuse it. None: read only.
    """

    __slots__ = ("_show", "_store", "mode", "removed", "watcher")

    def __init__(self, show: Callable[[], str] | None, store: Callable[[str], None] | None = None) -> None:
        self._show, self._store = show, store
        self.mode = (0o400 if show else 0) | (0o200 if store else 0)
        self.removed = False
        self.watcher = None

    def _check(self) -> None:
        if self.removed:
            raise DamonError(errno.ENODEV, "file: gone: its directory was removed; open the new one")

    def read(self) -> bytes:
        """The whole text. ENODEV when it is gone, EIO when it cannot be read."""
        self._check()
        if self._show is None:
            raise DamonError(errno.EIO, "file: write only: it has no content; write to it")
        return self._show().encode("latin-1")[:PAGE]

    def write(self, data: bytes) -> int:
        """Store ``data``, wherever in the file it was written; the bytes taken, a page at most."""
        self._check()
        if not data:
            return 0
        if self._store is None:
            raise DamonError(errno.EACCES, "file: read only: it takes no value; read it")
        taken = data[:PAGE]
        self._store(taken.partition(b"\0")[0].decode("latin-1"))
        return len(taken)


class Directory(Node):
    """Entries by name, in the order in which they came."""

    __slots__ = ("_children", "removed", "watcher")

    mode = 0o755

    def __init__(self) -> None:
        self._children: dict[str, Node] = {}
        self.removed = False
        self.watcher = None

    def add(self, name: str, node: N) -> N:
        self._children[name] = node
        return node

    def names(self) -> Sequence[str]:
        return list(self._children)

    def child(self, name: str) -> Node | None:
        return self._children.get(name)

    def made_child(self, name: str) -> Node | None:
        """As ``child()``; None as well for a directory that comes into being only when it is opened."""
        return self.child(name)

    def drop(self, name: str) -> None:
        """Remove ``name`` with all that is below it."""
        self._children.pop(name).remove()

    def remove(self) -> None:
        super().remove()
        for child in list(self._children.values()):
            child.remove()

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Node]]:
        """Path and node of everything below, top down."""
        for name in self.names():
            node = self.child(name)
            if node is None:
                continue
            yield prefix + name, node
            if isinstance(node, Directory):
                yield from node.walk(f"{prefix}{name}/")

    def find(self, path: str) -> Node:
        """The node at ``path``; ENOENT, or ENOTDIR, when there is none."""
        node: Node = self
        for name in path.split("/") if path else ():
            if not isinstance(node, Directory):
                raise DamonError(errno.ENOTDIR, f"path: {path}: {name} is below a file; correct it")
            below = node.child(name)
            if below is None:
                raise DamonError(errno.ENOENT, f"path: {path}: no such file or directory; correct it")
            node = below
        return node


class TreeLock:
    """The one lock of the whole tree. A request that finds it taken gets EBUSY at once (spec, sysfs 1.3)."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def held(self) -> Iterator[None]:
        if not self._lock.acquire(blocking=False):
            raise DamonError(errno.EBUSY, "tree: locked: another request is being served; try again")
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def tried(self) -> Iterator[bool]:
        """As ``held``; False, without the lock, when it is taken."""
        taken = self._lock.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._lock.release()
