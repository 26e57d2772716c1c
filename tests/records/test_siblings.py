# SPDX-License-Identifier: GPL-2.0-only
"""What lies beside a recording, and the machine that ``damon import`` reads from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from damon.cli.main import main
from damon.records.siblings import MOST, Footprint, beside, footprints
from tests.records.test_importing import _record


def _look(time: Any = 2.5, system: Any = None, *resident: Any) -> dict[str, Any]:
    rows = [{"pid": number, "footprint": {"resident": pages}} for number, pages in enumerate(resident)]
    return {"time": time, "footprints": [*rows, {"pid": None, "footprint": {"free": 7} if system is None else system}]}


def _write(tmp_path: Path, *looks: Any) -> Path:
    (tmp_path / "r.mem_footprint").write_text(json.dumps(looks))
    return tmp_path / "r"


def test_a_look(tmp_path: Path) -> None:
    """Resident memory is in pages, the machine's in KiB."""
    path = _write(tmp_path, _look(2.5, {"free": 7, "total": 100, "available": 9}, 3, 4), _look(3.0))
    assert list(footprints(path)) == [
        Footprint(2_500_000_000, 7 * 4096, 7 * 1024, 100 * 1024, 9 * 1024),
        Footprint(3_000_000_000, 0, 7 * 1024, None, None),
    ]


@pytest.mark.parametrize(
    "bad",
    [
        7, {}, {"time": 1.0}, _look("x"), _look(1e300), _look(1.0, {"total": 1}), _look(1.0, {"free": -1}),
        _look(1.0, {"free": 1, "total": -5}), _look(1.0, {"free": MOST}), _look(1.0, {"free": 1, "available": "x"}),
        _look(1.0, None, "many"), _look(-1.0), {"time": 1.0, "footprints": [None]}, _look(1.0, 3),
    ],
)  # fmt: skip
def test_a_look_that_is_none_is_left_out(tmp_path: Path, bad: Any) -> None:
    assert [look.time_ns for look in footprints(_write(tmp_path, bad, _look(4.0)))] == [4_000_000_000]


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff", "7", "null"])
def test_a_file_that_is_none_is_as_if_it_were_not_there(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.mem_footprint").write_text(text, encoding="latin-1")
    assert list(footprints(tmp_path / "r")) == []
    assert beside(tmp_path / "r", "kdamonds") is None


def _imported(tmp_path: Path, capsys: pytest.CaptureFixture[str], **system: int) -> list[str]:
    """The lines about the machine. ``system``: MiB."""
    record = tmp_path / "r"
    record.write_text(json.dumps([_record([(0, 1000, [(10, 20, 5)])])]))
    _write(tmp_path, _look(1.0, {name: mib * 1024 for name, mib in system.items()}, 178 * 256))
    assert main(["import", str(record), "-o", str(tmp_path / "trace")]) == 0
    return capsys.readouterr().out.rstrip().split("trace: ", 1)[1].splitlines()[1:]


def test_the_machine_of_a_recording(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = _imported(tmp_path, capsys, total=363, free=82, available=122)
    assert lines == [
        "memory at first: 363.0 MiB, of which 178.0 MiB of these processes, 82.0 MiB free, 40.0 MiB that can be "
        "reclaimed besides; in a workload file:",
        "  others: {size: 40 MiB, process: others}  # below areas:",
        "machine: {memory: 378 MiB, reserved: 63 MiB}",
    ]
    (tmp_path / "w.yaml").write_text("\n".join(["areas:", "  server: {trace: trace}", *lines[1:]]))
    out = tmp_path / "out"
    words = ["run", "--sim", str(tmp_path / "w.yaml"), "--module", "damon_stat", "enabled=Y", "--duration", "1"]
    assert main([*words, "--quiet", "--out", str(out)]) == 0
    total = json.loads((out / "run.json").read_text())["result"]["memory"]["total_bytes"]
    assert 363 << 20 <= total < 364 << 20


def test_a_machine_with_nothing_besides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _imported(tmp_path, capsys, total=300, free=122, available=122)[1:] == [
        "machine: {memory: 314 MiB, reserved: 0 MiB}"
    ]


def test_a_recording_without_the_machines_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _imported(tmp_path, capsys, free=82) == []
