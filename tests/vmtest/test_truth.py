# SPDX-License-Identifier: GPL-2.0-only
"""Raw files of truth: what is written can be read, what a kill leaves, too; what is refused before a guest starts."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from tests import raw_truth
from tests.raw_truth import HEADER, MS, touched
from vmtest import GuestConfig
from vmtest.cli.main import parser
from vmtest.errors import InvalidInput
from vmtest.truth import form
from vmtest.truth.record import Options, configured, header


def windows(path: Path) -> list[form.Window]:
    return [chunk for chunk in form.Raw(path).chunks() if isinstance(chunk, form.Window)]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("width", [2, 4])
def test_what_is_written_is_read(tmp_path: Path, packed: bool, width: int) -> None:
    rows = {3: [20, 7, 1, 2, 3, 4], 4000: [1, 1, 65535, 0, 0, 9]}
    path = raw_truth.raw(tmp_path / "raw", [raw_truth.window(100 * MS, rows, 20, width, packed)])
    (window,) = windows(path)
    assert (window.intervals, window.end_ns - window.begin_ns) == (20, 100 * MS)
    assert list(window.frames) == [3, 4000]
    assert [list(column) for column in (window.touched, window.written, *window.by)] == [
        list(pair) for pair in zip(*rows.values(), strict=True)
    ]
    assert form.Raw(path).header == HEADER


def test_every_beginning_of_a_file_can_be_read(tmp_path: Path) -> None:
    """A kill may come at any byte."""
    whole = raw_truth.small(tmp_path / "raw").read_bytes()
    path, counts = tmp_path / "part", []
    for length in range(len(HEADER.bytes()), len(whole) + 1, 7):
        path.write_bytes(whole[:length])
        counts.append(sum(1 for _ in form.Raw(path).chunks()))
    assert counts == sorted(counts)
    assert (counts[0], counts[-1] >= 13) == (0, True)


@pytest.mark.parametrize(
    "damage",
    [
        form.chunk(b"WIND", b"short"),
        form.chunk(b"WIND", form.WINDOW.pack(0, 1, 20, 1, 2, 0) + bytes(15)),
        form.chunk(b"WIND", form.WINDOW.pack(2, 1, 20, 0, 2, 0)),
        form.chunk(b"WIND", form.WINDOW.pack(0, 1, 20, 2, 2, 0) + struct.pack("<II", 5, 5) + bytes(24)),
        form.chunk(b"WIND", form.WINDOW.pack(0, 1, 20, 1, 2, 1) + b"no zlib"),
        form.chunk(b"WIND", form.WINDOW.pack(0, 1, 20, raw_truth.FRAMES + 1, 2, 0)),
        form.chunk(b"NEWS", b""),
        form.LEAD.pack(b"WIND", 1 << 31),
    ],
)
def test_a_damaged_chunk_is_refused(tmp_path: Path, damage: bytes) -> None:
    path = raw_truth.raw(tmp_path / "raw", [raw_truth.window(0, {1: touched(1)}), damage])
    with pytest.raises(form.Damaged):
        list(form.Raw(path).chunks())


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    path.write_bytes(HEADER.bytes().replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(form.Damaged, match="format"):
        form.Raw(path)
    path.write_bytes(b"DAMTRACE")
    assert not form.is_raw(path)


def test_the_plugin_gets_its_arguments(tmp_path: Path) -> None:
    config = GuestConfig(memory="512M", cpus=3)
    options = Options(output=tmp_path / "a,b.raw", exact=True, begin=0x1000)
    words = configured(config, options, Path("/p,q.so")).qemu_args
    assert words[0] == "-plugin"
    assert words[1].startswith("/p,,q.so,out=")
    assert "a,,b.raw,frames=131072,vcpus=3,interval=5000000,window=100000000,count=on,low=1000,high=8" in words[1]


def test_the_plugin_knows_the_blocks_of_nodes(tmp_path: Path) -> None:
    """A node without memory has none; a single node needs no description."""
    options = Options(output=tmp_path / "raw")
    config = GuestConfig(memory="512M", cpus=2, numa=3, numa_memory="384M,0,128M", numa_cpus="1,1,0")
    words = configured(config, options, Path("x.so")).qemu_args[1].split(",")
    assert [word for word in words if word.startswith("node=")] == ["node=memory0:98304", "node=memory2:32768"]
    assert "node=" not in configured(GuestConfig(), options, Path("x.so")).qemu_args[1]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"memory_max": "2G"}, "memory_max"),
        ({"snapshot": True}, "snapshot"),
        ({"accelerator": "kvm"}, "kvm"),
    ],
)
def test_a_guest_without_truth_is_refused(tmp_path: Path, change: dict[str, object], named: str) -> None:
    config = replace(GuestConfig(), **change)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=named):
        configured(config, Options(output=tmp_path / "raw"), Path("x.so"))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"interval_ns": 1}, "interval"),
        ({"window_ns": 1}, "window"),
        ({"window_ns": 10**13}, "window"),
        ({"begin": 5, "end": 5}, "range"),
        ({"only": "a name too long for a process"}, "only"),
    ],
)
def test_wrong_options_are_refused(tmp_path: Path, change: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidInput, match=named):
        Options(output=tmp_path / "raw", **change)  # type: ignore[arg-type]


def test_memory_above_the_hole_has_other_numbers(tmp_path: Path) -> None:
    options = Options(output=tmp_path / "raw")
    small, large = (header(GuestConfig(memory=size), options, ["x"]) for size in ("2G", "3G"))
    assert small.hole_by == 0
    assert (large.hole_from, large.hole_by) == (1 << 19, 1 << 19)


def test_the_command_line() -> None:
    words = ["truth", "-o", "x", "--range", "7f00-0x7fff", "--since", "ready", "--count", "--", "prog", "-v"]
    options = parser().parse_args(words)
    assert (options.range, options.since, options.count, options.command) == (
        (0x7F00, 0x7FFF), "ready", True, ["prog", "-v"]
    )  # fmt: skip
