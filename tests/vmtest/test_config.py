# SPDX-License-Identifier: GPL-2.0-only
"""Guest configurations: sizes, swap, and one-line refusals that name the field, the value and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmtest import GuestConfig, HarnessError, Tree
from vmtest.errors import InvalidInput
from vmtest.sizes import parse_size
from vmtest.specs import Swap


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512M", 512 << 20),
        ("1G", 1 << 30),
        ("1GiB", 1 << 30),
        ("2g", 2 << 30),
        ("4096", 4096),
        (77, 77),
        ("64KB", 64 << 10),
    ],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text, "x") == size


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_refused_in_one_line(text: str) -> None:
    try:
        assert parse_size(text, "memory") >= 0
    except InvalidInput as error:
        assert str(error).startswith("memory: ")
        assert "give for example" in str(error)
        assert len(str(error).splitlines()) == 1


def test_swap_kinds() -> None:
    assert Swap.parse("zram:512M") == Swap("zram", 512 << 20)
    assert Swap.parse("zram:1G:zstd") == Swap("zram", 1 << 30, "zstd")
    assert Swap.parse("disk:64M") == Swap("disk", 64 << 20)


@pytest.mark.parametrize("text", ["zram", "zram:", "tape:1G", "disk:1G:zstd", "zram:much", "zram:1K", "zram:1G:a b"])
def test_swap_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^swap.*: .*; give"):
        GuestConfig(swap=text)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"kernel": Path("/no/such/bzImage")}, ["kernel", "/no/such/bzImage", "does not exist", "correct the path"]),
        ({"kernel": Path("/dev/null")}, ["kernel", "/dev/null", "empty"]),
        ({"kernel": Path("/")}, ["kernel", "'/'", "cannot be read", "correct"]),
        ({"rootfs": Path("/no/image")}, ["rootfs", "/no/image", "does not exist"]),
        ({"memory": "64M"}, ["memory", "64M", "at least 128M"]),
        ({"memory": "lots"}, ["memory", "lots", "for example"]),
        ({"cpus": 0}, ["cpus", "0", "1 to 16"]),
        ({"cpus": 2, "numa": 3}, ["numa", "3", "cpus (2)"]),
        ({"accelerator": "hvf"}, ["accelerator", "hvf", "auto, kvm, tcg"]),
        ({"icount": 11}, ["icount", "11", "0 to 10"]),
        ({"icount": 2, "accelerator": "kvm"}, ["icount", "kvm", "leave one out"]),
        ({"skip_idle": True}, ["skip_idle", "give icount"]),
        ({"trees": (("/no/directory", "/opt/x"),)}, ["tree", "/no/directory", "correct the path"]),
        ({"trees": (("/", "opt"),)}, ["tree", "opt", "absolute"]),
        ({"trees": (("/", "/opt/../etc"),)}, ["tree", "/opt/../etc", ".."]),
        ({"shares": ("/mnt",)}, ["share", "pair"]),
        ({"env": {"A B": "1"}}, ["env", "A B", "letters"]),
    ],
)
def test_refused_in_one_line(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(HarnessError) as caught:
        GuestConfig(**fields)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


def test_pairs_become_values() -> None:
    config = GuestConfig(trees=(("/etc", "/opt/etc"),), shares=(("/usr", "/mnt/usr"),))
    assert config.tree_list == (Tree(Path("/etc"), "/opt/etc"),)
    assert config.share_list[0].guest == "/mnt/usr"
