# SPDX-License-Identifier: GPL-2.0-only
"""Whatever the parameters are: refused with nothing running, or a worker that lives, obeys and ends."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damon.core import Damon
from damon.errors import DamonError
from damon.modules.loader import Loader, find_module
from tests.fakes import FakeMachine

EDGES = [0, 1, 2, 3, 10, 999, 1000, 4096, 5000, 10000, 10001, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
VALUES = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1), st.integers(0, 100_000))


@pytest.mark.parametrize("name", ["damon_reclaim", "damon_lru_sort"])
@settings(max_examples=100)
@given(data=st.data())
def test_any_values(name: str, data: st.DataObject) -> None:
    specs = [spec for spec in find_module(name).specs() if spec.writable and spec.name != "enabled"]
    chosen = data.draw(st.lists(st.sampled_from(specs), max_size=8, unique_by=lambda spec: spec.name))
    words = []
    for spec in chosen:
        value = data.draw(st.booleans() if spec.type == "bool" else VALUES, label=spec.name)
        if spec.name == "sample_interval":
            value = max(value, 1000)  # shorter ones are as valid, and take too long here
        if spec.name != "commit_inputs":  # on the command line it is refused: nothing runs yet
            words.append(f"{spec.name}={int(value)}")
    machine = FakeMachine(hot=lambda addr: addr < 1 << 18)
    machine.ram = [(1 << 16, 1 << 22)]
    machine.free = (data.draw(st.sampled_from([0, 250, 450, 1000]), label="free"), 1000)
    damon = Damon(machine)
    loader = Loader(damon)
    try:
        module = loader.prepare(name, [*words, "enabled=Y"])
        module.check()
    except DamonError as error:
        assert "\n" not in str(error)
        assert damon.nr_running_ctxs == 0
        return
    loader.load(module)
    assert module.ctx is not None
    try:
        for _ in range(3):
            machine.clock.sleep_us(100_000)
            assert module.running, module.ctx.error
            assert module.state()
    finally:
        loader.unload_all()
    assert damon.nr_running_ctxs == 0
    assert all(0 <= value < 1 << 64 for value in module.stats().values())
