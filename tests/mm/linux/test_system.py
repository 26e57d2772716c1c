# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel says as text, what is missing on a system, and the machine's own bookkeeping."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import DamonError, MissingCapability
from damon.mm.linux import LinuxMachine, inject, native, parse
from damon.mm.linux.capabilities import BITMAP, Capabilities
from damon.mm.linux.native import Files, Mappings
from damon.model.arrays import U8, Batch, Buffer, RegionArray
from damon.model.context import DamonCtx
from damon.model.machine import Advice, Machine, SwapStat
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.buffers import addresses
from tests.files import lay
from tests.mm.linux.dictated import ANON
from tests.mm.linux.fake import FakeKernel, present, write_u64
from tests.page_flags import KPF_LRU

IOMEM = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000f0000-000fffff : System ROM
00100000-3ffdffff : System RAM
  01000000-01ffffff : Kernel code
  02000000-021fffff : System RAM
100000000-13fffffff : CXL Window 0
  100000000-13fffffff : dax0.0
    100000000-11fffffff : System RAM (kmem)
fec00000-fec003ff : IOAPIC 0
"""


def test_system_ram_is_what_the_kernel_walks() -> None:
    assert parse.system_ram(IOMEM) == [(0x1000, 0x9FC00), (0x100000, 0x3FFE0000), (0x100000000, 0x120000000)]


def test_pressure() -> None:
    text = "some avg10=0.00 avg60=0.12 avg300=0.00 total=123456\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=99\n"
    assert parse.psi_some_us(text) == 123456
    assert parse.psi_some_us("") == 0


def test_pages_on_lists() -> None:
    text = "nr_inactive_anon 1\nnr_active_anon 20\nnr_inactive_file 300\nnr_active_file 4000\nnr_unevictable 50000\n"
    assert parse.lru_pages(text) == (4020, 301)


def test_swaps() -> None:
    """By priority, and whatever a file is called."""
    head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    text = f"{head}/swap\\040file\\040(deleted)  file\t\t2048\t\t12\t\t-2\n/dev/zram0  partition\t1024\t\t0\t\t100\n"
    assert parse.swaps(text) == [SwapStat(100, 1 << 20, 0), SwapStat(-2, 2 << 20, 12 << 10)]
    assert parse.swaps(head) == parse.swaps("") == []


MAPS = b"""\
55e4c8a00000-55e4c8a02000 r--p 00000000 fe:00 1234   /usr/bin/a - b
7ffd1000-7ffd3000 rw-p 00000000 00:00 0              [stack]
7fffb4df4000-7fffb4df8000 r--p 00000000 00:00 0      [vvar]
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
"""


def parse_maps(text: bytes, room: int = 64) -> list[tuple[int, int]]:
    rows = (ctypes.c_uint64 * (2 * room))()
    nr = native.maps_parse(text, len(text), ctypes.addressof(rows), room)
    return [(rows[2 * i], rows[2 * i + 1]) for i in range(min(nr, room))]


def test_maps_have_every_mapping_but_vsyscall() -> None:
    expected = [(0x55E4C8A00000, 0x55E4C8A02000), (0x7FFD1000, 0x7FFD3000), (0x7FFFB4DF4000, 0x7FFFB4DF8000)]
    assert parse_maps(MAPS) == expected


@given(
    ranges=st.lists(st.tuples(st.integers(0, 1 << 46), st.integers(1, 1 << 40))),
    name=st.sampled_from(["", "/a b", "[heap]", "/x\\012-y"]),
    newline=st.booleans(),
)
def test_maps_of_any_ranges(ranges: list[tuple[int, int]], name: str, newline: bool) -> None:
    text = "".join(f"{a << 12:08x}-{(a + b) << 12:08x} rw-p 00000000 00:00 0 {name}\n" for a, b in ranges).encode()
    text = text if newline else text.rstrip(b"\n")
    assert parse_maps(text, len(ranges) + 1) == [(a << 12, (a + b) << 12) for a, b in ranges]


def test_more_maps_than_fit_at_first(tmp_path: Path) -> None:
    ranges = [(16 * i << 12, (16 * i + 3) << 12) for i in range(1, 3000)]
    (tmp_path / "maps").write_text("".join(f"{a:x}-{b:x} rw-p 00000000 00:00 0\n" for a, b in ranges))
    directory = os.open(tmp_path, os.O_RDONLY)
    assert Mappings.empty().read(Files(), directory) == ranges
    os.close(directory)


def test_free_memory_is_what_the_kernel_says() -> None:
    free, total = native.free_mem()
    stated = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    assert total == int(stated["MemTotal"].split()[0]) // 4
    assert 0 < free < total


# What is missing


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """A system that lacks nothing but the page frame numbers, which no ordinary file can make up."""
    swaps = "Filename Type Size Used Priority\n/dev/zram0 partition 1024 0 100\n"
    status = "Name:\tx\nCapEff:\t000001ffffffffff\n"
    lay(tmp_path / "proc", {"self/status": status, "self/pagemap": "", "iomem": IOMEM, "swaps": swaps})
    return lay(tmp_path, {"proc/kpageflags": bytes(64), f"sys/{BITMAP}": bytes(64)})


def require(system: Path, ops: str, actions: list[str], there: bool = True) -> str:
    checks = Capabilities(system / "proc", system / "sys", lambda: there, lambda: there)
    checks._frames_shown = lambda: None  # type: ignore[method-assign]
    try:
        checks.require(ops, actions)
    except MissingCapability as error:
        return str(error)
    return ""


def test_nothing_is_missing(system: Path) -> None:
    assert require(system, "paddr", ["pageout", "lru_prio", "lru_deprio", "stat"]) == ""
    assert require(system, "vaddr", ["cold", "willneed", "collapse", "pageout"]) == ""


@pytest.mark.parametrize(
    ("mask", "actions", "named"),
    [
        (0, [], "CAP_SYS_ADMIN"),
        (1 << 21, [], "CAP_SYS_PTRACE"),
        (1 << 21 | 1 << 19, ["pageout"], "CAP_SYS_NICE"),
    ],
)
def test_privileges(system: Path, mask: int, actions: list[str], named: str) -> None:
    (system / "proc/self/status").write_text(f"CapEff:\t{mask:016x}\n")
    message = require(system, "paddr", actions)
    assert named in message
    assert "\n" not in message
    assert "root" in message


@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ("sys/" + BITMAP, "CONFIG_IDLE_PAGE_TRACKING"),
        ("proc/kpageflags", "kpageflags"),
        ("proc/self/pagemap", "pagemap"),
        ("proc/iomem", "iomem"),
    ],
)
def test_missing_file(system: Path, gone: str, named: str) -> None:
    (system / gone).unlink()
    assert named in require(system, "paddr", [])


def test_swap_is_needed_for_anonymous_memory_only(system: Path) -> None:
    (system / "proc/swaps").write_text("Filename Type Size Used Priority\n")
    assert "swapon" in require(system, "paddr", ["pageout"])
    assert require(system, "paddr", ["pageout:file"]) == ""
    assert require(system, "paddr", ["lru_deprio"]) == ""


def test_old_kernel(system: Path) -> None:
    assert "process_madvise" in require(system, "paddr", ["pageout:file"], there=False)
    assert "process_vm_readv" in require(system, "paddr", ["lru_prio"], there=False)
    assert require(system, "paddr", ["stat"], there=False) == ""


def test_advice_that_only_the_process_itself_can_take(system: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inject, "MACHINES", ("sparc64",))
    assert "nohugepage" in require(system, "vaddr", ["nohugepage"])
    monkeypatch.setattr(inject, "MACHINES", (os.uname().machine,))
    assert require(system, "vaddr", ["nohugepage"]) == ""


def test_hidden_frames_and_addresses(system: Path) -> None:
    with pytest.raises(MissingCapability, match=r"pagemap: hides page frame numbers"):
        Capabilities(system / "proc", system / "sys").require("vaddr", [])
    machine = LinuxMachine(proc=system / "proc", sys=system / "sys")
    assert len(machine.system_ram()) == 3
    (system / "proc/iomem").write_text("00000000-00000000 : System RAM\n")
    with pytest.raises(MissingCapability, match="iomem: hides its addresses"):
        machine.system_ram()


def test_this_kernel_has_the_system_calls() -> None:
    checks = Capabilities(Path("/proc"), Path("/sys"))
    assert checks._process_madvise()
    assert checks._process_vm_readv()


# The machine


@pytest.fixture
def machine(system: Path) -> Iterator[LinuxMachine]:
    places = system / "proc", system / "sys"
    with LinuxMachine(*places, pidfd_open=lambda pid: os.pidfd_open(os.getpid())) as made:
        yield made


def test_machine_is_a_machine(machine: LinuxMachine) -> None:
    typed: Machine = machine
    assert typed.name == "linux"
    assert sum(machine.counters().values()) == 0
    machine.files()
    assert machine.files().kpagecgroup == -1


def test_files_are_opened_late_and_closed(system: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    machine = LinuxMachine(proc=system / "proc", sys=system / "sys")
    assert len(os.listdir("/proc/self/fd")) == before
    (system / "sys" / BITMAP).unlink()
    with pytest.raises(MissingCapability, match=r"^file: .*/page_idle/bitmap: No such file"):
        machine.files()
    assert len(os.listdir("/proc/self/fd")) == before
    (system / "sys" / BITMAP).write_bytes(bytes(8))
    machine.files()
    machine.psi_some_us()
    assert len(os.listdir("/proc/self/fd")) > before
    machine.close()
    machine.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_pressure_accounting_may_be_off(system: Path, machine: LinuxMachine) -> None:
    assert machine.psi_some_us() == 0
    (system / "proc/pressure").mkdir()
    (system / "proc/pressure/memory").write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n")
    with closing(LinuxMachine(proc=system / "proc", sys=system / "sys")) as other:
        assert other.psi_some_us() == 7


@pytest.mark.parametrize("pid", [0, -1, 4_000_000, 1 << 40])
def test_no_such_process(machine: LinuxMachine, pid: int) -> None:
    with pytest.raises(DamonError, match=rf"^pid: {pid}: no process has it") as caught:
        machine.open_process(pid)
    assert caught.value.errno == errno.EINVAL


def test_process_space_follows_exec_and_exit(system: Path, machine: LinuxMachine) -> None:
    """A pagemap that reads as empty belongs to memory that is gone: it is opened again, once."""
    kernel = FakeKernel(system, [])
    write_u64(system / "proc/kpageflags", [ANON] * 64)
    (kernel.proc / "5").mkdir()
    (kernel.proc / "5/stat").write_text("")
    pagemap = kernel.process(5, [(0, 8)], {1: present(10), 2: present(11)})
    bitmap = system / "sys" / BITMAP
    with closing(machine.open_process(5)) as space:
        assert space.mappings() == [(0, 8 << 12)]
        addrs, out = addresses([1 << 12, 2 << 12, 3 << 12]), Buffer(U8)
        batch = space.mkold(addrs, 3)
        assert bitmap.read_bytes()[:8] == (3 << 10).to_bytes(8, "little")
        bitmap.write_bytes((1 << 10).to_bytes(8, "little"))
        space.young(batch, out)
        assert [out[i] for i in range(3)] == [0, 1, 0]
        pagemap.rename(pagemap.with_name("old"))
        os.truncate(pagemap.with_name("old"), 0)
        kernel.process(5, [(0, 8)], {1: present(20)})  # exec: new memory
        space.mkold(addrs, 3)
        assert bitmap.read_bytes()[:8] == (1 << 20).to_bytes(8, "little")
        (kernel.proc / "5/pagemap").unlink()
        (kernel.proc / "5/maps").unlink()
        space._reopen()
        batch = space.mkold(addrs, 3)
        out[0] = out[1] = out[2] = 7
        space.young(batch, out)
        assert [out[i] for i in range(3)] == [0, 0, 0]
        assert space.mappings() == []
    space.close()
    assert not space.alive()
    assert space.madvise(0, 4096, Advice.COLD) == -errno.ESRCH
    kernel.close()


def test_a_zombie_is_alive_until_reaped() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.DEVNULL)
    pidfd = os.pidfd_open(child.pid)
    os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOWAIT)
    assert native.pidfd_alive(pidfd) == 0
    child.wait()
    assert native.pidfd_alive(pidfd) == -errno.ESRCH
    os.close(pidfd)


def test_young_needs_a_batch_made_old_before(machine: LinuxMachine) -> None:
    with pytest.raises(ValueError, match="of the same space"):
        machine.phys.young(Batch(addresses([0]), 1), Buffer(U8))


def test_contexts_share_the_space_without_mixing_their_batches(system: Path, machine: LinuxMachine) -> None:
    write_u64(system / "proc/kpageflags", [KPF_LRU] * 512)
    (system / "sys" / BITMAP).write_bytes(bytes(64))
    first, second, out = addresses([1 << 12]), addresses([70 << 12, 200 << 12]), Buffer(U8)
    batches = machine.phys.mkold(first, 1), machine.phys.mkold(second, 2)
    machine.phys.young(batches[0], out)
    assert out[0] == 0
    (system / "sys" / BITMAP).write_bytes(bytes(64))
    machine.phys.young(batches[1], out)
    assert [out[0], out[1]] == [1, 1]


@pytest.mark.parametrize("nr", [65, 1000])
def test_any_number_of_targets_is_sampled_at_the_same_time(system: Path, machine: LinuxMachine, nr: int) -> None:
    """Each target's page is made old before the first one is asked about; every third is accessed meanwhile."""
    write_u64(system / "proc/kpageflags", [KPF_LRU] * nr)
    (system / "sys" / BITMAP).write_bytes(bytes(8 * (nr // 64 + 1)))
    ctx = DamonCtx(machine=machine, ops=Paddr())
    ctx.targets = [DamonTarget(regions=RegionArray([(pfn << 12, pfn + 1 << 12)])) for pfn in range(nr)]
    ctx.ops.prepare_access_checks(ctx)
    accessed = sum(1 << pfn for pfn in range(0, nr, 3))
    idle = (1 << nr) - 1 & ~accessed
    (system / "sys" / BITMAP).write_bytes(idle.to_bytes(8 * (nr // 64 + 1), "little"))
    assert ctx.ops.check_accesses(ctx) == 1
    assert [target.regions[0].nr_accesses for target in ctx.targets] == [int(pfn % 3 == 0) for pfn in range(nr)]


def test_a_batch_of_another_space_is_refused(system: Path, machine: LinuxMachine) -> None:
    write_u64(system / "proc/kpageflags", [KPF_LRU] * 64)
    with closing(LinuxMachine(proc=system / "proc", sys=system / "sys")) as other:
        batch = other.phys.mkold(addresses([0]), 1)
        with pytest.raises(ValueError, match="of the same space"):
            machine.phys.young(batch, Buffer(U8))
