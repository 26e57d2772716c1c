# SPDX-License-Identifier: GPL-2.0-only
"""The tree's own reclaim.c, lru_sort.c and stat.c beside ours: byte for byte the same result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from damon.cli.main import main
from damon.errors import DamonError
from damon.kernel.engine import KernelDamon
from damon.library.engine import Engine, KernelEngine, OwnEngine, other_modules
from damon.mm.sim import SimulatedMachine
from damon.modules.loader import Loader
from damon.modules.module import Module
from damon.workload.load import load_workload
from tests.kernel.trees import CURRENT, built, changed, kept, source

AWAKE = ("wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0")
RUNS = [
    ("damon_reclaim", "hot-cold", "min_age=2000000"),
    (
        "damon_reclaim",
        "phases",
        *AWAKE,
        "min_age=1000000",
        "quota_mem_pressure_us=1000",
        "autotune_monitoring_intervals=Y",
    ),
    ("damon_reclaim", "pressure", *AWAKE, "min_age=2000000"),
    ("damon_reclaim", "tiering", *AWAKE, "min_age=1000000", "quota_autotune_feedback=9000"),
    ("damon_reclaim", "zipf", *AWAKE, "min_age=500000", "quota_ms=1", "addr_unit=2"),
    ("damon_lru_sort", "hot-cold", *AWAKE),
    ("damon_lru_sort", "phases", *AWAKE, "filter_young_pages=Y"),
    ("damon_lru_sort", "pressure", *AWAKE),
    ("damon_lru_sort", "tiering", *AWAKE, "active_mem_bp=4000"),
    ("damon_lru_sort", "zipf", *AWAKE, "autotune_monitoring_intervals=Y"),
    ("damon_stat", "zipf"),
]


def _result(path: Path, *words: str) -> dict[str, Any]:
    assert main(["run", *words, "--quiet", "--json", str(path)]) == 0
    result = json.loads(path.read_text())
    del result["timing"]
    return dict(result)


@pytest.mark.parametrize("run", RUNS, ids=" ".join)
def test_the_same_result_byte_for_byte(run: tuple[str, ...], tmp_path: Path) -> None:
    module, workload, *words = run
    built()
    common = ["--module", module, *words, "--sim", workload, "--duration", "15", "--seed", "3"]
    ours = _result(tmp_path / "own.json", *common)
    theirs = _result(tmp_path / "kernel.json", "--engine", CURRENT, *common)
    engines = [result.pop("engine") for result in (ours, theirs)]
    assert [engine["engine"] for engine in engines] == ["pydamon", "kernel"]
    assert engines[1]["sha256"]
    assert json.dumps(theirs) == json.dumps(ours)


#: The pid of the simulator's first process.
PID = "target_pid=1000"
SAMPLES = [
    ("wsse", "hot-cold", PID),
    ("wsse", "phases", PID),
    ("prcl", "hot-cold", PID),
    ("prcl", "zipf", PID),
    ("mtier", "tiering", "detect_node_addresses=Y", "node0_mem_free_bp=3000"),
    ("mtier", "tiering", "node0_end_addr=0x4000000", "node1_start_addr=0x10000000", "node1_end_addr=0x50000000"),
]


@pytest.mark.parametrize("run", SAMPLES, ids=" ".join)
def test_samples_as_the_trees_own(run: tuple[str, ...], tmp_path: Path) -> None:
    """The C of samples/damon, built into the tree's core: the memory ends the same."""
    sample, workload, *words = run
    file = kept(source().path / f"samples/damon/{sample}.c")
    common = ["--module", f"damon_sample_{sample}", *words, "--sim", workload, "--duration", "15", "--seed", "3"]
    ours = _result(tmp_path / "own.json", *common)
    theirs = _result(tmp_path / "kernel.json", "--engine", CURRENT, "--with", str(file), *common)
    for result in (ours, theirs):
        del result["engine"]
        module = result["modules"][f"damon_sample_{sample}"]
        del module["stats"]  # the kernel has none
        del module["state"]  # with the working set in an aggregation that is not complete
    assert json.dumps(theirs) == json.dumps(ours)


def _loaded(engine: Engine, module: str, *words: str) -> tuple[Loader, Module]:
    machine = SimulatedMachine(load_workload("hot-cold"), 1)
    loader = Loader(engine.open(machine, 1), known=other_modules(engine))
    prepared = loader.prepare(module, words)
    loader.load(prepared)
    return loader, prepared


def test_an_old_version_shows_its_own_faults() -> None:
    """In 6.12 the module's watermarks never let it work."""
    loader, module = _loaded(KernelEngine(built("linux-source-6.12")), "damon_reclaim", "min_age=2000000", "enabled=Y")
    loader.machine.clock.sleep_us(15_000_000)
    assert module.state() == "waits: free memory is 243 per mille, below wmarks_mid=400: it should be active"
    assert module.progress() == (0, 0)
    assert "addr_unit" not in module.parameters
    loader.unload_all()


def test_parameters_are_the_trees(capsys: pytest.CaptureFixture[str]) -> None:
    """One that a patch adds is there, is stored, and decides."""
    declared = "static bool skip_anon __read_mostly;\nmodule_param(skip_anon, bool, 0600);"
    added = (
        "\nstatic unsigned int laziness = 3;\nmodule_param(laziness, uint, 0600);\n"
        'MODULE_PARM_DESC(laziness, "how lazy");'
    )
    tree = changed((declared, declared + added), file="mm/damon/reclaim.c")
    assert main(["modinfo", "--engine", f"kernel:{tree}", "damon_reclaim", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["parameters"]}
    assert rows["laziness"]["default"] == "3"
    assert rows["laziness"]["description"] == "how lazy"
    assert rows["min_age"]["unit"] == "us"
    ours = {spec.name for spec in OwnEngine().modules()["damon_reclaim"].specs()}
    assert rows.keys() - {"laziness"} == ours


def test_parameters_change_while_it_runs() -> None:
    loader, module = _loaded(KernelEngine(built()), "damon_reclaim", *AWAKE, "min_age=900000000", "enabled=Y")
    clock = loader.machine.clock
    clock.sleep_us(5_000_000)
    assert module.stats()["bytes_reclaimed_regions"] == 0
    with pytest.raises(DamonError, match=r"^nr_quota_exceeds: .*read only"):
        module.parameters["nr_quota_exceeds"].store("1")
    with pytest.raises(DamonError, match=r"^min_age: 'soon': "):
        module.parameters["min_age"].store("soon")
    module.parameters["min_age"].store("1000000")
    module.parameters["commit_inputs"].store("Y")
    clock.sleep_us(5_000_000)
    assert module.stats()["bytes_reclaimed_regions"]
    module.parameters["aggr_interval"].store("0")
    with pytest.raises(DamonError, match="commit_inputs: 'Y': Invalid argument"):
        module.parameters["commit_inputs"].store("Y")
    module.parameters["enabled"].store("N")
    assert module.state() == "off"
    module.parameters["aggr_interval"].store("100000")
    module.parameters["enabled"].store("Y")
    assert module.running
    loader.unload_all()
    assert not module.running


def test_exclusive_as_in_the_kernel() -> None:
    engine = KernelEngine(built())
    loader, _ = _loaded(engine, "damon_reclaim", *AWAKE, "enabled=Y")
    second = loader.prepare("damon_lru_sort", [*AWAKE, "enabled=Y"])
    with pytest.raises(DamonError, match="enabled: 'Y': Device or resource busy"):
        loader.load(second)
    loader.unload_all()


def test_each_engine_has_a_kernel_of_its_own() -> None:
    """The C's static variables belong to one loaded copy."""
    library = built()
    first, second = (KernelDamon(SimulatedMachine(load_workload("hot-cold"), 1), library) for _ in range(2))
    assert first.lib.shim_param(0) != second.lib.shim_param(0)
