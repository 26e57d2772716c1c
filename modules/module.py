# SPDX-License-Identifier: GPL-2.0-only
"""What a loadable module is: a class with a name, parameters, ``init`` and ``exit``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from damon.model.context import DamonCtx
from damon.modules.params import Parameters, ParamSpec, Value, show_value

if TYPE_CHECKING:
    from damon.core import Damon


class Module(ABC):
    """Subclass it in a directory of modules, and name the subclass ``MODULE`` there.

    Args:
        damon: where it works. Parameters are stored before ``init``, as those of the boot command line are.
    """

    name: ClassVar[str]  #: as in /sys/module, e.g. ``damon_reclaim``
    description: ClassVar[str]
    #: Does it start exclusively? Then nothing else that monitors may run.
    exclusive: ClassVar[bool] = True
    #: Does damond have it from its start? Else ``damon modprobe`` loads it.
    built_in: ClassVar[bool] = True
    parameters: Parameters
    #: The monitoring context, once there is one.
    ctx: DamonCtx | None = None
    #: Those of its further workers.
    more: Sequence[DamonCtx] = ()

    def __init__(self, damon: Damon) -> None:
        self.damon = damon

    @abstractmethod
    def init(self) -> None:
        """Start what the parameters ask for. An error leaves nothing running."""

    @abstractmethod
    def exit(self) -> None:
        """Stop everything. Safe to call twice."""

    @classmethod
    @abstractmethod
    def specs(cls) -> Sequence[ParamSpec]:
        """The declarations of its parameters, in order."""

    @property
    def wanted(self) -> bool:
        """Will ``init`` start it?"""
        return True

    def progress(self) -> tuple[int, int] | None:
        """Bytes tried and bytes applied so far; None of a module that does nothing to memory."""
        return 0, 0

    def needs(self) -> tuple[str, Sequence[str]]:
        """The operations set and the actions that the machine must be able to do, by the parameters as they are."""
        return "paddr", ()

    def check(self) -> None:
        """Raise what starting with the parameters as they are would raise (EINVAL), changing nothing."""

    @property
    def ctxs(self) -> Sequence[DamonCtx]:
        """The contexts of all its workers."""
        return self.more if self.ctx is None else (self.ctx, *self.more)

    @property
    def running(self) -> bool:
        return any(self.damon.is_running(ctx) for ctx in self.ctxs)

    def state(self) -> str:
        """For people: ``off``, ``active``, or what it waits for."""
        return "active" if self.running else "off"

    def stats(self) -> dict[str, Value]:
        """What it counts, by name: its read-only parameters, and what the kernel only logs."""
        return {}

    def summary(self) -> Sequence[tuple[str, str]]:
        """For people: what it did or found, as names and values."""
        return [(name, show_value(value)) for name, value in self.stats().items()]
