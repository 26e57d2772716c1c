# SPDX-License-Identifier: GPL-2.0-only
"""What is arm64's own in a guest: the machine, the accessed flag by hardware, SysRq on its serial line, its image."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.vm.checks import complaints
from tests.vm.job import PROJECT, PYTHON
from tests.waiting import HANG_S, until
from vmtest import Guest, GuestConfig, GuestLost
from vmtest.errors import Verdict
from vmtest.images import features, variants

Trees = tuple[tuple[str, str], ...]
KERNEL = "page-idle-arm64"
pytestmark = [
    pytest.mark.arm64,
    pytest.mark.guest(kernel=KERNEL, memory="1G", cpus=2, numa=2, swap="zram:256M"),
]


def test_the_machine_follows_from_the_kernel(guest: Guest) -> None:
    assert guest.run(["uname", "-m"]).text.strip() == "aarch64"
    assert guest.accelerator == "tcg"
    assert guest.run("cat /sys/class/tty/console/active").text.strip() == "ttyAMA0"
    assert guest.run("cat /proc/interrupts | grep -c GICv3").text.strip() != "0"
    assert complaints(guest) == []


def test_the_processor_sets_the_accessed_flag_and_the_kernel_lets_it(guest: Guest) -> None:
    """FEAT_HAFDBS is in use on every processor: the kernel says so only after it has turned it on."""
    said = guest.run("dmesg | grep 'CPU features: detected: Hardware dirty bit management'").text
    assert said.strip(), "the accessed flag would be set by a fault"
    built = variants.variant(KERNEL).find()
    assert built is not None
    assert features.feature("hardware-accessed").missing(features.read(built.config)) == []


def _touched(guest: Guest) -> tuple[int, int, int]:
    said = guest.run([PYTHON, "-m", "tests.vm.guest.accessed"], cwd=PROJECT, timeout=HANG_S).check().text
    pages, seen, faults = json.loads(said)
    return pages, seen, faults


def test_touching_an_idle_page_is_no_fault(guest: Guest, guest_trees: Trees, guest_env: dict[str, str]) -> None:
    """And is one on a processor without FEAT_HAFDBS, on the same kernel, where the flag is seen all the same."""
    pages, seen, faults = _touched(guest)
    assert (pages, seen) == (512, 512)
    assert faults < 20
    old = GuestConfig(kernel=KERNEL, trees=guest_trees, env=guest_env, qemu_args=("-cpu", "cortex-a57"))
    with Guest(old) as other:
        assert "Hardware dirty bit" not in other.run("dmesg").text
        pages, seen, faults = _touched(other)
    assert (pages, seen) == (512, 512)
    assert faults > 480


def test_nodes_have_memory_and_processors(guest: Guest) -> None:
    nodes = guest.run("cat /sys/devices/system/node/has_normal_memory /sys/devices/system/node/has_cpu")
    assert nodes.text.split() == ["0-1", "0-1"]


def test_the_helper_and_the_workload_are_of_its_architecture(guest: Guest) -> None:
    code = "from damon.native import LIBRARY; print(open(LIBRARY, 'rb').read(20)[18])"
    assert guest.run([PYTHON, "-c", code]).check().text.strip() == "183"
    assert guest.run(f"{PROJECT}/damon/native/bin/damon-workload 2>&1 </dev/null").returncode != 126


def test_byte_code_in_the_image_is_what_its_python_takes(guest: Guest) -> None:
    code = "import sys, importlib.util; sys.path.insert(0, '/opt/vmtest/site'); import argparse, yaml, rich"
    said = guest.run([PYTHON, "-v", "-c", code]).errors
    assert "matches" in said
    stale = [line for line in said.splitlines() if "wrote" in line or "bad m" in line]
    assert stale == []


def test_break_and_a_letter_reach_the_kernel(guest: Guest) -> None:
    guest.sysrq("m")
    until(lambda: "sysrq: Show Memory" in guest.console_text, "the kernel did not take the break for SysRq")


def test_a_panic_is_told_with_its_trace_and_poweroff_is_one() -> None:
    with Guest(GuestConfig(kernel=KERNEL, memory="256M")) as other, pytest.raises(GuestLost) as caught:
        other.run("echo c > /proc/sysrq-trigger")
    assert caught.value.verdict is Verdict.PANIC
    # (panic never returns, so the return address of who called it lies in the next function.)
    assert "write_sysrq_trigger" in caught.value.excerpt
    with Guest(GuestConfig(kernel=KERNEL, memory="256M", cpus=1)) as other:
        other.poweroff()
        assert other.lost is not None
        assert other.lost.verdict is Verdict.POWERED_OFF


def test_exec_needs_no_word_of_it() -> None:
    words = [sys.executable, "-m", "vmtest.cli", "exec", "--kernel", KERNEL, "--memory", "256M", "--", "uname", "-m"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "aarch64\n"), done.stderr
