# SPDX-License-Identifier: GPL-2.0-only
"""A stand-in for ``drgn``, the kernel's debugger in Python, for scripts that read DAMON's structures.

``drgn SCRIPT [ARGUMENT ...]`` runs a script with a module ``drgn`` whose ``find_task()`` finds the workers of the
damond at hand. What the script reads from there, ``struct kthread`` to ``struct damon_region``, is that worker's
context. Nothing else of a kernel is there: a script that asks for it ends with ``FaultError``.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any, Final, NoReturn

from damon.damond.client import Client
from damon.damond.runtime import default_mount, socket_path
from damon.errors import DamonError

VERSION: Final = "drgn 0.0.33.pydamon"
_USAGE: Final = "usage: drgn SCRIPT [ARGUMENT ...]"


class FaultError(Exception):
    """What a script asks for is not there."""


class Object:
    """A value of a structure: members are attributes, numbers are ``int()``, lists are entries of a ``list_head``."""

    def __init__(self, value: Any, what: str = "object") -> None:
        self._value, self._what = value, what

    def __getattr__(self, name: str) -> Object:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.member_(name)

    def member_(self, name: str) -> Object:
        """A member of a structure."""
        if not isinstance(self._value, dict) or name not in self._value:
            raise AttributeError(f"{self._what}: {name!r}: no such member is known here")
        return Object(self._value[name], f"{self._what}.{name}")

    def __getitem__(self, index: int) -> Object:
        return Object(self._value[index], f"{self._what}[{index}]")

    def __int__(self) -> int:
        return int(self._value)

    __index__ = __int__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return bool(self._value == (other._value if isinstance(other, Object) else other))

    def __hash__(self) -> int:
        return hash(str(self._value))

    def __iter__(self) -> Iterator[Object]:
        return (Object(one, self._what) for one in self._value)

    def value_(self) -> Any:
        """The value itself."""
        return self._value

    def address_of_(self) -> Object:
        """A pointer to it, which here is the same."""
        return self

    def __repr__(self) -> str:
        return f"{self._what}: {self._value!r}"


class Program:
    """``prog``: the program that is looked at."""

    def __getitem__(self, name: str) -> NoReturn:
        raise FaultError(f"symbol: {name!r}: only DAMON's workers are known here; use drgn on a kernel")


PROGRAM: Final = Program()


def find_task(prog: Program, pid: int) -> Object:
    """``struct task_struct`` of a worker, as far as the way to its context."""
    try:
        with Client(socket_path(default_mount())) as client:
            context = client.call("struct_damon_ctx", pid=int(pid))
    except DamonError as error:
        raise FaultError(str(error)) from None
    return Object({"pid": int(pid), "worker_private": {"data": context}}, f"task {int(pid)}")


def _cast(_type: str, value: Object) -> Object:
    return value


def list_for_each_entry(_type: str, head: Object, _member: str) -> Iterator[Object]:
    """The entries of a list."""
    return iter(head)


def _absent(name: str) -> Any:
    def call(*_: object, **__: object) -> NoReturn:
        raise FaultError(f"{name}(): only DAMON's structures are known here; use drgn on a kernel")

    return call


def modules() -> dict[str, ModuleType]:
    """``drgn`` and the helpers that scripts import, by name."""
    top, helpers = ModuleType("drgn"), ModuleType("drgn.helpers")
    common, linux = ModuleType("drgn.helpers.common"), ModuleType("drgn.helpers.linux")
    names: dict[str, Any] = {
        "FaultError": FaultError, "NoDefaultProgramError": FaultError, "NULL": lambda *_: Object(0, "NULL"),
        "Object": Object, "Program": Program, "cast": _cast, "reinterpret": _cast,
        "get_default_prog": lambda: PROGRAM, "program_from_kernel": lambda: PROGRAM,
        "set_default_prog": lambda _: None, "__version__": VERSION.split()[1],
    }  # fmt: skip
    names |= {name: _absent(name) for name in ("container_of", "execscript", "offsetof", "sizeof")}
    vars(top).update(names)
    vars(linux).update(find_task=find_task, list_for_each_entry=list_for_each_entry)
    for package in (top, helpers):
        package.__path__ = []
    return {"drgn": top, "drgn.helpers": helpers, "drgn.helpers.common": common, "drgn.helpers.linux": linux}


def main(argv: Sequence[str], self_path: str = "") -> int:
    """The exit code of ``drgn ARGV``."""
    words = list(argv)
    if words[:1] == ["--version"]:
        print(VERSION)
        return 0
    while words and words[0] in ("-q", "--quiet", "-k", "--kernel"):
        words.pop(0)
    if not words or words[0].startswith("-"):
        print(f"drgn: {words[0] if words else 'no script'}: this one runs scripts only; {_USAGE}", file=sys.stderr)
        return 2
    sys.modules.update(modules())
    sys.argv = words
    try:
        runpy.run_path(words[0], init_globals={"prog": PROGRAM}, run_name="__main__")
    except (FaultError, OSError) as error:
        print(f"drgn: {error}", file=sys.stderr)
        return 1
    return 0
