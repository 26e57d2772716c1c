# SPDX-License-Identifier: GPL-2.0-only
"""Guests that end badly, and parents that do: each has its verdict, none leaves a process or a directory behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.vm.checks import complaints
from tests.waiting import HANG_S, until
from vmtest import Guest, GuestConfig, GuestLost
from vmtest.config import Timeouts
from vmtest.errors import Verdict
from vmtest.images import hostpkgs
from vmtest.patience import patient
from vmtest.qemu import command_line, run_directory

pytestmark = [pytest.mark.guest(memory="256M", cpus=1)]

#: Where the boot is not what is tested.
BOOTED = GuestConfig(memory="256M", snapshot=True)

PARENT = """
import time
from tests.waiting import HANG_S, until
from vmtest import Guest, GuestConfig
guest = Guest(GuestConfig(memory="256M", snapshot=True))
guest.start()
print("up", flush=True)
time.sleep(300)
"""


# Whoever started the tests may ignore signals, as a shell does for its background jobs; children would inherit that.
DEFAULTS = ["env", "--default-signal=INT,TERM,HUP"]


def _qemus(above: int) -> list[psutil.Process]:
    children = psutil.Process(above).children(recursive=True)
    return [child for child in children if child.name().startswith("qemu-system")]


def _qemu_of(guest: Guest) -> psutil.Process:
    (found,) = [process for process in _qemus(os.getpid()) if process.cmdline() == guest.command_line]
    return found


def _directories(owner: int) -> list[Path]:
    return run_directory.of(owner)


# Other guests.


def test_numa_share_and_disk_swap(tmp_path: Path, guest: Guest) -> None:
    (tmp_path / "before").write_text("1")
    config = GuestConfig(memory="512M", cpus=2, numa=2, swap="disk:64M", shares=((tmp_path, "/mnt/host"),))
    with Guest(config) as other:
        assert complaints(other) == []
        assert other.run("ls -d /sys/devices/system/node/node[0-9] | wc -l").text.strip() == "2"
        assert "/dev/vdc" in other.run("cat /proc/swaps").text
        (tmp_path / "after").write_text("2")
        assert other.run("cat /mnt/host/before /mnt/host/after").text == "12"
        assert other.run("touch /mnt/host/new").returncode != 0
        assert guest.run("true").returncode == 0, "two guests at once"
        other.poweroff()
        assert other.lost is not None
        assert other.lost.verdict is Verdict.POWERED_OFF


def test_a_panic_is_a_panic() -> None:
    with Guest(BOOTED) as other:
        waiting = other.popen(["sleep", "1000"])
        with pytest.raises(GuestLost) as caught:
            other.run("echo c > /proc/sysrq-trigger", timeout=HANG_S)
        assert caught.value.verdict is Verdict.PANIC
        assert "sysrq triggered crash" in caught.value.summary
        assert "sysrq_handle_crash" in caught.value.excerpt, "the excerpt has the call trace"
        with pytest.raises(GuestLost, match="guest panic"):
            waiting.wait(HANG_S)
        with pytest.raises(GuestLost, match="guest panic"):
            other.run("true")


def test_a_killed_qemu_is_no_failed_command() -> None:
    with Guest(BOOTED) as other:
        qemu = _qemu_of(other)
        process = other.popen("sleep 1000")
        qemu.kill()
        with pytest.raises(GuestLost) as caught:
            process.wait(HANG_S)
        assert caught.value.verdict is Verdict.QEMU_DIED


def test_a_stopped_qemu_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmtest.ssh import commands, connection

    monkeypatch.setattr(commands, "PROBE_SECONDS", 3.0)
    monkeypatch.setattr(connection, "START_SECONDS", 3.0)
    with Guest(BOOTED) as other:
        qemu = _qemu_of(other)
        monkeypatch.setenv("VMTEST_PATIENCE", "1")
        qemu.suspend()
        with pytest.raises(GuestLost) as caught:
            other.run("true", timeout=2)
        assert caught.value.verdict is Verdict.QEMU_STOPPED


@pytest.mark.parametrize(
    ("append", "verdict"),
    [
        ("root=/dev/none rootfstype=ext4", Verdict.PANIC),
        ("init=/bin/false", Verdict.PANIC),
        ("init=/bin/cat console=hvc9", Verdict.SILENT),
    ],
)
def test_a_boot_that_fails_says_why(append: str, verdict: Verdict) -> None:
    # One that panics is never given up for its silence before, on any host.
    timeouts = Timeouts(silence=8) if verdict is Verdict.SILENT else Timeouts()
    # With one processor it is not tried again.
    config = GuestConfig(memory="256M", cpus=1, append=append, timeouts=timeouts)
    with pytest.raises(GuestLost) as caught, Guest(config):
        pass
    assert caught.value.verdict is verdict


def test_a_file_that_is_no_kernel(tmp_path: Path) -> None:
    path = tmp_path / "bzImage"
    path.write_bytes(b"no kernel" * 1000)
    with pytest.raises(GuestLost) as caught:
        Guest(GuestConfig(kernel=path, accelerator="tcg")).start()
    assert caught.value.verdict is Verdict.QEMU_DIED
    assert "kernel" in caught.value.summary


@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize(
    ("instead", "verdict", "said", "note"),
    [
        ("kill -SEGV $$", Verdict.QEMU_DIED, f"code {-signal.SIGSEGV}", "QEMU crashed while booting"),
        # Processors that never begin: no line of the kernel comes.
        ('exec {qemu} "$@" -S', Verdict.SILENT, "; processor 0 at ", "the guest failed while booting"),
    ],
)
def test_a_failure_of_emulation_while_booting_is_tried_again_once(
    instead: str, verdict: Verdict, said: str, note: str, failures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(_directories(os.getpid()))
    left, starts, wrapper = tmp_path / "left", tmp_path / "starts", tmp_path / "qemu"
    real = hostpkgs.program(GuestConfig().arch.qemu)
    lines = ["#!/bin/sh", f"echo >>{starts}", f"read left <{left}", f'[ -z "$left" ] && exec {real} "$@"']
    wrapper.write_text("\n".join([*lines, f'echo "${{left#x}}" >{left}', instead.format(qemu=real)]))
    wrapper.chmod(0o755)
    monkeypatch.setattr(command_line, "program", lambda _name: str(wrapper))
    # A second start that is to succeed has all the time that a busy host takes.
    timeouts = Timeouts(silence=patient(3) if failures == 1 else 5)
    config = GuestConfig(memory="256M", accelerator="tcg", timeouts=timeouts)
    losses = []
    # A second start that is to succeed fails as any other does, once in some hundred.
    for _ in range(3 if failures == 1 else 1):
        left.write_text("x" * failures)
        starts.write_text("")
        guest = Guest(config)
        try:
            with guest:
                assert guest.run("true").returncode == 0
                assert note in guest.warnings[0]
                assert failures == 1
                break
        except GuestLost as lost:
            losses.append(lost)
        finally:
            assert starts.read_text() == "\n\n", "it is started twice, and no third time"
    else:
        assert failures == 2, losses
        assert losses[0].verdict is verdict
        assert said in losses[0].summary
    assert set(_directories(os.getpid())) == before


# Nothing stays behind.


def test_close_leaves_nothing() -> None:
    before = set(_directories(os.getpid()))
    with Guest(BOOTED) as other:
        (directory,) = set(_directories(os.getpid())) - before
        qemu = _qemu_of(other)
        assert directory.stat().st_mode & 0o77 == 0, "the run's keys are its owner's"
    assert other.lost is not None
    assert other.lost.verdict is Verdict.CLOSED
    assert not qemu.is_running()
    assert set(_directories(os.getpid())) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_parent_that_is_killed_leaves_nothing(number: signal.Signals) -> None:
    words = [*DEFAULTS, sys.executable, "-c", PARENT]
    parent = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    (qemu,) = _qemus(parent.pid)
    assert _directories(parent.pid)
    parent.send_signal(number)
    parent.communicate(timeout=HANG_S)
    gone = "QEMU or the run directory outlived the parent"
    until(lambda: not (qemu.is_running() or _directories(parent.pid)), gone)


# The command.


def _vmtest(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "vmtest.cli", *words], input=stdin, capture_output=True, check=False)


def test_exec_passes_streams_and_code_through() -> None:
    data = os.urandom(1 << 20)
    done = _vmtest("exec", "--snapshot", "--memory", "256M", "--", "sh", "-c", "cat; echo err >&2; exit 11", stdin=data)
    assert (done.returncode, done.stderr) == (11, b"err\n")
    assert done.stdout == data


def test_exec_tells_a_lost_guest_and_a_timeout_from_a_failure() -> None:
    done = _vmtest("exec", "--snapshot", "--memory", "256M", "--", "sh", "-c", "echo c > /proc/sysrq-trigger")
    assert done.returncode == 125
    assert b"vmtest: guest panic: " in done.stderr
    done = _vmtest("exec", "--snapshot", "--memory", "256M", "--timeout", "1", "--", "sleep", "100")
    assert done.returncode == 124
    assert b"did not end within 1 s" in done.stderr


def test_exec_ends_cleanly_on_an_interrupt() -> None:
    words = [
        *DEFAULTS,
        sys.executable,
        "-m",
        "vmtest.cli",
        "exec",
        "--snapshot",
        "--memory",
        "256M",
        "--",
        "sh",
        "-c",
        "echo up; sleep 300",
    ]
    parent = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=HANG_S)
    assert parent.returncode == 130
    assert err == b"vmtest: interrupted; nothing is left behind\n"
    assert not _directories(parent.pid)
