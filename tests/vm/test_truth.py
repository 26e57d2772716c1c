# SPDX-License-Identifier: GPL-2.0-only
"""The truth of a guest: exact sets of known accesses, and every touch of damon-workload."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from damon.cli.main import main
from damon.guests.truth.convert import Truth
from damon.guests.truth.maps import Stay
from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import load_workload
from damon.workload.plan import Options as PlanOptions
from damon.workload.plan import compile_plan
from damon.workload.tracefile.reader import Trace
from tests.waiting import HANG_S, until
from vmtest import GuestConfig, Tree
from vmtest.cli.main import main as vmtest
from vmtest.truth import form
from vmtest.truth.record import Command, Options, record

pytestmark = pytest.mark.guest()
PAGE = 4096
#: The first page of what the programs here map.
FIXED = 0x600000000
INSIDE = "/opt/truth"
#: Reads, writes by user code, then by the kernel's.
Counts = list[int]


def compiled(scratch: Path, source: str, name: str) -> Path:
    """A new directory in ``scratch`` with the program ``name``."""
    files = scratch / "files"
    files.mkdir()
    words: list[str | Path] = ["gcc", "-O1", "-static", "-o", files / name, Path(__file__).with_name(source)]
    subprocess.run(words, check=True)
    return files


def run(files: Path, output: Path, command: str, begin: int = 0, end: int = 1 << 63, **guest: Any) -> str:
    """The output of a command in a guest, recorded: each access to addresses from ``begin`` to ``end``."""
    data = bytearray()
    config = GuestConfig(accelerator="tcg", trees=(Tree(files, INSIDE),), **guest)
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

    A frame that several of the pages had is the page's whose it was in the middle of the window, or by its end.
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
    frames: dict[int, list[Stay]] = {}
    for frame, stays in truth.maps.stays.items():
        if found_stays := [stay for stay in stays if stay.owner in pages]:
            frames[frame] = found_stays
    windows = [chunk for chunk in form.Raw(path).chunks() if isinstance(chunk, form.Window)]
    if around:
        since = max(stay.first for stays in frames.values() for stay in stays)
        until = windows[-1].end_ns - 10**9
        windows = [one for one in windows if truth.clock.guest(one.begin_ns) >= since and one.end_ns <= until]
    found: dict[int, Counts] = {page: [0] * 4 for page in pages.values()}
    for window in windows:
        middle, end = (truth.clock.guest(at) for at in ((window.begin_ns + window.end_ns) // 2, window.end_ns))
        for frame, *row in zip(window.frames, *window.by, strict=True):
            stays = frames.get(frame, [])
            whose = stays if len(stays) == 1 else [stay for stay in stays if stay.begin <= middle < stay.end]
            for stay in whose or [stay for stay in stays if middle < stay.begin < end][:1]:
                page = pages[stay.owner]
                found[page] = [a + b for a, b in zip(found[page], row, strict=True)]
    return found


def test_exact_sets_of_known_accesses(tmp_path: Path) -> None:
    """Its pages lie where no other program has any."""
    files = compiled(tmp_path, "known_accesses.c", "known")
    low, high = FIXED, FIXED + 96
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


def test_only_one_program(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Of two copies of a program only one's pages are looked up. The other's accesses have no process in the file.

    The agent, which is the command's parent, looks now and then. It does not wake otherwise: that flushes the TLB.
    """
    files = compiled(tmp_path, "known_accesses.c", "known")
    shutil.copy(files / "known", files / "other")
    raw, low, high = tmp_path / "raw", FIXED, FIXED + 96
    words = ["truth", "-o", str(raw), "--only", "known", "--count", "--range", f"{low * PAGE:x}-{high * PAGE:x}"]
    words += ["--icount", "2", "--tree", f"{files}:{INSIDE}"]
    command = f"{INSIDE}/other & {INSIDE}/known; wait; grep ^voluntary_ctxt /proc/$PPID/status"
    assert vmtest([*words, "--", "sh", "-c", command]) == 0
    assert 5 < int(capfd.readouterr().out.split()[1]) < 100, "times that the agent slept, in more than two seconds"
    found = {page - low: count for page, count in counts(raw, "known", low, high, False).items()}
    reads, writes = 16 * 300, 64 + 8 * 300
    assert [sum(column) for column in zip(*found.values(), strict=True)][:2] == [reads, writes]
    truth = Truth(raw)
    assert {space.name for space in truth.layout.spaces} == {"known"}
    for _ in truth.windows():
        pass
    assert truth.sums.user == 2 * (reads + writes)
    assert truth.sums.others >= truth.sums.known // 2 > 0, "intervals with an access"


def cumulated(path: Path) -> tuple[Truth, list[tuple[int, list[Counts]]]]:
    """Guest times of the ends of windows, and exact counts of the eight pages of ``endless`` up to these."""
    truth, sums, found = Truth(path), [[0] * 4 for _ in range(8)], []
    stays = {
        frame: truth.maps.owners[stay.owner][1] - FIXED
        for frame, of_frame in truth.maps.stays.items()
        for stay in of_frame
        if FIXED <= truth.maps.owners[stay.owner][1] < FIXED + 8
    }
    for window in form.Raw(path).chunks():
        if isinstance(window, form.Window):
            for frame, *row in zip(window.frames, *window.by, strict=True):
                if frame in stays:
                    sums[stays[frame]] = [a + b for a, b in zip(sums[stays[frame]], row, strict=True)]
            found.append((truth.clock.guest(window.end_ns), [list(one) for one in sums]))
    return truth, found


def nr_windows(path: Path) -> int:
    """Whole windows of a file that is being written."""
    return sum(isinstance(one, form.Window) for one in form.Raw(path).chunks()) if path.exists() else 0


@pytest.mark.parametrize("victim", ["vmtest", "qemu"])
def test_what_a_kill_leaves_is_right(tmp_path: Path, victim: str) -> None:
    """Each round that ended before a window's end is in it, and none that began after the next one's."""
    files = compiled(tmp_path, "endless_accesses.c", "endless")
    raw, lines = tmp_path / "raw", tmp_path / "lines"
    words: list[str | Path] = [sys.executable, "-m", "vmtest", "truth", "-o", raw, "--count", "--icount", "2"]
    words += ["--range", f"{FIXED * PAGE:x}-{(FIXED + 8) * PAGE:x}", "--tree", f"{files}:{INSIDE}"]
    with lines.open("wb") as output:
        process = subprocess.Popen([*words, "--", f"{INSIDE}/endless"], stdout=output, stderr=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or (lines.stat().st_size > 1000 and nr_windows(raw) > 20), look_s=0.5)
        below = psutil.Process(process.pid).children(recursive=True)
        (qemu,) = [one for one in below if one.name().startswith("qemu")]
        seen = nr_windows(raw)
        (qemu if victim == "qemu" else process).kill()
        assert process.wait(HANG_S) != 0
    finally:
        process.kill()
    assert not psutil.wait_procs(below, HANG_S)[1], "they end with it"
    truth, found = cumulated(raw)
    assert len(found) >= seen
    # Without its connection the command in the guest may end before QEMU does, and the recording in order.
    assert victim == "vmtest" or not any(isinstance(one, form.Done) for one in form.Raw(raw).chunks())
    rounds = [
        tuple(map(int, line.split())) for line in lines.read_text().splitlines(keepends=True) if line[-1:] == "\n"
    ]
    error = truth.clock.error_ns
    compared = 0
    for (end, sums), (next_end, _) in pairwise(found):
        least = max((number for number, _, after in rounds if after < end - error), default=0)
        most = min((number - 1 for number, before, _ in rounds if before > next_end + error), default=1 << 62)
        reads, writes = {one[0] for one in sums[:4]}, {one[1] - 1 for one in sums[4:]}
        if least:
            compared += 1
            assert least <= min(reads | writes) <= max(reads | writes) <= most
    assert compared >= 5
    assert main(["import", str(raw), "-o", str(tmp_path / "x.trace"), "--quiet"]) == 0
    assert Trace(tmp_path / "x.trace").description.duration_ns >= (seen - 1) * 9 * 10**7


@pytest.mark.parametrize("memory", ["1G", "4G"])
def test_accesses_go_on_where_pages_migrate(tmp_path: Path, memory: str) -> None:
    """Of two nodes, by move_pages and by migrate_pages; node 1 of 4 GiB begins behind the hole."""
    files = compiled(tmp_path, "moved_accesses.c", "moved")
    low, high = FIXED, FIXED + 48
    output = run(
        files, tmp_path / "raw", f"exec {INSIDE}/moved", low * PAGE, high * PAGE, memory=memory, numa=2, icount=2
    )
    assert output.split("\n") == ["0 1", "1 0", "0 0", ""], "where the halves are"
    found = counts(tmp_path / "raw", "moved", low, high, False)
    assert {page - low: count for page, count in found.items()} == {
        page: [100 if page % 24 < 8 else 0, 1 + (200 if 8 <= page % 24 < 16 else 0), 0, 0] for page in range(48)
    }
    truth = Truth(tmp_path / "raw")
    (space,) = {one.space for one in truth.layout.areas if one.address == low * PAGE}
    (area,) = [one for one in truth.layout.areas if one.address == low * PAGE]
    assert (area.nr_pages, truth.maps.moved >= 72) == (48, True)
    times: dict[int, list[int]] = {page: [] for page in range(48)}
    for window in truth.windows():
        for page, touched, _ in window.spaces.get(space, ()):
            if area.first <= page < area.first + 48 and touched:
                times[page - area.first].append(window.begin_ns)
    spans = [{max(times[page]) - min(times[page]) for page in range(48) if page % 24 // 8 == kind} for kind in range(3)]
    window_ns = 10**8
    assert max(spans[2]) <= window_ns, "were accessed once"
    assert 2 * window_ns < min(spans[0]) <= max(spans[0]) <= min(spans[0]) + window_ns
    assert max(spans[0]) + 10**9 < min(spans[1]) <= max(spans[1]) <= min(spans[1]) + window_ns, "go on"


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
