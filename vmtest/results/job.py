# SPDX-License-Identifier: GPL-2.0-only
"""One job: all that its guest is made of and does, as plain values for a manifest or another host."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import msgspec

from ..config import GuestConfig, Timeouts
from ..errors import InvalidInput
from ..images.arch import Architecture, of_image
from .outcome import Expected, Outcome

Seconds = Annotated[float, msgspec.Meta(gt=0, le=1e9)]


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Seconds each phase may take. ``ready``: a workload's start; ``total``: a job from its start to its end."""

    boot: Seconds = 120.0
    silence: Seconds = 45.0
    login: Seconds = 30.0
    ready: Seconds = 60.0
    command: Seconds = 120.0
    total: Seconds = 900.0


class FileRef(msgspec.Struct, frozen=True):
    """A file by path, and by what is in it."""

    path: str
    sha256: str


#: A file of a job that :mod:`vmtest.suite.kernels` has not found yet.
TO_FIND = FileRef("", "")


class Job(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A guest and what it does: one place of a suite's matrix, the record that a manifest keeps and a worker receives.

    Attributes:
        trees: host directory to guest directory.
        machine_args: further arguments of ``GuestConfig`` (memory, cpus, ...).
    """

    suite: str
    kernel_name: str
    machine_name: str
    workload_name: str
    test_name: str
    kernel: FileRef
    rootfs: FileRef
    vmlinux: FileRef | None = None
    kernel_config: FileRef | None = None
    machine_args: dict[str, Any]
    append: str = ""
    trees: tuple[tuple[str, str], ...] = ()
    env: dict[str, str] = {}
    workload: str = ""
    ready: str = ""
    command: str
    exit: int = 0
    skip_exit: int | None = 4
    cwd: str | None = None
    output: str = "text"
    tolerate: tuple[str, ...] = ()
    limits: Limits = Limits()
    expected: Expected | None = None

    @property
    def name(self) -> str:
        """``kernel/machine/workload/test``."""
        return "/".join((self.kernel_name, self.machine_name, self.workload_name, self.test_name))

    @property
    def arch(self) -> Architecture:
        """Its guest's architecture, by the kernel."""
        return of_image(Path(self.kernel.path))

    @property
    def directory(self) -> str:
        """Where its artifacts are, below the run's directory."""
        return f"guests/{self.name.replace('/', '__')}"

    @cached_property
    def config(self) -> GuestConfig:
        """The guest's configuration, checked at the first use and kept.

        Raises:
            InvalidInput: a value is wrong or a file is gone.
        """
        limits = self.limits
        machine: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in self.machine_args.items()
        }
        known = {field.name for field in dataclasses.fields(GuestConfig)}
        machine = {name: value for name, value in machine.items() if name in known or value is not None}
        if strange := sorted(set(machine) - known):
            raise InvalidInput(f"machine value: {strange[0]!r}: is of another version of this program; use that one")
        return GuestConfig(
            kernel=Path(self.kernel.path),
            rootfs=Path(self.rootfs.path),
            append=self.append,
            trees=tuple((Path(host), guest) for host, guest in self.trees),
            env=self.env,
            tolerate=self.tolerate,
            timeouts=Timeouts(boot=limits.boot, silence=limits.silence, login=limits.login, command=limits.command),
            **machine,
        )

    def outcome(self, verdict: str, message: str = "", **more: Any) -> Outcome:
        """What the job ended with; ``more``: further fields of the record."""
        return Outcome(
            name=self.name,
            kernel=self.kernel_name,
            machine=self.machine_name,
            workload=self.workload_name,
            test=self.test_name,
            verdict=verdict,
            message=message,
            expected=self.expected,
            **more,
        )
