# SPDX-License-Identifier: GPL-2.0-only
"""Each command from the wheel, in a fresh environment and an empty directory."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import call, clean_environment, install

HAS_FUSE = os.access("/dev/fuse", os.R_OK | os.W_OK)


def _environment(fresh: Path, directory: Path) -> dict[str, str]:
    return clean_environment(fresh) | {"HOME": str(directory), "RUNTIME_DIRECTORY": str(directory / "runtime")}


def _knows_itself(fresh: Path, command: str, directory: Path) -> None:
    env = _environment(fresh, directory)
    (name,) = fresh.glob("lib/python*/site-packages/pydamon-*.dist-info")
    number = name.name.removeprefix("pydamon-").removesuffix(".dist-info")
    assert call(f"{fresh}/bin/{command}", "--version", cwd=directory, env=env) == f"{command} (pydamon) {number}\n"
    assert f"usage: {command}" in call(f"{fresh}/bin/{command}", "--help", cwd=directory, env=env)
    assert (fresh / f"share/man/man1/{command}.1").is_file()
    assert (fresh / f"share/bash-completion/completions/{command}").is_file()


@pytest.mark.parametrize("command", ["damon", "damond", "damon-workload", "vmtest"])
def test_every_command_knows_its_version_and_helps(fresh: Path, tmp_path: Path, command: str) -> None:
    _knows_itself(fresh, command, tmp_path)


def test_the_demo(fresh: Path, tmp_path: Path) -> None:
    said = call(fresh / "bin/python", "-m", "damon.cli.demo", cwd=tmp_path, env=_environment(fresh, tmp_path))
    assert "FAILED" not in said
    assert list(tmp_path.iterdir()) == []


def test_run_record_report_and_modinfo(fresh: Path, tmp_path: Path) -> None:
    env, damon = _environment(fresh, tmp_path), str(fresh / "bin/damon")
    run = ("run", "--module", "damon_reclaim", "min_age=5000000", "--sim", "hot-cold", "--duration", "60")
    call(damon, *run, "--json", "result.json", "--quiet", cwd=tmp_path, env=env)
    areas = json.loads((tmp_path / "result.json").read_text())["areas"]
    assert areas["cold"]["resident_bytes_end"] < areas["cold"]["resident_bytes_start"] // 10
    call(damon, "record", "--sim", "stairs", "--duration", "5", "-o", "damon.data", cwd=tmp_path, env=env)
    assert call(damon, "report", "damon.data", cwd=tmp_path, env=env)
    assert "min_age" in call(damon, "modinfo", "damon_reclaim", cwd=tmp_path, env=env)


def test_the_workload_program(fresh: Path, tmp_path: Path) -> None:
    env, command = _environment(fresh, tmp_path), str(fresh / "bin/damon-workload")
    (tmp_path / "small.plan").write_text(call(command, "--print-plan", "hot-cold", cwd=tmp_path, env=env))
    said = call(command, "--json", "--duration", "0.1", "--plan", "small.plan", cwd=tmp_path, env=env)
    assert '"event":"end"' in said.replace(" ", "")


def test_damond_and_its_clients(fresh: Path, tmp_path: Path) -> None:
    if not HAS_FUSE:
        pytest.skip("/dev/fuse can't be opened here: damond is not tried from the wheel")
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(tmp_path / "notify"))
    mount = str(tmp_path / "sys")
    env = _environment(fresh, tmp_path) | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
    damond = subprocess.Popen([fresh / "bin/damond", "--sim", "hot-cold", "--mount", mount], cwd=tmp_path, env=env)
    try:
        assert ready.recv(4096).startswith(b"READY=1")
        env["DAMOND_MOUNT"] = mount
        assert "damon_reclaim" in call(fresh / "bin/damon", "lsmod", cwd=tmp_path, env=env)
        assert json.loads(call(fresh / "bin/damon", "status", "--json", cwd=tmp_path, env=env))["mount"] == mount
        Path(mount, "kernel/mm/damon/admin/kdamonds/nr_kdamonds").write_text("1\n")
        if os.geteuid() == 0:
            words = ("exec", "--", "cat", "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds")
            assert call(fresh / "bin/damon", *words, cwd=tmp_path, env=env) == "1\n"
    finally:
        damond.send_signal(signal.SIGTERM)
        assert damond.wait() == 0
        ready.close()
    assert not Path(mount).exists()


def test_a_command_whose_extra_is_missing_names_it(fresh: Path, tmp_path: Path) -> None:
    words: list[str | Path] = [fresh / "bin/vmtest", "exec", "--", "true"]
    env = _environment(fresh, tmp_path)
    done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert "pip install 'pydamon[vmtest]'" in done.stderr


def test_the_harness_with_its_extra(fresh: Path, tmp_path: Path, distributions: tuple[Path, Path]) -> None:
    env = _environment(fresh, tmp_path)
    install(fresh, f"pydamon[vmtest] @ file://{distributions[1]}", cwd=tmp_path, home=tmp_path)
    assert "page-idle" in call(fresh / "bin/vmtest", "kernels", cwd=tmp_path, env=env)
