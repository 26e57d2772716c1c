# SPDX-License-Identifier: GPL-2.0-only
"""A workload performed by the native program on this machine, and its memory as the kernel counts it."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
from pathlib import Path

import psutil
import pytest
import yaml

from damon.workload.load import parse_workload
from damon.workload.model import Workload
from damon.workload.performed import Performed, Report
from damon.workload.plan import Options
from damon.workload.residence import PAGE, major_faults, process_resident_bytes, resident_bytes
from tests.waiting import until

TWO = """\
areas:
  hot:  {size: 2 MiB}
  late: {size: 1 MiB, mapped: false, populate: false}
  side: {size: 1 MiB, process: helper}
phases:
  - {name: steady, duration: 60s, access: [{area: hot, pattern: sequential, rate: 50k}]}
"""
#: An area that comes, and one that goes, long before the next report.
COMES_AND_GOES = """\
areas:
  hot:  {size: 2 MiB}
  late: {size: 1 MiB, mapped: false}
  once: {size: 1 MiB}
phases:
  - {name: before, duration: 50ms}
  - {name: after, duration: 60s, mmap: [late], munmap: [once], access: [{area: hot, pattern: sequential, rate: 50k}]}
"""
SHORT_LIVED = """\
areas:
  main: {size: 1 MiB}
  side: {size: 1 MiB, process: helper}
phases:
  - {name: both, duration: 50ms, access: [{area: main, rate: 1k}]}
  - {name: one, duration: 60s, exit: [helper], access: [{area: main, rate: 1k}]}
"""


def _workload(text: str) -> Workload:
    return parse_workload(yaml.safe_load(text), "test")


def test_processes_report_when_they_are_asked() -> None:
    with Performed(_workload(TWO), Options(seed=3)) as at_work:
        first = at_work.reports()
        assert set(first) == {"main", "helper"}
        hot, late = first["main"].areas["hot"], first["main"].areas["late"]
        assert resident_bytes(first["main"].pid, *hot) == hot[1] - hot[0] == 2 << 20
        assert late == (0, 0)
        assert resident_bytes(first["main"].pid, *late) == 0
        assert process_resident_bytes(first["helper"].pid) >= 1 << 20
        until(lambda: at_work.reports()["main"].touches > first["main"].touches)
        assert at_work.reports()["main"].phase == "steady"
    for report in first.values():
        assert not psutil.pid_exists(report.pid)
        assert process_resident_bytes(report.pid) == resident_bytes(report.pid, *hot) == major_faults(report.pid) == 0


def test_areas_that_come_and_go_are_known_at_once() -> None:
    """Without a question to any process. Areas that stay are known as before."""
    with Performed(_workload(COMES_AND_GOES), Options(report_us=60_000_000, announce=True)) as at_work:
        until(lambda: at_work.latest()["main"].phase == "after")
        there = at_work.latest()["main"]
        assert there.areas["late"][1] - there.areas["late"][0] == 1 << 20
        assert resident_bytes(there.pid, *there.areas["late"]) == 1 << 20
        assert there.areas["once"] == (0, 0)
        assert there.areas["hot"][1] - there.areas["hot"][0] == 2 << 20
        assert not there.ended
        asked = at_work.reports()["main"]
        assert asked.areas == there.areas
        assert (there.partial, asked.partial) == (True, False)


def test_what_is_not_announced_comes_with_the_next_report() -> None:
    with Performed(_workload(COMES_AND_GOES), Options(report_us=60_000_000)) as at_work:
        assert at_work.latest()["main"].areas["late"] == (0, 0)
        until(lambda: at_work.reports()["main"].phase == "after")
        assert at_work.latest()["main"].phase == "after"


def test_a_partial_report_leaves_other_areas_as_they_were() -> None:
    whole = Report(1, 1.0, "p", 9, 0, {"a": (1, 2), "b": (0, 0)}, {"a": 0.5, "b": 0.0})
    part = Report(1, 1.5, "q", 12, 1, {"b": (4, 8)}, {"b": 0.25}, partial=True)
    assert part.after(whole).areas == {"a": (1, 2), "b": (4, 8)}
    assert part.after(whole).shares == {"a": 0.5, "b": 0.25}
    assert part.after(whole).touches == 12
    assert Report(2, 1.5, "q", 0, 0, {"b": (4, 8)}, partial=True).after(whole).areas == {"b": (4, 8)}
    assert part.after(None).areas == {"b": (4, 8)}


def test_shares_since_a_report_are_of_the_time_between() -> None:
    early = Report(1, 10.0, "", 0, 0, {}, {"hot": 0.5, "cold": 0.0})
    late = Report(1, 14.0, "", 0, 0, {}, {"hot": 0.625, "cold": 0.25})
    assert late.shares_since(early) == {"hot": 0.9375, "cold": 0.875}


def test_a_process_that_exits_is_no_longer_reported() -> None:
    with Performed(_workload(SHORT_LIVED)) as at_work:
        until(lambda: set(at_work.reports()) == {"main"})


def test_a_program_that_is_killed_is_an_error_and_no_wait() -> None:
    with Performed(_workload(TWO)) as at_work:
        parent = psutil.Process(at_work.reports()["main"].pid).parent()
        assert parent is not None
        parent.send_signal(signal.SIGKILL)
        with pytest.raises(ChildProcessError, match="workload: test: it ended with code -9"):
            until(lambda: at_work.reports() is None)


def test_residence_counts_the_pages_that_were_touched() -> None:
    with mmap.mmap(-1, 64 * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as area:
        area.madvise(mmap.MADV_NOHUGEPAGE)
        view = (ctypes.c_char * len(area)).from_buffer(area)
        start = ctypes.addressof(view)
        assert resident_bytes(os.getpid(), start, start + len(area)) == 0
        for page in (0, 7, 63):
            area[page * PAGE] = 1
        assert resident_bytes(os.getpid(), start, start + len(area)) == 3 * PAGE
        del view


def test_major_faults_of_a_program_with_blanks_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text("7 (a b) c) S 1 7 7 0 -1 4194560 100 200 31 4 5 6 7 8\n")
    (tmp_path / "7/statm").write_text("100 25 3 4 5 6 7\n")
    assert major_faults(7, tmp_path) == 31
    assert process_resident_bytes(7, tmp_path) == 25 * PAGE
