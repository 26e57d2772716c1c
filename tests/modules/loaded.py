# SPDX-License-Identifier: GPL-2.0-only
"""A module loaded on a machine whose watermarks are open for damon_reclaim (30 % free)."""

from __future__ import annotations

from collections.abc import Callable

from damon.core import Damon
from damon.modules.common import DamonModule
from damon.modules.loader import Loader
from damon.modules.module import Module
from tests.fakes import FakeMachine


def new_loader(hot: Callable[[int], bool] = lambda addr: False, hz: int = 0) -> tuple[FakeMachine, Damon, Loader]:
    machine = FakeMachine(hot, hz=hz)
    machine.free = (300, 1000)
    damon = Damon(machine)
    return machine, damon, Loader(damon)


def counts(module: Module) -> dict[str, int]:
    """``module.stats()`` of a module that has nothing but numbers in it."""
    counts: dict[str, int] = {}
    for name, value in module.stats().items():
        assert isinstance(value, int), name
        counts[name] = value
    return counts


def loaded(name: str, *words: str) -> tuple[FakeMachine, Damon, DamonModule]:
    machine, damon, loader = new_loader()
    module = loader.prepare(name, words)
    loader.load(module)
    assert isinstance(module, DamonModule)
    return machine, damon, module
