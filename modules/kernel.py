# SPDX-License-Identifier: GPL-2.0-only
"""The modules of a kernel tree: reclaim.c, lru_sort.c and stat.c as they are, with the parameters that they declare."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from damon.errors import DamonError, InvalidInput
from damon.kernel.engine import KernelDamon
from damon.kernel.library import Library
from damon.modules.loader import find_modules
from damon.modules.module import Module
from damon.modules.params import Parameter, Parameters, ParamSpec, Value, parse_value
from damon.quoting import quoted

if TYPE_CHECKING:
    from damon.kernel.build import Built

#: Room for the text of a parameter, as sysfs has it.
_PAGE: Final = 4096
#: Types of ``module_param()`` by their names here; of parameters with functions of their own it follows from the value.
_TYPES: Final = {
    "ulong": "ulong", "long": "long", "int": "int", "bool": "bool", "uint": "ulong", "ushort": "ulong", "short": "int",
    "byte": "ulong",
}  # fmt: skip


def _show(lib: Library, parameter: int) -> str:
    buffer = ctypes.create_string_buffer(_PAGE)
    lib.check(lib.shim_param_get(parameter, buffer), "parameter")
    return buffer.value.decode(errors="replace").rstrip("\n")


def _type_of(declared: str, text: str) -> str:
    if declared.endswith("[]"):
        return f"array of {_TYPES.get(declared[:-2], 'long')}"
    if declared in _TYPES:
        return _TYPES[declared]
    return "bool" if text in ("Y", "N") else "int" if text.startswith("-") else "ulong"


class _Parameter(Parameter):
    """One that lives in the C: its own functions parse, check and show it."""

    def __init__(self, spec: ParamSpec, module: KernelModule, address: int) -> None:
        super().__init__(spec, bare="Y" if spec.type == "bool" else None)
        self._module, self._address = module, address

    @property
    def value(self) -> Value:
        text = _show(self._module.engine.lib, self._address)
        return parse_value(self.spec.type, text, max(self.spec.length, text.count(",") + 1))

    @value.setter
    def value(self, value: Value) -> None:
        raise InvalidInput(f"{self.spec.name}: is the kernel's; store() writes it", errno.EACCES)

    def store(self, text: str) -> None:
        if not self.spec.writable:
            raise InvalidInput(
                f"{self.spec.name}: {quoted(text.strip())}: it is read only; read it, or leave it out", errno.EACCES
            )
        if self.spec.type in ("bool", "ulong", "int", "long"):
            self.parse(text)  # the same errors as of the other engine's parameters
        if self.spec.name == "enabled" and not self._module.initialized:
            self._module.request(bool(self.parse(text)))
            return
        result = self._module.set(self._address, text)
        if result:
            what = f"{self.spec.name}: {quoted(text.strip())}"
            raise DamonError(-result, f"{what}: {os.strerror(-result)}: refused by {self._module.origin}")


class KernelModule(Module):
    """A module of a tree on a :class:`KernelDamon`."""

    name: ClassVar[str]
    description: ClassVar[str]
    SPECS: ClassVar[Sequence[ParamSpec]]

    def __init__(self, damon: KernelDamon) -> None:
        super().__init__(damon)
        self.engine = damon
        self.initialized = False
        self._wanted = any(spec.name == "enabled" and spec.default for spec in self.SPECS)
        addresses = _addresses(damon.lib)
        self.parameters = Parameters([_Parameter(spec, self, addresses[self.name, spec.name]) for spec in self.SPECS])
        kind = find_modules().get(self.name)
        self._own = kind(damon) if kind is not None else None
        if self._own is not None:
            self._own.parameters = self.parameters

    @classmethod
    def specs(cls) -> Sequence[ParamSpec]:
        return cls.SPECS

    @property
    def origin(self) -> str:
        return self.engine.lib.built.source.origin

    @property
    def wanted(self) -> bool:
        return self._wanted

    def request(self, on: bool) -> None:
        """Turn on at ``init``."""
        self._wanted = on

    def set(self, address: int, text: str) -> int:
        """Write a parameter; 0 or a negative errno. A worker that starts meanwhile is this module's."""
        before = set(self.engine.running())
        result = int(self.engine.lib.shim_param_set(address, text.encode()))
        new = [ctx for ctx in self.engine.running() if ctx not in before]
        if new:
            self.ctx, self.more = new[0], new[1:]
        self.engine.raise_failure()
        return result

    def init(self) -> None:
        wanted, self._wanted = self._wanted, False
        if not self.initialized:
            self.initialized = True
            enabled = self.parameters.get("enabled")
            lib = self.engine.lib
            lib.check(lib.shim_init(f"{self.name}.".encode(), 0, 7), f"{self.name}: module_init()")
            if wanted and enabled is not None:
                enabled.store("Y")

    def exit(self) -> None:
        if self.running:
            self.parameters["enabled"].store("N")

    @property
    def running(self) -> bool:
        enabled = self.parameters.get("enabled")
        return self.initialized and enabled is not None and bool(enabled.value)

    def _counterpart(self) -> Module | None:
        """pydamon's own module of that name: it describes these parameters and this context."""
        if self._own is not None:
            self._own.ctx, self._own.more = self.ctx, self.more
            for ctx in self.ctxs:
                if ctx.kdamond is not None:
                    self.engine.refresh(ctx)
        return self._own

    def needs(self) -> tuple[str, Sequence[str]]:
        return self._own.needs() if self._own is not None else super().needs()

    def progress(self) -> tuple[int, int] | None:
        own = self._counterpart()
        if own is not None and own.progress() is None:
            return None
        stats = [stat for ctx in self.ctxs for stat in self.engine.stats(ctx)]
        return sum(stat.sz_tried for stat in stats), sum(stat.sz_applied for stat in stats)

    def state(self) -> str:
        own = self._counterpart()
        return own.state() if own is not None and self.running else super().state()

    def summary(self) -> Sequence[tuple[str, str]]:
        return self._own.summary() if self._own is not None else super().summary()

    def stats(self) -> dict[str, Value]:
        names = (spec.name for spec in self.SPECS if not spec.writable and spec.name != "kdamond_pid")
        return {name: self.parameters[name].value for name in names}


def _addresses(lib: Library) -> dict[tuple[str, str], int]:
    """Where each parameter is, by module and name."""
    found = {}
    index = 0
    while (at := lib.shim_param(index)) is not None:
        name = ctypes.c_char_p()
        lib.shim_param_of(at, ctypes.byref(name), ctypes.byref(ctypes.c_char_p()), ctypes.byref(ctypes.c_char_p()),
                          ctypes.byref(ctypes.c_uint()))  # fmt: skip
        module, _, short = (name.value or b"").decode().partition(".")
        found[module, short] = int(at)
        index += 1
    return found


def _specs(lib: Library, module: str, addresses: Mapping[tuple[str, str], int]) -> list[ParamSpec]:
    own = find_modules().get(module)
    known = {spec.name: spec for spec in own.specs()} if own is not None else {}
    specs = []
    for (owner, name), at in addresses.items():
        if owner != module:
            continue
        declared, perm = ctypes.c_char_p(), ctypes.c_uint()
        lib.shim_param_of(at, ctypes.byref(ctypes.c_char_p()), ctypes.byref(declared), ctypes.byref(ctypes.c_char_p()),
                          ctypes.byref(perm))  # fmt: skip
        text = _show(lib, at)
        kind = known[name].type if name in known else _type_of((declared.value or b"").decode(), text)
        length = text.count(",") + 1 if kind.startswith("array") else 0
        declared_text = lib.shim_param_text(f"{module}.{name}".encode()) or b"of this tree"
        meaning = known[name].description if name in known else declared_text.decode(errors="replace")
        unit = known[name].unit if name in known else ""
        specs.append(ParamSpec(name, kind, parse_value(kind, text, length), meaning, unit, perm.value, length))
    return sorted(specs, key=lambda spec: list(known).index(spec.name) if spec.name in known else len(known))


def kernel_modules(built: Built) -> dict[str, type[Module]]:
    """The modules of a built tree by name."""
    lib = Library(built)
    addresses = _addresses(lib)
    found: dict[str, type[Module]] = {}
    for module in dict.fromkeys(owner for owner, _ in addresses):
        own = find_modules().get(module)
        what = own.description if own is not None else "a module of this tree"
        members = {
            "name": module,
            "__module__": __name__,
            "description": f"{what} ({built.source.origin})",
            "SPECS": tuple(_specs(lib, module, addresses)),
        }
        found[module] = type(f"Kernel_{module}", (KernelModule,), members)
    return found
