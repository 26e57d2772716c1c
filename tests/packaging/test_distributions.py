# SPDX-License-Identifier: GPL-2.0-only
"""What the sdist and the wheel hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT


def _git_files(*words: str) -> list[str]:
    done = subprocess.run(["git", "ls-files", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_sdist_is_the_whole_tree(distributions: tuple[Path, Path]) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing to compare the sdist with")
    listed = _git_files()
    with tarfile.open(distributions[0]) as archive:
        held = {name.partition("/")[2]: entry for name, entry in zip(archive.getnames(), archive, strict=True)}
    missing = [name for name in listed if (ROOT / name).exists() and name not in held]
    assert missing == []
    made = ("PKG-INFO", "pydamon.egg-info", "setup.cfg")
    extra = [n for n, e in held.items() if not e.isdir() and n not in listed and not n.startswith(made)]
    untracked = _git_files("--others", "--exclude-standard")
    assert [name for name in extra if name not in untracked] == []
    links = {name: str((ROOT / name).readlink()) for name in listed if (ROOT / name).is_symlink()}
    assert links["damon/modules"] == "../modules"
    assert {name: entry.linkname for name, entry in held.items() if entry.issym()} == links


def test_the_wheel_serves_every_python_of_a_platform(distributions: tuple[Path, Path]) -> None:
    assert re.fullmatch(r"pydamon-[0-9.]+-py3-none-manylinux_\d+_\d+_\w+\.whl", distributions[1].name)


def test_the_wheel_holds_program_workloads_recipes_and_types(distributions: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(distributions[1]) as archive:
        held = set(archive.namelist())
        program = archive.getinfo("damon/native/bin/damon-workload")
    assert program.external_attr >> 16 & 0o111
    wanted = {f"damon/workload/shipped/{path.name}" for path in (ROOT / "workloads").glob("*.yaml")}
    wanted |= {f"vmtest/{path.relative_to(ROOT)}" for path in (ROOT / "images").rglob("*") if path.is_file()}
    wanted |= {"damon/py.typed", "vmtest/py.typed", "damon/native/libdamon.so", "damon/damond/damond.service"}
    assert {name for name in wanted - held if "__pycache__" not in name} == set()
    tops = {name.split("/")[0] for name in held}
    assert {top for top in tops if not top.startswith("pydamon-")} == {"damon", "vmtest"}


@pytest.mark.parametrize("lost", ["damon/native/src/workload", "damon/native/src"])
def test_a_missing_source_fails_the_build(tmp_path: Path, distributions: tuple[Path, Path], lost: str) -> None:
    with tarfile.open(distributions[0]) as archive:
        archive.extractall(tmp_path, filter="data")
    (tree,) = tmp_path.iterdir()
    shutil.rmtree(tree / lost)
    command = [sys.executable, "setup.py", "bdist_wheel"]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "has no C sources" in done.stderr
