# SPDX-License-Identifier: GPL-2.0-only
"""Kernel variants and what older trees may lack, without building anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.files import lay
from vmtest.cli.main import main
from vmtest.errors import InvalidInput
from vmtest.images import kconfig, kernel_build, source, variants


def _tree(directory: Path, text: str) -> Path:
    return lay(directory, {"drivers/block/zram/Kconfig": text})


ZSTD = "CONFIG_ZRAM_BACKEND_ZSTD=y\n#where-declared\n"
PREEMPT = "CONFIG_PREEMPT_VOLUNTARY=y\n#or CONFIG_PREEMPT_LAZY=y\n#or CONFIG_PREEMPT=y\n"


def _asked(directory: Path, text: str) -> list[kconfig.Option]:
    path = directory / "a.config"
    path.write_text(text)
    return kconfig.requested([path])


def test_an_option_that_a_tree_does_not_declare_is_excused_by_the_fragment(tmp_path: Path) -> None:
    tree = _tree(tmp_path, "config ZRAM\n\ttristate\n")
    assert kconfig.not_honoured(_asked(tmp_path, ZSTD), "", tree) == []
    (other,) = kconfig.not_honoured(_asked(tmp_path, "CONFIG_ZRAM_BACKEND_ZSTD=y\n"), "", tree)
    assert str(other) == "CONFIG_ZRAM_BACKEND_ZSTD=y"


@pytest.mark.parametrize(
    "text", ["config ZRAM_BACKEND_ZSTD\n\tbool\n", "config ZRAM\n\nmenuconfig ZRAM_BACKEND_ZSTD\n"]
)
def test_one_that_it_declares_and_drops_is_not(tmp_path: Path, text: str) -> None:
    assert len(kconfig.not_honoured(_asked(tmp_path, ZSTD), "", _tree(tmp_path, text))) == 1


@pytest.mark.parametrize("line", ["CONFIG_PREEMPT_VOLUNTARY=y", "CONFIG_PREEMPT_LAZY=y", "CONFIG_PREEMPT=y"])
def test_one_of_some_options_will_do(tmp_path: Path, line: str) -> None:
    wanted = _asked(tmp_path, PREEMPT)
    assert kconfig.dropped(wanted, f"{line}\n") == []
    (missing,) = kconfig.dropped(wanted, "CONFIG_PREEMPT_NONE=y\n")
    assert str(missing) == "CONFIG_PREEMPT_VOLUNTARY=y or CONFIG_PREEMPT_LAZY=y or CONFIG_PREEMPT=y"


def test_what_will_do_instead_is_merged_first_and_the_preferred_last(tmp_path: Path) -> None:
    assert kconfig.others(_asked(tmp_path, PREEMPT)) == "CONFIG_PREEMPT=y\nCONFIG_PREEMPT_LAZY=y\n"
    assert kconfig.others(_asked(tmp_path, "CONFIG_A=y\n#or CONFIG_B is not set\n")) == "# CONFIG_B is not set\n"


@pytest.mark.parametrize(
    "text", ["#or CONFIG_A=y\n", "#where-declared\n", "CONFIG_A=y\n#or B\n", "CONFIG_A=y\n#where\n#orCONFIG_B=y\n"]
)
def test_a_comment_that_refers_to_no_option_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^a\.config:\d: .* does not belong to an option; write '#or"):
        _asked(tmp_path, text)


def test_a_later_fragment_takes_back_what_would_do_instead_too(tmp_path: Path) -> None:
    (option,) = _asked(tmp_path, PREEMPT + "# CONFIG_PREEMPT_VOLUNTARY is not set\n")
    assert (option.value, option.others) == (None, ())


# As "make olddefconfig" of 6.12 and 7.3 leave them.
SEVEN = "CONFIG_PREEMPT_LAZY=y\n# CONFIG_PREEMPT is not set\nCONFIG_SYSCTL=y\n"
SIX = "CONFIG_PREEMPT_VOLUNTARY=y\n# CONFIG_PREEMPT is not set\nCONFIG_PROC_SYSCTL=y\nCONFIG_SYSCTL=y\n"


@pytest.mark.parametrize("own", [SIX, SEVEN])
def test_the_shipped_fragments_fit_trees_of_6_and_of_7(
    own: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    differ = {"CONFIG_PREEMPT_VOLUNTARY", "CONFIG_PROC_SYSCTL"}
    options = [option for option in kconfig.requested(kconfig.fragments()) if not option.where_declared]
    final = own + "".join(f"{option.line}\n" for option in options if option.name not in differ)
    assert kconfig.not_honoured(kconfig.requested(kconfig.fragments()), final, tmp_path) == []
    config = tmp_path / ".config"
    config.write_text(final)
    assert main(["kconfig", str(config), "--shipped"]) == 0
    config.write_text(final.replace("CONFIG_SYSCTL=y\n", "").replace("CONFIG_PROC_SYSCTL=y\n", ""))
    assert main(["kconfig", str(config), "--shipped"]) == 1
    assert capsys.readouterr().out == "missing: CONFIG_PROC_SYSCTL=y or CONFIG_SYSCTL=y (10-base.config)\n"


def test_page_idle_of_6_1_is_page_idle_of_another_source() -> None:
    known = variants.variants()
    new, old = known["page-idle-6.12"], known["page-idle-6.1"]
    assert (new.source, old.source) == ("linux-source-6.12", "linux-source-6.1")
    assert old.recipe().fragments == new.recipe().fragments
    # Objects of another version are no start.
    assert old.recipe().base is None
    tree = source.KernelSource("x", "x 1", None)
    assert kernel_build.key_of(tree, old.recipe()) != kernel_build.key_of(tree, new.recipe())
    assert (known["page-idle-7.2"].source, known["page-idle-7.2"].suite) == ("linux-source-7.2", "sid")
    assert known["kunit-7.3"].options == known["kunit"].options


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
