# SPDX-License-Identifier: GPL-2.0-only
"""Builds of a tree on disk: what was compiled is kept for the next time; with a tree of one file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.files import lay
from vmtest.cli import main
from vmtest.errors import BuildFailed
from vmtest.images import kernel_build, source

MAKEFILE = """\
tinyconfig:
\techo configured >>$(O)/configured
\techo 'CONFIG_TINY=y' >$(O)/.config
olddefconfig:
bzImage: $(O)/a.o $(O)/b.o
\tmkdir -p $(O)/arch/x86/boot && cat $(O)/a.o $(O)/b.o >$(O)/arch/x86/boot/bzImage
\ttouch $(O)/System.map $(O)/vmlinux
$(O)/%.o: %.c
\t@echo "  CC      $*.o"
\tcp $< $@
"""
MERGE = '#!/bin/sh\nshift 2; out=$1; shift; cat "$@" >$out/merged && mv $out/merged $out/.config\n'
RECIPE = kernel_build.Recipe((), (("CONFIG_A", "y"),))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    merge = "scripts/kconfig/merge_config.sh"
    files = {"Makefile": MAKEFILE, "Kconfig": "config A\n\tbool\n", merge: MERGE, "a.c": "a1\n", "b.c": "b1\n"}
    directory = lay(tmp_path / "linux", files)
    (directory / merge).chmod(0o755)
    return directory


def _compiled(build: kernel_build.KernelBuild) -> list[str]:
    return [line.split()[1] for line in (build.directory / "build.log").read_text().splitlines() if "  CC " in line]


def test_the_second_build_compiles_what_changed(tree: Path) -> None:
    first = kernel_build.obtain(source.from_tree(tree), RECIPE)
    assert sorted(_compiled(first)) == ["a.o", "b.o"]
    assert kernel_build.obtain(source.from_tree(tree), RECIPE) == first, "nothing changed: from the cache"
    (tree / "b.c").write_text("b22\n")
    second = kernel_build.obtain(source.from_tree(tree), RECIPE)
    assert _compiled(second) == ["b.o"]
    assert second.image.read_text() == "a1\nb22\n"
    assert first.image.read_text() == "a1\nb1\n", "the older kernel stays what it was"
    (kept,) = (path for path in (tree.parent / "cache/pydamon/objects").iterdir() if path.is_dir())
    assert (kept / "configured").read_text() == "configured\n"


def test_a_build_that_failed_is_configured_again_or_goes_on(tree: Path) -> None:
    (tree / "b.c").unlink()
    with pytest.raises(BuildFailed):
        kernel_build.obtain(source.from_tree(tree), RECIPE)
    (tree / "b.c").write_text("b1\n")
    assert _compiled(kernel_build.obtain(source.from_tree(tree), RECIPE)) == ["b.o"]


def test_another_recipe_has_objects_of_its_own(tree: Path) -> None:
    kernel_build.obtain(source.from_tree(tree), RECIPE)
    other = kernel_build.Recipe((), (("CONFIG_A", "y"), ("CONFIG_B", "y")))
    assert sorted(_compiled(kernel_build.obtain(source.from_tree(tree), other))) == ["a.o", "b.o"]


def test_options_of_the_user(tree: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_build, "shipped", lambda arch: RECIPE)
    words = [
        "build",
        "kernel",
        "--kernel-tree",
        str(tree),
        "--kernel-option",
        "CONFIG_B=y",
        "--kernel-option",
        "CONFIG_C=n",
    ]
    assert main(words) == 0
    image = Path(capsys.readouterr().out.strip())
    config = (image.parent / "config").read_text()
    assert "CONFIG_A=y\nCONFIG_B=y\n# CONFIG_C is not set\n" in config


def test_a_tree_takes_what_will_do_instead(tree: Path) -> None:
    # This one's configuration knows B only, as 7.x knows PREEMPT_LAZY where 6.x has PREEMPT_VOLUNTARY.
    merge = tree / "scripts/kconfig/merge_config.sh"
    merge.write_text(MERGE.replace("mv $out/merged", "grep ^CONFIG_B $out/merged >$out/known; mv $out/known"))
    fragment = tree.parent / "a.config"
    fragment.write_text("CONFIG_A=y\n#or CONFIG_B=y\n")
    build = kernel_build.obtain(source.from_tree(tree), kernel_build.Recipe((fragment,)))
    assert build.image.is_file()
    fragment.write_text("CONFIG_A=y\n#or CONFIG_C=y\n")
    with pytest.raises(BuildFailed, match=r"does not honour: CONFIG_A=y or CONFIG_C=y \(a\.config\)"):
        kernel_build.obtain(source.from_tree(tree), kernel_build.Recipe((fragment,)))


def test_tests_that_a_version_has_not_are_left_out(tree: Path) -> None:
    (tree / "mm").mkdir()
    (tree / "mm/Kconfig").write_text("config NEW_KUNIT_TEST\n\tbool\n")
    options = (("CONFIG_A", "y"), ("CONFIG_NEW_KUNIT_TEST", "y"), ("CONFIG_NEWER_KUNIT_TEST", "y"))
    recipe = kernel_build.known_to(source.from_tree(tree), kernel_build.Recipe((), options), "_KUNIT_TEST")
    assert [name for name, _ in recipe.options] == ["CONFIG_A", "CONFIG_NEW_KUNIT_TEST"]


def test_copied_objects_get_their_new_place(tmp_path: Path) -> None:
    objects = tmp_path / "new/objects"
    directory = objects / "tools/objtool"
    directory.mkdir(parents=True)
    command = directory / ".check.o.cmd"
    old = "/c/.1.x/objects/tools/objtool"
    command.write_text(f"cmd_{old}/check.o := gcc -Wp,-MD,{old}/.check.o.d -I{old}/include -o {old}/check.o\n")
    os.utime(command, (1, 1))
    (directory / ".other.cmd").write_text("gcc -o other.o\n")
    kernel_build._moved(objects)
    assert command.read_text().count(f"{directory}/") == 4
    assert "/c/" not in command.read_text()
    assert command.stat().st_mtime == 1, "make goes by time"
    assert (directory / ".other.cmd").read_text() == "gcc -o other.o\n"
