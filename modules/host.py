# SPDX-License-Identifier: GPL-2.0-only
"""The running kernel's modules as modules of a loader: their parameters are the kernel's files."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from damon.core import Damon
from damon.errors import DamonError
from damon.host.engine import HostDamon
from damon.host.modules import HostModules
from damon.mm.linux import LinuxMachine
from damon.model.context import DamonCtx
from damon.modules.common import DamonModule
from damon.modules.loader import find_modules
from damon.modules.module import Module
from damon.modules.params import Parameter, Parameters, ParamSpec, Value, parse_value, show_value
from damon.modules.stat import Stat

_ARRAY: Final = "array of "


class HostMachine(LinuxMachine):
    """The running system, which is only looked at: its kernel monitors by itself, without what user space needs."""

    name = "host"

    def require(self, ops: str, actions: Sequence[str]) -> None:
        """The kernel itself refuses what it cannot do."""


class HostRun(Damon):
    """What a loader of the kernel's modules works on.

    Args:
        host: the kernel's DAMON; closed when the last of its modules has been unloaded.
    """

    def __init__(self, host: HostDamon) -> None:
        super().__init__(HostMachine())
        self.host = host
        self.used: dict[DamonCtx, str] = {}  #: modules by what stands for their contexts

    def start(self, ctxs: Sequence[DamonCtx], exclusive: bool = False) -> None:
        """Contexts are started by ``host`` itself, in another form."""
        raise DamonError(errno.EOPNOTSUPP, "engine host: it runs modules here; for contexts use damon.host")

    def is_running(self, ctx: DamonCtx) -> bool:
        return ctx in self.used and self.host.module_runs(self.used[ctx])

    def kdamond_pid(self, ctx: DamonCtx) -> int:
        """The kernel's thread; -1 when there is none."""
        return int(self.host.parameters(self.used[ctx])["kdamond_pid"]) if self.is_running(ctx) else -1

    def release(self, ctx: DamonCtx) -> None:
        """The module of ``ctx`` is unloaded: after the last one all is as it was found."""
        self.used.pop(ctx, None)
        if not self.used:
            self.host.close()


class _Parameter(Parameter):
    """One of the kernel's. Before the module is initialized it is kept here, checked as the kernel would check it."""

    def __init__(self, spec: ParamSpec, module: HostModule) -> None:
        super().__init__(spec)
        self._module = module

    @property
    def value(self) -> Value:
        if not self._module.initialized:
            return self._value
        if self._module.final is not None:
            return self._module.final[self.spec.name]
        return _parsed(self.spec, self._module.run.host.parameters(self._module.name)[self.spec.name])

    @value.setter
    def value(self, value: Value) -> None:
        self._value = value

    def store(self, text: str) -> None:
        """Write ``text``: at the module's initialization, or at once when that has been."""
        if self._module.initialized:
            self.parse(text)
            self._module.run.host.commit_module(self._module.name, [f"{self.spec.name}={text.strip()}"])
            return
        super().store(text)
        self._module.words[self.spec.name] = show_value(self._value)


class HostModule(Module):
    """A module of the running kernel; :func:`host_modules` makes a class of each."""

    SPECS: ClassVar[Sequence[ParamSpec]]

    def __init__(self, damon: HostRun) -> None:
        super().__init__(damon)
        self.run = damon
        self.initialized = False
        self.words: dict[str, str] = {}
        self.final: dict[str, Value] | None = None  #: parameters as they were last, when it has been unloaded
        self.parameters = Parameters([_Parameter(spec, self) for spec in self.SPECS])

    @classmethod
    def specs(cls) -> Sequence[ParamSpec]:
        return cls.SPECS

    @property
    def wanted(self) -> bool:
        return self.words.get("enabled", "N") == "Y"

    def init(self) -> None:
        """Write the parameters, and turn it on if that was asked for."""
        self.initialized = True
        self.ctx = DamonCtx(machine=self.run.machine)
        self.run.used[self.ctx] = self.name
        words = {"enabled": "N", **self.words}
        self.run.host.start_module(self.name, [f"{name}={value}" for name, value in words.items()])

    def exit(self) -> None:
        if self.initialized and self.final is None and self.ctx is not None:
            self.run.host.stop_module(self.name)
            self.final = self.parameters.values_by_name()
            self.run.release(self.ctx)

    def progress(self) -> tuple[int, int] | None:
        """Bytes tried and applied, of parameters with the kernel's names for them."""
        values = self.stats()
        tried, applied = (
            [value for name, value in values.items() if name.startswith("bytes_") and (("_tried_" in name) == wanted)]
            for wanted in (True, False)
        )
        if not tried:
            return None
        return sum(value for value in tried if isinstance(value, int)), sum(
            value for value in applied if isinstance(value, int)
        )

    def stats(self) -> dict[str, Value]:
        names = (spec.name for spec in self.SPECS if not spec.writable and spec.name != "kdamond_pid")
        return {name: self.parameters[name].value for name in names}


def context_of(run: HostRun, name: str) -> DamonCtx:
    """What the parameters of the kernel's module ``name`` ask for, as a context; the kernel does not show the real one.

    Of a module that this project does not have, only the operations set is known.
    """
    own = find_modules().get(name)
    module = own(run) if own is not None else None
    if not isinstance(module, DamonModule | Stat):
        ctx = DamonCtx(machine=run.machine)
        run.select_ops(ctx, "paddr")
        return ctx
    writable = run.host.writable_parameters(name) - {"enabled", "commit_inputs"}
    for parameter, text in run.host.parameters(name).items():
        if parameter in writable and parameter in module.parameters:
            module.parameters[parameter].store(text)
    return module.context()


def host_modules(host: HostModules) -> Mapping[str, type[Module]]:
    """A class for each module of the running kernel, by name, with the parameters and values that it has now."""
    known = find_modules()
    found: dict[str, type[Module]] = {}
    for name in host.required():
        own = known.get(name)
        specs = {spec.name: spec for spec in own.specs()} if own is not None else {}
        shown = host.parameters(name)
        writable = host.writable_parameters(name)
        parameters = [_spec(key, text, key in writable, specs.get(key)) for key, text in shown.items()]
        members = {"name": name, "description": own.description if own is not None else name, "SPECS": parameters}
        found[name] = type(name, (HostModule,), {**members, "__doc__": f"The kernel's ``{name}``."})
    return found


def _spec(name: str, text: str, writable: bool, own: ParamSpec | None) -> ParamSpec:
    """Of a parameter that this project's module has as well: its type, unit and meaning."""
    perm = 0o600 if writable else 0o400
    if own is not None:
        length = max(own.length, text.count(",") + 1) if own.type.startswith(_ARRAY) else 0
        spec = ParamSpec(name, own.type, own.default, own.description, own.unit, perm, length)
    else:
        kind = "bool" if text in ("Y", "N") else f"{_ARRAY}long" if "," in text else "long"
        spec = ParamSpec(name, kind, 0, "a parameter of this kernel", "", perm, text.count(",") + 1)
    return ParamSpec(name, spec.type, _parsed(spec, text), spec.description, spec.unit, perm, spec.length)


def _parsed(spec: ParamSpec, text: str) -> Value:
    return parse_value(spec.type, text, max(spec.length, text.count(",") + 1))
