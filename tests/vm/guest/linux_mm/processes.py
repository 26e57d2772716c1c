# SPDX-License-Identifier: GPL-2.0-only
"""Processes as they are: their mappings, their advice, their end; and what the machine says of itself."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from damon.errors import MissingCapability
from damon.mm.linux import LinuxMachine
from damon.model.arrays import FOLIO_PASS
from damon.model.machine import Advice
from tests.buffers import addresses, young
from tests.page_flags import KPF_THP
from tests.vm.guest.linux_mm.stage import PAGE, check, filled, machine, passing, victim


@check
def mappings_are_those_of_maps() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        space = ours.open_process(other.pid)
        lines = Path(f"/proc/{other.pid}/maps").read_text().splitlines()
        expected = [
            tuple(int(edge, 16) for edge in line.split()[0].split("-")) for line in lines if "[vsyscall]" not in line
        ]
        assert list(space.mappings()) == expected
        assert any("[vdso]" in line for line in lines)
        begin = time.thread_time()
        for _ in range(20):
            space.mappings()
        return {"mappings": len(expected), "us": (time.thread_time() - begin) / 20 * 1e6}


@check
def advice_as_madvise_has_it() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        space = ours.open_process(other.pid)
        maps = space.mappings()
        hole = next(end for (_, end), (start, _) in zip(maps, maps[1:], strict=False) if start > end)
        assert space.madvise(hole, PAGE, Advice.COLD) == -errno.ENOMEM
        assert space.madvise(other.base + 1, PAGE, Advice.COLD) == -errno.EINVAL
        assert space.madvise(other.base, 0, Advice.COLD) == 0
        assert space.madvise(other.base, other.pages * PAGE, Advice.COLD) == 0
        assert space.madvise(other.base, other.pages * PAGE, Advice.PAGEOUT) == 0
        gone = other.pages - other.present()
        assert space.madvise(other.base, other.pages * PAGE, Advice.WILLNEED) == 0
        reserved = int(other.tell("reserve 5"))
        assert space.madvise(reserved, 5 << 30, Advice.COLD) == 0  # more than one call takes
        other.tell(f"write 0 {other.pages} 1")
        collapsed = space.madvise(other.base, other.pages * PAGE, Advice.COLLAPSE)
        assert collapsed == 0, os.strerror(-collapsed)
        huge = sum(bool(flags & KPF_THP) for flags in other.flags())
        assert gone >= 0.95 * other.pages
        assert huge == other.pages
        return {"gone": gone, "huge": huge}


@check
def advice_that_a_process_gives_itself() -> dict[str, Any]:
    """By smaps: VmFlags hg and nh, and AnonHugePages once the memory is used; the process answers as before."""
    with victim(8) as other, machine() as ours:
        space = ours.open_process(other.pid)
        length = other.pages * PAGE
        seen = []
        for advice in (Advice.NOHUGEPAGE, Advice.HUGEPAGE):
            assert space.madvise(other.base, length, advice) == 0
            seen.append(smaps_of(other.pid, other.base))
        other.tell(f"write 0 {other.pages} 1")
        seen.append(smaps_of(other.pid, other.base))
        assert other.tell("verify") == "same"
        flags = [set(part["VmFlags"].split()) for part in seen]
        assert "nh" in flags[0]
        assert "hg" in flags[1]
        assert seen[0]["AnonHugePages"] == "0 kB"
        assert seen[2]["AnonHugePages"] == f"{length >> 10} kB"
        return {"huge": seen[2]["AnonHugePages"]}


def smaps_of(pid: int, address: int) -> dict[str, str]:
    """The fields of the mapping at ``address``."""
    fields: dict[str, str] = {}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = line.partition(":")
        if "-" in name.split()[0] and not name.startswith("Vm"):
            start, end = (int(edge, 16) for edge in line.split()[0].split("-"))
            inside = start <= address < end
        elif inside:
            fields[name] = value.strip()
    return fields


@check
def process_that_executes_and_exits() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        filled(other)
        space = ours.open_process(other.pid)
        addrs = addresses([other.base + page * PAGE for page in range(64)])
        batch = space.mkold(addrs, 64)
        other.base = int(other.tell("exec"))
        assert sum(young(space, batch)) == 0
        filled(other)
        addrs = addresses([other.base + page * PAGE for page in range(64)])
        batch = space.mkold(addrs, 64)
        other.tell("touch 0 64 1")
        follows = sum(young(space, batch))
        assert follows >= 62, f"{follows} of 64 after exec"
        frames = other.frames()
        folios = passing(ours, frames)
        batch = space.mkold(addrs, 64)
        other.process.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        assert space.alive()  # a zombie
        assert list(space.mappings()) == []
        assert sum(young(space, batch)) == 0
        batch = space.mkold(addrs, 64)
        assert space.madvise(other.base, PAGE, Advice.COLD) < 0
        other.process.wait()
        assert not space.alive()
        batch = space.mkold(addrs, 64)
        assert sum(young(space, batch)) == 0
        assert space.madvise(other.base, PAGE, Advice.COLD) == -errno.ESRCH
        assert ours.phys.pageout(folios) == 0
        return {"after_exec": follows}


@check
def addresses_without_memory() -> dict[str, Any]:
    with machine() as ours, victim(1) as other:
        end = max(end for _, end in ours.system_ram())
        values = [0, 0xA0000, end - PAGE, end, end + (1 << 30), 1 << 45, (1 << 57) - 1, (1 << 64) - 1]
        addrs = addresses(values)
        batch = ours.phys.mkold(addrs, len(values))
        found = young(ours.phys, batch)
        assert sum(found[3:]) == 0
        space = ours.open_process(other.pid)
        batch = space.mkold(addrs, len(values))
        assert sum(young(space, batch)) == 0
        assert list(ours.phys.folios(end, end + (1 << 30))) == []
        return {"max": end}


@check
def kernel_threads_have_no_memory() -> dict[str, Any]:
    with machine() as ours:
        space = ours.open_process(2)
        addrs = addresses([4096])
        batch = space.mkold(addrs, 1)
        assert young(space, batch) == [0]
        assert list(space.mappings()) == []
        assert space.alive()
        assert space.madvise(4096, PAGE, Advice.COLD) < 0
        return {}


# Long: its threads share what they count, and are ended in one place.
@check
def processes_come_and_go() -> dict[str, Any]:
    """Two contexts' worth of work, in threads, while processes start and end all the time."""
    done, failed, rounds = threading.Event(), [], [0, 0]
    descriptors = len(os.listdir("/proc/self/fd"))
    with machine() as ours, victim(8) as other:
        other.tell(f"write 0 {other.pages} 1")

        def sample() -> None:
            space = ours.open_process(other.pid)
            virtual = addresses([other.base + page * PAGE for page in range(other.pages)])
            physical = addresses([pfn * PAGE for pfn in range(0, 1 << 18, 97)])
            while not done.is_set():
                for target, addrs, nr in ((space, virtual, other.pages), (ours.phys, physical, (1 << 18) // 97)):
                    batch = target.mkold(addrs, nr)
                    young(target, batch)
                rounds[0] += 1
            space.close()

        def act() -> None:
            ram = ours.system_ram()
            while not done.is_set():
                ours.physical.rmap.build(0, 1 << 22)
                for start, end in ram:
                    for folios in ours.phys.folios(start, end):
                        for folio in folios:
                            folio.flags |= FOLIO_PASS if folio.pfn % 8 == 0 else 0
                        ours.phys.deactivate(folios)
                        ours.phys.activate(folios)
                rounds[1] += 1

        def guarded(work: Callable[[], None]) -> None:
            try:
                work()
            except BaseException:
                failed.append(traceback.format_exc())

        threads = [threading.Thread(target=guarded, args=(work,)) for work in (sample, act)]
        for thread in threads:
            thread.start()
        started = 0
        while (started < 100 or min(rounds) < 3) and not failed:
            children = [subprocess.Popen(["/bin/sh", "-c", "exit 0"]) for _ in range(4)]
            started += len(children)
            for child in children:
                child.wait()
        done.set()
        for thread in threads:
            thread.join()
        assert not failed, failed[0]
        assert other.tell("verify") == "same"
    gc.collect()
    left = len(os.listdir("/proc/self/fd")) - descriptors
    assert left <= 2, f"{left} more descriptors than before, of which the pipes to the victim are two"
    return {"processes": started, "rounds": rounds}


@check
def what_is_missing_is_said() -> dict[str, Any]:
    said = {}
    with closing(LinuxMachine()) as ours:
        ours.require("vaddr", ["pageout"])
        subprocess.run(["swapoff", "-a"], check=True)
        try:
            ours.require("paddr", ["pageout:file"])
            ours.require("paddr", ["pageout"])
            raise AssertionError("no swap, and nothing was said")
        except MissingCapability as error:
            said["swap"] = str(error)
        finally:
            subprocess.run(["swapon", "/dev/zram0"], check=True)
    child = subprocess.run(
        [sys.executable, "-c", _UNPRIVILEGED], capture_output=True, text=True, check=False, env=dict(os.environ)
    )
    said["user"] = child.stdout.strip()
    assert "CAP_SYS_ADMIN" in said["user"], child.stdout + child.stderr
    return said


_UNPRIVILEGED = """
import os
os.setgid(65534); os.setuid(65534)
from damon.errors import MissingCapability
from damon.mm.linux import LinuxMachine
try:
    LinuxMachine().require("paddr", [])
except MissingCapability as error:
    print(error)
"""


@check
def system_facts() -> dict[str, Any]:
    with machine() as ours:
        ram = ours.system_ram()
        free, total = ours.free_mem()
        mib = sum(end - start for start, end in ram) >> 20
        assert 900 <= mib <= 1100
        assert 0 < free < total
        begin = time.thread_time()
        for _ in range(200):
            ours.free_mem()
        free_us = (time.thread_time() - begin) / 200 * 1e6
        stall = ours.psi_some_us()
        text = Path("/proc/pressure/memory").read_text()
        active, inactive = ours.lru_pages()
        assert min(active, inactive) > 0
        assert active + inactive < total
        assert 0 <= stall <= int(text.split("total=")[1].split()[0])
        return {"mib": mib, "free_mem_us": free_us, "psi": stall}
