# SPDX-License-Identifier: GPL-2.0-only
"""What all special-purpose modules are: one worker that ``enabled`` turns on and off (DAMON spec, modules 4)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from damon.modules.module import Module
from damon.modules.params import Parameter, Parameters, ParamSpec, Value

if TYPE_CHECKING:
    from damon.core import Damon

#: ``kdamond_pid``, the same in every module.
KDAMOND_PID = ParamSpec(
    "kdamond_pid", "int", -1, "worker's thread, -1 when there is none", "thread id", perm=0o400
)  # fmt: skip


class SwitchedModule(Module):
    """A module that starts exclusively, with parameters ``enabled`` and ``kdamond_pid`` among its ``SPECS``.

    Before ``init`` a write to ``enabled`` is only remembered, and what was never written is the parameter's default.
    """

    SPECS: Sequence[ParamSpec]

    def __init__(self, damon: Damon) -> None:
        super().__init__(damon)
        self._initialized = False
        self.parameters = Parameters([self._parameter(spec) for spec in self.SPECS])
        self._wanted = bool(self.parameters["enabled"].spec.default)

    def _parameter(self, spec: ParamSpec) -> Parameter:
        if spec.name == "enabled":
            return Parameter(spec, setter=self._store_enabled, getter=lambda: self.running)
        if spec.name == "kdamond_pid":
            return Parameter(spec, getter=lambda: self.damon.kdamond_pid(self.ctx) if self.ctx else -1)
        return Parameter(spec)

    def init(self) -> None:
        """Turn on if ``enabled`` was asked for; when that fails, it is off."""
        self._initialized = True
        wanted, self._wanted = self._wanted, False
        self._set_up()
        if wanted:
            self._turn_on()

    def exit(self) -> None:
        if self.running:
            self._turn_off()

    @classmethod
    def specs(cls) -> Sequence[ParamSpec]:
        return cls.SPECS

    @property
    def wanted(self) -> bool:
        return self._wanted

    def _store_enabled(self, value: Value) -> None:
        if not self._initialized:
            self._wanted = bool(value)
        elif value != self.running:
            if value:
                self._turn_on()
            else:
                self._turn_off()

    def _set_up(self) -> None:
        """Whatever ``init`` does before it turns on."""
        return

    @abstractmethod
    def _turn_on(self) -> None:
        """Start the worker; an error leaves it off."""

    @abstractmethod
    def _turn_off(self) -> None:
        """Stop the worker and wait for its end."""

    def _number(self, name: str) -> int:
        return self.parameters[name].number

    def stats(self) -> dict[str, Value]:
        names = (spec.name for spec in self.SPECS if not spec.writable and spec.name != "kdamond_pid")
        return {name: self.parameters[name].value for name in names}
