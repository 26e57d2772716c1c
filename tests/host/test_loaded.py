# SPDX-License-Identifier: GPL-2.0-only
"""The running kernel's modules in a loader, as ``damon run`` has them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from damon.cli.main import main
from damon.errors import DamonError
from damon.host import engine
from damon.host.engine import HostDamon
from damon.modules.host import HostModule, HostRun, host_modules
from damon.modules.loader import Loader, prepare_modules
from tests.host.conftest import Kernel
from tests.waiting import until

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


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
        for word, why in (
            ("min_age=5s", "^damon_reclaim.min_age: '5s': .*in us: 5000000"),
            ("nonesuch=1", "^parameter of damon_reclaim: 'nonesuch': is unknown"),
        ):
            with pytest.raises(DamonError, match=why):
                loader.prepare(kinds["damon_reclaim"], [word])
        with pytest.raises(DamonError, match=r"^modules: damon_reclaim, damon_lru_sort: they start exclusively"):
            prepare_modules(loader, {kinds[name]: ["enabled=Y"] for name in ("damon_reclaim", "damon_lru_sort")})
        assert kernel.look() == before


def test_a_parameter_that_only_this_kernel_has(kernel: Kernel) -> None:
    """Its type is found by its value."""
    with kernel.open() as host:
        kinds = host_modules(host)
    specs = {spec.name: spec for spec in kinds["damon_reclaim"].specs()}
    assert issubclass(kinds["damon_reclaim"], HostModule)
    assert (specs["enabled"].type, specs["min_age"].default) == ("bool", 120000000)
    assert not specs["kdamond_pid"].writable


def test_damon_run(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "HostDamon", kernel.open)
    out = tmp_path / "result.json"
    words = ["damon_reclaim", "min_age=1000000", "wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0"]
    run = ["run", "--engine", "host", "--linux", "--quiet", "--json", str(out), "--duration", "2", "--module", *words]
    before = kernel.look()
    assert main(run) == 0
    result = json.loads(out.read_text())
    assert result["modules"]["damon_reclaim"]["parameters"]["min_age"] == 1000000
    assert result["modules"]["damon_reclaim"]["stats"]["bytes_reclaim_tried_regions"] > 0
    assert kernel.look() == before


def test_modinfo_while_another_process_uses_it(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Parameters are read as they are then; nothing is taken, nothing written."""
    monkeypatch.setattr(engine, "MODULES", kernel.modules)
    with kernel.open() as host:
        host.start_module("damon_reclaim", ["min_age=1000000"])
        before = kernel.look()
        assert main(["modinfo", "--engine", "host", "--json", "damon_reclaim"]) == 0
        shown = {row["name"]: row["default"] for row in json.loads(capsys.readouterr().out)["parameters"]}
        assert (shown["min_age"], shown["enabled"]) == ("1000000", "Y")
        assert kernel.look() == before


def test_modinfo_without_damon(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "MODULES", tmp_path)
    assert main(["modinfo", "--engine", "host", "damon_reclaim"]) == 3
    assert "this kernel has no module of DAMON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (
            ["--sim", "hot-cold", "--module", "damon_reclaim"],
            "engine: host: works on this machine's memory, not on sim",
        ),
        (
            ["--linux", "--module", "damon_reclaim", "min_age=5s"],
            "damon_reclaim.min_age: '5s': is not an unsigned integer",
        ),
        (["--linux", "--module", "nonesuch"], "module: 'nonesuch': is unknown"),
    ],
)
def test_damon_run_refuses(
    words: list[str], why: str, kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[HostDamon] = []

    def open_it() -> HostDamon:
        opened.append(kernel.open())
        return opened[-1]

    monkeypatch.setattr(engine, "HostDamon", open_it)
    before = kernel.look()
    assert main(["run", "--engine", "host", *words]) == 2
    assert why in capsys.readouterr().err
    assert kernel.look() == before
    opened[0].close()  # the end of the process would do it


def test_contexts_do_not_run_on_the_wrong_engine(kernel: Kernel) -> None:
    """A service that would start contexts of its own here would sample page tables beside the kernel."""
    with kernel.open() as host:
        run = HostRun(host)
        ctx = run.new_ctx()
        with pytest.raises(DamonError, match="for contexts use"):
            run.start([ctx])


def test_a_service_does_not_take_the_engine(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "damon.cli.damond", "--linux", "--engine", "host"]
    done = subprocess.run(line, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--engine: host: " in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--sim", "hot-cold"], "works on this machine's memory; give --linux"),
        (["--linux", "--module", "damon_reclaim", "--ops", "paddr"], "--ops, --pid, --region: are not for modules"),
        (["--linux", "--pid", "1"], "--pid: 1: is for --ops vaddr or fvaddr; leave it out"),
        (["--linux", "--ops", "vaddr"], "--ops: vaddr: needs a process; give --pid"),
        (
            ["--linux", "--ops", "vaddr", "--pid", "1", "--region", "0-4096"],
            "--ops vaddr follows the process; leave it out",
        ),
        (["--linux", "--ops", "fvaddr", "--pid", "1"], "--ops: fvaddr: needs ranges to monitor; give --region"),
    ],
)
def test_damon_record_refuses(
    words: list[str],
    why: str,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(engine, "HostDamon", kernel.open)
    before = kernel.look()
    assert main(["record", "--engine", "host", *words, "-o", str(tmp_path / "data")]) == 2
    assert why in capsys.readouterr().err
    assert kernel.look() == before
    assert not (tmp_path / "data").exists()
