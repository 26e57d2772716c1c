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
