# SPDX-License-Identifier: GPL-2.0-only
"""Memory that comes and goes, with a stand-in for QEMU's device: what is asked, what is got, what is refused."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.waiting import until
from vmtest import GuestConfig
from vmtest.errors import GuestLost, InvalidInput, Verdict
from vmtest.guest import Guest
from vmtest.plug_schedule import Schedule
from vmtest.qemu import hotplug
from vmtest.qemu.clock import Clock
from vmtest.qemu.machine import Machine
from vmtest.qemu.monitor import MonitorError

MIB = 1 << 20


class Device:
    """virtio-mem: moves towards the requested size at each look, as far as the guest lets it."""

    def __init__(self, ceiling: int = 1 << 40) -> None:
        self.sizes = [0, 0]
        self.requested = [0, 0]
        self.floor, self.ceiling = 0, ceiling

    def command(self, name: str, *, path: str, property: str, value: int = 0) -> Any:
        node = int(path[-1])
        if name == "qom-set":
            assert property == "requested-size"
            self.requested[node] = value
            return {}
        assert property == "size"
        goal = min(max(self.requested[node], self.floor), self.ceiling)
        step = 64 * MIB
        self.sizes[node] += max(-step, min(step, goal - self.sizes[node]))
        return self.sizes[node]


def _memory(device: Device, spare: int = 1024, lacks: str = "") -> hotplug.Memory:
    def run(line: str) -> int:
        return int(bool(lacks) and lacks in line)

    config = SimpleNamespace(spare_bytes=spare * MIB, numa=2)
    machine = SimpleNamespace(config=config, monitor=device, running=lambda: device, clock=Clock())
    return hotplug.Memory(cast(Machine, machine), run)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hotplug, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(hotplug, "TICK_SECONDS", 0.001)


def test_all_that_is_asked_for() -> None:
    device = Device()
    memory = _memory(device)
    change = memory.plug(512 * MIB, node=1)
    assert (change.complete, change.got, change.plugged, change.node) == (True, 512 * MIB, 512 * MIB, 1)
    assert change.text.startswith("memory +512M of node 1: plugged 512M, 512M plugged (")
    change = memory.unplug(512 * MIB, node=1)
    assert (change.complete, change.got, change.plugged) == (True, -512 * MIB, 0)
    assert device.sizes == [0, 0]


def test_memory_in_use_stays_and_is_reported() -> None:
    device = Device()
    memory = _memory(device)
    memory.plug(512 * MIB)
    device.floor = 384 * MIB
    change = memory.unplug(512 * MIB)
    assert (change.complete, change.got, change.plugged) == (False, -128 * MIB, 384 * MIB)
    assert "unplugged 128M only, the rest is in use, 384M plugged" in change.text
    assert device.requested[0] == 384 * MIB, "nothing goes on by itself afterwards"


def test_a_guest_that_takes_less() -> None:
    change = _memory(Device(ceiling=64 * MIB)).plug(128 * MIB)
    assert "plugged 64M only, the guest took no more" in change.text
    assert change.seconds < 5, "who makes no progress is not waited for to the end"


@pytest.mark.parametrize(
    ("delta", "node", "spare", "lacks", "words"),
    [
        (64, 2, 1024, "", "there is no node 2; the guest has 2"),
        (2048, 0, 1024, "", "memory +2G: memory_max leaves 960M"),
        (962, 0, 1024, "", "memory +962M: memory_max leaves 960M"),
        (-128, 0, 1024, "", "memory -128M of node 0: 64M are plugged"),
        (64, 0, 0, "", "memory cannot change; give memory_max"),
        (
            64,
            0,
            1024,
            "virtio_mem",
            "memory +64M: the guest's kernel has no virtio-mem driver; take one with CONFIG_VIRTIO_MEM",
        ),
        (64, 0, 1024, "offline", "memory of node: 0: was plugged, but the kernel does not use all of it"),
    ],
)
def test_refused(delta: int, node: int, spare: int, lacks: str, words: str) -> None:
    device = Device()
    device.sizes[0] = device.requested[0] = 64 * MIB
    memory = _memory(device, spare, lacks=lacks)
    with pytest.raises(InvalidInput) as caught:
        (memory.plug if delta > 0 else memory.unplug)(abs(delta) * MIB, node=node)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


class FakeGuest(SimpleNamespace):
    """As much of a guest as a schedule needs."""

    def __init__(self, *steps: str, fails: BaseException | None = None) -> None:
        super().__init__(config=GuestConfig(memory_max="4G", plug=steps), clock=Clock(), done=[], asked=0)
        self.machine = SimpleNamespace(clock=self.clock)
        self._fails = fails

    def plug_memory(self, size: int, *, node: int) -> hotplug.Change:
        self.asked += 1
        if self._fails:
            raise self._fails
        self.done.append((size, node, self.clock.now()))
        return hotplug.Change(node, size, size, size, 0.1)

    def unplug_memory(self, size: int, *, node: int) -> hotplug.Change:
        return self.plug_memory(-size, node=node)


def _scheduled(guest: FakeGuest, lines: int) -> list[str]:
    """The lines of a schedule whose command ends once there are so many."""
    lines_seen: list[str] = []
    with Schedule(cast(Guest, guest), lines_seen.append):
        until(lambda: len(lines_seen) >= lines)
    return lines_seen


def test_steps_come_in_their_time_and_order() -> None:
    guest = FakeGuest("0.2s:-2M", "0.1s:+2M")
    begun = guest.clock.now()
    lines_seen = _scheduled(guest, 2)
    assert [size for size, _, _ in guest.done] == [2 * MIB, -2 * MIB]
    assert guest.done[1][2] - begun >= 0.2
    assert [line.partition(":")[0] for line in lines_seen] == ["after 0.1 s", "after 0.2 s"]


def test_a_command_that_ends_first_leaves_steps_undone() -> None:
    lines_seen = _scheduled(FakeGuest("0:+2M", "60s:+2M", "70s:+2M"), 1)
    assert lines_seen[1:] == [f"memory +2M of node 0 after {at} s: not done, the command had ended" for at in (60, 70)]


def test_errors_of_a_step_are_reported_and_a_lost_guest_is_not() -> None:
    assert _scheduled(FakeGuest("0:+2M", fails=MonitorError("gone")), 1) == ["memory +2M of node 0 after 0 s: gone"]
    lost = FakeGuest("0:+2M", fails=GuestLost(Verdict.PANIC, "x"))
    lines_seen: list[str] = []
    with Schedule(cast(Guest, lost), lines_seen.append):
        until(lambda: lost.asked)
    assert lines_seen == []


def test_steps_wait_for_a_paused_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step's time passes on the host only: 60 s of it, and nothing is done."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    guest = FakeGuest("0.1s:+2M")
    guest.clock.stop()
    now[0] += 60
    assert _scheduled(guest, 0)[0].endswith("not done, the command had ended")
    guest.clock.go()
    now[0] += 60
    assert guest.clock.now() == 1060.0
    assert (guest.asked, guest.done) == (0, [])


def test_a_clock_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [5.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    clock = Clock()
    before = clock.now()
    clock.stop()
    clock.stop()
    stopped = clock.now()
    now[0] += 3
    assert clock.now() == stopped
    clock.go()
    clock.go()
    assert clock.now() == before
    now[0] += 1
    assert clock.now() == before + 1
