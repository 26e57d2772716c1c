# SPDX-License-Identifier: GPL-2.0-only
"""Nodes, processors and huge pages of a guest: values as users write them, and the arguments of QEMU and the kernel."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmtest import GuestConfig, HarnessError, specs
from vmtest.errors import InvalidInput
from vmtest.qemu import command_line
from vmtest.sizes import parse_size, shown
from vmtest.ssh import arrange

TIERS: dict[str, Any] = {"numa": 2, "numa_memory": "768M,256M", "numa_cpus": "2,0"}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"numa": 2, "numa_memory": "1G"}, ["numa_memory: '1G': names 1 nodes, numa is 2"]),
        ({"numa": 2, "numa_memory": "1G,1G"}, ["numa_memory: '1G,1G': adds up to 2G, memory is 1G", "make them equal"]),
        ({"numa": 2, "numa_memory": "0,1G"}, ["numa_memory: '0,1G':", "node 0", "128M"]),
        ({"numa": 2, "numa_cpus": "2,1"}, ["numa_cpus: '2,1': adds up to 3, cpus is 2"]),
        ({"numa": 2, "numa_cpus": "2,x"}, ["numa_cpus: '2,x':", "as in 2,0"]),
        ({"numa": 3}, ["numa: 3: ", "cpus (2)", "numa_cpus"]),
        ({"numa": 9, "cpus": 16}, ["numa: 9: is out of range; give 1 to 8"]),
        ({"numa": 2, "numa_distance": "0:2=30"}, ["numa_distance: '0:2=30':", "no node 2"]),
        ({"numa": 2, "numa_distance": "0:1"}, ["numa_distance: '0:1':", "as in 0:1=30"]),
        ({"numa": 2, "numa_distance": "0:0=20"}, ["numa_distance: '0:0=20':", "10 from itself"]),
        ({"numa": 2, "numa_distance": "0:1=255"}, ["numa_distance: '0:1=255':", "11 to 254"]),
        ({"memory_max": "512M"}, ["memory_max: '512M': is not above memory (1G)"]),
        ({"plug": ("5s:+128M",)}, ["plug: +128M of node 0 after 5 s", "give memory_max"]),
        ({"memory_max": "2G", "plug": ("5:+1G", "6:+2M")}, ["plug: +2M", "memory_max leaves (1G)"]),
        ({"memory_max": "2G", "plug": ("5:+1G", "4:-2M")}, ["plug: -2M of node 0 after 4 s", "0 are plugged by then"]),
        ({"memory_max": "2G", "plug": ("5:+1G@1",)}, ["there is no node 1; numa is 1"]),
        ({"memory_max": "2G", "plug": ("5:+3M",)}, ["plug: '3M': is not a multiple of 2M"]),
        ({"memory_max": "2G", "plug": ("+512M",)}, ["plug: '+512M':", "as in 10s:+512M"]),
        ({"hugepages": "2M"}, ["hugepages: '2M':", "as in 2M:64"]),
        ({"hugepages": "4M:2"}, ["hugepages size: '4M': is unknown; give one of 2M, 1G"]),
        ({"hugepages": "2M:500"}, ["hugepages: '2M:500': take 1000M of 1G", "128M besides"]),
        ({"hugepages": "2M:1,2M:2"}, ["gives 2M twice"]),
        ({"thp": "sometimes"}, ["thp: 'sometimes': is unknown; give one of always, madvise, never"]),
        ({"cgroups": ("a b",)}, ["cgroup: 'a b':", "box:memory.max=256M"]),
        ({"cgroups": ("../x:memory.max=1",)}, ["cgroup: '../x:memory.max=1':"]),
        ({"cgroups": ("x:memory=1",)}, ["cgroup x: 'memory=1': is not valid; give FILE=VALUE"]),
        ({"cgroups": ("x:memory.max=",)}, ["cgroup x: 'memory.max='"]),
        ({"cgroups": ("x", "x:memory.max=1M")}, ["cgroup: 'x': is given twice"]),
        ({"in_cgroup": "x"}, ["in_cgroup: 'x':", "the guest has none"]),
        ({"cgroups": ("y",), "in_cgroup": "x"}, ["in_cgroup: 'x':", "it has y"]),
    ],
)
def test_refused_in_one_line(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(HarnessError) as caught:
        GuestConfig(**fields)
    assert caught.value.exit_code == 2
    assert len(str(caught.value).splitlines()) == 1
    for word in words:
        assert word in str(caught.value)


def test_a_node_without_processors_and_distances(parts: command_line.Parts) -> None:
    words = command_line.build(GuestConfig(**TIERS, numa_distance="0:1=30"), parts)
    text = " ".join(words)
    assert "size=768M -numa node,nodeid=0,memdev=memory0,cpus=0-1 " in text
    assert "size=256M -numa node,nodeid=1,memdev=memory1 " in text
    assert "-numa dist,src=0,dst=1,val=30 -numa dist,src=1,dst=0,val=30 " in text
    assert words[words.index("-smp") + 1] == "2,sockets=1,cores=2,threads=1"


def test_one_way_that_differs_and_pairs_that_are_not_given(parts: command_line.Parts) -> None:
    config = GuestConfig(numa=3, cpus=3, numa_distance="0:1=30,1:0=40")
    assert {(a, b): d for a, b, d in config.layout.distances} == {
        (0, 1): 30,
        (1, 0): 40,
        (0, 2): 20,
        (2, 0): 20,
        (1, 2): 20,
        (2, 1): 20,
    }
    assert GuestConfig(numa=3, cpus=3).layout.distances == ()


def test_memory_that_may_grow(parts: command_line.Parts) -> None:
    words = command_line.build(GuestConfig(memory="512M", memory_max="1100M", numa=2), parts)
    assert words[words.index("-m") + 1] == f"512M,maxmem={512 + 2 * 640}M"
    devices = [word for word in words if word.startswith("virtio-mem-pci")]
    assert [word.partition(",node=")[2] for word in devices] == ["0,requested-size=0", "1,requested-size=0"]
    # What is fixed to slots 2 to 8 is created after them.
    assert all("addr=0x1" in word for word in devices)
    assert "size=640M,reserve=off" in " ".join(words), "whole blocks of 128 MiB"
    assert "memhp_default_state=online_movable" in words[words.index("-append") + 1]
    plain = command_line.build(GuestConfig(), parts)
    assert plain[plain.index("-m") + 1] == "1024M"
    assert "virtio-mem" not in " ".join(plain)
    assert "memhp" not in plain[plain.index("-append") + 1]


def test_the_host_must_hold_what_memory_may_become() -> None:
    with pytest.raises(HarnessError, match="memory_max: '999T': does not fit"):
        command_line.check_memory(GuestConfig(memory_max="999T"))


def test_kernel_words_of_huge_pages_come_before_the_callers_own(parts: command_line.Parts) -> None:
    config = GuestConfig(hugepages="2M:64,1G:1", memory="2G", thp="never", append="transparent_hugepage=always")
    assert command_line.kernel_command_line(config).endswith(
        "hugepagesz=2M hugepages=64 hugepagesz=1G hugepages=1 transparent_hugepage=never transparent_hugepage=always"
    )


def test_a_dump_needs_a_machine_that_stops(parts: command_line.Parts) -> None:
    assert "-no-shutdown" in command_line.build(GuestConfig(dump_on_panic=True), parts)
    assert "-no-shutdown" not in command_line.build(GuestConfig(), parts)


def test_cgroup_values_keep_their_commas() -> None:
    group = specs.Cgroup.parse("a/b:cpuset.cpus=0,2,memory.max=256M,cpu.max=50000 100000,cgroup.freeze=0")
    assert group.files == (
        ("cpuset.cpus", "0,2"),
        ("memory.max", "256M"),
        ("cpu.max", "50000 100000"),
        ("cgroup.freeze", "0"),
    )
    assert group.controllers == ("cpuset", "memory", "cpu")


def test_nothing_to_arrange_is_no_command() -> None:
    assert arrange.script(GuestConfig()) == ""


def test_what_is_arranged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrange, "CGROUPS", str(tmp_path))
    config = GuestConfig(cgroups=("a/b:memory.max=1M,pids.max=3",))

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["sh", "-c", arrange.script(config)], capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no control groups of version 2" in done.stderr
    (tmp_path / "cgroup.controllers").write_text("memory pids\n")
    assert run().returncode == 0
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+pids\n", "asked one by one"
    assert (tmp_path / "a/b/memory.max").read_text() == "1M\n"
    (tmp_path / "a/b/pids.max").unlink()
    (tmp_path / "a/b/pids.max").mkdir()
    done = run()
    assert done.returncode == 1
    assert "pids.max=3 was refused" in done.stderr


@given(st.integers(1, 1 << 50))
def test_sizes_are_shown_exactly(size: int) -> None:
    assert parse_size(shown(size), "x") == size


@given(st.text(max_size=12))
def test_any_text_is_a_step_or_refused_in_one_line(text: str) -> None:
    try:
        assert specs.Step.parse(text).bytes % specs.PIECE == 0
    except InvalidInput as error:
        assert str(error).startswith("plug: ")
