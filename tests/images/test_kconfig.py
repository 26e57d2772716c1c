# SPDX-License-Identifier: GPL-2.0-only
"""Features: the file is whole, what is missing is named, and the command's exit codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from vmtest import cli
from vmtest.images import features, kconfig


def test_every_feature_is_typed_and_its_options_are_options() -> None:
    for one in features.features().values():
        assert one.about
        assert one.needs
        for need in one.needs:
            assert need.value in features.ENOUGH
            assert all(name.startswith("CONFIG_") for name in need.names)


def test_the_shipped_kernel_has_what_the_project_asks_of_it() -> None:
    config = {option.name: option.value for option in kconfig.requested(kconfig.fragments())}
    for name in ("page_idle", "damon-sysfs", "damon-reclaim", "damon-lru-sort", "fuse", "hotplug", "cgroup", "9p"):
        assert features.feature(name).missing(config) == [], name
    assert [str(need) for need in features.feature("kunit").missing(config)] == ["CONFIG_KUNIT=y"]


def test_a_module_will_do_only_where_it_does() -> None:
    modules = {"CONFIG_SWAP": "y", "CONFIG_ZRAM": "m", "CONFIG_DAMON": "m", "CONFIG_DAMON_VADDR": "y"}
    assert features.feature("zram").missing(modules) == []
    assert [str(need) for need in features.feature("damon").missing(modules)] == ["CONFIG_DAMON=y"]


def test_renamed_options_and_features_on_features() -> None:
    old = dict.fromkeys(("CONFIG_DAMON", "CONFIG_DAMON_VADDR", "CONFIG_DEBUG_FS", "CONFIG_DAMON_DBGFS"), "y")
    assert features.feature("damon-dbgfs").missing(old) == []
    assert len(features.feature("damon-dbgfs").missing({})) == 4
    assert features.Need(("CONFIG_A", "CONFIG_B"), "n").met({"CONFIG_B": None})
    assert not features.Need(("CONFIG_A", "CONFIG_B"), "n").met({"CONFIG_B": "y"})


def test_a_test_that_a_version_has_not_is_excused() -> None:
    one = features.feature("damon-kunit")
    old = {option: "y" for need in one.needs for option in need.names if option != "CONFIG_DAMON_SYSFS_KUNIT_TEST"}
    assert one.missing(old) == []
    assert [str(need) for need in one.missing({**old, "CONFIG_DAMON_SYSFS_KUNIT_TEST": None})] == [
        "CONFIG_DAMON_SYSFS_KUNIT_TEST=y"
    ]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.gz"
    path.write_bytes(gzip.compress(b"CONFIG_SWAP=y\n# CONFIG_ZRAM is not set\nCONFIG_FUSE_FS=m\n"))
    return path


def test_the_command(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kconfig", str(config), "--feature", "fuse"]) == 0
    assert cli.main(["kconfig", str(config), "--feature", "fuse", "--feature", "zram"]) == 1
    assert "missing: CONFIG_ZRAM=y or m" in capsys.readouterr().out
    assert cli.main(["kconfig", str(config)]) == 1, "a guest would not boot"
    capsys.readouterr()
    assert cli.main(["kconfig", str(config), "--feature", "zram", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["missing"] == ["CONFIG_ZRAM=y or m"]
    assert cli.main(["kconfig", str(config), "--feature", "zram", "--fragment"]) == 1
    assert kconfig.parse(capsys.readouterr().out) == {"CONFIG_ZRAM": "y"}
    assert cli.main(["kconfig", "--feature", "page_idle"]) == 0
    assert "CONFIG_IDLE_PAGE_TRACKING=y" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/no/config"], "cannot be read"),
        (["/etc/passwd"], "no CONFIG_ line"),
        (["--feature", "fly"], "feature: 'fly': is unknown; give one of boot"),
        (["--kernel", "page-busy"], "kernel variant: 'page-busy': is unknown"),
        (["--kernel", "/etc/passwd"], "no configuration beside it"),
        (["x", "--kernel", "page-idle"], "exclude each other"),
        (["--shipped"], "--shipped: takes a configuration"),
    ],
)
def test_bad_input(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["kconfig", *words]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert len(message.splitlines()) == 1
