# SPDX-License-Identifier: GPL-2.0-only
"""After SIGKILL at the worst moment the next start serves, and everybody who waited goes on."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.damond_kills import kills, within
from damon.damond import fusemount
from damon.damond.fusemount import detach, mounts
from damon.damond.instance import Instance
from damon.damond.owner import Owner
from tests.damond import users
from tests.damond.conftest import PROBLEM, Damond
from tests.refusals import refused
from tests.waiting import HANG_S

HANGING = Path(__file__).with_name("hanging.py")
Start = Callable[..., Damond]
fuse = pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)


class Hanging:
    """A service that was killed and cannot end, at ``mount``, and its client that waits."""

    def __init__(self, directory: Path) -> None:
        self.mount = directory / "sys"
        environment = dict(os.environ, RUNTIME_DIRECTORY=str(directory / "run"), PYTHONPATH=str(HANGING.parents[2]))
        self.process = subprocess.Popen(
            [sys.executable, HANGING, self.mount], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.client = int(self.process.stdout.readline())
        self.process.kill()
        assert within(lambda: self._state() == "Z", HANG_S)
        assert self.process.poll() is None  # a zombie that cannot be reaped

    def _state(self) -> str:
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0]

    def over(self) -> bool:
        return self.process.poll() is not None and not Path(f"/proc/{self.client}/cmdline").exists()


@pytest.fixture
def hanging(tmp_path: Path) -> Iterator[Hanging]:
    if PROBLEM:
        pytest.skip(PROBLEM)
    made = Hanging(tmp_path)
    yield made
    while mounts(made.mount):
        detach(made.mount)
    assert within(made.over, HANG_S)


def test_the_next_start_frees_everybody(hanging: Hanging, start: Start) -> None:
    damond = start().wait()
    assert within(hanging.over, HANG_S)
    assert (damond.admin / "kdamonds/nr_kdamonds").read_text() == "0\n"
    assert f"process {hanging.process.pid} was killed" in damond.log.read_text()
    assert len(mounts(damond.mount)) == 1
    assert damond.end() == 0
    assert list(damond.runtime.iterdir()) == []


def test_of_several_starts_at_once_one_serves(hanging: Hanging, start: Start) -> None:
    started = [start() for _ in range(4)]
    assert within(lambda: sum(one.process.poll() is None for one in started) == 1, HANG_S)
    serving = next(one for one in started if one.process.poll() is None).wait()
    assert sorted(one.process.poll() or 0 for one in started) == [0, 2, 2, 2]
    assert serving.log.read_text().count(f"by process {serving.process.pid} already") == 3
    assert within(hanging.over, HANG_S)
    assert (serving.admin / "kdamonds/nr_kdamonds").read_text() == "0\n"


@pytest.mark.skipif(bool(users.PROBLEM), reason=users.PROBLEM)
def test_another_user_than_root_frees_its_own() -> None:
    """Through the control file system of FUSE."""
    done = users.run(
        'victim mkdir -m 700 /tmp/run; victim="$victim RUNTIME_DIRECTORY=/tmp/run"\n'
        "$victim $python /tmp/repo/tests/damond/hanging.py /tmp/run/sys >/tmp/client & one=$!\n"
        "until [ -s /tmp/client ]; do kill -0 $one; sleep 0.05; done; kill -9 $one\n"
        "until grep -q '^State:.Z' /proc/$one/status; do sleep 0.05; done\n"
        "$victim $damond --mount /tmp/run/sys 2>/tmp/log & two=$!; serves $two /tmp/log\n"
        "victim cat /tmp/run/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds\n"
        "while [ -e /proc/$(cat /tmp/client)/exe ]; do sleep 0.05; done; wait $one || true; kill $two; wait $two\n"
    )
    assert (done.stdout, done.returncode) == ("0\n", 0), done


def test_what_cannot_be_freed_is_reported(hanging: Hanging, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(hanging.mount.with_name("run")))
    monkeypatch.setattr("damon.damond.instance.detach", lambda directory: None)
    with refused(errno.EBUSY) as caught:
        Instance(hanging.mount)
    assert f"umount -f {hanging.mount}" in str(caught.value)


def test_the_mount_of_one_that_lives_stays(damond: Damond, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even one that another runtime directory, with a lock of its own, knows nothing of."""
    assert [one.owner is not None and one.owner.pid for one in mounts(damond.mount)] == [damond.process.pid]
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "other"))
    with refused(errno.ENOTEMPTY):
        Instance(damond.mount)
    assert (damond.admin / "kdamonds/nr_kdamonds").read_text() == "0\n"


@fuse
def test_dead_mounts_on_top_of_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    """Of services that were killed, whatever runtime directory they had."""
    (tmp_path / "sys").mkdir()
    dead = Owner(os.getpid(), "1", Owner.ourselves().namespace)
    for _ in range(3):
        monkeypatch.setattr(Owner, "ourselves", lambda: dead)
        os.close(fusemount.mount(tmp_path / "sys"))
    assert len(mounts(tmp_path / "sys")) == 3
    damond = start().wait()
    assert len(mounts(damond.mount)) == 1
    assert damond.end(signal.SIGTERM) == 0


@fuse
def test_ten_kills_under_load(tmp_path: Path) -> None:
    done = kills(tmp_path, 10, 3)
    assert [one.stuck for one in done] == [""] * 10
