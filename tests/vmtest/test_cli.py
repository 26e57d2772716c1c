# SPDX-License-Identifier: GPL-2.0-only
"""The vmtest command: bad input ends in one line and the right code before anything starts."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vmtest import cli, doctor
from vmtest.cli.main import parser as command_line
from vmtest.cli.options import guest_config
from vmtest.errors import InvalidInput, MachineLacks


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    before = set(Path(tempfile.gettempdir()).glob("vmtest.*"))
    yield
    assert set(Path(tempfile.gettempdir()).glob("vmtest.*")) <= before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--kernel", "/no/bzImage"], 2, ["kernel", "/no/bzImage", "does not exist"]),
        (["--rootfs", "/no/image"], 2, ["rootfs", "/no/image", "does not exist"]),
        (["--rootfs", "/etc/passwd"], 2, ["rootfs", "/etc/passwd", "no squashfs image", "vmtest build image"]),
        (["--root", "/no/root"], 2, ["root", "/no/root", "does not exist", "'host'"]),
        (["--root", "/etc"], 2, ["root", "/etc", "has no /usr"]),
        (["--memory", "64M"], 2, ["memory", "64M", "at least 128M"]),
        (["--memory", "900T"], 3, ["memory", "900T", "does not fit", "less"]),
        (["--swap", "zram"], 2, ["swap", "zram:512M"]),
        (["--cpus", "99"], 2, ["cpus", "99", "1 to 16"]),
        (["--numa", "2", "--numa-memory", "1G"], 2, ["numa_memory", "1G", "numa is 2"]),
        (["--numa-distance", "0:1=30"], 2, ["numa_distance", "no node 1", "numa is 1"]),
        (["--memory-max", "1G"], 2, ["memory_max", "1G", "not above memory"]),
        (["--memory-max", "900T"], 3, ["memory_max", "900T", "does not fit", "less"]),
        (["--plug", "5s:+512M"], 2, ["plug +512M", "give memory_max"]),
        (["--memory-max", "2G", "--plug", "512M"], 2, ["plug '512M'", "10s:+512M"]),
        (["--hugepages", "3M:1"], 2, ["hugepages", "3M", "2M, 1G"]),
        (["--thp", "perhaps"], 2, ["--thp", "perhaps", "madvise"]),
        (["--cgroup", "a:b"], 2, ["cgroup a", "'b'", "memory.max=256M"]),
        (["--in-cgroup", "a"], 2, ["in_cgroup", "'a'", "give that too"]),
        (["--dump", "/proc/no"], 2, ["--dump", "/proc/no", "another folder"]),
        (["--cpus", "two"], 2, ["--cpus", "two"]),
        (["--tree", "/opt"], 2, ["--tree", "/opt", "HOST:GUEST"]),
        (["--tree", "/no/dir:/opt"], 2, ["tree", "/no/dir", "does not exist"]),
        (["--env", "X"], 2, ["--env", "NAME=VALUE"]),
        (["--timeout", "-1"], 2, ["--timeout"]),
        (["--kernel-source", "/etc"], 2, ["kernel source", "/etc", "has no Makefile"]),
        (["--frobnicate"], 2, ["--frobnicate"]),
    ],
)
def test_bad_input(arguments: list[str], code: int, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        found = cli.main(["exec", *arguments, "--", "true"])
    except SystemExit as end:
        found = int(end.code or 0)
    message = capsys.readouterr().err
    assert found == code
    assert len(message.splitlines()) == 1
    assert "Traceback" not in message
    for word in words:
        assert word in message


def test_a_machine_without_qemu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from vmtest import guest

    def none(name: str) -> str:
        raise MachineLacks(f"program {name!r} is not installed; install it with: apt-get install qemu-system-x86")

    monkeypatch.setattr(guest, "program", none)
    assert cli.main(["exec", "--", "true"]) == 3
    assert "apt-get install qemu-system-x86" in capsys.readouterr().err


def test_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["exec"])
    assert end.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_help_teaches() -> None:
    text = cli.parser().format_help()
    for word in ("vmtest exec -- uname -r", "vmtest doctor", "124", "125", "Ctrl-C"):
        assert word in text


def test_doctor_names_the_remedy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    bad = doctor.Finding("system packages", False, "missing: bison", "apt-get install bison")
    later = doctor.Finding("guest kernel", False, "not built yet", "vmtest build kernel", optional=True)
    monkeypatch.setattr(doctor, "examine", lambda: [later])
    assert cli.main(["doctor"]) == 0
    monkeypatch.setattr(doctor, "examine", lambda: [later, bad])
    assert cli.main(["doctor"]) == 3
    assert "remedy: apt-get install bison" in capsys.readouterr().out


def test_starts_without_the_ssh_library() -> None:
    code = "import sys, vmtest, vmtest.pytest_plugin, vmtest.images.kernel_build; sys.exit('paramiko' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_harness_extra_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['pexpect'] = None; from vmtest import cli; sys.exit(cli.main(['doctor']))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "pydamon[vmtest]" in done.stderr


def test_machine_options() -> None:
    words = "--numa 3 --numa-cpus 1,1,0 --numa-distance 0:1=30 --numa-distance 1:2=40 --memory-max 2G --plug 3:+512M@2 "
    words += "--hugepages 2M:8 --thp never --cgroup a:memory.max=1M --cgroup b --in-cgroup b --dump out -- true"
    config = guest_config(command_line().parse_args(["exec", *words.split()]))
    assert [len(node.cpus) for node in config.layout.nodes] == [1, 1, 0]
    assert (1, 2, 40) in config.layout.distances
    assert (config.spare_bytes >> 20, config.steps[0].node) == (1024, 2)
    assert (config.hugepages, config.thp, config.in_cgroup, config.dump_on_panic) == ("2M:8", "never", "b", True)
    assert not guest_config(command_line().parse_args(["exec", "--", "true"])).dump_on_panic
    with pytest.raises(SystemExit):
        command_line().parse_args(["kselftest", "damon", "--plug", "3:+512M"])


def test_a_dump_is_never_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vmcore").touch()
    assert cli.main(["exec", "--dump", str(tmp_path), "--", "true"]) == 2
    assert "has a dump already; move it away" in capsys.readouterr().err


def test_debugger_options() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        options = command_line().parse_args(["exec", "--gdb", str(taken), "--", "true"])
        with pytest.raises(InvalidInput, match=f"--gdb {taken}: Address already in use"):
            guest_config(options)
    options = command_line().parse_args(["exec", "--gdb", str(taken), "--gdb-wait", "--append", "quiet", "--", "true"])
    config = guest_config(options)
    assert config.qemu_args == ("-gdb", f"tcp:127.0.0.1:{taken}", "-S")
    assert config.append == "quiet nokaslr"
    assert config.timeouts.boot > 1e6
    with pytest.raises(InvalidInput, match="--gdb-wait needs --gdb"):
        guest_config(command_line().parse_args(["exec", "--gdb-wait", "--", "true"]))


def test_a_shell_needs_a_terminal() -> None:
    command = [sys.executable, "-m", "vmtest.cli", "shell"]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == InvalidInput.exit_code
    assert b"use 'vmtest exec' in scripts" in done.stderr
