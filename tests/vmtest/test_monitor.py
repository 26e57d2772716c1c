# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's monitor against a scripted peer: answers, refusals, events, and ends of every kind."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.vmtest.qmp_peer import Peer, Refused, Silent
from tests.waiting import HANG_S
from vmtest.qemu.monitor import Monitor, MonitorError

NET = "Hub -1 (net):\r\n  Protocol[State] FD Source Address  Port\r\n  TCP[HOST_FORWARD]  12  127.0.0.1 40123 10.0.2.15"

REGISTERS = (
    "\r\nCPU#0\r\nRAX=0000000000000000\r\nRIP=ffffffff81e0a5cf RFL=00000246 CPL=0 HLT=1\r\n"
    "CS =0010 0000000000000000 ffffffff 00a09b00\r\n\r\nCPU#1\r\nRIP=ffffffff8112c0d0 RFL=00000046 CPL=0 HLT=0\r\n"
    "\r\nCPU#2\r\n PC=ffffc00080011a54 X00=0000000000000000\r\n"
)


def _answer(name: str, arguments: dict[str, Any]) -> Any:
    if name == "human-monitor-command":
        return REGISTERS if arguments["command-line"] == "info registers -a" else NET
    if name == "echo":
        return arguments
    if name == "never":
        raise Silent
    raise Refused(f"The command {name} has not been found")


def test_answers_and_refusals() -> None:
    with Peer(_answer) as peer:
        monitor = Monitor(peer.here)
        assert monitor.ssh_port() == 40123
        where = "processor 0 at ffffffff81e0a5cf (halted), 1 at ffffffff8112c0d0, 2 at ffffc00080011a54"
        assert monitor.processors() == where
        assert monitor.command("echo", value=1, path="/x") == {"value": 1, "path": "/x"}
        with pytest.raises(MonitorError, match=r"^nonsense: The command nonsense has not been found$"):
            monitor.command("nonsense")
        with pytest.raises(MonitorError, match=r"never: no answer within 0\.1 s"):
            monitor.command("never", within=0.1)
        assert monitor.command("echo", more=2) == {"more": 2}, "an answer that is late is no other command's"
        monitor.close()
        monitor.close()
        with pytest.raises(MonitorError):
            monitor.command("echo")


def test_many_threads_get_their_own_answers() -> None:
    found: dict[int, Any] = {}
    with Peer(_answer) as peer:
        monitor = Monitor(peer.here)
        threads = [
            threading.Thread(target=lambda n=number: found.setdefault(n, monitor.command("echo", n=n)))
            for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        monitor.close()
    assert found == {number: {"n": number} for number in range(20)}


def test_events_by_name_in_their_order() -> None:
    with Peer(_answer) as peer:
        monitor = Monitor(peer.here)
        peer.event("RESUME")
        monitor.command("echo")
        with monitor.events("STOP", "SHUTDOWN") as events, monitor.events() as all_of_them:
            assert events.next(0) is None
            peer.event("STOP")
            peer.event("RTC_CHANGE", offset=1)
            peer.event("SHUTDOWN", guest=True, reason="guest-reset")
            first, second = events.next(5), events.next(5)
            assert first is not None
            assert first.name == "STOP"
            assert second is not None
            assert second.data == {"guest": True, "reason": "guest-reset"}
            names = [event.name for _ in range(3) if (event := all_of_them.next(5))]
            assert names == ["STOP", "RTC_CHANGE", "SHUTDOWN"], "none from before"
        monitor.close()


def test_an_end_of_qemu_wakes_who_waits() -> None:
    with Peer(_answer) as peer:
        monitor = Monitor(peer.here)
        with monitor.events("STOP") as events:
            threading.Timer(0.2, peer.hang_up).start()
            with pytest.raises(MonitorError, match="closed the monitor"):
                monitor.command("never")
            with pytest.raises(MonitorError):
                events.next(HANG_S)
        with monitor.events() as later, pytest.raises(MonitorError):
            later.next(5)
        with pytest.raises(MonitorError):
            monitor.command("echo")
        monitor.close()


def test_closing_wakes_who_waits() -> None:
    caught: list[BaseException] = []

    def wait() -> None:
        try:
            with monitor.events() as events:
                events.next(10)
        except MonitorError as error:
            caught.append(error)

    with Peer(_answer) as peer:
        monitor = Monitor(peer.here)
        thread = threading.Thread(target=wait)
        thread.start()
        monitor.close()
        thread.join(5)
        assert caught


@pytest.mark.parametrize("greeting", [{"hello": 1}, {"QMP": 3}])
def test_something_else_at_the_other_end(greeting: object) -> None:
    before = threading.active_count()
    with Peer(_answer, greeting) as peer, pytest.raises(MonitorError, match="no QMP session"):
        Monitor(peer.here)
    assert threading.active_count() <= before


def test_no_process_at_the_other_end(capfd: pytest.CaptureFixture[str]) -> None:
    with Peer(_answer) as peer:
        peer.hang_up()
        with pytest.raises(MonitorError):
            Monitor(peer.here)
    assert capfd.readouterr().err == "", "the library's own words are for who asks for them"
