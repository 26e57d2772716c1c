# SPDX-License-Identifier: GPL-2.0-only
"""The vmtest command: bad input ends in one line and the right code before anything starts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vmtest import cli, doctor
from vmtest.cli.main import parser as command_line
from vmtest.cli.options import guest_config
from vmtest.errors import InvalidInput, MachineLacks
from vmtest.qemu import run_directory


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    yield
    assert run_directory.of(os.getpid()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--kernel", "/no/bzImage"], 2, ["kernel", "/no/bzImage", "does not exist"]),
        (["--rootfs", "/no/image"], 2, ["rootfs", "/no/image", "does not exist"]),
        (["--rootfs", "/etc/passwd"], 2, ["rootfs", "/etc/passwd", "not a squashfs image", "vmtest build image"]),
        (["--root", "/no/root"], 2, ["root", "/no/root", "'host'"]),
        (["--root", "/etc"], 2, ["root", "/etc", "has no /usr"]),
        (["--memory", "64M"], 2, ["memory", "64M", "at least 128M"]),
        (["--memory", "900T"], 3, ["memory", "900T", "does not fit", "less"]),
        (["--swap", "zram"], 2, ["swap", "zram:512M"]),
        (["--cpus", "99"], 2, ["cpus", "99", "1 to 16"]),
        (["--numa", "2", "--numa-memory", "1G"], 2, ["numa_memory", "1G", "numa is 2"]),
        (["--numa-distance", "0:1=30"], 2, ["numa_distance", "no node 1", "numa is 1"]),
        (["--memory-max", "1G"], 2, ["memory_max", "1G", "not above memory"]),
        (["--memory-max", "900T"], 3, ["memory_max", "900T", "does not fit", "less"]),
        (["--plug", "5s:+512M"], 2, ["plug: +512M", "give memory_max"]),
        (["--memory-max", "2G", "--plug", "512M"], 2, ["plug: '512M':", "10s:+512M"]),
        (["--hugepages", "3M:1"], 2, ["hugepages", "3M", "2M, 1G"]),
        (["--thp", "perhaps"], 2, ["--thp", "perhaps", "madvise"]),
        (["--cgroup", "a:b"], 2, ["cgroup a", "'b'", "memory.max=256M"]),
        (["--in-cgroup", "a"], 2, ["in_cgroup", "'a'", "give that too"]),
        (["--dump", "/proc/no"], 2, ["--dump", "/proc/no", "another directory"]),
        (["--cpus", "two"], 2, ["--cpus", "two"]),
        (["--tree", "/opt"], 2, ["--tree", "/opt", "HOST:GUEST"]),
        (["--tree", "/no/dir:/opt"], 2, ["tree", "/no/dir", "does not exist"]),
        (["--env", "X"], 2, ["--env", "NAME=VALUE"]),
        (["--timeout", "-1"], 2, ["--timeout"]),
        (["--kernel-source", "/etc"], 2, ["kernel source", "/etc", "has no Makefile"]),
        (["--kernel-option", "CONFIG_SAMPLES=y"], 2, ["--kernel-option", "CONFIG_SAMPLES=y", "--kernel-tree"]),
        (["--kernel-option", "SAMPLES"], 2, ["--kernel-option", "SAMPLES", "CONFIG_NAME=VALUE"]),
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


EXTRA = ("cryptography", "junitparser", "paramiko", "pexpect", "psutil", "qemu", "jinja2", "distributed")
BASE = f"""
import sys
for name in {EXTRA}:
    sys.modules[name] = None
from vmtest.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def _base(*words: str) -> subprocess.CompletedProcess[str]:
    """The command in an installation without the extra 'vmtest'."""
    return subprocess.run([sys.executable, "-c", BASE, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [("doctor",), ("exec", "--", "true"), ("run", "suite.yaml"), ("kselftest", "damon")])
def test_without_the_harness_extra_the_error_names_what_to_install(words: tuple[str, ...]) -> None:
    done = _base(*words)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "pip install 'pydamon[vmtest]'" in done.stderr


def test_without_the_harness_extra_there_is_help() -> None:
    for words in (("--help",), ("exec", "--help"), ("kconfig", "--feature", "zram")):
        done = _base(*words)
        assert (done.returncode, done.stderr) == (0, "")
    assert _base("exec", "--frobnicate").returncode == 2


LISTS = [("kernels",), ("--help",), ("kconfig",), ("doctor",), ("run", "SUITE", "--dry-run")]


@pytest.mark.parametrize("words", LISTS, ids=lambda words: words[0])
def test_a_reader_that_leaves_is_no_error(words: tuple[str, ...], tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    suite.write_text("name: s\nkernels: [page-idle]\ntests: {a: 'true'}\n")
    line = [sys.executable, "-m", "vmtest.cli", *(str(suite) if word == "SUITE" else word for word in words)]
    # A pipe without a reader from the start: what "| head -3" is after three lines, whatever the machine's speed.
    reader, writer = os.pipe()
    os.close(reader)
    whole = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    cut = subprocess.run(line, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (cut.returncode, cut.stderr) == (whole.returncode, b"")


NOBODY = """
import os, sys
from pathlib import Path
os.setuid(54321)
os.environ.pop("HOME", None)
os.environ.pop("XDG_CACHE_HOME", None)
from vmtest.cli.main import main
sys.exit(main(["kernels"]))
"""


@pytest.mark.skipif(os.getuid() != 0, reason="becomes a user that is in no database")
def test_a_user_without_a_home(tmp_path: Path) -> None:
    # Imported before the user is changed: the checkout may be readable by its owner only.
    program = "import vmtest.cli.main, vmtest.cli.build, vmtest.images.kernel_package, vmtest.cli.suite\n" + NOBODY
    for other in ("exec", "shell", "kselftest", "kunit", "kconfig", "doctor"):
        program = f"import vmtest.cli.{other}\n" + program
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert "this user has no home" in done.stdout + done.stderr
    assert "set XDG_CACHE_HOME" in done.stdout + done.stderr


WAITS = """
import importlib, sys
command = importlib.import_module("vmtest.cli.main")
def call(_options):
    print("up", flush=True)
    sys.stdin.readline()
    return 7
command.parser = lambda: type("P", (), {"parse_args": lambda self, a: type("O", (), {"call": staticmethod(call)})()})()
sys.exit(command.main([]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
def test_signals_end_it_in_order_unless_they_were_ignored(number: signal.Signals, ignored: bool) -> None:
    # Set here: what the tests' own process has may be anything.
    words = ["env", f"--{'ignore' if ignored else 'default'}-signal={number.name}", sys.executable, "-c", WAITS]
    child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    child.send_signal(number)
    _, err = child.communicate(b"on\n")
    assert (child.returncode, err) == ((7, b"") if ignored else (130, b"vmtest: interrupted; nothing is left behind\n"))


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
        with pytest.raises(InvalidInput, match=f"--gdb: {taken}: Address already in use"):
            guest_config(options)
    options = command_line().parse_args(["exec", "--gdb", str(taken), "--gdb-wait", "--append", "quiet", "--", "true"])
    config = guest_config(options)
    assert config.qemu_args == ("-gdb", f"tcp:127.0.0.1:{taken}", "-S")
    assert config.append == "quiet nokaslr"
    assert config.timeouts.boot > 1e6
    with pytest.raises(InvalidInput, match="--gdb-wait: needs --gdb"):
        guest_config(command_line().parse_args(["exec", "--gdb-wait", "--", "true"]))


def test_a_shell_needs_a_terminal() -> None:
    command = [sys.executable, "-m", "vmtest.cli", "shell"]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == InvalidInput.exit_code
    assert b"use 'vmtest exec' in scripts" in done.stderr
