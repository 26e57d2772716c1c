# SPDX-License-Identifier: GPL-2.0-only
"""A suite file as types. The field names are the file's."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, cast, get_args, get_type_hints

import msgspec

from ..config import GuestConfig
from ..results.job import Limits, Seconds

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=64)]


class _Part(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


class Overrides(_Part, frozen=True):
    """A test's own limits; None keeps the suite's."""

    boot: Seconds | None = None
    silence: Seconds | None = None
    login: Seconds | None = None
    ready: Seconds | None = None
    command: Seconds | None = None
    total: Seconds | None = None


class Kernel(_Part, frozen=True):
    """A kernel: one of a named variant, an image, a tree. None of them: the variant of the kernel's own name.

    ``arch`` is what a tree is built for; an image and a variant have theirs.
    """

    variant: str | None = None
    image: str | None = None
    tree: str | None = None
    arch: str | None = None
    vmlinux: str | None = None
    append: str = ""


class Machine(_Part, frozen=True):
    """A machine; values as for ``vmtest exec``. :data:`FullMachine` has the rest of ``GuestConfig``'s plain values."""

    memory: str = "1G"
    cpus: int = 2
    numa: int = 1
    swap: str | None = None
    append: str = ""
    accelerator: str = "auto"


def _further_fields() -> list[tuple[str, Any, Any]]:
    """What else a guest's configuration has in plain values: a machine of a suite may give it too."""
    elsewhere = {*Machine.__struct_fields__, "kernel", "rootfs", "trees", "shares", "env", "timeouts", "tolerate"}
    hints = get_type_hints(GuestConfig)
    return [
        (field.name, hints[field.name], field.default)
        for field in dataclasses.fields(GuestConfig)
        if field.name not in elsewhere and field.default is not dataclasses.MISSING and _plain(hints[field.name])
    ]


def _plain(hint: Any) -> bool:
    inner = [part for part in get_args(hint) if part is not Ellipsis]
    if inner:
        return all(_plain(part) for part in inner)
    return hint in {str, int, float, bool, type(None)}


#: What a file's machine is read as.
FullMachine = cast(
    type[Machine],
    msgspec.defstruct(
        "FullMachine", _further_fields(), bases=(Machine,), frozen=True, kw_only=True, forbid_unknown_fields=True
    ),
)


class Workload(_Part, frozen=True):
    """What runs beside a test: started before it, waited for, ended after it. Nothing when ``command`` is empty.

    Attributes:
        ready: regular expression that its standard output must show before the test starts.
        env: added to the workload's and the test's environment.
    """

    command: str = ""
    ready: str = ""
    env: dict[str, str] = {}


class Test(_Part, frozen=True):
    """A command in the guest, a line for ``sh -c``; it passes when it ends with ``exit``.

    Attributes:
        skip_exit: ends with it: the test does not apply here (kselftest's convention).
        tolerate: kernel reports that do not end the guest.
        output: "ktap" or "tap" reads results of subtests from standard output; "text" does not.
    """

    command: str
    exit: int = 0
    skip_exit: int | None = 4
    env: dict[str, str] = {}
    cwd: str | None = None
    timeouts: Overrides = Overrides()
    tolerate: tuple[str, ...] = ()
    output: Annotated[str, msgspec.Meta(pattern="^(text|ktap|tap)$")] = "text"


class Selector(_Part, frozen=True):
    """Jobs by shell patterns of their four names."""

    kernel: str = "*"
    machine: str = "*"
    workload: str = "*"
    test: str = "*"


class Expectation(_Part, frozen=True):
    """Jobs that are known to end otherwise than well, and why."""

    reason: Annotated[str, msgspec.Meta(min_length=1)]
    kernel: str = "*"
    machine: str = "*"
    workload: str = "*"
    test: str = "*"
    verdict: str = "fail"

    @property
    def selector(self) -> Selector:
        """The jobs."""
        return Selector(kernel=self.kernel, machine=self.machine, workload=self.workload, test=self.test)


class Suite(_Part, frozen=True):
    """A suite file."""

    name: Name
    tests: dict[Name, Test]
    kernels: dict[Name, Kernel]
    format: int = 1
    machines: dict[Name, Machine] = msgspec.field(default_factory=lambda: {"default": FullMachine()})
    workloads: dict[Name, Workload] = msgspec.field(default_factory=lambda: {"none": Workload()})
    timeouts: Limits = Limits()
    include: tuple[Selector, ...] = ()
    exclude: tuple[Selector, ...] = ()
    expect: tuple[Expectation, ...] = ()
    trees: dict[str, str] = {}
    env: dict[str, str] = {}
    rootfs: str | None = None
