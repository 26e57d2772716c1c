# SPDX-License-Identifier: GPL-2.0-only
"""Which DAMON works: pydamon's own core, the kernel's C of any tree, or the running kernel's; with the same modules."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from damon.errors import InvalidInput
from damon.model.checks import member
from damon.model.level import Level
from damon.model.machine import Machine
from damon.modules.loader import find_modules
from damon.modules.module import Module
from damon.version import __version__

if TYPE_CHECKING:
    from damon.core import Damon
    from damon.host.engine import HostDamon
    from damon.host.modules import HostModules
    from damon.kernel.build import Built

OWN: Final = "pydamon"
HOST: Final = "host"
FORMS: Final = "pydamon, host (the running kernel's), kernel:DIR (a tree), or linux-source-VERSION (a Debian package)"


@dataclass(frozen=True)
class Identity:
    """The engine as results name it. ``sha256`` is over the sources that decide its behavior."""

    engine: str
    version: str
    origin: str
    sha256: str | None = None

    def as_object(self) -> dict[str, str | None]:
        return {"engine": self.engine, "version": self.version, "origin": self.origin, "sha256": self.sha256}


class Engine(Protocol):
    """A DAMON that can be opened on a machine."""

    identity: Identity

    def modules(self) -> Mapping[str, type[Module]]:
        """Its modules by name."""

    def open(self, machine: Machine, seed: int = 0) -> Damon:
        """It, at work on ``machine``."""


class OwnEngine:
    """``damon.core``, at ``level``: the kernel whose features there are."""

    identity = Identity(OWN, __version__, "pydamon")

    def __init__(self, level: Level | str = Level.V7_3) -> None:
        self.level = member("level", level, Level)
        if self.level is not Level.V7_3:
            self.identity = Identity(OWN, __version__, f"pydamon, level {self.level.value}")

    def modules(self) -> Mapping[str, type[Module]]:
        return find_modules()

    def open(self, machine: Machine, seed: int = 0) -> Damon:
        from damon.core import Damon

        return Damon(machine, seed=seed, level=self.level)


class KernelEngine:
    """The C of a kernel tree, built."""

    def __init__(self, built: Built) -> None:
        source = built.source
        self.built = built
        self.identity = Identity("kernel", source.version, source.origin, source.sha256)

    def modules(self) -> Mapping[str, type[Module]]:
        from damon.modules.kernel import kernel_modules

        return kernel_modules(self.built)

    def open(self, machine: Machine, seed: int = 0) -> Damon:
        from damon.kernel.engine import KernelDamon

        return KernelDamon(machine, self.built, seed=seed)


class HostEngine:
    """The running kernel's own, by its modules' parameters.

    Args:
        host: the kernel's DAMON; None: it is not taken, and its ``modules`` are only looked at.
        modules: of the kernel.
    """

    def __init__(self, host: HostDamon | None, modules: HostModules) -> None:
        self._host, self._modules = host, modules
        self.identity = Identity(HOST, os.uname().release, "the running kernel")

    def modules(self) -> Mapping[str, type[Module]]:
        from damon.modules.host import host_modules

        return host_modules(self._modules)

    def open(self, machine: Machine, seed: int = 0) -> Damon:
        from damon.modules.host import HostRun

        assert self._host is not None, "opened to look"
        if machine.name != "linux":
            raise InvalidInput(f"engine: {HOST}: works on this machine's memory, not on {machine.name}; give --linux")
        return HostRun(self._host)


def open_engine(
    spec: str = OWN,
    *,
    sanitize: bool = False,
    extra: Sequence[Path] = (),
    say: Callable[[str], None] = lambda text: None,
    look: bool = False,
    level: Level | str = Level.V7_3,
) -> Engine:
    """The engine that ``spec`` names: ``pydamon``, ``host``, ``kernel:DIR``, ``linux-source-7.3``.

    The kernel's C is built into the user's cache, unless it is there.

    Args:
        spec: which.
        sanitize: of the kernel's C, with AddressSanitizer and UBSan; their runtime has to be loaded before Python
            (``LD_PRELOAD``), which ``damon run --sanitize`` does.
        extra: C files that are built into the kernel's C; their parameters make modules.
        say: called with a line that names the source when it is not what was asked for.
        look: its modules will be looked at and not run: the running kernel's DAMON is not taken.
        level: of ``pydamon``: the kernel whose features there are, ``7.3`` or ``next``. Others have those of their own.

    Raises:
        InvalidInput: it names nothing, or the tree does not build.
        MissingCapability: there is no compiler, or the package cannot be had; this kernel has no DAMON.
        DamonError: EBUSY, the running kernel's DAMON is in use.
    """
    if extra and spec in (OWN, HOST):
        raise InvalidInput(f"engine: {spec}: it takes no C files; give kernel:DIR or linux-source-VERSION")
    if spec == OWN:
        return OwnEngine(level)
    if member("level", level, Level) is not Level.V7_3:
        raise InvalidInput(f"level: {Level(level).value}: engine {spec} has the features of its own; leave it out")
    if spec == HOST:
        from damon.host import engine
        from damon.host.modules import HostModules

        host = None if look else engine.HostDamon()
        return HostEngine(host, host or HostModules(engine.MODULES))
    return _kernel_engine(spec, sanitize, extra, say)


def _kernel_engine(spec: str, sanitize: bool, extra: Sequence[Path], say: Callable[[str], None]) -> KernelEngine:
    """The C of the kernel that ``spec`` names, built."""
    kind, colon, rest = spec.partition(":")
    source_spec = rest if colon and kind == "kernel" else spec
    if not source_spec or (colon and kind != "kernel") or (not colon and not _is_source(spec)):
        raise InvalidInput(f"engine: {spec!r}: is unknown; give {FORMS}")
    from damon.kernel.build import build
    from damon.kernel.source import open_source

    source = open_source(source_spec)
    if source.note is not None:
        say(source.note)
    return KernelEngine(build(source.with_files(extra), sanitize=sanitize))


def other_modules(engine: Engine) -> Mapping[str, type[Module]] | None:
    """Those of another engine; None for pydamon's own, which also finds the user's."""
    return None if engine.identity.engine == OWN else engine.modules()


def _is_source(spec: str) -> bool:
    return spec.startswith("linux-source") or "/" in spec
