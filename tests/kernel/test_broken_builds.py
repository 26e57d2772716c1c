# SPDX-License-Identifier: GPL-2.0-only
"""Builds of the engine that are killed, or whose disk is full: nothing of them is loaded, and the next one works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

import pytest

from damon.cache import MANIFEST
from tests.kernel.trees import source
from tests.waiting import HANG_S, until

ROOT = Path(__file__).parents[2]
#: What the build has made when it is killed: a file, an object of the kernel's, one of ours; with its compilers or not.
MOMENTS = (("*", True), ("[0-9]*.o", False), ("shim-*.o", True))


@pytest.fixture
def words() -> list[str]:
    """A command that needs the engine, and loads it."""
    tree = source().path
    return [sys.executable, "-m", "damon.cli.main", "modinfo", "--engine", f"kernel:{tree}", "damon_reclaim"]


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(home)}


def _works(words: list[str], home: Path) -> None:
    """The engine is built and loaded, and nothing else is left."""
    done = subprocess.run(words, env=_environment(home), capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.returncode == 0, done.stderr
    assert "min_age" in done.stdout
    (entry,) = (path for path in (home / "pydamon/engine").iterdir() if path.is_dir())
    assert (entry / MANIFEST).is_file()


def test_killed(words: list[str], tmp_path: Path) -> None:
    """At several moments, with and without its compilers, then once more to the end."""
    scratch = tmp_path / "pydamon/engine"
    for made, group in MOMENTS:
        before = set(scratch.glob(".*"))
        process = subprocess.Popen(
            words, env=_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )

        def begun(
            pattern: str = made, end: subprocess.Popen[bytes] = process, before: Set[Path] = frozenset(before)
        ) -> bool:
            assert end.poll() is None, end.communicate()
            with suppress(FileNotFoundError):  # it removes what the build before it left
                return any(path.parent not in before for path in scratch.glob(f".*/{pattern}"))
            return False

        until(begun)
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
        process.communicate(timeout=HANG_S)
        assert list(scratch.glob(f"*/{MANIFEST}")) == []
        assert len(list(scratch.glob(".*"))) <= 1, "of the last one; what the builds before it left was removed"
    _works(words, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
@pytest.mark.parametrize("size", ["8k", "900k"])
def test_a_full_disk(size: str, words: list[str], tmp_path: Path) -> None:
    """A disk with room for a few headers, or for all but the library: one error; with more room the build works."""
    home = tmp_path / "pydamon"
    home.mkdir(mode=0o700)
    script = (
        f'mount -t tmpfs -o mode=700,size={size} none {home} || exit 99; "$@"; echo "code $?" >&2; '
        f'find {home} -name ".*" -o -name {MANIFEST} >&2; echo again >&2; '
        f'mount -o remount,size=64m {home} && exec "$@"'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", *words],
        env=_environment(tmp_path), capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    full, _, after = done.stderr.partition("again\n")
    assert full.endswith("code 3\n"), "no part of an entry is left"
    assert "No space left on device" in full
    assert "make room there" in full
    assert done.returncode == 0, after
    assert "min_age" in done.stdout
