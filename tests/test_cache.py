# SPDX-License-Identifier: GPL-2.0-only
"""What is removed from the cache, and what never is; ``tests/vmtest/test_images.py`` has how entries are made."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from damon import cache
from damon.errors import MissingCapability
from damon.progress import Progress
from tests.waiting import until

DAY = 86400.0
NOW = 1_900_000_000.0
USER = """
import sys, time
from pathlib import Path
from damon import cache
assert cache.use(Path(sys.argv[1]), float(sys.argv[2]))
print("used", flush=True)
time.sleep(600)
"""


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def _entry(key: str, days_ago: float) -> Path:
    """A complete entry that nothing uses, used last so long before ``NOW``."""
    directory = cache.cache_root() / "kind" / key
    directory.mkdir(parents=True)
    (directory / cache.MANIFEST).write_text("{}")
    (directory / "part").mkdir()
    (directory / "part/data").write_text(key)
    os.utime(directory, (NOW - days_ago * DAY,) * 2)
    return directory


def _names() -> list[str]:
    found = (path.name for path in (cache.cache_root() / "kind").iterdir())
    return sorted(name for name in found if not name.endswith(".lock"))


def test_what_nothing_has_used_for_long_is_removed() -> None:
    for key, days in (("old", 31), ("older", 300), ("young", 29), ("new", 0)):
        _entry(key, days)
    (cache.cache_root() / "kind/file.json").write_text("{}")
    assert sorted(cache.prune("kind", NOW)) == ["old", "older"]
    assert _names() == ["file.json", "new", "young"]
    assert cache.prune("kind", NOW) == []


def test_so_many_stay_however_old() -> None:
    for number in range(4):
        _entry(str(number), number / 24)
    assert cache.prune("kind", NOW, kept=2, unused_s=600) == ["2", "3"]
    assert _names() == ["0", "1"]


def test_a_use_counts() -> None:
    directory = _entry("key", 300)
    assert cache.use(directory, NOW - DAY)
    assert directory.stat().st_mtime == NOW - DAY
    assert cache.prune("kind", NOW) == []


def test_what_a_process_uses_stays() -> None:
    """A process that has run for longer; after its end the entry goes."""
    directory = _entry("key", 300)
    words = [sys.executable, "-c", USER, str(directory), str(NOW - 200 * DAY)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "used\n"
        assert cache.prune("kind", NOW) == []
        assert (directory / "part/data").read_text() == "key"
        process.kill()
        process.wait()
    until(lambda: cache.prune("kind", NOW) == ["key"])
    assert _names() == []


def test_what_is_being_built_stays() -> None:
    _entry("key", 300)
    with cache.locked(cache.cache_root() / "kind/key.lock", Progress("")):
        assert cache.prune("kind", NOW) == []
    assert cache.prune("kind", NOW) == ["key"]


def test_one_that_was_removed_is_not_there() -> None:
    """Also for a process that had used it: it is built anew, and the new one is used."""
    directory = _entry("key", 0)
    assert cache.lookup("kind", "key") == directory
    moved = directory.rename(directory.with_name("elsewhere"))
    assert cache.lookup("kind", "key") is None
    assert not cache.use(directory)
    built = cache.obtain("kind", "key", "label", lambda out, _: (out / "new").touch(), {})
    assert (built / "new").exists()
    os.utime(built, (NOW - 300 * DAY,) * 2)
    os.utime(moved, (NOW - 300 * DAY,) * 2)
    assert cache.prune("kind", NOW) == ["elsewhere"], "this process uses the new one"


def test_many_entries_do_not_take_all_descriptors() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for number in range(200):
        assert cache.use(_entry(str(number), 0))
    assert len(os.listdir("/proc/self/fd")) - before <= 128


def test_a_build_removes_what_is_old() -> None:
    _entry("old", 31)
    _entry("young", 3)
    cache.obtain("kind", "key", "label", lambda out, _: None, {}, clock=lambda: NOW)
    assert _names() == ["key", "young"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_and_nothing_stays(number: int) -> None:
    def fail(out: Path, _progress: Progress) -> None:
        (out / "half").write_text("x")
        raise OSError(number, os.strerror(number))

    with pytest.raises(MissingCapability, match=f"a thing: {os.strerror(number)} in .*; make room there"):
        cache.obtain("kind", "key", "a thing", fail, {})
    assert _names() == []


def test_a_directory_that_is_worked_in_again() -> None:
    """It is old only when it has not been worked in for long."""
    _entry("old", 31)
    with cache.reused("kind", "key", Progress(""), clock=lambda: NOW) as place:
        (place / "object").touch()
        assert cache.prune("kind", NOW + 365 * DAY) == []
    assert _names() == ["key"]
    with cache.reused("kind", "key", Progress("")) as again:
        assert (again / "object").exists()
    assert cache.prune("kind", NOW + 365 * DAY) == [], "this process uses it"


def test_what_a_killed_build_left_has_another_name_when_it_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its compilers may live on, and write to the name that they know."""
    stale = cache.cache_root() / "kind/.thing.abc"
    stale.mkdir(parents=True)
    (stale / "part.o").touch()
    remove = shutil.rmtree
    removed: list[list[Path]] = []

    def rmtree(path: Path, ignore_errors: bool) -> None:
        removed.append(sorted(Path(path).iterdir()))
        with pytest.raises(FileNotFoundError):
            (stale / "late.o").touch()
        remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    entry = cache.obtain("kind", "thing", "label", lambda scratch, progress: None, {})
    assert [path.name for path in removed[0]] == ["part.o"]
    assert sorted(path.name for path in entry.parent.iterdir()) == ["thing", "thing.lock"]


def test_what_a_killed_build_left_is_removed_from_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    stale = cache.cache_root() / "kind/.thing.abc"
    stale.mkdir(parents=True)

    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    cache._sweep(stale.parent, "thing")
    assert not stale.exists()
