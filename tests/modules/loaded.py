# SPDX-License-Identifier: GPL-2.0-only
"""A module loaded on a machine whose watermarks are open for damon_reclaim (30 % free)."""

from __future__ import annotations

from damon.core import Damon
from damon.modules.common import DamonModule
from damon.modules.loader import Loader
from tests.fakes import FakeMachine


def new_loader() -> tuple[FakeMachine, Damon, Loader]:
    machine = FakeMachine()
    machine.free = (300, 1000)
    damon = Damon(machine)
    return machine, damon, Loader(damon)


def loaded(name: str, *words: str) -> tuple[FakeMachine, Damon, DamonModule]:
    machine, damon, loader = new_loader()
    module = loader.prepare(name, words)
    loader.load(module)
    assert isinstance(module, DamonModule)
    return machine, damon, module
