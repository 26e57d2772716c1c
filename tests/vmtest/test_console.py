# SPDX-License-Identifier: GPL-2.0-only
"""The console watch against recorded lines: each end of a guest gets its verdict, and quickly."""

from __future__ import annotations

import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.waiting import HANG_S
from vmtest.errors import Verdict
from vmtest.qemu import console
from vmtest.qemu.console import Console
from vmtest.qemu.supervisor import EXIT_FILE, LOG_FILE, PID_FILE

BOOT = "[    0.000000] Linux version 6.12\r\n[    1.5] Run /usr/lib/vmtest/init as init process\r\nvmtest: ready\r\n"
SECONDS = HANG_S


class Feed:
    """The other end of a console."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        here, self.sock = socket.socketpair()
        self.keep = here
        self.console = Console(here, directory)
        self.console.start()

    def send(self, text: str) -> None:
        self.sock.sendall(text.encode())

    def verdict(self) -> Verdict:
        assert self.console.ended.wait(SECONDS), "no verdict in time"
        assert self.console.lost is not None
        return self.console.lost.verdict


@pytest.fixture
def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Feed]:
    monkeypatch.setattr(console, "REPORT_SECONDS", 0.3)
    made = Feed(tmp_path)
    yield made
    if not (tmp_path / EXIT_FILE).exists():
        (tmp_path / EXIT_FILE).write_text("0")
    made.sock.close()
    made.console.join(SECONDS)
    assert not made.console.is_alive()
    made.keep.close()


def test_ready_is_seen_and_nothing_is_lost(feed: Feed) -> None:
    feed.send(BOOT)
    assert feed.console.ready.wait(SECONDS)
    assert feed.console.lost is None
    assert feed.console.tail(1) == "vmtest: ready"


def test_control_characters_are_shown_and_not_performed(feed: Feed) -> None:
    feed.console.recall(b"\x1b[1mearlier\r\n")
    feed.send("\x1b]0;title\x07 \u202ex\ty\r\n" + BOOT)
    assert feed.console.ready.wait(SECONDS)
    assert feed.console.tail(99).splitlines()[:2] == [r"\x1b[1mearlier", r"\x1b]0;title\x07 \u202ex" + "\ty"]


@pytest.mark.parametrize(
    "line", ["[    1.8] vmtest: ready", "vmtest: ready[    1.8] clocksource: Switched to clocksource tsc"]
)
def test_ready_is_seen_beside_a_kernel_message(feed: Feed, line: str) -> None:
    feed.send(f"[    1.7] zram0: detected\r\n{line}\r\n")
    assert feed.console.ready.wait(SECONDS)


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("[   15.1] Kernel panic - not syncing: sysrq triggered crash", Verdict.PANIC),
        ("[    9.9] BUG: kernel NULL pointer dereference, address: 0000000000000000", Verdict.OOPS),
        ("[    9.9] BUG: unable to handle page fault for address: ffff", Verdict.OOPS),
        ("[    9.9] Oops: general protection fault, probably for non-canonical address", Verdict.OOPS),
        ("[    9.9] kernel BUG at mm/damon/core.c:1!", Verdict.BUG),
        ("[   60.0] watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [cat:1]", Verdict.LOCKUP),
        ("[   60.0] Watchdog detected hard LOCKUP on cpu 0", Verdict.LOCKUP),
        ("vmtest: setup failed: no overlay", Verdict.SETUP_FAILED),
        ("[    1.8] vmtest: setup failed: no overlay", Verdict.SETUP_FAILED),
    ],
)
def test_verdicts_while_qemu_lives_on(feed: Feed, line: str, verdict: Verdict) -> None:
    feed.send(BOOT + line + "\r\n[   15.2] CPU: 1 Comm: sh\r\n")
    assert feed.verdict() is verdict
    assert feed.console.lost is not None
    assert line in feed.console.lost.excerpt
    assert "Comm: sh" in feed.console.lost.excerpt, "what follows the line is part of the evidence"


def test_an_oops_that_panics_stays_an_oops(feed: Feed) -> None:
    feed.send("[ 9.9] Oops: 0002 [#1] SMP\r\n[ 9.9] Kernel panic - not syncing: Fatal exception\r\n")
    feed.sock.close()
    assert feed.verdict() is Verdict.OOPS


@pytest.mark.parametrize(
    "line",
    [
        "[ 2.0] traps: python3[77] general protection fault ip:7f sp:7f error:0 in libc.so.6",
        "[ 2.0] python3[77]: segfault at 0 ip 000 sp 000 error 4",
        "debug: all good",
    ],
)
def test_what_a_program_does_is_no_verdict(feed: Feed, line: str) -> None:
    feed.send(f"{line}\r\n{BOOT}")
    assert feed.console.ready.wait(SECONDS)
    assert feed.console.lost is None
    assert feed.console.warnings == []


def test_what_is_no_verdict_and_matters_is_kept(feed: Feed) -> None:
    feed.send("vmtest: setup: swap: zram was refused\r\n[ 2.0] Memory cgroup out of memory: Killed process 9 (a)\r\n")
    feed.send(BOOT)
    assert feed.console.ready.wait(SECONDS)
    assert feed.console.lost is None
    assert len(feed.console.warnings) == 2


def test_qemu_died(feed: Feed) -> None:
    (feed.directory / LOG_FILE).write_text("qemu-system-x86_64: could not open disk\n")
    (feed.directory / EXIT_FILE).write_text("1")
    feed.send("[ 0.0] half a li")
    feed.sock.close()
    assert feed.verdict() is Verdict.QEMU_DIED
    assert feed.console.lost is not None
    assert "code 1: qemu-system-x86_64: could not open disk" in feed.console.lost.summary
    assert feed.console.lost.excerpt.endswith("half a li")


def test_powered_off(feed: Feed) -> None:
    feed.send(BOOT + "[ 9.0] reboot: Power down\r\n")
    feed.sock.close()
    assert feed.verdict() is Verdict.POWERED_OFF


def test_emulation_failure_while_qemu_hangs(feed: Feed) -> None:
    (feed.directory / LOG_FILE).write_text("KVM internal error. Suberror: 1\nemulation failure\n")
    assert feed.verdict() is Verdict.EMULATION_FAILURE


def test_whoever_waits_is_woken(feed: Feed) -> None:
    woken: list[bool] = []
    feed.console.on_end = lambda: woken.append(True)
    feed.send("[ 1.0] Kernel panic - not syncing: x\r\n")
    feed.sock.close()
    feed.verdict()
    assert woken == [True]


def test_what_is_tolerated_is_noted_and_ends_nothing(tmp_path: Path) -> None:
    here, there = socket.socketpair()
    with here, there:
        watch = Console(here, tmp_path, tolerate=[Verdict.WARNING])
        watch.start()
        there.sendall(b"[ 1.0] WARNING: CPU: 1 PID: 7 at mm/x.c:3 f+0x1/0x2\r\n" + BOOT.encode())
        assert watch.ready.wait(SECONDS)
        assert watch.lost is None
        assert len(watch.warnings) == 1
        there.sendall(b"[ 2.0] BUG: Bad page state in process a  pfn:1\r\n")
        there.shutdown(socket.SHUT_RDWR)
        assert watch.ended.wait(SECONDS)
        assert watch.lost is not None
        assert watch.lost.verdict is Verdict.BUG
        watch.join(SECONDS)  # it reads by number: whoever gets that number next must not lose bytes to it


def test_every_byte_is_in_the_log_also_after_the_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "REPORT_SECONDS", 0.1)
    here, there = socket.socketpair()
    with here, there:
        watch = Console(here, tmp_path, log=tmp_path / "console.log")
        watch.start()
        first = BOOT.encode() + b"\x00\xff\r\n[ 1.0] Kernel panic - not syncing: x\r\nhalf"
        there.sendall(first)
        assert watch.ended.wait(SECONDS)
        there.sendall(b" a line\r\nand the end")
        there.shutdown(socket.SHUT_RDWR)
        watch.join(SECONDS)
        assert (tmp_path / "console.log").read_bytes() == first + b" a line\r\nand the end"


def test_a_stopped_qemu_has_its_own_verdict(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "STOPPED_SECONDS", 0.3)
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        (feed.directory / PID_FILE).write_text(str(sleeper.pid))
        feed.send(BOOT)
        assert feed.console.ready.wait(SECONDS)
        assert not feed.console.ended.wait(0.8)
        sleeper.send_signal(signal.SIGSTOP)
        assert feed.verdict() is Verdict.QEMU_STOPPED
    finally:
        sleeper.kill()
        sleeper.wait()


def test_the_excerpt_of_an_oom_begins_where_the_killer_was_called(feed: Feed) -> None:
    tasks = "".join(f"[ 5.{number:03}] [{number:7}]     0 {number:5}     1221 task\r\n" for number in range(90))
    feed.send("[ 4.0] earlier\r\n[ 5.0] python3 invoked oom-killer: gfp_mask=0x140dca\r\n" + tasks)
    feed.send(
        "[ 6.0] oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null)\r\n[ 6.1] Out of memory: Killed process 7\r\n"
    )
    assert feed.verdict() is Verdict.OOM
    assert feed.console.lost is not None
    lines = feed.console.lost.excerpt.splitlines()
    assert "invoked oom-killer" in lines[0]
    assert "Killed process 7" in lines[-1]
    assert len(lines) <= console.EXCERPT_LINES


def test_the_excerpt_of_a_report_begins_at_its_cut_mark(feed: Feed) -> None:
    feed.send(BOOT + "".join(f"[ 8.{number}] noise {number}\r\n" for number in range(5)))
    feed.send("[ 9.0] ------------[ cut here ]------------\r\n[ 9.0] refcount_t: underflow; use-after-free.\r\n")
    feed.send(
        "[ 9.0] WARNING: CPU: 0 PID: 9 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110\r\n[ 9.1] after\r\n"
    )
    assert feed.verdict() is Verdict.WARNING
    assert feed.console.lost is not None
    assert feed.console.lost.excerpt.splitlines()[0].endswith("[ cut here ]------------")
    assert feed.console.lost.excerpt.splitlines()[-1].endswith("after")


@pytest.mark.parametrize(
    ("measured", "wrong"), [(91.542, True), (500.0, True), (700.0, False), (2297.314, False), (4800.0, False)]
)
def test_a_clock_that_was_measured_wrongly_is_the_emulations_fault(
    feed: Feed, monkeypatch: pytest.MonkeyPatch, measured: float, wrong: bool
) -> None:
    monkeypatch.setattr(psutil, "cpu_freq", lambda: SimpleNamespace(current=2299.998))
    feed.send(f"[    0.052000] tsc: Detected {measured} MHz processor\r\n{BOOT}")
    if wrong:
        assert feed.verdict() is Verdict.EMULATION_FAILURE
        assert f"{measured:g} MHz" in str(feed.console.lost)
    else:
        assert feed.console.ready.wait(SECONDS)
    assert feed.console.clock_wrong is wrong
    assert (feed.console.lost is not None) is wrong


def test_whether_the_kernel_has_started_a_program(feed: Feed) -> None:
    shown = feed.console.expect("RAM buffer")
    feed.send("[ 1.452641] PCI: Using ACPI for IRQ routing\r\n[ 1.5] e820: register RAM buffer resource\r\n")
    assert shown.wait(SECONDS)
    assert feed.console.kernel_only
    feed.send(BOOT)
    assert feed.console.ready.wait(SECONDS)
    assert not feed.console.kernel_only
