# SPDX-License-Identifier: GPL-2.0-only
"""damond from the outside: files behind a mount, its clients, its end, and what a killed one leaves."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import damon.damond
import damon.native
from damon.damond.fusemount import unmount
from tests.damond.conftest import PROBLEM, WORKLOAD, Damond, monitor
from tests.waiting import HANG_S, until

Start = Callable[..., Damond]


def _refused(number: int, use: Callable[..., object], *args: object) -> None:
    with pytest.raises(OSError) as caught:
        use(*args)
    assert caught.value.errno == number


def test_the_tree_is_files(damond: Damond) -> None:
    assert sorted(entry.name for entry in (damond.mount / "module").iterdir()) == [
        "damon_lru_sort", "damon_reclaim", "damon_stat",
    ]  # fmt: skip
    count = damond.admin / "kdamonds/nr_kdamonds"
    assert stat.filemode(count.stat().st_mode) == "-rw-------"
    assert stat.filemode(damond.admin.stat().st_mode) == "drwxr-xr-x"
    assert count.stat().st_uid == os.getuid()
    assert count.read_text() == "0\n"
    assert damond.parameter("damon_reclaim", "min_age").read_text() == "120000000\n"
    assert stat.filemode(damond.parameter("damon_reclaim", "kdamond_pid").stat().st_mode) == "-r--------"


def test_files_cannot_be_made_removed_or_renamed(damond: Damond) -> None:
    count = damond.admin / "kdamonds/nr_kdamonds"
    _refused(errno.EACCES, lambda: (damond.admin / "x").write_text("1"))
    _refused(errno.EPERM, (damond.admin / "x").mkdir)
    _refused(errno.EPERM, count.unlink)
    _refused(errno.EPERM, lambda: count.rename(damond.admin / "y"))
    _refused(errno.EPERM, (damond.admin / "kdamonds").rmdir)
    _refused(errno.EISDIR, lambda: os.open(damond.admin, os.O_WRONLY))
    _refused(errno.ENOENT, (damond.admin / "x").read_text)
    _refused(errno.EACCES, lambda: os.open(damond.parameter("damon_reclaim", "kdamond_pid"), os.O_WRONLY))


def test_errors_of_writes_reach_the_writer(damond: Damond) -> None:
    one = monitor(damond)
    for text, number in {"nonsense": errno.EINVAL, "commit": errno.EINVAL}.items():
        _refused(number, (one / "state").write_text, text)
    _refused(errno.ERANGE, lambda: (one / "refresh_ms").write_text(str(2**64)))
    _refused(errno.EINVAL, lambda: (damond.admin / "kdamonds/nr_kdamonds").write_text("-1"))
    assert "nonsense" in damond.log.read_text()  # the reason is in the log


def test_a_workload_is_monitored_in_real_time(damond: Damond) -> None:
    one = monitor(damond)
    (one / "state").write_text("on\n")
    assert (one / "state").read_text() == "on\n"
    pid = int((one / "pid").read_text())
    assert Path(f"/proc/{pid}/comm").read_text() == "kdamond.0\n"
    assert str(pid) in subprocess.run(["pidof", "kdamond.0"], capture_output=True, text=True, check=True).stdout.split()
    tried = one / "contexts/0/schemes/0/tried_regions"

    def hot() -> int:
        """Bytes of the regions with an access."""
        (one / "state").write_text("update_schemes_tried_regions")
        assert int((tried / "total_bytes").read_text()) == (1 << 30) - 0x100000
        regions = [entry for entry in tried.iterdir() if entry.name != "total_bytes"]
        assert len(regions) >= 10
        return sum(int((r / "end").read_text()) - int((r / "start").read_text())
                   for r in regions if int((r / "nr_accesses").read_text()))  # fmt: skip

    until(lambda: hot() > 16 << 20)
    kdamond = damond.status()["kdamonds"][0]
    assert (kdamond["state"], kdamond["pid"], kdamond["operations"]) == ("on", pid, "paddr")
    (one / "state").write_text("off")
    assert (one / "pid").read_text() == "-1\n"
    assert not Path(f"/proc/{pid}").exists()


def test_kdamonds_have_their_numbers_whichever_were_opened(damond: Damond) -> None:
    (damond.admin / "kdamonds/nr_kdamonds").write_text("12\n")
    for number in (10, 2):
        assert (damond.admin / f"kdamonds/{number}/pid").read_text() == "-1\n"
    assert [one["index"] for one in damond.status()["kdamonds"]] == [2, 10]
    found = json.loads(damond.damon("top", "--json", "--once").stdout)["kdamonds"]
    assert [one["name"] for one in found if one["module"] is None] == ["2", "10"]


def test_reading_again_and_from_the_middle(damond: Damond) -> None:
    path = damond.parameter("damon_reclaim", "min_age")
    fd = os.open(path, os.O_RDWR)
    assert os.read(fd, 4) == b"1200"
    assert os.read(fd, 100) == b"00000\n"
    assert os.read(fd, 100) == b""
    os.write(fd, b"5000000")
    assert os.pread(fd, 100, 0) == b"5000000\n"  # from the start is anew
    assert os.pread(fd, 100, 5) == b"00\n"
    os.close(fd)


def test_open_files_of_removed_directories_are_gone(damond: Damond) -> None:
    one = monitor(damond)
    fd = os.open(one / "refresh_ms", os.O_RDWR)
    directory = os.open(one / "contexts", os.O_RDONLY)
    (damond.admin / "kdamonds/nr_kdamonds").write_text("0")
    _refused(errno.ENODEV, lambda: os.pread(fd, 10, 0))
    _refused(errno.ENODEV, lambda: os.write(fd, b"1"))
    _refused(errno.ENOENT, lambda: os.listdir(directory))
    assert not (damond.admin / "kdamonds/0").exists()
    os.close(fd)
    os.close(directory)


def _busy(path: Path) -> bool:
    """Whether a reader gets EBUSY."""
    try:
        path.read_text()
    except OSError as error:
        assert error.errno == errno.EBUSY
        return True
    return False


def test_others_are_served_while_a_command_waits(damond: Damond) -> None:
    one = monitor(damond)
    (one / "contexts/0/schemes/0/apply_interval_us").write_text("6000000")
    (one / "state").write_text("on")
    waiting = threading.Thread(target=lambda: (one / "state").write_text("update_schemes_tried_regions"))
    waiting.start()
    until(lambda: _busy(one / "state"))
    assert (damond.admin / "kdamonds/nr_kdamonds").read_text() == "1\n"
    assert _busy(one / "state"), "the command waits, and the other file was read"
    waiting.join(HANG_S)
    assert not waiting.is_alive()


def test_modules_by_their_files(damond: Damond) -> None:
    enabled, pid = damond.parameter("damon_reclaim", "enabled"), damond.parameter("damon_reclaim", "kdamond_pid")
    assert (enabled.read_text(), pid.read_text()) == ("N\n", "-1\n")
    enabled.write_text("Y\n")
    assert enabled.read_text() == "Y\n"
    assert Path(f"/proc/{pid.read_text().strip()}/comm").read_text() == "kdamond.0\n"
    one = monitor(damond)
    _refused(errno.EBUSY, lambda: (one / "state").write_text("on"))
    damond.parameter("damon_reclaim", "min_nr_regions").write_text("2")
    _refused(errno.EINVAL, lambda: damond.parameter("damon_reclaim", "commit_inputs").write_text("Y"))
    enabled.write_text("0")
    assert (enabled.read_text(), pid.read_text()) == ("N\n", "-1\n")


def test_clients(damond: Damond) -> None:
    def fine(*words: str) -> str:
        result = damond.damon(*words)
        assert (result.returncode, result.stderr) == (0, ""), result
        return result.stdout

    def refused(*words: str) -> str:
        result = damond.damon(*words)
        assert result.returncode == 2, result
        assert result.stderr.count("\n") == 1
        return result.stderr

    assert fine("param", "get", "damon_reclaim.min_age") == "120000000\n"
    fine("param", "set", "reclaim.min_age=0x10")
    assert fine("param", "get", "reclaim.min_age") == "16\n"
    assert {row["name"] for row in json.loads(fine("param", "list", "damon_stat", "--json"))} >= {"enabled"}
    assert "min_age" in fine("param", "list", "damon_reclaim")
    assert "min_age" in refused("param", "set", "damon_reclaim.min_agee=5")
    assert "min_age: 'x': is not" in refused("param", "set", "damon_reclaim.min_age=x")
    refused("param", "get", "damon_reclaim")
    refused("param", "set", "damon_reclaim.min_age")
    fine("rmmod", "damon_stat")
    assert [row["name"] for row in json.loads(fine("lsmod", "--json"))] == ["damon_lru_sort", "damon_reclaim"]
    assert not (damond.mount / "module/damon_stat").exists()
    refused("rmmod", "damon_stat")
    refused("param", "list", "damon_stat")
    fine("modprobe", "damon_stat", "enabled=Y")
    assert damond.parameter("damon_stat", "enabled").read_text() == "Y\n"
    assert "active" in fine("lsmod")
    assert "hot-cold" not in refused("modprobe", "nonsense")
    status = damond.status()
    assert status["machine"] == "sim"
    assert status["virtual_s"] == pytest.approx(status["uptime_s"], abs=1.5)
    assert "damon_stat" in fine("status")


def test_without_a_service_clients_say_so(tmp_path: Path, start: Start) -> None:
    damond = start().wait()
    assert damond.end() == 0
    result = damond.damon("status")
    assert result.returncode == 2
    assert "no damond runs there" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_whole(start: Start, number: int) -> None:
    damond = start().wait()
    one = monitor(damond)
    (one / "state").write_text("on")
    pid = (one / "pid").read_text().strip()
    assert damond.end(number) == 0
    assert not os.path.ismount(damond.mount)
    assert not damond.mount.exists()  # it had made it
    assert list(damond.runtime.iterdir()) == []
    assert not Path(f"/proc/{pid}").exists()


def test_a_killed_one_does_not_block_the_next(start: Start) -> None:
    damond = start().wait()
    one = monitor(damond)
    (one / "state").write_text("on")
    pid = (one / "pid").read_text().strip()
    damond.end(signal.SIGKILL)
    _refused(errno.ENOTCONN, lambda: os.listdir(damond.mount))
    until(lambda: not Path(f"/proc/{pid}").exists())
    damond.log.unlink()
    second = start().wait()
    assert (second.admin / "kdamonds/nr_kdamonds").read_text() == "0\n"
    assert second.end() == 0


def test_one_service_for_each_mount(start: Start, damond: Damond) -> None:
    second = start()
    assert second.process.wait(30) == 2
    assert f"by process {damond.process.pid} already" in second.log.read_text()
    assert (damond.admin / "kdamonds/nr_kdamonds").read_text() == "0\n"


def test_a_directory_that_is_not_empty_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "sys").mkdir()
    (tmp_path / "sys/file").touch()
    damond = start()
    assert damond.process.wait(30) == 2
    assert "is not empty" in damond.log.read_text()
    assert (tmp_path / "sys/file").exists()


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--sim", "/nonexistent"), 2, "nonexistent"),
        (("--sim", str(WORKLOAD), "--cmdline", "damon_reclaim.min_nr_regions=2 damon_reclaim.enabled=Y"), 2, "min_nr"),
        (("--sim", str(WORKLOAD), "--cmdline", "damon_reclaim.nonsense=2"), 2, "nonsense"),
        (("--sim", str(WORKLOAD), "--speed", "0"), 2, "--speed"),
        ((), 2, "--sim"),
    ],
)
def test_bad_input_starts_nothing(start: Start, words: tuple[str, ...], code: int, text: str) -> None:
    damond = start(*(words or ("--log-level", "info")))
    assert damond.process.wait(30) == code
    said = damond.log.read_text()
    assert text in said
    assert "Traceback" not in said
    assert not damond.mount.exists()


def test_the_command_line_enables_modules(start: Start) -> None:
    damond = start("--sim", str(WORKLOAD), "--cmdline", "damon_reclaim.enabled=Y damon_reclaim.min_age=7").wait()
    assert damond.parameter("damon_reclaim", "enabled").read_text() == "Y\n"
    assert damond.parameter("damon_reclaim", "min_age").read_text() == "7\n"


def test_unmounted_from_outside_it_ends(start: Start) -> None:
    damond = start().wait()
    unmount(damond.mount)
    assert damond.process.wait(30) == 1
    assert "was unmounted" in damond.log.read_text()


def test_readiness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: Start) -> None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        damond = start()
        assert manager.recv(4096).startswith(b"READY=1\n")
        assert (damond.admin / "kdamonds/nr_kdamonds").read_text() == "0\n"
        damond.end()
        assert manager.recv(4096) == b"STOPPING=1"


UNIT = Path(damon.damond.__file__).with_name("damond.service").read_text()
#: Of systemd.exec(5): each gives the service a mount namespace of its own, in which no other process sees the tree.
HIDING = {
    "PrivateTmp", "PrivateDevices", "PrivateMounts", "PrivateUsers", "ProtectSystem", "ProtectHome", "ProtectProc",
    "ProcSubset", "ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "ProtectControlGroups",
    "ReadOnlyPaths", "ReadWritePaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths", "TemporaryFileSystem",
    "BindPaths", "BindReadOnlyPaths", "RootDirectory", "RootImage", "DynamicUser", "MountFlags", "PrivateIPC",
}  # fmt: skip


def test_the_unit_is_hardened_and_its_mount_is_seen() -> None:
    assert {
        "Type=notify", "RuntimeDirectoryMode=0700", "RuntimeDirectoryPreserve=yes", "NoNewPrivileges=yes",
        "RestrictAddressFamilies=AF_UNIX", "MemoryDenyWriteExecute=yes", "DevicePolicy=closed",
        "DeviceAllow=/dev/fuse rw", "RestrictNamespaces=yes",
        "SystemCallFilter=@system-service @mount pidfd_getfd ptrace",
    } <= set(UNIT.splitlines())  # fmt: skip
    assert {line.partition("=")[0] for line in UNIT.splitlines()} & HIDING == set()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_the_unit_is_one_for_systemd(tmp_path: Path) -> None:
    copy = tmp_path / "damond.service"
    unit = UNIT.replace("/usr/local/bin/damond", sys.executable)  # that is where it is installed
    copy.write_text(unit.replace("Documentation=man:damond(1)\n", ""))  # its page may not be installed here
    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
def test_the_unit_permits_the_calls_that_the_native_code_makes() -> None:
    """Those that it makes by number; the others are libc's and Python's own."""
    words = re.findall(r"^SystemCallFilter=(.*)$", UNIT, re.MULTILINE)[0].split()
    allowed = {word for word in words if not word.startswith("@")}
    for group in (word for word in words if word.startswith("@")):
        waiting = [group]
        while waiting:
            done = subprocess.run(
                ["systemd-analyze", "syscall-filter", waiting.pop()], capture_output=True, text=True, check=True
            )
            names = [line.strip() for line in done.stdout.splitlines()[1:] if not line.strip().startswith("#")]
            waiting += [name for name in names if name.startswith("@")]
            allowed |= set(names)
    sources = Path(damon.native.__file__).parent.glob("src/*.c")
    made = {name for source in sources for name in re.findall(r"syscall\((?:SYS_|__NR_)(\w+)", source.read_text())}
    assert made >= {"process_madvise", "move_pages"}
    assert made - allowed == set()


#: prctl(2): what MemoryDenyWriteExecute= asks of the kernel.
REFUSE_EXEC_GAIN = "import ctypes, os, sys; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) and sys.exit(77); "


def test_it_runs_where_memory_cannot_become_executable(tmp_path: Path) -> None:
    if PROBLEM:
        pytest.skip(PROBLEM)
    environment = dict(os.environ, RUNTIME_DIRECTORY=str(tmp_path / "run"))
    script = REFUSE_EXEC_GAIN + "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    words = ["-m", "damon.cli.damond", "--sim", str(WORKLOAD), "--mount", str(tmp_path / "sys")]
    log = tmp_path / "log"
    with log.open("w") as stream:
        process = subprocess.Popen([sys.executable, "-c", script, *words], env=environment, stderr=stream)
    until(lambda: process.poll() is not None or "mounted at" in log.read_text(), log.read_text)
    if process.poll() is not None:
        assert process.returncode == 77, log.read_text()
        pytest.skip("this kernel has no PR_SET_MDWE")
    (tmp_path / "sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds").write_text("1")
    process.terminate()
    assert process.wait(HANG_S) == 0


def test_the_log_has_the_end_and_its_reason(start: Start) -> None:
    damond = start().wait()
    assert damond.end(signal.SIGINT) == 0
    assert damond.log.read_text().splitlines()[-1].endswith("damon: ended by SIGINT")
    damond.log.unlink()
    damond = start().wait()
    unmount(damond.mount)
    assert damond.process.wait(HANG_S) == 1
    assert damond.log.read_text().splitlines()[-1].endswith(f"damon: ended because {damond.mount} was unmounted")
