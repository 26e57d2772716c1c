# SPDX-License-Identifier: GPL-2.0-only
"""Bad input and machines that lack something: one line, the right exit code, nothing started, nothing left behind."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest

from damon.errors import MissingCapability
from damon.mm.linux import LinuxMachine
from damon.modules.loader import find_module
from tests.cli.conftest import SMALL, Damon

_SPECS = [(name, spec) for name in ("damon_reclaim", "damon_lru_sort") for spec in find_module(name).specs()]


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that starts is a failure of the test."""

    def spawn(self: object, name: str, function: object) -> None:
        raise AssertionError(f"{name} was started")

    monkeypatch.setattr("damon.mm.clock.VirtualClock.spawn", spawn)
    monkeypatch.setattr("damon.mm.clock.RealClock.spawn", spawn)


def _refused(damon: Damon, tmp_path: Path, arguments: list[str], code: int, *parts: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    outcome = damon(["run", "--json", str(tmp_path / "result.json"), *arguments])
    assert outcome.code == code, outcome.err
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert outcome.err.startswith("damon")
    for part in parts:
        assert part in outcome.err
    assert sorted(tmp_path.rglob("*")) == before


_MALFORMED = {
    "ulong": ["bogus", "-1", "", "0x", "5M", "1.5", str(1 << 64)],
    "int": ["bogus", "", "0x", "5M", str(1 << 31)],
    "bool": ["bogus", "-1", "", "2", "o", "enable"],
}


@pytest.mark.parametrize(
    ("name", "spec", "text"),
    [
        pytest.param(name, spec, text, id=f"{name}.{spec.name}={text}")
        for name, spec in _SPECS
        for text in _MALFORMED[spec.type]
    ],
)
def test_malformed_value_of_every_parameter(
    damon: Damon, tmp_path: Path, small: str, name: str, spec: Any, text: str
) -> None:
    word = f"{spec.name}={text}"
    named = (f"{name}.{spec.name}: {text!r}: ",)
    _refused(damon, tmp_path, ["--module", name, word, "--sim", small], 2, *named)
    _refused(damon, tmp_path, ["--cmdline", f"{name}.enabled=Y {name}.{word}", "--sim", small], 2, *named)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["reclaim", "aggr_interval=0"], ["damon_reclaim", "aggr_interval: 0: "]),
        (["lru_sort", "sample_interval=0"], ["damon_lru_sort", "sample_interval: 0: "]),
        (["reclaim", "min_nr_regions=2"], ["min_nr_regions: 2: ", "at least 3"]),
        (["reclaim", "min_nr_regions=1001"], ["min_nr_regions: 1001: ", "max_nr_regions, 1000"]),
        (["reclaim", "max_nr_regions=9"], ["min_nr_regions: 10: ", "max_nr_regions, 9"]),
        (["reclaim", "sample_interval=100001"], ["sample_interval: 100001 us: ", "aggr_interval, 100000"]),
        (["lru_sort", "aggr_interval=4999"], ["sample_interval: 5000 us: ", "aggr_interval, 4999"]),
        (["lru_sort", "active_mem_bp=10001"], ["active_mem_bp: 10001: "]),
        (["reclaim", "monitor_region_start=8192", "monitor_region_end=4096"], ["region: 8192-4096: is empty"]),
        (["reclaim", "monitor_region_start=4096"], ["monitor_region_end: region: 4096-0: "]),
        (["reclaim", "addr_unit=0"], ["addr_unit: 0: "]),
        (["reclaim", "addr_unit=3"], ["min_region_sz: 1365: ", "addr_unit 3"]),
        (["reclaim", "commit_inputs=Y"], ["damon_reclaim.commit_inputs", "never started"]),
        (["reclaim", "min_age"], ["damon_reclaim.min_age: needs a value"]),
        (["reclaim", "min_aeg=5"], ["'min_aeg'", "did you mean min_age?"]),
        (["reclaim", "what=5"], ["'what'", "known: ", "quota_sz"]),
        (["damon_reclam"], ["'damon_reclam'", "did you mean damon_reclaim?"]),
        (["zswap"], ["'zswap'", "known: damon_lru_sort, damon_reclaim"]),
        (["./nowhere"], ["'./nowhere': is not a module"]),
        (["reclaim", "--module", "lru_sort"], ["modules: damon_reclaim, damon_lru_sort: ", "EBUSY"]),
        (["reclaim", "--duration", "0"], ["--duration", "'0'"]),
        (["reclaim", "--duration", "soon"], ["'soon'", "duration above 0"]),
        (["reclaim", "--duration", "nan"], ["'nan'"]),
        (["reclaim", "--seed", "-1"], ["'-1'", "seed"]),
        (["reclaim", "--seed", "1.5"], ["'1.5'", "seed"]),
        (["reclaim", "--linux"], ["--linux", "--sim"]),
        (["reclaim", "--json", "/nowhere/at/all/x.json"], ["--json: '/nowhere/at/all/x.json': ", "does not exist"]),
        (["reclaim", "--json", "/"], ["--json: '/': ", "is a directory"]),
        (["reclaim", "--json", ""], ["''"]),
        (["reclaim", "--cmdline", "damon_lru_sort.enabled=Y"], ["modules: damon_lru_sort, damon_reclaim: "]),
        (["reclaim", "--cmdline", "zswap.enabled=Y"], ["'zswap'", "known:"]),
        (["reclaim", "--cmdline", "damon_reclaim.min_age_=Y"], ["did you mean min_age"]),
        (["reclaim", "--cmdline", 'damon_reclaim.min_age="5'], ["quotation"]),
        (["reclaim", "--cmdline", "damon_reclaim_enabled=Y"], ["'damon_reclaim_enabled=Y': has no dot"]),
    ],
    ids=" ".join,
)  # fmt: skip
def test_contradictions_and_unknown_names(
    damon: Damon, tmp_path: Path, small: str, words: list[str], parts: list[str]
) -> None:
    _refused(damon, tmp_path, ["--sim", small, "--module", *words], 2, *parts)


def test_nothing_to_run(damon: Damon, tmp_path: Path, small: str) -> None:
    _refused(damon, tmp_path, ["--sim", small], 2, "--module")
    _refused(damon, tmp_path, ["--sim", small, "--cmdline", "quiet"], 2, "--module")
    _refused(damon, tmp_path, ["--module", "reclaim"], 2, "--sim --linux")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (SMALL.replace("rate: 150k", "rate: 150k, rage: 3"), ["rage"]),
        (SMALL.replace("150k", "often"), ["rate", "often"]),
        (SMALL.replace("area: hot", "area: warm"), ["warm"]),
        (SMALL.replace("size: 6 MiB", "size: 6 MiBB"), ["cold", "6 MiBB"]),
        (SMALL.replace("size: 6 MiB", "size: 5"), ["cold", "4096"]),
        (SMALL.replace("3s", "0s"), ["duration"]),
        ("areas: [", []),
        ("", []),
    ],
)
def test_wrong_workload_file(damon: Damon, tmp_path: Path, text: str, parts: list[str]) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    _refused(damon, tmp_path, ["--sim", str(path), "--module", "reclaim"], 2, "wrong.yaml", *parts)


def test_no_workload_file(damon: Damon, tmp_path: Path) -> None:
    _refused(damon, tmp_path, ["--sim", str(tmp_path / "none.yaml"), "--module", "reclaim"], 2, "none.yaml")
    _refused(damon, tmp_path, ["--sim", str(tmp_path), "--module", "reclaim"], 2, str(tmp_path))


def test_simulated_machine_without_swap(damon: Damon, tmp_path: Path) -> None:
    path = tmp_path / "noswap.yaml"
    path.write_text(SMALL.replace("swap: {size: 16 MiB}", "swap: none"))
    _refused(damon, tmp_path, ["--sim", str(path), "--module", "reclaim"], 3, "swap")


ROOT = "CapEff:\t000001ffffffffff\n"


@pytest.mark.parametrize(
    ("status", "bitmap", "part"),
    [("CapEff:\t0000000000000000\n", True, "CAP_SYS_ADMIN"), (ROOT, False, "CONFIG_IDLE_PAGE_TRACKING"),
     (ROOT, True, "kpageflags")],
)  # fmt: skip
def test_this_machine_lacks_something(
    damon: Damon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, bitmap: bool, part: str
) -> None:
    """Not root, no page_idle, no kpageflags; the system is made of files."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "status").write_text(status)
    (proc / "iomem").write_text("00001000-3fffffff : System RAM\n")
    (sys / "kernel/mm/page_idle").mkdir(parents=True)
    if bitmap:
        (sys / "kernel/mm/page_idle/bitmap").write_bytes(b"")
    monkeypatch.setattr("damon.mm.linux.LinuxMachine", functools.partial(LinuxMachine, proc=proc, sys=sys))
    _refused(damon, tmp_path, ["--linux", "--module", "reclaim"], 3, part)


@pytest.mark.parametrize(
    ("words", "needs"),
    [(["reclaim"], ("paddr", ("pageout",))), (["reclaim", "skip_anon=Y"], ("paddr", ("pageout:file",))),
     (["lru_sort"], ("paddr", ("lru_prio", "lru_deprio")))],
)  # fmt: skip
def test_what_a_module_asks_of_a_machine(
    damon: Damon, tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch, words: list[str], needs: object
) -> None:
    asked = []

    def require(self: object, ops: str, actions: object) -> None:
        asked.append((ops, actions))
        raise MissingCapability("everything is missing; get another machine")

    monkeypatch.setattr("damon.mm.sim.SimulatedMachine.require", require)
    _refused(damon, tmp_path, ["--sim", small, "--module", *words], 3, "get another machine")
    assert asked == [needs]
