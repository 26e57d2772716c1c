# SPDX-License-Identifier: GPL-2.0-only
"""How fast the host's counter runs: measured, kept for one boot of the host, passed to guests that have it."""

from __future__ import annotations

import mmap
import platform
from pathlib import Path

import pytest

from vmtest import GuestConfig
from vmtest.host import capabilities
from vmtest.host import clock as hostclock
from vmtest.images.arch import ARM64, X86_64
from vmtest.qemu import command_line

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the counter is x86-64's")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pydamon"


def test_it_is_the_same_over_different_times() -> None:
    short, long = hostclock.measure(0.02), hostclock.measure(0.3)
    assert short is not None
    assert long is not None
    assert short == pytest.approx(long, rel=0.001)
    assert short % 100 == 0


def test_it_is_measured_once_a_boot_of_the_host(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    found = iter((2_000_000, 3_000_000))
    monkeypatch.setattr(hostclock, "measure", lambda: next(found))
    assert hostclock.tsc_khz(X86_64, "tcg") == 2_000_000
    assert hostclock.tsc_khz(X86_64, "tcg") == 2_000_000
    monkeypatch.setattr(capabilities, "boot_id", lambda: "another")
    assert hostclock.tsc_khz(X86_64, "tcg") == 3_000_000
    (cache / hostclock.FILE).write_text('{"key": "another"}')
    assert hostclock.tsc_khz(X86_64, "tcg") is None
    assert [path.name for path in cache.iterdir()] == [hostclock.FILE]


def test_only_guests_with_the_hosts_counter_get_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    assert hostclock.tsc_khz(X86_64, "kvm") is None
    assert hostclock.tsc_khz(X86_64, "tcg", icount=2) == 1_000_000
    assert hostclock.tsc_khz(ARM64, "tcg") is None
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert hostclock.tsc_khz(X86_64, "tcg") is None


def test_a_host_that_lets_no_program_bring_code(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object, **_more: object) -> None:
        raise PermissionError

    monkeypatch.setattr(mmap, "mmap", refuse)
    assert hostclock.measure() is None
    assert hostclock.tsc_khz(X86_64, "tcg") is None


def test_the_rate_is_on_the_command_line_and_append_wins() -> None:
    words = command_line.kernel_command_line(GuestConfig(append="tsc_early_khz=1"), 2_445_400).split()
    assert [word for word in words if word.startswith("tsc")] == ["tsc_early_khz=2445400", "tsc_early_khz=1"]
    assert "tsc_early_khz" not in command_line.kernel_command_line(GuestConfig())


@pytest.mark.parametrize("text", ["", "[]", "{", '{"key": "other", "khz": 1}', "null"])
def test_what_cannot_be_read_is_not_known(cache: Path, text: str) -> None:
    capabilities.keep("fact.json", "key", khz=1)
    assert capabilities.recall("fact.json", "key") == {"key": "key", "khz": 1}
    (cache / "fact.json").write_text(text)
    assert capabilities.recall("fact.json", "key") is None
