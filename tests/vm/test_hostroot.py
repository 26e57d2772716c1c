# SPDX-License-Identifier: GPL-2.0-only
"""The host's own root as a guest's: all that a guest promises, and nothing of what it does reaches the host."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm import test_boot
from tests.vm.test_boot import (  # noqa: F401
    guest_env,
    guest_trees,
    test_files_go_in_and_out_unchanged,
    test_machine_is_as_configured,
    test_nothing_listens_but_on_the_loopback,
    test_streams_are_apart_and_the_code_is_the_commands,
    test_the_kernel_offers_what_the_project_stands_on,
    test_there_is_no_way_out,
    test_trees_are_there_after_boot,
)
from vmtest import Guest, GuestConfig
from vmtest.host import root as hostroot
from vmtest.images import rootfs_build

pytestmark = [pytest.mark.guest(rootfs="host", memory="1G", cpus=2, swap="zram:256M")]


@pytest.mark.long
class TestCommandsAsInTheImage:
    """What commands and their streams do, which has little to do with the root."""

    test_a_slow_command = staticmethod(test_boot.test_a_slow_command_is_killed_and_the_guest_goes_on)
    test_background_commands = staticmethod(test_boot.test_background_commands)
    test_check = staticmethod(test_boot.test_check_raises_with_the_streams)
    test_death_by_a_signal = staticmethod(test_boot.test_death_by_a_signal_is_128_and_its_number)
    test_eight_mebibytes = staticmethod(test_boot.test_eight_mebibytes_through_both_ways_come_back_identical)
    test_environment_and_directory = staticmethod(test_boot.test_environment_and_directory)
    test_many_at_once = staticmethod(test_boot.test_many_at_once)
    test_output_comes = staticmethod(test_boot.test_output_comes_while_the_command_runs)
    test_output_held_open = staticmethod(test_boot.test_output_held_open_is_explained)
    test_words = staticmethod(test_boot.test_words_are_not_a_shells)


#: In the project's directory, which is on the host's root, as /tmp would not be seen.
# Not below /tmp, which a guest has for itself; a checkout may be there.
HERE = Path("/var/tmp")


@pytest.fixture
def victim() -> Iterator[Path]:
    """A directory of the host with files in it."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HERE, prefix="host root.") as made:
        directory = Path(made)
        (directory / "file").write_text("the host's\n")
        (directory / "file").chmod(0o644)
        (directory / "gone").write_text("the host's\n")
        (directory / "deep").mkdir()
        (directory / "deep/link").symlink_to("../file")
        yield directory


def _state(directory: Path) -> dict[str, tuple[int, int, int, int, bytes]]:
    found = {}
    for path in sorted([directory, *directory.rglob("*")]):
        stat = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (stat.st_mode, stat.st_uid, stat.st_size, stat.st_mtime_ns, data)
    return found


def test_nothing_is_written_to_the_host(guest: Guest, victim: Path) -> None:
    before = _state(victim)
    script = """
        echo "the guest's" >>file && rm gone && mkdir new && mv deep moved && chmod 0600 file && chown 12:34 file &&
        touch -d @1 . && ln -s / new/root && mknod new/device c 1 3 && cat file && ls -R . && stat -c %a:%u file
    """
    result = guest.run(script, cwd=str(victim)).check()
    assert result.text.startswith("the host's\nthe guest's\n")
    assert "gone" not in result.text
    assert result.text.endswith("600:12\n")
    assert guest.run(["cat", str(victim / "file")]).text == "the host's\nthe guest's\n", (
        "it stays while the guest lives"
    )
    assert _state(victim) == before


def test_system_directories_are_written_in_memory_only(guest: Guest) -> None:
    before = Path("/etc/passwd").read_bytes()
    guest.run("echo guest >>/etc/passwd && rm -r /usr/lib/os-release && touch /root/new /new").check()
    assert guest.run("tail -n 1 /etc/passwd; ls /new").text == "guest\n/new\n"
    assert Path("/etc/passwd").read_bytes() == before
    assert Path("/usr/lib/os-release").exists()
    assert not Path("/new").exists()
    assert not Path("/root/new").exists()


def test_programs_are_the_hosts(guest: Guest) -> None:
    code = "import sys, json; print(sys.version, json.__file__)"
    python = str(Path(sys.executable).resolve())  # not the checkout's own
    here = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout
    assert guest.run([python, "-c", code]).check().text == here
    assert guest.run("sha256sum /bin/sh").text.split()[0] == _digest("/bin/sh")


def _digest(path: str) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def test_the_hosts_own_state_is_not_shown(guest: Guest) -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="vmtest-seen") as file:
        assert guest.run(["test", "-e", file.name]).returncode != 0
    assert (
        guest.run(["cat", "/proc/sys/kernel/random/boot_id"]).text
        != Path("/proc/sys/kernel/random/boot_id").read_text()
    )
    assert set(guest.run(["ls", "/run"]).text.split()) <= {"sshd", "sshd.pid", "utmp", "vmtest"}
    # Nobody is in a chroot, so that namespaces and whoever asks for it work as anywhere.
    assert guest.run("readlink /proc/1/root; unshare -Ur id -u").check().text == "/\n0\n"
    mounts = guest.run(["cat", "/proc/mounts"]).text
    assert "9p" not in mounts, "the layer below can only be reached on purpose"
    assert re.search(r"^root / overlay rw,", mounts, re.MULTILINE)


def test_a_command_finds_itself_at_home(guest: Guest) -> None:
    assert guest.run('pwd; echo "$HOME $SHELL $USER"').text == "/root\n/root /bin/sh root\n"


@pytest.fixture(scope="module")
def debian() -> Iterator[Path]:
    """A directory with a root file system, as debootstrap would leave it: the image's."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HERE) as made:
        directory = Path(made) / "root, of Debian"
        words = ["unsquashfs", "-quiet", "-no-progress", "-dest", str(directory), str(rootfs_build.obtain().image)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        (directory / "etc/marked").write_text("here\n")
        yield directory


def test_a_directory_as_root_and_what_is_below_its_layer(
    debian: Path, victim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hostroot, "TAG", "raw")
    raw = hostroot.qemu_arguments(str(victim))
    monkeypatch.undo()
    before = _state(victim)
    with Guest(GuestConfig(root=str(debian), memory="512M", cpus=1, qemu_args=tuple(raw)), artifacts=tmp_path) as guest:
        assert guest.run("cat /etc/marked; rm -r /etc /opt; ls /; pwd").text.splitlines()[0] == "here"
        assert guest.run(["python3", "-c", "print(1)"]).check().text == "1\n"
        assert (debian / "etc/marked").exists()
        # Below the layer as well: QEMU itself refuses, whatever a guest mounts.
        guest.run("mkdir /raw; mount -t 9p -o rw,trans=virtio,version=9p2000.L,cache=none raw /raw").check()
        assert guest.run(["cat", "/raw/file"]).text == "the host's\n"
        for attempt in ("echo x >file", "rm gone", "mkdir more", "chmod 0 file", "mv file other", "ln -s a b"):
            done = guest.run(attempt, cwd="/raw")
            assert done.returncode != 0, attempt
            assert "Read-only file system" in done.errors, attempt
        assert _state(victim) == before
        guest.poweroff()
