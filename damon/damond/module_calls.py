# SPDX-License-Identifier: GPL-2.0-only
"""What clients ask of a running service's modules: ``lsmod``, ``modprobe``, ``rmmod``, ``param``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from damon.damond.runner import Runner
from damon.errors import InvalidInput
from damon.model.machine import Machine
from damon.modules.loader import Loader, find_module, parameter_of
from damon.modules.module import Module
from damon.modules.params import Parameter, show_value

log = logging.getLogger("damon.damond")


class ModuleCalls:
    """The service's side.

    Args:
        loader: has the modules.
        known: those of the engine, by name; None: pydamon's own.
        machine: has to be able to do what a module needs.
        run: where requests may wait for workers.
        unloaded: called when one has been unloaded.
    """

    def __init__(
        self,
        loader: Loader,
        known: Mapping[str, type[Module]] | None,
        machine: Machine,
        run: Runner,
        unloaded: Callable[[], None],
    ) -> None:
        self._loader, self._known, self._machine, self._run, self._unloaded = loader, known, machine, run, unloaded

    def calls(self) -> dict[str, Callable[..., Any]]:
        return {
            "lsmod": self.lsmod,
            "modprobe": self._modprobe,
            "rmmod": self._rmmod,
            "param_get": self._param_get,
            "param_set": self._param_set,
            "param_list": self._param_list,
        }

    def load(self, module: Module) -> None:
        self._loader.load(module)
        log.info("%s: loaded, %s", module.name, module.state())

    def lsmod(self) -> list[dict[str, Any]]:
        return [
            {"name": module.name, "state": module.state(), "kdamond_pid": self._loader.kdamond_pid(module)}
            for module in list(self._loader.loaded.values())
        ]

    def _modprobe(self, module: str, words: Sequence[str] = ()) -> None:
        kind = find_module(module, known=self._known)

        def load() -> None:
            there = self._loader.loaded.get(kind.name)
            if there is not None:
                self._loader.reconfigure(there, words)
                log.info("%s: %s, %s", there.name, " ".join(words) or "loaded already", there.state())
                return
            new = self._loader.prepare(kind, words)
            if new.wanted:
                self._machine.require(*new.needs())
            self.load(new)

        self._run(load)

    def _rmmod(self, module: str) -> None:
        self._run(lambda: self._loader.unload(module))
        self._unloaded()

    def _loaded(self, name: str) -> Module:
        kind = find_module(name, known=self._known)
        if kind.name not in self._loader.loaded:
            raise InvalidInput(f"module: {kind.name}: is not loaded; load it: damon modprobe {kind.name}")
        return self._loader.loaded[kind.name]

    def _param_get(self, module: str, parameter: str) -> str:
        return parameter_of(self._loaded(module), parameter).show()

    def _param_set(self, module: str, parameter: str, value: str) -> None:
        found = parameter_of(self._loaded(module), parameter)
        self._run(lambda: found.store(value))

    def _param_list(self, module: str) -> list[dict[str, Any]]:
        return [_described(parameter) for parameter in self._loaded(module).parameters.values()]


def _described(parameter: Parameter) -> dict[str, Any]:
    spec = parameter.spec
    return {
        "name": spec.name,
        "value": show_value(parameter.value),
        "default": show_value(spec.default),
        "type": spec.type,
        "unit": spec.unit,
        "writable": spec.writable,
        "description": spec.description,
    }
