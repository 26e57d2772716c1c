# SPDX-License-Identifier: GPL-2.0-only
"""The truth of a guest: exact sets of known accesses, and every touch of damon-workload."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from damon.cli.main import main
from damon.guests.truth.convert import Truth
from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import load_workload
from damon.workload.plan import Options as PlanOptions
from damon.workload.plan import compile_plan
from tests.waiting import HANG_S
from vmtest import GuestConfig, Tree
from vmtest.truth import form
from vmtest.truth.record import Command, Options, record

pytestmark = pytest.mark.guest()
PAGE = 4096
SOURCE = Path(__file__).with_name("known_accesses.c")
INSIDE = "/opt/truth"
#: Reads, writes by user code, then by the kernel's.
Counts = list[int]


def run(files: Path, output: Path, command: str, begin: int = 0, end: int = 1 << 63) -> str:
    """The output of a command in a guest, recorded: each access to addresses from ``begin`` to ``end``."""
    data = bytearray()
    config = GuestConfig(accelerator="tcg", trees=(Tree(files, INSIDE),))
    options = Options(output=output, exact=True, begin=begin, end=end)
    result = record(config, options, Command(["sh", "-c", command], data.extend, data.extend, HANG_S))
    assert result.returncode == 0, bytes(data)
    return data.decode()


def counts(path: Path, program: str, low: int, high: int, around: bool) -> dict[int, Counts]:
    """Exact counts of the pages in ``[low, high)`` of a program.

    Args:
        path: the raw file.
        program: its name.
        low, high: numbers of pages.
        around: not of what came before all of them were seen, nor in the last second: frames may be another's then.
    """
    truth = Truth(path)
    pages = {
        owner: page
        for process in truth.maps.processes
        if process.name == program
        for area in process.areas.all
        if area.into is None
        for page, owner in area.owners.items()
        if low <= page < high
    }
    frames = {
        frame: (pages[stay.owner], stay.first)
        for frame, stays in truth.maps.stays.items()
        for stay in stays
        if stay.owner in pages
    }
    windows = [chunk for chunk in form.Raw(path).chunks() if isinstance(chunk, form.Window)]
    if around:
        since, until = max(first for _, first in frames.values()), windows[-1].end_ns - 10**9
        windows = [one for one in windows if truth.clock.guest(one.begin_ns) >= since and one.end_ns <= until]
    found: dict[int, Counts] = {page: [0] * 4 for page in pages.values()}
    for window in windows:
        for frame, *row in zip(window.frames, *window.by, strict=True):
            if frame in frames:
                page = frames[frame][0]
                found[page] = [a + b for a, b in zip(found[page], row, strict=True)]
    return found


def test_exact_sets_of_known_accesses(tmp_path: Path) -> None:
    """Its pages lie where no other program has any."""
    files = tmp_path / "files"
    files.mkdir()
    subprocess.run(["gcc", "-O1", "-static", "-o", files / "known", SOURCE], check=True)
    low, high = 0x600000000, 0x600000000 + 96
    run(files, tmp_path / "raw", f"exec {INSIDE}/known", low * PAGE, high * PAGE)
    found = {page - low: count for page, count in counts(tmp_path / "raw", "known", low, high, False).items()}
    user = {page: count[:2] for page, count in found.items()}
    assert user == {
        page: [300 if page < 16 else 0, 301 if 32 <= page < 40 else 1] for page in range(64)
    }  # fmt: skip
    read, written = ({page for page, count in found.items() if count[kind]} for kind in (2, 3))
    assert read == {50, 51}
    assert written == {54, 55}
    sums = [sum(column) for column in zip(*counts(tmp_path / "raw", "known", 0, 1 << 51, False).values(), strict=True)]
    assert sums == [sum(column) for column in zip(*found.values(), strict=True)], "accesses outside of the range"


WORKLOAD = """
name: exact
areas:
  written: {size: 8 MiB}
  read: {size: 8 MiB}
  mixed: {size: 4 MiB}
  idle: {size: 4 MiB}
  other: {size: 4 KiB}
phases:
  - {name: before, duration: 10s, access: [{area: other, rate: 10}]}
  - name: steady
    duration: 45s
    access:
      - {area: written, pattern: sequential, rate: 2M, write: 1}
      - {area: read, pattern: random, rate: 2M, write: 0}
      - {area: mixed, pattern: zipf, rate: 1M, write: 0.5}
  - {name: after, duration: 600s, access: [{area: other, rate: 10}]}
"""


@pytest.mark.long
def test_ten_million_touches(tmp_path: Path) -> None:
    """Each touch reads; those of ``written`` write as well, and a part of those of ``mixed``."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "damon-workload").write_bytes(WORKLOAD_PROGRAM.read_bytes())
    (files / "damon-workload").chmod(0o755)
    (files / "exact.yaml").write_text(WORKLOAD)
    plan = compile_plan(load_workload(files / "exact.yaml"), PlanOptions(duration_us=60_000_000))
    (files / "plan").write_text(plan)
    lines = run(files, tmp_path / "raw", f"exec {INSIDE}/damon-workload <{INSIDE}/plan").splitlines()
    end = [json.loads(line) for line in lines if line.startswith("{")][-1]
    assert end["event"] == "end"
    assert end["touches"] >= 10**7
    for area in end["areas"][:4]:
        low, high = area["start"] // PAGE, area["end"] // PAGE
        found = counts(tmp_path / "raw", "damon-workload", low, high, True)
        assert len(found) == high - low
        sums = [sum(column) for column in zip(*found.values(), strict=True)]
        assert sums[0] == area["touches"], area["name"]
        assert sums[2:] == [0, 0], area["name"]
        share = {"written": 1.0, "mixed": 0.5}.get(area["name"], 0.0)
        assert sums[1] == pytest.approx(area["touches"] * share, rel=0.02 if share == 0.5 else 0), area["name"]


@pytest.mark.long
def test_a_monitor_beside_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """rwp sees what nothing hides: the hot area and no other."""
    files = tmp_path / "files"
    files.mkdir()
    (files / "damon-workload").write_bytes(WORKLOAD_PROGRAM.read_bytes())
    (files / "damon-workload").chmod(0o755)
    (files / "plan").write_text(compile_plan(load_workload("hot-cold"), PlanOptions()))
    words = ["accuracy", "--engines", "rwp", "--duration", "8s", "--program", "damon-workload", "--since", '"ready"']
    words += ["--tree", f"{files}:{INSIDE}", "--json", "-", "--quiet", "-o", str(tmp_path / "page.html")]
    assert main([*words, "--", "sh", "-c", f"exec {INSIDE}/damon-workload <{INSIDE}/plan"]) == 0
    found = json.loads(capsys.readouterr().out)["monitors"]["rwp"]
    assert found["snapshots"]
    areas = {name: sums for name, sums in found["areas"].items() if sums["bytes"] > 2**20}
    assert areas
    assert found["recall"] > 0.5
    assert "data:image/png" in (tmp_path / "page.html").read_text()
