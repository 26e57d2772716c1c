# SPDX-License-Identifier: GPL-2.0-only
"""The harness on a real guest: streams, exit codes, files, what the kernel offers."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.vm.checks import complaints
from tests.waiting import HANG_S, until
from vmtest import CommandTimeout, Guest
from vmtest.host import clock as hostclock

pytestmark = [pytest.mark.guest(memory="1G", cpus=2, swap="zram:256M")]


@pytest.fixture(scope="module")
def guest_trees() -> tuple[tuple[str, str], ...]:
    return ((str(Path(__file__).parent), "/opt/some/tree"),)


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    return {"GREETING": "it's here"}


# What a command gives back.


def test_streams_are_apart_and_the_code_is_the_commands(guest: Guest) -> None:
    result = guest.run("echo out; echo err >&2; exit 42")
    assert (result.returncode, result.stdout, result.stderr) == (42, b"out\n", b"err\n")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT])
def test_death_by_a_signal_is_128_and_its_number(guest: Guest, number: signal.Signals) -> None:
    result = guest.run(f"kill -{number.value} $$")
    assert (result.returncode, result.stderr) == (128 + number, b"")


def test_words_are_not_a_shells(guest: Guest) -> None:
    assert guest.run(["printf", "%s|", "a b", "$HOME", "'", '"', "*"]).stdout == b"a b|$HOME|'|\"|*|"
    assert guest.run(["no-such-program"]).returncode == 127


def test_environment_and_directory(guest: Guest) -> None:
    result = guest.run('printf %s "$GREETING $MORE"; pwd', env={"MORE": "and more"}, cwd="/usr")
    assert result.stdout == b"it's here and more/usr\n"


def test_eight_mebibytes_through_both_ways_come_back_identical(guest: Guest) -> None:
    data = os.urandom(8 << 20)
    result = guest.run("tee /dev/stderr", input=data, timeout=HANG_S)
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(result.stderr).digest() == hashlib.sha256(data).digest()


def test_output_comes_while_the_command_runs(guest: Guest) -> None:
    """The command goes on only when its first output has come."""
    pieces: list[bytes] = []

    def answer() -> Iterator[bytes]:
        until(lambda: b"".join(pieces) == b"first\n")
        yield b"go on\n"

    guest.run("echo first; read words; echo second", input=answer(), stdout=pieces.append, timeout=HANG_S)
    assert b"".join(pieces) == b"first\nsecond\n"


def test_check_raises_with_the_streams(guest: Guest) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        guest.run("echo why >&2; exit 5", check=True)
    assert (caught.value.returncode, caught.value.stderr) == (5, b"why\n")


def test_a_slow_command_is_killed_and_the_guest_goes_on(guest: Guest) -> None:
    with pytest.raises(CommandTimeout, match="did not end within 10 s") as caught:
        guest.run("echo partial; sleep 4321", timeout=10)
    assert caught.value.stdout == b"partial\n"
    assert guest.run("ps -ef | grep -c '[s]leep 4321'").text.strip() == "0"


def test_output_held_open_is_explained(guest: Guest) -> None:
    with pytest.raises(CommandTimeout, match="it did, with code 0, but what it started holds its output open"):
        guest.run("sleep 300 & exit 0", timeout=10)


def test_background_commands(guest: Guest) -> None:
    process = guest.popen("trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.1; done")
    until(lambda: process.stdout == b"hello\n")
    assert process.poll() is None
    process.terminate()
    assert process.wait(HANG_S).returncode == 3
    assert process.poll() == 3
    assert process.stdout == b"hello\nbye\n"
    process = guest.popen("echo up; exec sleep 1000")
    until(lambda: process.stdout == b"up\n")
    process.kill()
    assert process.wait(HANG_S).returncode == 137


def test_many_at_once(guest: Guest) -> None:
    processes = [guest.popen(f"sleep 0.{number}; echo {number}; exit {number}") for number in range(10)]
    assert [process.wait(HANG_S).returncode for process in processes] == list(range(10))


# Files.


def test_trees_are_there_after_boot(guest: Guest) -> None:
    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert guest.run(["sha256sum", "/opt/some/tree/test_boot.py"]).text.startswith(digest)
    assert guest.run("touch /opt/some/tree/new").returncode == 0


def test_files_go_in_and_out_unchanged(guest: Guest, tmp_path: Path) -> None:
    tree = tmp_path / "in"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep/run").write_bytes(bytes(range(256)) * 100)
    (tree / "deep/run").chmod(0o755)
    (tree / "link").symlink_to("deep/run")
    guest.put(tree, "/tmp/there")
    assert guest.run("test -x /tmp/there/link").returncode == 0
    guest.get("/tmp/there", tmp_path / "out")
    assert (tmp_path / "out/link").readlink() == Path("deep/run")
    assert (tmp_path / "out/deep/run").read_bytes() == (tree / "deep/run").read_bytes()
    guest.get("/tmp/there/deep/run", tmp_path / "single")
    assert (tmp_path / "single").read_bytes() == (tree / "deep/run").read_bytes()
    with pytest.raises(subprocess.CalledProcessError):
        guest.get("/no/such/file", tmp_path / "none")


# What the guest has.


def test_the_kernel_offers_what_the_project_stands_on(guest: Guest) -> None:
    wanted = (
        "/sys/kernel/mm/page_idle/bitmap",
        "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds",
        "/sys/module/damon_reclaim/parameters/enabled",
        "/sys/module/damon_lru_sort/parameters/enabled",
        "/proc/self/pagemap",
        "/proc/kpageflags",
        "/proc/kpagecount",
        "/proc/kpagecgroup",
        "/proc/pressure/memory",
        "/proc/config.gz",
        "/sys/fs/cgroup/cgroup.controllers",
        "/sys/kernel/tracing/events/damon/damon_aggregated/enable",
        "/sys/kernel/debug",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/devices/system/memory/block_size_bytes",
    )
    guest.run(["ls", "-d", *wanted]).check()
    assert "memory" in guest.run("cat /sys/fs/cgroup/cgroup.controllers").text
    assert "some avg10=" in guest.run("cat /proc/pressure/memory").text
    assert guest.run("cat /proc/modules 2>/dev/null | wc -l").text.strip() == "0"


def test_machine_is_as_configured(guest: Guest) -> None:
    assert guest.run(["nproc"]).text.strip() == "2"
    total = int(guest.run("grep MemTotal /proc/meminfo").text.split()[1])
    assert 0.9 * (1 << 20) < total < (1 << 20)
    swap = guest.run(["tail", "-n", "+2", "/proc/swaps"]).text.split()
    assert swap[0] == "/dev/zram0"
    assert abs(int(swap[2]) - (256 << 10)) < 8
    assert complaints(guest) == []


def test_its_seconds_are_the_hosts(guest: Guest) -> None:
    """Also when the host let it wait while it booted, where it would have measured its clock wrong."""

    def look() -> tuple[float, float, float]:
        before = time.monotonic()
        return before, float(guest.run("cat /proc/uptime").text.split()[0]), time.monotonic()

    (begun, first, after), _ = look(), guest.run(["sleep", "3"])
    before, last, ended = look()
    assert 0.98 * (before - after) - 0.02 < last - first < 1.02 * (ended - begun) + 0.02
    if khz := hostclock.tsc_khz(guest.config.arch, guest.accelerator):
        (detected,) = re.findall(r"tsc: Detected ([\d.]+) MHz processor", guest.console_text)
        assert float(detected) == pytest.approx(khz / 1000, rel=0.11)


def test_python_and_its_packages_are_there(guest: Guest) -> None:
    code = "import ctypes, msgspec, pytest, rich, yaml; print(1)"
    assert guest.run(["python3", "-c", code]).stdout == b"1\n"


def test_there_is_no_way_out(guest: Guest) -> None:
    code = "import socket; s = socket.socket(); s.settimeout(3); print(s.connect_ex(('10.0.2.2', {port})))"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert guest.run(["python3", "-c", code.format(port=port)]).text.strip() != "0"


def test_nothing_listens_but_on_the_loopback(guest: Guest) -> None:
    children = psutil.Process().children(recursive=True)
    (qemu,) = [child for child in children if child.cmdline() == guest.command_line]
    listening = [entry.laddr for entry in qemu.net_connections() if entry.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening] == ["127.0.0.1"]
