# SPDX-License-Identifier: GPL-2.0-only
"""One loaded copy of a built ``mm/damon``: its functions, its records by field name, the callbacks that it needs.

The kernel's static variables live as long as a copy of the library, so each engine loads a fresh one. No offset is
known here: fields are found in the tables that ``shim/access.c`` has, compiled against the tree's own ``damon.h``.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, c_char_p, c_int, c_long, c_uint, c_uint64, c_ulong, c_void_p
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.errors import DamonError, InvalidInput

if TYPE_CHECKING:
    from damon.kernel.build import Built

U64 = c_uint64
#: Members of ``struct shim_callbacks`` that are functions: result and arguments.
CALLBACKS: Final = {
    "sleep": CFUNCTYPE(None, c_void_p, U64, U64),
    "wait": CFUNCTYPE(None, c_void_p),
    "wake": CFUNCTYPE(None, c_void_p),
    "spawn": CFUNCTYPE(c_int, c_void_p),
    "join": CFUNCTYPE(None, c_void_p),
    "seed": CFUNCTYPE(U64),
    "process": CFUNCTYPE(U64, c_int),
    "put_process": CFUNCTYPE(None, U64),
    "query": CFUNCTYPE(U64, c_int, U64, U64),
    "ram": CFUNCTYPE(c_int, c_uint, POINTER(U64), POINTER(U64)),
    "folios": CFUNCTYPE(c_uint, U64, POINTER(U64), c_uint),
    "log": CFUNCTYPE(None, c_char_p, c_char_p),
    "warn": CFUNCTYPE(None, c_char_p, c_int, c_char_p, c_char_p),
    "trace": CFUNCTYPE(None, c_char_p, c_char_p),
    "ops_init": CFUNCTYPE(None, c_int, c_void_p),
    "ops_update": CFUNCTYPE(None, c_int, c_void_p),
    "ops_mkold": CFUNCTYPE(None, c_int, c_void_p, c_void_p, c_void_p, c_uint),
    "ops_young": CFUNCTYPE(None, c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p, c_uint),
    "ops_access": CFUNCTYPE(c_void_p, c_int, c_void_p, c_void_p),
    "ops_probe": CFUNCTYPE(None, c_int, c_void_p, c_void_p, c_void_p, c_uint, c_void_p),
    "ops_apply": CFUNCTYPE(U64, c_int, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(U64)),
    "ops_valid": CFUNCTYPE(c_int, c_int, c_void_p),
    "call": CFUNCTYPE(c_int, c_void_p),
    "walk": CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, U64),
}


_TIMES: Final = (
    "now_ns", "coarse_ns", "jiffies", "hz", "upper_us", "tick_ns", "first_tick", "exact", "total_pages", "window",
)  # fmt: skip


class Callbacks(ctypes.Structure):
    """``struct shim_callbacks`` (``shim/shim.h``)."""

    now_ns: int
    coarse_ns: int
    jiffies: int
    hz: int
    upper_us: int
    tick_ns: int
    first_tick: int
    exact: int
    total_pages: int
    window: int

    _fields_ = (
        *((name, U64) for name in _TIMES),
        *((name, kind) for name, kind in CALLBACKS.items()),
    )  # fmt: skip


class _Field(ctypes.Structure):
    record: bytes
    name: bytes
    offset: int
    size: int
    kind: int

    _fields_ = (("record", c_char_p), ("name", c_char_p), ("offset", c_ulong), ("size", c_ulong), ("kind", c_int))


class _Constant(ctypes.Structure):
    name: bytes
    value: int

    _fields_ = (("name", c_char_p), ("value", c_long))


_SCALARS: Final[dict[tuple[str, int], Any]] = {
    ("b", 1): ctypes.c_uint8, ("u", 1): ctypes.c_uint8, ("i", 1): ctypes.c_int8, ("u", 2): ctypes.c_uint16,
    ("i", 2): ctypes.c_int16, ("u", 4): ctypes.c_uint32, ("i", 4): ctypes.c_int32, ("u", 8): ctypes.c_uint64,
    ("i", 8): ctypes.c_int64, ("o", 8): ctypes.c_uint64,
}  # fmt: skip

#: Functions that are called, beside those of ``shim/access.c``: result and arguments; None where a version lacks one.
_FUNCTIONS: Final[dict[str, tuple[Any, tuple[Any, ...]]]] = {
    "damon_new_ctx": (c_void_p, ()),
    "damon_destroy_ctx": (None, (c_void_p,)),
    "damon_select_ops": (c_int, (c_void_p, c_int)),
    "damon_set_attrs": (c_int, (c_void_p, c_void_p)),
    "damon_new_target": (c_void_p, ()),
    "damon_add_target": (None, (c_void_p, c_void_p)),
    "damon_new_scheme": (c_void_p, (c_void_p, c_int, c_ulong, c_void_p, c_void_p, c_int)),
    "damon_add_scheme": (None, (c_void_p, c_void_p)),
    "damon_destroy_scheme": (None, (c_void_p,)),
    "damos_commit_quota_goals": (c_int, (c_void_p, c_void_p)),
    "damos_add_filter": (None, (c_void_p, c_void_p)),
    "damos_new_quota_goal": (c_void_p, (c_int, c_ulong)),
    "damos_add_quota_goal": (None, (c_void_p, c_void_p)),
    "damon_new_probe": (c_void_p, ()),
    "damon_add_probe": (None, (c_void_p, c_void_p)),
    "damon_new_filter": (c_void_p, (c_int, ctypes.c_bool, ctypes.c_bool)),
    "damon_add_filter": (None, (c_void_p, c_void_p)),
    "damon_start": (c_int, (c_void_p, c_int, ctypes.c_bool)),
    "damon_stop": (c_int, (c_void_p, c_int)),
    "damon_is_running": (ctypes.c_bool, (c_void_p,)),
    "damon_commit_ctx": (c_int, (c_void_p, c_void_p)),
    "shim_regions": (c_uint, (c_void_p, c_void_p, c_uint)),
    "shim_region": (None, (c_void_p, c_void_p)),
    "shim_set_regions": (c_int, (c_void_p, c_void_p, c_uint, c_ulong)),
    "shim_add_region": (c_int, (c_void_p, c_ulong, c_ulong)),
    "shim_new_filter": (c_void_p, (c_int, ctypes.c_bool, ctypes.c_bool)),
    "shim_new_pid": (c_void_p, (U64,)),
    "shim_put_pid": (None, (c_void_p,)),
    "shim_alloc": (c_void_p, (ctypes.c_size_t,)),
    "shim_free_control": (None, (c_void_p,)),
    "shim_call": (c_int, (c_void_p, c_void_p, ctypes.c_bool, POINTER(c_void_p))),
    "shim_walk": (c_int, (c_void_p, c_void_p)),
    "shim_install_callbacks": (None, (c_void_p,)),
    "shim_register_ops": (c_int, ()),
    "shim_param": (c_void_p, (c_uint,)),
    "shim_param_of": (None, (c_void_p, POINTER(c_char_p), POINTER(c_char_p), POINTER(c_char_p), POINTER(c_uint))),
    "shim_param_set": (c_int, (c_void_p, c_char_p)),
    "shim_param_get": (c_int, (c_void_p, c_void_p)),
    "shim_param_text": (c_char_p, (c_char_p,)),
    "shim_init": (c_int, (c_char_p, c_int, c_int)),
    "shim_event_name": (c_char_p, (c_uint,)),
    "shim_event_enable": (None, (c_uint, c_int)),
    "shim_get_callbacks": (POINTER(Callbacks), ()),
    "shim_call_kthread": (c_int, (c_void_p,)),
    "shim_task": (None, (c_void_p, POINTER(c_int), POINTER(c_void_p), POINTER(c_char_p))),
    "shim_set_random": (None, (c_void_p, c_void_p)),
    "shim_stop_task": (None, (c_void_p,)),
    "shim_leaks": (c_long, ()),
    "shim_catch_faults": (c_int, (c_int, c_int)),
    "shim_progress": (None, ()),
    "shim_set_quiet": (None, (c_void_p,)),
}


class VersionLacks(InvalidInput):
    """The kernel's version does not have what a context asks for."""


class Library:
    """A fresh copy of ``built``, with nothing initialized."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self._lib = _copy_that_is_read_later(built.library) if built.sanitized else _copy(built.library)
        self.callbacks: Callbacks = self._bind("shim_get_callbacks")().contents
        self._fields, self._constants = self._tables()
        self.generation = c_uint64.in_dll(self._lib, "shim_generation")
        self.fail_regions = c_uint.in_dll(self._lib, "shim_fail_regions")  # so many allocations, from now on
        self._kept: list[object] = []
        self.functions = {name: self._bind(name) for name in _FUNCTIONS}
        if _report is not None:
            self.shim_catch_faults(*_report)

    def _bind(self, name: str) -> Any:
        function = getattr(self._lib, name, None)
        if function is not None:
            function.restype, function.argtypes = _FUNCTIONS[name][0], list(_FUNCTIONS[name][1])
        return function

    def __getattr__(self, name: str) -> Any:
        try:
            function = self.__dict__["functions"][name]
        except KeyError:
            raise AttributeError(name) from None
        if function is None:
            raise self.lacks(f"{name.replace('shim_', 'damon_')}()")
        return function

    def lacks(self, what: str) -> VersionLacks:
        """The error for ``what``, which this version does not have."""
        return VersionLacks(
            f"{what}: {self.built.source.origin} does not have it; leave it out, or take a later version"
        )

    def has(self, function: str) -> bool:
        return self.functions.get(function) is not None

    def _tables(self) -> tuple[dict[tuple[str, str], tuple[int, int, str]], dict[str, int]]:
        fields, constants = {}, {}
        rows = (_Field * 4096).in_dll(self._lib, "shim_fields")
        for row in rows:
            if row.record is None:
                break
            fields[row.record.decode(), row.name.decode()] = row.offset, row.size, chr(row.kind)
        for constant in (_Constant * 4096).in_dll(self._lib, "shim_constants"):
            if constant.name is None:
                break
            constants[constant.name.decode()] = constant.value
        return fields, constants

    # -- records

    def constant(self, name: str) -> int:
        """The value of an enumerator; InvalidInput when this version has none of that name."""
        try:
            return self._constants[name]
        except KeyError:
            raise self.lacks(name) from None

    @property
    def constants(self) -> dict[str, int]:
        return self._constants

    def size(self, record: str) -> int:
        """Bytes of ``struct record``."""
        return self._fields[record, ""][1]

    def has_field(self, record: str, name: str) -> bool:
        return (record, name) in self._fields

    def at(self, address: int, record: str, name: str) -> int:
        """The address of a field."""
        try:
            return address + self._fields[record, name][0]
        except KeyError:
            raise self.lacks(f"struct {record}: {name}") from None

    def get(self, address: int, record: str, name: str, default: int | None = None) -> int:
        """The value of a scalar field; ``default`` where this version does not have it."""
        found = self._fields.get((record, name))
        if found is None:
            if default is None:
                raise self.lacks(f"struct {record}: {name}")
            return default
        offset, size, kind = found
        return int(_SCALARS[kind, size].from_address(address + offset).value)

    def set(self, address: int, record: str, name: str, value: int) -> None:
        """Store a scalar, as a C assignment does. A field that this version lacks is refused unless ``value`` is 0."""
        found = self._fields.get((record, name))
        if found is None:
            if value:
                raise self.lacks(f"struct {record}: {name}={value}")
            return
        offset, size, kind = found
        _SCALARS[kind, size].from_address(address + offset).value = value

    def fields_of(self, record: str) -> Iterator[tuple[str, str]]:
        """Name and kind (``u``, ``i``, ``b``, ``o``) of every field."""
        for (owner, name), (_, _, kind) in self._fields.items():
            if owner == record and name:
                yield name, kind

    def each(self, head: int, record: str, link: str = "list") -> Iterator[int]:
        """The addresses of the entries of a ``struct list_head``, in order."""
        offset = self._fields[record, link][0]
        node = c_uint64.from_address(head).value
        while node != head:
            following = c_uint64.from_address(node).value
            yield node - offset
            node = following

    # -- callbacks

    def install(self, functions: dict[str, Callable[..., Any]]) -> None:
        """Set callbacks; they live as long as the library."""
        for name, function in functions.items():
            wrapped = CALLBACKS[name](function)
            self._kept.append(wrapped)
            setattr(self.callbacks, name, wrapped)

    def check(self, result: int, what: str) -> int:
        """``result`` of a function; DamonError when it is a negative errno."""
        if result < 0:
            raise DamonError(-result, f"{what}: {os.strerror(-result)}: refused by {self.built.source.origin}")
        return result


def _copy(library: Path) -> ctypes.CDLL:
    with tempfile.TemporaryDirectory(prefix="damon-engine-") as directory:
        copy = Path(directory) / f"damon-{os.getpid()}.so"
        shutil.copyfile(library, copy)
        return ctypes.CDLL(str(copy))


def _copy_that_is_read_later(library: Path) -> ctypes.CDLL:
    """The sanitizers read functions and lines in it when they report something; it is gone with the process."""
    descriptor = os.memfd_create(library.name)
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(library.read_bytes())
    return ctypes.CDLL(f"/proc/self/fd/{descriptor}")


def catch_faults(descriptor: int, seconds: int) -> None:
    """From now on faults of any library that is loaded here are reported to ``descriptor`` and end the process.

    ``seconds``: of processor time without progress that are an endless loop.
    """
    global _report
    _report = descriptor, seconds


#: Where to report faults, once a library is loaded: descriptor and seconds.
_report: tuple[int, int] | None = None
