# SPDX-License-Identifier: GPL-2.0-only
"""Whatever the parameters are: refused with nothing running, or a worker that lives, obeys and ends."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damon.core import Damon
from damon.errors import DamonError
from damon.model.context import DamonCtx
from damon.modules.common import DamonModule
from damon.modules.loader import Loader, find_module
from tests.fakes import FakeMachine
from tests.modules.loaded import counts

EDGES = [0, 1, 2, 3, 10, 999, 1000, 4096, 5000, 10000, 10001, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
VALUES = st.one_of(st.sampled_from(EDGES), st.integers(0, 2**64 - 1), st.integers(0, 100_000))


def _words(name: str, data: st.DataObject) -> list[str]:
    """Some parameters and values, other than ``enabled`` and ``commit_inputs``."""
    switches = ("enabled", "commit_inputs")
    specs = [spec for spec in find_module(name).specs() if spec.writable and spec.name not in switches]
    words = []
    for spec in data.draw(st.lists(st.sampled_from(specs), max_size=8, unique_by=lambda spec: spec.name)):
        value = data.draw(st.booleans() if spec.type == "bool" else VALUES, label=spec.name)
        if spec.name == "sample_interval":
            value = max(value, 1000)  # shorter ones are as valid, and take too long here
        words.append(f"{spec.name}={int(value)}")
    return words


@pytest.mark.parametrize("name", ["damon_reclaim", "damon_lru_sort"])
@settings(max_examples=100)
@given(data=st.data())
def test_any_values(name: str, data: st.DataObject) -> None:
    words = _words(name, data)
    machine = FakeMachine(lambda addr: addr < 1 << 18)
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
    assert all(0 <= value < 1 << 64 for value in counts(module).values())


def _configuration(ctx: DamonCtx) -> Any:
    schemes = [
        (s.pattern, s.action, s.quota.ms, s.quota.sz, s.quota.goals, s.quota.reset_interval, s.wmarks, s.ops_filters)
        for s in ctx.schemes
    ]
    ranges = [target.regions.ranges() for target in ctx.targets]
    return deepcopy((ctx.attrs, schemes, ctx.addr_unit, ctx.min_region_sz, ranges))


@pytest.mark.parametrize("name", ["damon_reclaim", "damon_lru_sort"])
@settings(max_examples=100)
@given(data=st.data())
def test_any_values_while_it_runs(name: str, data: st.DataObject) -> None:
    """commit_inputs takes all of them over, or it refuses and what runs is as it was; it goes on either way."""
    machine = FakeMachine()
    machine.ram = [(1 << 16, 1 << 22)]
    machine.free = (250 if name == "damon_reclaim" else 100, 1000)
    loader = Loader(Damon(machine))
    module = loader.prepare(name, ["enabled=Y"])
    loader.load(module)
    assert isinstance(module, DamonModule)
    assert module.ctx is not None
    try:
        machine.clock.sleep_us(250_000)
        before = _configuration(module.ctx)
        for word in _words(name, data):
            parameter, _, value = word.partition("=")
            if word != "addr_unit=0":
                module.parameters[parameter].store(value)
        try:
            module.parameters["commit_inputs"].store("Y")
        except DamonError as error:
            assert "\n" not in str(error)
            assert _configuration(module.ctx) == before
        else:
            asked = module._parameter_context(write_back=False)
            goals = [[goal.target_value for goal in scheme.quota.goals] for scheme in asked.schemes]
            assert module.ctx.attrs.aggr_interval == asked.attrs.aggr_interval
            assert module.ctx.attrs.intervals_goal == asked.attrs.intervals_goal
            assert (module.ctx.addr_unit, module.ctx.min_region_sz) == (asked.addr_unit, asked.min_region_sz)
            for now, wanted, values in zip(module.ctx.schemes, asked.schemes, goals, strict=True):
                assert (now.pattern, now.action, now.ops_filters) == (wanted.pattern, wanted.action, wanted.ops_filters)
                assert (now.quota.ms, now.quota.sz) == (wanted.quota.ms, wanted.quota.sz)
                assert [goal.target_value for goal in now.quota.goals] == values
        machine.clock.sleep_us(10_000)
        assert module.running, module.ctx.error
    finally:
        loader.unload_all()
