# SPDX-License-Identifier: GPL-2.0-only
"""The whole tree of a package of any suite, for a guest kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.apt.repository import Repository, build_source, needs_apt
from vmtest.cli import main
from vmtest.errors import MachineLacks
from vmtest.images import source

FILES = {"Makefile": "VERSION = 7\n", "mm/damon/core.c": "int x;\n", "drivers/any.c": "int y;\n"}


@pytest.fixture
def mirror(mirror: Repository, tmp_path: Path) -> Repository:
    mirror.publish("experimental", [build_source(tmp_path, "0.7", "0.7.4-1", FILES)])
    return mirror


@needs_apt
def test_a_package_instead_of_a_tree(mirror: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MachineLacks, match=r"is neither installed nor in the cache; fetch it with: "):
        source.from_package("linux-source-0.7")  # listing kernels downloads nothing
    named = source.named(Path("linux-source-0.7"))
    assert (named.name, named.identity) == ("linux-source-0.7", "linux-source-0.7 0.7.4-1")
    mirror.root.rename(tmp_path / "gone")
    tree = source.unpacked(source.from_package("linux-source-0.7"))
    assert {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()} == {*FILES, "manifest.json"}
    assert source.unpacked(named) == tree
    assert main(["build", "kernel", "--kernel-tree", "linux-source-0.8"]) == 3
    assert "packages linux-source-0.8*: the mirror copy:" in capsys.readouterr().err
    assert main(["build", "kernel", "--package", "linux-source-0.7", "--suite", "sid"]) == 3
    said = capsys.readouterr().err
    assert said.endswith(
        "suite sid of the host's Debian mirror does not have it; take version 0.7.4-1 of experimental\n"
    )
    for words in (["--suite", "sid"], ["page-idle", "--package", "linux-source-0.7"], ["--package", "linux"]):
        assert main(["build", "kernel", *words]) == 2


@needs_apt
def test_a_tree_to_work_on(mirror: Repository, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = tmp_path / "mine"
    assert main(["unpack", "linux-source-0.7", str(tree)]) == 0
    assert capsys.readouterr().out == "linux-source-0.7 0.7.4-1\n"
    assert {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()} == set(FILES)
    assert main(["unpack", "linux-source-0.7", str(tree)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert main(["unpack", "linux-source-0.7", str(tmp_path / "no/mine")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
    assert main(["unpack", "linux", str(tmp_path / "other")]) == 2
    assert "package: 'linux': is not one of kernel source" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_directory_of_that_name_is_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tree = tmp_path / "linux-source-0.7"
    for name in ("Makefile", "Kconfig", "scripts/kconfig/merge_config.sh"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()
    assert source.named(Path("linux-source-0.7")).tree == tree
