# SPDX-License-Identifier: GPL-2.0-only
"""Guests that go on from a snapshot: each as if it had just booted, none with anything of another's."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.waiting import HANG_S
from vmtest import Guest, GuestConfig, cache
from vmtest.errors import BuildFailed, GuestLost, Verdict
from vmtest.qemu import snapshot
from vmtest.results import evidence

pytestmark = pytest.mark.guest(snapshot=True, memory="512M", swap="zram:64M")
DIRTY = Path("snapshot-dirty")


def _entries() -> list[Path]:
    return [path.parent for path in (cache.cache_root() / snapshot.KIND).glob(f"*/{cache.MANIFEST}")]


def test_a_test_leaves_its_mark(guest: Guest) -> None:
    guest.run(f"echo mine >/root/{DIRTY}; dd if=/dev/zero of=/tmp/large bs=1M count=64 2>/dev/null", check=True)
    assert guest.run(f"cat /root/{DIRTY}").text == "mine\n"


def test_the_next_one_does_not_see_it(guest: Guest) -> None:
    assert guest.run(f"test -e /root/{DIRTY} || test -e /tmp/large").returncode == 1
    assert guest.run("cat /proc/swaps").text.count("/dev/zram0") == 1, "what setup does after the snapshot is done"


def test_time_goes_on_where_the_world_is(guest: Guest) -> None:
    begun = time.time()
    now = float(guest.run("date +%s.%N").text)
    # Set while it went on, to the second; a busy host is slow between. The snapshot's own time may be of last week.
    assert begun - 300 < now < time.time() + 2
    # As far as it was booted when the snapshot was made, and no hours later.
    assert float(guest.run("cat /proc/uptime").text.split()[0]) < 1800


def test_the_console_has_the_whole_boot(guest: Guest) -> None:
    assert evidence.kernel_release(guest.console_text) == guest.run("uname -r").text.strip()
    assert guest.console_text.count(snapshot.HOLDING) == 1


@pytest.mark.long
def test_several_at_once_from_one_snapshot(tmp_path: Path, guest: Guest) -> None:
    trees = []
    for number in range(3):
        (tmp_path / f"tree{number}").mkdir()
        (tmp_path / f"tree{number}/number").write_text(f"{number} " * 50_000)
        trees.append(tmp_path / f"tree{number}")
    before = _entries()

    def one(number: int) -> tuple[str, str, int]:
        config = GuestConfig(
            snapshot=True, memory="512M", swap=f"zram:{64 + number}M", trees=((trees[number], "/opt/tree"),)
        )
        with Guest(config) as other:
            other.run("echo $RANDOM >/root/a; sync; cat /proc/swaps >/dev/null", check=True)
            words = set(other.run("cat /opt/tree/number").text.split())
            swap = other.run("awk 'NR == 2 {print $3}' /proc/swaps").text
            return " ".join(words), swap, other.run("ls /opt | wc -l").returncode

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(one, range(3)))
    assert [words for words, _, _ in found] == ["0", "1", "2"]
    assert [int(swap) // 1024 for _, swap, _ in found] == [63, 64, 65]
    assert _entries() == before, "trees, swap and keys are no part of a snapshot"


def test_an_end_is_told_as_of_any_guest(guest: Guest) -> None:
    with pytest.raises(GuestLost) as lost:
        guest.run("echo c >/proc/sysrq-trigger", timeout=HANG_S)
    assert lost.value.verdict is Verdict.PANIC


def test_another_kernel_command_line_is_another_snapshot(tmp_path: Path) -> None:
    images = [tmp_path / name for name in ("kernel", "rootfs")]
    for image in images:
        image.write_bytes(b"x")

    def key(**changed: object) -> str:
        config = GuestConfig(**{"snapshot": True, **changed})  # type: ignore[arg-type]
        from vmtest.qemu.machine_type import LIGHT

        return snapshot.key_of(config, images[0], images[1], "tcg", LIGHT)

    same = key()
    assert key(env={"A": "1"}, trees=((tmp_path, "/opt/x"),), swap="zram:1M", tolerate=("oom",)) == same
    different = [key(append="quiet"), key(memory="2G"), key(cpus=1), key(swap="disk:64M"), key(swap="disk:65M")]
    different += [key(shares=((tmp_path, "/mnt"),)), key(numa=2)]
    os.utime(images[0], (1, 1))
    different.append(key())
    assert len({same, *different}) == len(different) + 1


def test_no_room_for_the_memory_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = type("usage", (), {"free": 100 << 20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(BuildFailed, match=r"100 MiB free, the guest's memory may need 1024; make room"):
        snapshot.prepare_memory(tmp_path, GuestConfig(snapshot=True))
