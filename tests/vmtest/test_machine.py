# SPDX-License-Identifier: GPL-2.0-only
"""QEMU's command line and the seed disk: what a guest is given, without starting one."""

from __future__ import annotations

import dataclasses
import io
import os
import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from vmtest import GuestConfig, Tree
from vmtest.errors import InvalidInput, MachineLacks
from vmtest.qemu import command_line, machine_type
from vmtest.ssh import seed
from vmtest.ssh.keys import KeyPair


def _value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


def test_command_line(parts: command_line.Parts) -> None:
    words = command_line.build(GuestConfig(memory="1536M", cpus=4, append="quiet damon.x=1"), parts)
    assert _value(words, "-m") == "1536M"
    assert _value(words, "-smp").startswith("4,")
    assert _value(words, "-accel").startswith("tcg,thread=multi")
    # The caller's words come last: the kernel takes the last of two.
    assert _value(words, "-append").endswith("no_timer_check quiet damon.x=1")
    assert "root,,1.squashfs" in _value(words, "-drive"), "QEMU ends a value at a single comma"
    assert "readonly=on" in _value(words, "-drive")
    for option in ("-nodefaults", "-no-user-config", "-no-reboot"):
        assert option in words


def test_counted_instructions_are_the_clock(parts: command_line.Parts) -> None:
    words = command_line.build(GuestConfig(icount=3), parts)
    assert _value(words, "-icount") == "shift=3,sleep=on"
    assert _value(words, "-accel").startswith("tcg,thread=single"), "processors take turns, or QEMU refuses"
    skipping = command_line.build(GuestConfig(icount=3, skip_idle=True), parts)
    assert _value(skipping, "-icount") == "shift=3,sleep=off"
    assert "-icount" not in command_line.build(GuestConfig(), parts)


def test_nothing_but_the_loopback_listens(parts: command_line.Parts) -> None:
    network = _value(command_line.build(GuestConfig(), parts), "-netdev")
    assert "restrict=on" in network
    assert "hostfwd=tcp:127.0.0.1:0-" in network


@pytest.mark.parametrize(("cpus", "numa"), [(2, 2), (4, 2), (3, 2), (5, 3)])
def test_numa_nodes_share_out_all_memory_and_processors(parts: command_line.Parts, cpus: int, numa: int) -> None:
    words = command_line.build(GuestConfig(memory="1025M", cpus=cpus, numa=numa), parts)
    sizes = [int(word.rpartition("size=")[2].rstrip("M")) for word in words if word.startswith("memory-backend-ram")]
    assert sum(sizes) == 1025
    ranges = [word.rpartition("cpus=")[2].split("-") for word in words if word.startswith("node,")]
    covered = [cpu for first, last in ranges for cpu in range(int(first), int(last) + 1)]
    assert covered == list(range(cpus))


def test_a_guest_that_does_not_fit_is_refused() -> None:
    with pytest.raises(MachineLacks, match=r"memory: '999T': does not fit: .* are available; give the guest less"):
        command_line.check_memory(GuestConfig(memory="999T"))


def test_settings_are_shell_with_what_was_configured() -> None:
    config = GuestConfig(swap="zram:64M:zstd", shares=(("/etc", "/mnt/a"), ("/usr", "/mnt/b")))
    script = seed.settings(config) + 'printf "%s|%s|%s|%s" "$SWAP_KIND" "$SWAP_BYTES" "$SWAP_ALGORITHM" "$SHARES"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"zram|{64 << 20}|zstd|share0:/mnt/a share1:/mnt/b"


def test_seed_disk(tmp_path: Path) -> None:
    tree = tmp_path / "project"
    (tree / "sub/.git").mkdir(parents=True)
    (tree / "sub/__pycache__").mkdir()
    (tree / "build").mkdir()
    (tree / "sub/build").mkdir()
    (tree / "sub/run.sh").write_text("#!/bin/sh\n")
    (tree / "sub/run.sh").chmod(0o755)
    (tree / "sub/link").symlink_to("run.sh")
    if os.getuid() == 0:
        os.chown(tree / "sub/run.sh", 1234, 1234)
    os.utime(tree / "sub/run.sh", ns=(0, 1_700_000_000_750_000_000))
    disk = tmp_path / "seed.tar"
    seed.write(disk, {"host_key": ("secret", 0o600)}, [Tree(tree, "/opt/project")])
    assert disk.stat().st_mode & 0o777 == 0o600
    assert disk.stat().st_size % seed.SECTOR == 0
    with tarfile.open(disk) as archive:
        entries = {entry.name: entry for entry in archive}
    assert set(entries) == {
        "run/vmtest/host_key",
        "opt/project",
        "opt/project/sub",
        "opt/project/sub/build",
        "opt/project/sub/run.sh",
        "opt/project/sub/link",
    }
    assert entries["run/vmtest/host_key"].mode == 0o600
    assert entries["opt/project/sub/run.sh"].mode & 0o111
    assert entries["opt/project/sub/link"].linkname == "run.sh"
    assert {entry.uid for entry in entries.values()} == {0}
    # Python looks for whole seconds, rounded down, in the byte code of a source.
    assert entries["opt/project/sub/run.sh"].mtime == 1_700_000_000


def test_what_a_tree_leaves_out(tmp_path: Path) -> None:
    """A name at any depth; with a slash in front, a path from the top of the tree."""
    for name in ("data/big.bin", "sub/data/big.bin", "sub/one.log", "keep.txt", "docs/a/b.md", "sub/docs/c.md"):
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    disk = tmp_path / "tree.tar"
    with tarfile.open(disk, "w") as archive:
        seed.add_tree(archive, tmp_path / "tree", "t", ("*.log", "/data", "/docs/a/b*"))
    with tarfile.open(disk) as archive:
        files = {entry.name for entry in archive if entry.isfile()}
    assert files == {"t/keep.txt", "t/sub/data/big.bin", "t/sub/docs/c.md"}


def test_keys_are_fresh_and_readable_by_openssh(tmp_path: Path) -> None:
    first, second = KeyPair.fresh(), KeyPair.fresh()
    assert first.private != second.private
    assert first.public_line.startswith("ssh-ed25519 ")
    assert io.StringIO(first.private).readline() == "-----BEGIN OPENSSH PRIVATE KEY-----\n"


def test_the_shell_around_a_command_tells_deaths_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vmtest.ssh import process

    monkeypatch.setattr(process, "JOBS", str(tmp_path))
    cases: list[tuple[str | list[str], int, bytes, bytes]] = [
        (["true"], 0, b"", b""),
        (["sh", "-c", "exit 200"], 200, b"", b""),
        ("kill -TERM $$", 143, b"", b""),
        ("kill -KILL $$", 137, b"", b""),
        ("kill -SEGV $$", 139, b"", b""),
        ("printf out; printf err >&2; exit 3", 3, b"out", b"err"),
        (["printf", "%s", "a b'c\"d$e\n"], 0, b"a b'c\"d$e\n", b""),
    ]
    for command, code, out, err in cases:
        done = subprocess.run(
            ["sh", "-c", process.script(command, "1", {"X": "a'b"}, None)], capture_output=True, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (code, out, err), command
        assert not list(tmp_path.iterdir()), "the job's mark is removed"
    shown = subprocess.run(
        ["sh", "-c", process.script("echo $X; pwd", "1", {"X": "a'b"}, "/usr")], capture_output=True, check=False
    )
    assert shown.stdout == b"a'b\n/usr\n"
    gone = subprocess.run(["sh", "-c", process.script("true", "1", {}, "/no/such")], capture_output=True, check=False)
    assert gone.returncode == 126
    assert shlex.quote("/no/such") in gone.stderr.decode()


def test_which_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / machine_type.FIRMWARE).touch()
    monkeypatch.setattr(machine_type, "DIRECTORIES", (tmp_path / "none", tmp_path))
    assert machine_type.choose(GuestConfig()) is machine_type.LIGHT
    assert machine_type.choose(GuestConfig(numa=2)) is machine_type.Q35, "it has nodes"
    assert machine_type.choose(GuestConfig(memory_max="2G")) is machine_type.Q35, "and memory that comes"
    assert machine_type.choose(GuestConfig(machine="q35")) is machine_type.Q35
    for asked in ({"numa": 2}, {"memory_max": "2G"}):
        with pytest.raises(InvalidInput, match=r"machine: 'light': has no .*; give machine q35, or auto"):
            GuestConfig(machine="light", **asked)
    with pytest.raises(InvalidInput, match="machine: 'microvm': is unknown; give one of auto, light, q35"):
        GuestConfig(machine="microvm")
    monkeypatch.setattr(machine_type, "DIRECTORIES", (tmp_path / "none",))
    assert machine_type.choose(GuestConfig()) is machine_type.Q35, "where QEMU came without that firmware"


def test_memory_of_a_snapshot_is_written_once_and_then_copied(parts: command_line.Parts) -> None:
    def object_(state: Path | None) -> tuple[str, bool]:
        files = command_line.SnapshotFiles(Path("/c/a,b/memory"), state)
        words = command_line.build(GuestConfig(snapshot=True), dataclasses.replace(parts, snapshot=files))
        assert "vmtest.hold" in _value(words, "-append").split()
        return _value(words, "-object"), "-incoming" in words

    kept = "memory-backend-file,id=memory0,size=1024M,mem-path=/c/a,,b/memory0,share="
    assert object_(None) == (f"{kept}on", False)
    assert object_(Path("/c/state")) == (f"{kept}off", True)


@pytest.mark.parametrize("other", [{"memory_max": "2G"}, {"root": "host"}])
def test_what_a_snapshot_cannot_have(other: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"^snapshot, {next(iter(other))}: "):
        GuestConfig(snapshot=True, **other)
