# SPDX-License-Identifier: GPL-2.0-only
"""Kernel variants and what older trees may lack, without building anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmtest.cli.main import main
from vmtest.images import kconfig, kernel_build, source, variants


def _tree(folder: Path, text: str) -> Path:
    (folder / "drivers/block/zram").mkdir(parents=True)
    (folder / "drivers/block/zram/Kconfig").write_text(text)
    return folder


ZSTD = kconfig.Option("CONFIG_ZRAM_BACKEND_ZSTD", "y", "34-swap.config")


def test_an_option_that_an_older_tree_does_not_declare_is_no_fault(tmp_path: Path) -> None:
    assert kconfig.too_old_for(_tree(tmp_path, "config ZRAM\n\ttristate\n"), ZSTD)


@pytest.mark.parametrize("text", ["config ZRAM_BACKEND_ZSTD\n\tbool\n", "config ZRAM\n\nconfig ZRAM_BACKEND_ZSTD\n"])
def test_one_that_it_declares_and_drops_is(tmp_path: Path, text: str) -> None:
    assert not kconfig.too_old_for(_tree(tmp_path, text), ZSTD)


def test_so_is_any_other_option_and_a_tree_without_the_file(tmp_path: Path) -> None:
    assert not kconfig.too_old_for(tmp_path, ZSTD)
    tree = _tree(tmp_path, "config ZRAM\n")
    assert not kconfig.too_old_for(tree, kconfig.Option("CONFIG_ZRAM", "y", "34-swap.config"))
    assert not kconfig.too_old_for(tree, kconfig.Option("CONFIG_IDLE_PAGE_TRACKING", "y", "31-page-idle.config"))


def test_excused_options_are_asked_for_by_a_fragment() -> None:
    asked = {option.name for option in kconfig.requested(kconfig.fragments()) if option.value == "y"}
    assert set(kconfig.NEWER) <= asked


def test_page_idle_of_6_1_is_page_idle_of_another_source() -> None:
    known = variants.variants()
    new, old = known["page-idle"], known["page-idle-6.1"]
    assert (new.source, old.source) == ("linux-source-6.12", "linux-source-6.1")
    assert old.recipe().fragments == new.recipe().fragments
    # Objects of another version are no start.
    assert old.recipe().base is None
    tree = source.KernelSource("x", "x 1", None)
    assert kernel_build.key_of(tree, old.recipe()) != kernel_build.key_of(tree, new.recipe())


def test_kernels_are_listed_with_what_the_built_ones_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config").write_text("CONFIG_FUSE_FS=y\n# CONFIG_DAMON is not set\n")
    built = {"stock": kernel_build.KernelBuild(tmp_path)}
    monkeypatch.setattr(variants.Variant, "find", lambda self: built.get(self.name))
    assert main(["kernels"]) == 0
    said = capsys.readouterr().out.splitlines()
    about = f"stock: {variants.variant('stock').about}"
    assert said[said.index(about) + 1 :][:2] == [f"    {tmp_path}/bzImage", "    has fuse"]
    assert said.count("    not built yet") == len(variants.variants()) - 1
