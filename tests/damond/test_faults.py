# SPDX-License-Identifier: GPL-2.0-only
"""What goes wrong around the service, and that nothing stays behind of it."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.damond_load import FUSE_THREADS, drive
from tests.damond.conftest import Damond, monitor
from tests.waiting import until

Start = Callable[..., Damond]


def _applying(damond: Damond) -> Path:
    """A kdamond that pages out all that it can at each aggregation, of 5 ms."""
    one = monitor(damond)
    ctx = one / "contexts/0"
    (ctx / "monitoring_attrs/intervals/aggr_us").write_text("5000")
    (ctx / "schemes/0/action").write_text("pageout")
    (one / "state").write_text("on")
    return one


def _applied(damond: Damond) -> int:
    """How many regions the first scheme was applied to."""
    return int(damond.status()["kdamonds"][0]["schemes"][0]["nr_applied"])


@pytest.mark.parametrize("times", [0, 1, 20])
def test_killed_in_the_middle_of_applying(start: Start, times: int) -> None:
    damond = start("--sim", str(Path(__file__).parents[2] / "workloads/zipf.yaml"), "--speed", "50").wait()
    _applying(damond)
    until(lambda: _applied(damond) >= times)
    damond.end(signal.SIGKILL)
    damond.log.unlink()
    again = start().wait()
    assert again.status()["kdamonds"] == []
    one = _applying(again)
    until(lambda: _applied(again) > 0)
    (one / "state").write_text("off")
    assert again.end() == 0
    assert not os.path.ismount(again.mount)
    assert list(again.runtime.iterdir()) == []


def test_a_client_that_is_killed_with_files_open(damond: Damond) -> None:
    """Nothing hangs on it: directories go, and the file of one that went is forgotten with its reader."""
    one = monitor(damond)
    script = (
        "import os, sys; fds = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]; "
        "os.write(fds[0], b'12'); print('open', flush=True); sys.stdin.read()"
    )
    paths = [str(one / "contexts/0/schemes/0/access_pattern/sz/min"), str(one / "contexts/0/operations")]
    words = [sys.executable, "-c", script, *paths]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"open\n"
        client.kill()
    assert (one / "contexts/0/schemes/0/access_pattern/sz/min").read_text() == "12\n"
    (one / "contexts/nr_contexts").write_text("0")
    (damond.admin / "kdamonds/nr_kdamonds").write_text("0")
    assert damond.end() == 0
    assert "Traceback" not in damond.log.read_text()


def test_a_target_that_exits_between_two_samplings(start: Start, tmp_path: Path) -> None:
    """The worker ends, as the kernel's does; the directory reads off, and may be started for another one."""
    workload = tmp_path / "short.yaml"
    workload.write_text(
        "name: short\nareas:\n  one: {size: 16 MiB, process: first}\n  two: {size: 16 MiB, process: second}\n"
        "phases:\n  - {name: both, duration: 8s, access: [{area: one, pattern: random, rate: 100k}]}\n"
        "  - {name: alone, duration: 60s, exit: [first], access: [{area: two, pattern: random, rate: 100k}]}\n"
        "machine: {memory: 256 MiB}\n"
    )
    damond = start("--sim", str(workload)).wait()
    pids = {one["name"]: one["pid"] for one in damond.status()["processes"]}
    one = monitor(damond)
    ctx = one / "contexts/0"
    (ctx / "operations").write_text("vaddr")
    (ctx / "targets/0/regions/nr_regions").write_text("0")
    (ctx / "targets/0/pid_target").write_text(str(pids["first"]))
    (one / "state").write_text("on")
    until(lambda: (one / "state").read_text() == "off\n")
    assert (one / "pid").read_text() == "-1\n"
    assert not Path(f"/proc/{pids['first']}").exists()
    assert [process["name"] for process in damond.status()["processes"]] == ["second"]
    with pytest.raises(OSError) as refused:
        (one / "state").write_text("on")
    assert refused.value.errno == errno.EINVAL
    (ctx / "targets/0/pid_target").write_text(str(pids["second"]))
    (one / "state").write_text("on")
    assert damond.end() == 0
    assert "Traceback" not in damond.log.read_text()


def test_many_clients_commit_and_read(damond: Damond, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(damond.runtime))
    load = drive(damond.mount, damond.process.pid, clients=8, seconds=0, least=80)
    assert load.lost == []
    assert load.after[0] <= load.before[0]
    assert load.after[1] <= load.before[1] + FUSE_THREADS
    assert "Traceback" not in damond.log.read_text()
    assert os.listdir(damond.admin / "kdamonds") == ["nr_kdamonds"]
