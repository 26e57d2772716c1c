# SPDX-License-Identifier: GPL-2.0-only
"""The harness on a real guest: streams, exit codes, files, what the kernel offers; nothing ever stays behind."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from vmtest import CommandTimeout, Guest, GuestConfig, GuestLost
from vmtest.errors import Verdict

pytestmark = [pytest.mark.guest(memory="1G", cpus=2, swap="zram:256M"), pytest.mark.timeout(300)]

VERDICT_SECONDS = 5.0
GONE_SECONDS = 10.0
PARENT = """
import sys, time
from vmtest import Guest, GuestConfig
guest = Guest(GuestConfig(memory="256M"))
guest.start()
print("up", flush=True)
time.sleep(300)
"""


@pytest.fixture(scope="module")
def guest_trees() -> tuple[tuple[str, str], ...]:
    return ((str(Path(__file__).parent), "/opt/some/tree"),)


@pytest.fixture(scope="module")
def guest_env() -> dict[str, str]:
    return {"GREETING": "it's here"}


def _qemus(above: int) -> list[psutil.Process]:
    children = psutil.Process(above).children(recursive=True)
    return [child for child in children if child.name().startswith("qemu-system")]


def _folders(owner: int) -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob(f"vmtest.{owner}.*"))


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


def test_environment_and_folder(guest: Guest) -> None:
    result = guest.run('printf %s "$GREETING $MORE"; pwd', env={"MORE": "and more"}, cwd="/usr")
    assert result.stdout == b"it's here and more/usr\n"


def test_eight_mebibytes_through_both_ways_come_back_identical(guest: Guest) -> None:
    data = os.urandom(8 << 20)
    result = guest.run("tee /dev/stderr", input=data, timeout=120)
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(data).digest()
    assert hashlib.sha256(result.stderr).digest() == hashlib.sha256(data).digest()


def test_output_comes_while_the_command_runs(guest: Guest) -> None:
    pieces: list[tuple[float, bytes]] = []
    started = time.monotonic()
    guest.run("echo first; sleep 3; echo second", stdout=lambda data: pieces.append((time.monotonic() - started, data)))
    assert b"".join(data for _, data in pieces) == b"first\nsecond\n"
    assert pieces[0][0] < 2.5


def test_check_raises_with_the_streams(guest: Guest) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        guest.run("echo why >&2; exit 5", check=True)
    assert (caught.value.returncode, caught.value.stderr) == (5, b"why\n")


def test_a_slow_command_is_killed_and_the_guest_goes_on(guest: Guest) -> None:
    with pytest.raises(CommandTimeout, match="did not end within 1 s") as caught:
        guest.run("echo partial; sleep 4321", timeout=1)
    assert caught.value.stdout == b"partial\n"
    assert guest.run("ps -ef | grep -c '[s]leep 4321'").text.strip() == "0"


def test_background_commands(guest: Guest) -> None:
    process = guest.popen("trap 'echo bye; exit 3' TERM; echo hello; while :; do sleep 0.1; done")
    deadline = time.monotonic() + 30
    while process.stdout != b"hello\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert process.poll() is None
    process.terminate()
    assert process.wait(30).returncode == 3
    assert process.poll() == 3
    assert process.stdout == b"hello\nbye\n"
    process = guest.popen(["sleep", "1000"])
    time.sleep(0.5)
    process.kill()
    assert process.wait(30).returncode == 137


def test_many_at_once(guest: Guest) -> None:
    processes = [guest.popen(f"sleep 0.{number}; echo {number}; exit {number}") for number in range(10)]
    assert [process.wait(60).returncode for process in processes] == list(range(10))


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
    for path in (
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
    ):
        assert guest.run(["test", "-e", path]).returncode == 0, path
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
    assert guest.warnings == []


def test_python_and_its_packages_are_there(guest: Guest) -> None:
    code = "import ctypes, msgspec, psutil, pytest, rich, yaml; print(1)"
    assert guest.run(["python3", "-c", code]).stdout == b"1\n"


def test_there_is_no_way_out(guest: Guest) -> None:
    code = "import socket; s = socket.socket(); s.settimeout(3); print(s.connect_ex(('10.0.2.2', {port})))"
    with __import__("socket").create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert guest.run(["python3", "-c", code.format(port=port)]).text.strip() != "0"


def test_nothing_listens_but_on_the_loopback(guest: Guest) -> None:
    (qemu,) = [process for process in _qemus(os.getpid()) if str(guest._folder) in " ".join(process.cmdline())]
    listening = [entry.laddr for entry in qemu.net_connections() if entry.status == psutil.CONN_LISTEN]
    assert [address.ip for address in listening] == ["127.0.0.1"]


# Other guests.


def test_numa_share_and_disk_swap(tmp_path: Path, guest: Guest) -> None:
    (tmp_path / "before").write_text("1")
    config = GuestConfig(memory="512M", cpus=2, numa=2, swap="disk:64M", shares=((tmp_path, "/mnt/host"),))
    with Guest(config) as other:
        assert other.warnings == []
        assert other.run("ls -d /sys/devices/system/node/node[0-9] | wc -l").text.strip() == "2"
        assert "/dev/vdc" in other.run("cat /proc/swaps").text
        (tmp_path / "after").write_text("2")
        assert other.run("cat /mnt/host/before /mnt/host/after").text == "12"
        assert other.run("touch /mnt/host/new").returncode != 0
        assert guest.run("true").returncode == 0, "two guests at once"
        other.poweroff()
        assert other.lost is not None
        assert other.lost.verdict is Verdict.POWERED_OFF


def test_a_panic_is_a_panic_within_five_seconds() -> None:
    with Guest(GuestConfig(memory="256M")) as other:
        waiting = other.popen(["sleep", "1000"])
        started = time.monotonic()
        with pytest.raises(GuestLost) as caught:
            other.run("echo c > /proc/sysrq-trigger")
        assert time.monotonic() - started < VERDICT_SECONDS
        assert caught.value.verdict is Verdict.PANIC
        assert "sysrq triggered crash" in caught.value.summary
        assert "sysrq_handle_crash" in caught.value.excerpt, "the excerpt has the call trace"
        with pytest.raises(GuestLost, match="guest panic"):
            waiting.wait(10)
        with pytest.raises(GuestLost, match="guest panic"):
            other.run("true")


def test_a_killed_qemu_is_no_failed_command() -> None:
    with Guest(GuestConfig(memory="256M")) as other:
        (qemu,) = [process for process in _qemus(os.getpid()) if str(other._folder) in " ".join(process.cmdline())]
        process = other.popen("sleep 1000")
        started = time.monotonic()
        qemu.kill()
        with pytest.raises(GuestLost) as caught:
            process.wait(30)
        assert time.monotonic() - started < VERDICT_SECONDS
        assert caught.value.verdict is Verdict.QEMU_DIED


def test_a_stopped_qemu_is_hung(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmtest import remote

    monkeypatch.setattr(remote, "PROBE_SECONDS", 3.0)
    with Guest(GuestConfig(memory="256M")) as other:
        (qemu,) = [process for process in _qemus(os.getpid()) if str(other._folder) in " ".join(process.cmdline())]
        qemu.suspend()
        with pytest.raises(GuestLost) as caught:
            other.run("true", timeout=2)
        assert caught.value.verdict is Verdict.HUNG


@pytest.mark.parametrize(
    ("append", "verdict"),
    [
        ("root=/dev/none rootfstype=ext4", Verdict.PANIC),
        ("init=/bin/false", Verdict.PANIC),
        ("init=/bin/cat console=hvc9", Verdict.SILENT),
    ],
)
def test_a_boot_that_fails_says_why(append: str, verdict: Verdict) -> None:
    from vmtest.config import Timeouts

    started = time.monotonic()
    with (
        pytest.raises(GuestLost) as caught,
        Guest(GuestConfig(memory="256M", append=append, timeouts=Timeouts(silence=8))),
    ):
        pass
    assert caught.value.verdict is verdict
    assert time.monotonic() - started < 30


def test_a_file_that_is_no_kernel(tmp_path: Path) -> None:
    path = tmp_path / "bzImage"
    path.write_bytes(b"no kernel" * 1000)
    with pytest.raises(GuestLost) as caught, Guest(GuestConfig(kernel=path, accelerator="tcg")):
        pass
    assert caught.value.verdict is Verdict.QEMU_DIED
    assert "kernel" in caught.value.summary


# Nothing stays behind.


def test_close_leaves_nothing() -> None:
    before = set(_folders(os.getpid()))
    with Guest(GuestConfig(memory="256M")) as other:
        (folder,) = set(_folders(os.getpid())) - before
        (qemu,) = [process for process in _qemus(os.getpid()) if str(folder) in " ".join(process.cmdline())]
        assert folder.stat().st_mode & 0o77 == 0, "the run's keys are its owner's"
    assert other.lost is not None
    assert not qemu.is_running()
    assert set(_folders(os.getpid())) == before


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_parent_that_is_killed_leaves_nothing(number: signal.Signals) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    (qemu,) = _qemus(parent.pid)
    assert _folders(parent.pid)
    parent.send_signal(number)
    parent.wait(GONE_SECONDS)
    deadline = time.monotonic() + GONE_SECONDS
    while qemu.is_running() or _folders(parent.pid):
        assert time.monotonic() < deadline, "QEMU or the run folder outlived the parent"
        time.sleep(0.05)


# The command.


def _vmtest(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "vmtest.cli", *words], input=stdin, capture_output=True, check=False)


def test_exec_passes_streams_and_code_through() -> None:
    data = os.urandom(1 << 20)
    done = _vmtest("exec", "--memory", "256M", "--", "sh", "-c", "cat; echo err >&2; exit 11", stdin=data)
    assert (done.returncode, done.stderr) == (11, b"err\n")
    assert done.stdout == data


def test_exec_tells_a_lost_guest_and_a_timeout_from_a_failure() -> None:
    done = _vmtest("exec", "--memory", "256M", "--", "sh", "-c", "echo c > /proc/sysrq-trigger")
    assert done.returncode == 125
    assert b"vmtest: guest panic: " in done.stderr
    done = _vmtest("exec", "--memory", "256M", "--timeout", "1", "--", "sleep", "100")
    assert done.returncode == 124
    assert b"did not end within 1 s" in done.stderr


def test_exec_ends_cleanly_on_an_interrupt() -> None:
    words = [sys.executable, "-m", "vmtest.cli", "exec", "--memory", "256M", "--", "sh", "-c", "echo up; sleep 300"]
    parent = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"up\n"
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=GONE_SECONDS)
    assert parent.returncode == 130
    assert err == b"vmtest: interrupted; the guest is gone\n"
    assert not _folders(parent.pid)
