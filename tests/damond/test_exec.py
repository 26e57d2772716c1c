# SPDX-License-Identifier: GPL-2.0-only
"""``damon exec``: what a command sees in its namespace. Nothing is written before it is sure whose files these are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.damond.conftest import Damond, monitor

Start = Callable[..., Damond]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root")


def test_the_tree_lies_where_the_kernel_has_it(damond: Damond) -> None:
    outside = [sorted(entry.name for entry in Path(path).iterdir()) for path in ("/sys/kernel/mm", "/sys/module")]
    assert damond.out("cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds") == "0\n"
    assert damond.out("echo 7 > /sys/module/damon_reclaim/parameters/min_age") == ""
    assert damond.parameter("damon_reclaim", "min_age").read_text() == "7\n"
    seen = [damond.out(f"ls {path}").split() for path in ("/sys/kernel/mm", "/sys/module")]
    assert set(seen[0]) == {*outside[0], "damon"}
    assert set(seen[1]) >= {*outside[1], "damon_reclaim", "damon_lru_sort", "damon_stat"}
    again = [sorted(entry.name for entry in Path(path).iterdir()) for path in ("/sys/kernel/mm", "/sys/module")]
    assert again == outside


def test_the_rest_of_sys_is_there(damond: Damond) -> None:
    path = "/sys/kernel/mm/transparent_hugepage/enabled"
    if Path(path).exists():
        assert damond.out(f"cat {path}") == Path(path).read_text()
    assert damond.out("stat -f -c %T /sys") == "sysfs\n"


def test_exit_codes_and_environment(damond: Damond) -> None:
    assert damond.damon("exec", "--", "sh", "-c", "exit 7").returncode == 7
    assert damond.damon("exec", "--", "sh", "-c", "kill -TERM $$").returncode == -15
    home = damond.out("echo $HOME").strip()
    assert home.startswith(str(damond.runtime))
    assert damond.out("echo $HOME", "--keep-home").strip() == os.environ.get("HOME", "")
    assert os.stat(home).st_mode & 0o777 == 0o700
    missing = damond.damon("exec", "--", "/nonexistent")
    assert missing.returncode == 2
    assert (
        missing.stderr
        == "damon: command: '/nonexistent': No such file or directory; give a program that can be run (ENOENT)\n"
    )


def test_nothing_of_it_outlives_the_service_but_files_of_others(start: Start) -> None:
    for left in (0, 1):
        damond = start().wait()
        damond.out("touch $HOME/.damo.sysinfo" + " $HOME/mine" * left)
        assert damond.end() == 0
        assert len([entry for entry in damond.runtime.rglob("*") if entry.is_file()]) == left
        assert len(list(damond.runtime.iterdir())) == left
        damond.log.unlink()


def test_trace_events_reach_a_perf_inside(damond: Damond) -> None:
    monitor(damond)
    said = damond.out(
        "echo on > /sys/kernel/mm/damon/admin/kdamonds/0/state; cd $HOME; perf --version; "
        "timeout -s INT 3 perf record -a -o data -e damon:damon_aggregated 2>/dev/null; perf script --force -i data",
    )
    pid = (damond.admin / "kdamonds/0/pid").read_text().strip()
    lines = [line for line in said.splitlines() if "damon:damon_aggregated:" in line]
    assert len(lines) > 50
    assert all(line.split()[:2] == ["kdamond.0", pid] for line in lines)
    assert lines[0].split("damon_aggregated: ")[1].startswith("target_id=0 nr_regions=")


def test_without_a_service_nothing_is_run(tmp_path: Path, damond: Damond) -> None:
    result = damond.damon("exec", "--mount", str(tmp_path / "x"), "--", "touch", str(tmp_path / "ran"))
    assert result.returncode == 2
    assert "no damond is mounted" in result.stderr
    assert not (tmp_path / "ran").exists()
