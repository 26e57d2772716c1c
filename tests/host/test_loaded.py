# SPDX-License-Identifier: GPL-2.0-only
"""The running kernel's modules in a loader, as ``damon run`` has them."""

from __future__ import annotations

import pytest

from damon.cli.run import prepare_modules
from damon.errors import DamonError
from damon.modules.host import HostModule, HostRun, host_modules
from damon.modules.loader import Loader
from tests.host.conftest import Kernel
from tests.waiting import until


def test_a_module_of_the_kernel(kernel: Kernel) -> None:
    with kernel.open() as host:
        run = HostRun(host)
        loader = Loader(run)
        words = ["min_age=1000000", "wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0", "enabled=Y"]
        (module,) = prepare_modules(loader, {host_modules(host)["damon_reclaim"]: words})
        assert module.parameters["min_age"].spec.unit == "us"
        assert not module.running
        loader.load(module)
        assert (module.running, module.state()) == (True, "active")
        assert kernel.parameter("damon_reclaim", "min_age").read_text() == "1000000\n"
        assert loader.kdamond_pid(module) > 0
        until(lambda: (module.progress() or (0, 0))[1] > 0)
        module.parameters["min_age"].store("2000000")
        assert module.parameters["min_age"].value == 2000000
        loader.unload_all()
        assert kernel.parameter("damon_reclaim", "enabled").read_text() == "N\n"
        tried, applied = module.progress() or (0, 0)
        assert tried >= applied > 0
        assert module.stats()["bytes_reclaimed_regions"] == applied
        assert kernel.parameter("damon_reclaim", "min_age").read_text() == "120000000\n", "restored with the last one"


def test_what_is_refused_before_anything_is_written(kernel: Kernel) -> None:
    with kernel.open() as host:
        loader = Loader(HostRun(host))
        kinds = host_modules(host)
        before = kernel.look()
        for word, why in (("min_age=5s", "write 5000000"), ("nonesuch=1", "unknown parameter")):
            with pytest.raises(DamonError, match=why):
                loader.prepare(kinds["damon_reclaim"], [word])
        with pytest.raises(DamonError, match="modules start exclusively"):
            prepare_modules(loader, {kinds[name]: ["enabled=Y"] for name in ("damon_reclaim", "damon_lru_sort")})
        assert kernel.look() == before


def test_a_parameter_that_only_this_kernel_has(kernel: Kernel) -> None:
    """Its type is found by its value."""
    with kernel.open() as host:
        kinds = host_modules(host)
    specs = {spec.name: spec for spec in kinds["damon_reclaim"].specs()}
    assert issubclass(kinds["damon_reclaim"], HostModule)
    assert (specs["enabled"].type, specs["min_age"].default, specs["kdamond_pid"].writable) == (
        "bool",
        120000000,
        False,
    )
