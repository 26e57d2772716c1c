# SPDX-License-Identifier: GPL-2.0-only
"""Guests whose machine is more than a size: tiers, memory that comes and goes, huge pages, control groups, pauses."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.vm.checks import complaints
from tests.vm.job import PROJECT, PYTHON
from tests.waiting import HANG_S, until
from vmtest import Guest, GuestConfig, GuestLost, HarnessError
from vmtest.errors import InvalidInput, Verdict

# Node 1 has no processor and, at first, no memory: a tier that is plugged in.
MACHINE = {
    "memory": "512M",
    "memory_max": "1536M",
    "numa": 2,
    "numa_memory": "512M,0",
    "numa_cpus": "2,0",
    "numa_distance": "0:1=30",
    "hugepages": "2M:16",
    "thp": "never",
    "cgroups": ("box:memory.max=64M,memory.swap.max=0", "a/b:memory.high=32M,cpuset.cpus=0,1"),
}
pytestmark = [pytest.mark.guest(**MACHINE)]

MIB = 1 << 20
MEMORY_TOTAL = "sed -n 's/^MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo"
# Pages that are there, by node and zone.
PRESENT = "awk '/^Node/ {name = $2 $4} /^ +present/ && $2 {print name, $2}' /proc/zoneinfo"
NODES = "/sys/devices/system/node"
DAMON_ON = """
cd /sys/kernel/mm/damon/admin/kdamonds && echo 1 >nr_kdamonds && cd 0 && echo 1 >contexts/nr_contexts &&
echo paddr >contexts/0/operations && echo 1 >contexts/0/targets/nr_targets &&
echo 1 >contexts/0/targets/0/regions/nr_regions && cd contexts/0/targets/0/regions/0 &&
echo $((4 << 30)) >start && echo $(((4 << 30) + (512 << 20))) >end &&
echo on >/sys/kernel/mm/damon/admin/kdamonds/0/state
"""
DAMON_STATE = "cat /sys/kernel/mm/damon/admin/kdamonds/0/state"


def _total(guest: Guest) -> int:
    return int(guest.run(MEMORY_TOTAL).check().text) << 10


def _present(guest: Guest) -> dict[str, int]:
    """MiB by "0,Movable" and the like."""
    lines = (line.split() for line in guest.run(PRESENT).check().text.splitlines())
    return {name: int(pages) * 4096 // MIB for name, pages in lines}


def test_huge_pages_are_reserved(guest: Guest) -> None:
    assert guest.run("cat /proc/sys/vm/nr_hugepages").text == "16\n"
    assert "[never]" in guest.run("cat /sys/kernel/mm/transparent_hugepage/enabled").text
    assert complaints(guest) == []


def test_control_groups_hold_what_runs_in_them(guest: Guest) -> None:
    root = "/sys/fs/cgroup"
    files = f"cat {root}/box/memory.max {root}/box/memory.swap.max {root}/a/b/memory.high {root}/a/b/cpuset.cpus"
    assert guest.run(files).text.split() == [str(64 * MIB), "0", str(32 * MIB), "0-1"]
    assert guest.run("cat /proc/self/cgroup").text == "0::/\n"
    assert guest.run("cat /proc/self/cgroup", cgroup="a/b").text == "0::/a/b\n"
    grow = [PYTHON, "-c", "print(len(b'x' * (96 << 20)))"]
    assert guest.run(grow).returncode == 0
    assert guest.run(grow, cgroup="box").returncode == 137
    nowhere = guest.run("true", cgroup="elsewhere")
    assert nowhere.returncode == 126
    assert "elsewhere" in nowhere.errors


def test_memory_comes_and_goes_node_by_node(guest: Guest) -> None:
    before, zones = _total(guest), _present(guest)
    assert guest.run(f"cat {NODES}/online").text == "0\n"
    first, second = guest.plug_memory("512M"), guest.plug_memory("256M", node=1)
    assert (first.complete, first.got, second.got) == (True, 512 * MIB, 256 * MIB)
    assert _total(guest) - before == 768 * MIB
    assert _present(guest) == {**zones, "0,Movable": 512, "1,Movable": 256}
    assert guest.run(f"cat {NODES}/online {NODES}/node*/distance").text == "0-1\n10 30\n30 10\n"
    assert guest.run(f"cat {NODES}/node1/cpulist").text == "\n"
    calls: tuple[tuple[str, Callable[[], object]], ...] = (
        ("memory_max leaves 256M", lambda: guest.plug_memory("512M")),
        ("512M are plugged", lambda: guest.unplug_memory("1G")),
        ("there is no node 2; the guest has 2", lambda: guest.plug_memory("2M", node=2)),
        ("'1M': is not a multiple of 2M", lambda: guest.plug_memory("1M")),
    )
    for words, call in calls:
        with pytest.raises(InvalidInput, match=words):
            call()
    assert guest.unplug_memory("512M").got == -512 * MIB
    assert guest.unplug_memory("256M", node=1).complete
    assert (_total(guest), _present(guest)) == (before, zones)


@pytest.mark.long
def test_memory_in_use_stays_and_is_told_and_damon_survives_it(guest: Guest) -> None:
    before = _total(guest)
    guest.plug_memory("512M")
    guest.run(DAMON_ON).check()
    holder = guest.popen([PYTHON, f"{PROJECT}/tests/vm/guest/pin.py", "128"])
    until(lambda: b"pinned" in holder.stdout or holder.poll() is not None)
    assert holder.poll() is None, holder.stderr
    change = guest.unplug_memory("512M")
    # 64 pieces of 2 MiB have a page that does not move, in about as many pieces of the device.
    assert not change.complete
    assert 64 * MIB <= change.plugged <= 256 * MIB
    assert "the rest is in use" in guest.warnings[-1]
    assert _total(guest) == before + change.plugged
    assert guest.run(DAMON_STATE).text == "on\n"
    holder.kill()
    assert guest.unplug_memory(change.plugged).complete
    assert _total(guest) == before
    assert guest.run(DAMON_STATE).text == "on\n"
    guest.run("echo off >/sys/kernel/mm/damon/admin/kdamonds/0/state").check()
    guest.settle()


def test_a_paused_guest_is_not_lost_and_nothing_runs_out(guest: Guest) -> None:
    began = time.monotonic()
    process = guest.popen("read a b </proc/uptime; echo begun >&2; sleep 2; read c b </proc/uptime; echo $a $c")
    until(lambda: process.stderr == b"begun\n")
    guest.pause()
    paused = time.monotonic()
    with pytest.raises(RuntimeError, match=r"paused; call resume\(\) first"):
        guest.run("true")
    until(lambda: time.monotonic() - paused > 1)  # the time that must not pass in the guest
    assert guest.machine.clock.stopped
    assert process.poll() is None
    stood = time.monotonic() - paused
    guest.resume()
    begun, ended = map(float, process.wait(HANG_S).text.split())
    assert ended - begun < time.monotonic() - began - stood + 0.1, "no time has passed in the guest"
    assert guest.run("true").returncode == 0
    guest.settle()


def test_the_power_button_needs_somebody_who_listens(guest: Guest) -> None:
    with pytest.raises(HarnessError, match=r"power button: .* after 2 s"):
        guest.press_power_button(2)
    assert guest.run("true").returncode == 0


def test_what_the_kernel_refuses_loses_the_guest_before_its_first_command() -> None:
    with pytest.raises(GuestLost, match=r"cgroup box: memory\.max=lots was refused") as caught:
        Guest(GuestConfig(memory="256M", cgroups=("box:memory.max=lots",))).start()
    assert caught.value.verdict is Verdict.SETUP_FAILED
