# SPDX-License-Identifier: GPL-2.0-only
"""The mounted tree: ``kernel/mm/damon`` and ``module/NAME/parameters``, as below ``/sys``."""

from __future__ import annotations

from collections.abc import Sequence

from damon.damond.runner import Runner
from damon.modules.loader import Loader
from damon.modules.module import Module
from damon.modules.params import Parameter
from damon.modules.sysfs import Admin, Directory, File, Node


def parameter_file(parameter: Parameter, run: Runner) -> File:
    """A parameter as its file: writes that start, stop or commit wait for workers."""

    def store(text: str) -> None:
        run(lambda: parameter.store(text))

    return File(parameter.show, store if parameter.spec.writable else None)


class ModuleDirectory(Directory):
    """``/sys/module/NAME``."""

    def __init__(self, module: Module, run: Runner) -> None:
        super().__init__()
        parameters = self.add("parameters", Directory())
        for name, parameter in module.parameters.items():
            parameters.add(name, parameter_file(parameter, run))


class Modules(Directory):
    """``/sys/module``, as far as it is ours: the modules that are loaded right now."""

    def __init__(self, loader: Loader, run: Runner) -> None:
        super().__init__()
        self._loader, self._run = loader, run
        self._made: dict[str, tuple[Module, ModuleDirectory]] = {}

    def names(self) -> Sequence[str]:
        return list(self._loader.loaded)

    def child(self, name: str) -> Node | None:
        module = self._loader.loaded.get(name)
        known = self._made.get(name)
        if known is not None and known[0] is module:
            return known[1]
        if known is not None:
            del self._made[name]
            known[1].remove()
        if module is None:
            return None
        self._made[name] = module, ModuleDirectory(module, self._run)
        return self._made[name][1]

    def tidy(self) -> None:
        """Remove the directories of modules that are not loaded any more."""
        for name in list(self._made):
            if name not in self._loader.loaded:
                self.child(name)


class Root(Directory):
    """All of it."""

    def __init__(self, admin: Admin, loader: Loader, run: Runner) -> None:
        super().__init__()
        self.add("kernel", Directory()).add("mm", Directory()).add("damon", Directory()).add("admin", admin)
        self.modules = self.add("module", Modules(loader, run))
