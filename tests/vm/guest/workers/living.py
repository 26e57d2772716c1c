# SPDX-License-Identifier: GPL-2.0-only
"""The life of a running context: pause, targets that go, watermarks, units of addresses, its thread."""

from __future__ import annotations

import functools
import os
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from damon.core import Damon
from damon.library import add_process, aggregations, changes, running
from damon.model.attrs import U32_MAX
from damon.model.scheme import DamosAccessPattern, DamosAction, DamosWatermarks, DamosWmarkMetric
from damon.modules.loader import Loader
from damon.modules.module import Module
from tests.vm.guest.kernel_damon import system_ram
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, victim
from tests.vm.guest.pages import PFN_MASK, PRESENT
from tests.vm.guest.workers.stage import (
    check,
    context,
    gone,
    here,
    meminfo,
    on_memory,
    on_processes,
    scheme,
    span,
    until,
)

BITMAP = "/sys/kernel/mm/page_idle/bitmap"
OUT = DamosAction.PAGEOUT
NOTHING = DamosAccessPattern(min_nr_accesses=U32_MAX)
#: Modules that would sleep in a guest that is mostly empty.
AWAKE = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0")


def idle(other: Victim) -> int:
    """How many of its pages are marked idle, by the kernel's bitmap."""
    bitmap = os.open(BITMAP, os.O_RDONLY)
    try:
        words = {frame // 64: 0 for frame in other.frames()}
        for word in words:
            words[word] = int.from_bytes(os.pread(bitmap, 8, word * 8), "little")
    finally:
        os.close(bitmap)
    return sum(words[frame // 64] >> frame % 64 & 1 for frame in other.frames())


@check
def pause_and_resume() -> dict[str, Any]:
    """While it is paused the kernel's bitmap shows no new mark, and no page leaves; requests are answered."""
    with victim(8) as other, machine() as ours:
        filled(other)
        out = scheme(OUT)
        out.pattern = NOTHING
        with on_processes(ours, [(other, [span(other)])], out) as worker:
            until("sampling marks pages", lambda: idle(other) > 20)
            with changes(worker.damon, worker.ctx) as wanted:
                wanted.pause = True
                wanted.schemes[0].pattern = DamosAccessPattern()
            other.tell(f"touch 0 {other.pages} 1")
            worker.rounds(1)
            left_over = idle(other)
            worker.rounds(30)
            paused = [idle(other), here(other)]
            assert paused == [left_over, other.pages], (left_over, paused)
            with changes(worker.damon, worker.ctx) as wanted:
                wanted.pause = False
            until("it samples and acts again", lambda: gone(other))
    return {"marked_while_paused": paused[0]}


def held() -> list[int]:
    """The processes that this one holds descriptors of, by its own fdinfo."""
    found = []
    for path in Path("/proc/self/fdinfo").iterdir():
        try:
            lines = path.read_text().splitlines()
        except FileNotFoundError:  # the directory's own
            continue
        found += [int(line.split()[1]) for line in lines if line.startswith("Pid:")]
    return found


@check
def obsolete_target() -> dict[str, Any]:
    """It is let go of, descriptor and memory; the target behind it moves up and goes on."""
    with victim(8) as old, victim(8) as kept, machine() as ours:
        filled(old, kept)
        out = scheme(OUT)
        out.pattern = NOTHING
        with on_processes(ours, [(old, [span(old)]), (kept, [span(kept)])], out) as worker:
            before = held()
            assert {old.pid, kept.pid} <= set(before)
            with changes(worker.damon, worker.ctx) as wanted:
                wanted.targets[0].obsolete = True
                wanted.schemes[0].pattern = DamosAccessPattern()
            until("the other target's memory leaves", lambda: gone(kept))
            worker.aggregations(3)
            assert here(old) == old.pages, here(old)
            assert old.pid not in held()
            assert kept.pid in held()
        assert kept.pid not in held()
    return {"processes_held": len(before)}


def left(other: Victim) -> set[int]:
    """Those of its pages that are not present."""
    return {page for page, entry in enumerate(other.entries()) if not entry & PRESENT}


def _in_units(unit: int) -> list[int]:
    """Half of a process's frames, in units of ``unit`` bytes: pages that left, pages within, what was applied."""
    with victim(8) as other, machine() as ours:
        filled(other)
        before = other.entries()
        frames = sorted(entry & PFN_MASK for entry in before)
        low, high = (edge // 16 * 16 for edge in (frames[0] + 15, frames[len(frames) // 2]))
        inside = {page for page, entry in enumerate(before) if low <= (entry & PFN_MASK) < high}
        out = scheme(OUT)
        with on_memory(ours, [(low * PAGE // unit, high * PAGE // unit)], out, addr_unit=unit) as worker:
            until("the frames within leave", lambda: len(left(other) & inside) >= 0.98 * len(inside))
            worker.aggregations(2)
        gone_now = left(other)
    assert len(inside) > other.pages // 4, len(inside)
    assert gone_now <= inside, len(gone_now - inside)
    assert out.stat.sz_applied * unit >= len(gone_now) * PAGE
    return [len(gone_now), len(inside), out.stat.sz_applied]


@check
def addr_unit() -> dict[str, Any]:
    """Bounds in units of 16 bytes and of 16 pages: the frames within leave, no other does."""
    return {"left_of_applied": [_in_units(16), _in_units(16 * PAGE)]}


@check
def vaddr_follows_the_mappings() -> dict[str, Any]:
    """A mapping that is new is monitored after the next update; no region reaches out of what maps has."""
    with victim(4) as other, machine() as ours:
        damon = Damon(ours, seed=1)
        ctx = context(damon, "vaddr")
        ctx.attrs.ops_update_interval = 200000
        add_process(ctx, other.pid)
        with running(damon, ctx):
            results = aggregations(damon, ctx)
            before = next(results).regions
            new = int(other.tell("reserve 1"))
            assert not any(region.start <= new < region.end for region in before)
            until("it is monitored", lambda: any(r.start <= new < r.end for r in next(results).regions))
            after = next(results).regions
            results.close()  # type: ignore[attr-defined]
        lines = Path(f"/proc/{other.pid}/maps").read_text().splitlines()
    edges = [int(edge, 16) for line in lines if "[vsyscall]" not in line for edge in line.split()[0].split("-")]
    assert min(edges) <= after[0].start
    assert after[-1].end <= max(edges)
    return {"regions": [len(before), len(after)]}


@check
def watermarks() -> dict[str, Any]:
    """It sleeps while there is much free memory, by meminfo, answers all the same, and wakes when there is less."""

    def free() -> int:
        return meminfo("MemFree") * 1000 // meminfo("MemTotal")

    with victim(16) as cold, victim(160) as filler, machine() as ours:
        filled(cold)
        much = free()
        out = scheme(OUT)
        high, mid = much - 30, much - 60
        out.wmarks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, interval=20000, high=high, mid=mid, low=1)
        with on_processes(ours, [(cold, [span(cold)])], out) as worker:
            worker.rounds(30)
            assert free() > high, free()
            assert here(cold) == cold.pages
            assert not out.stat.nr_tried
            filler.tell(f"write 0 {filler.pages} 1")
            assert free() < mid, free()
            until("it wakes and acts", lambda: gone(cold))
    return {"free_per_mille": [much, free()]}


def _thread_name(pid: int) -> str:
    path = Path(f"/proc/self/task/{pid}/comm")
    return path.read_text().strip() if path.exists() else ""


def _gone(pid: int) -> bool:
    return not _thread_name(pid)


def _module(name: str, loader: Loader, *words: str) -> Module:
    module = loader.prepare(name, [*AWAKE, *words] if name != "damon_stat" else words)
    loader.load(module)
    return module


@check
def modules_threads_and_region() -> dict[str, Any]:
    """kdamond_pid is a thread of that name while enabled reads Y; the region is from first to last System RAM."""
    names = []
    for name in ("damon_reclaim", "damon_lru_sort", "damon_stat"):
        with machine() as ours:
            loader = Loader(Damon(ours, seed=1))
            module = _module(name, loader, "enabled=Y")
            pid = int(module.parameters["kdamond_pid"].show())
            names.append(_thread_name(pid))
            assert module.parameters["enabled"].show() == "Y\n"
            if name != "damon_stat":
                bounds = [int(module.parameters[f"monitor_region_{edge}"].show()) for edge in ("start", "end")]
                assert bounds == list(system_ram()), (bounds, system_ram())
            module.parameters["enabled"].store("N")
            assert (module.parameters["enabled"].show(), module.parameters["kdamond_pid"].show()) == ("N\n", "-1\n")
            until("the thread has left the kernel", functools.partial(_gone, pid))
            loader.unload_all()
    assert names == ["kdamond.0"] * 3, names
    return {"threads": names}


@check
def autotuned_module_samples_less_often() -> dict[str, Any]:
    """Next to nothing is accessed here: intervals grow, and the scheduler counts as few sleeps as that means."""
    with ExitStack() as stack:
        ours = stack.enter_context(machine())
        loader = Loader(Damon(ours, seed=1))
        stack.callback(loader.unload_all)
        module = _module("damon_reclaim", loader, "autotune_monitoring_intervals=Y", "min_age=4294967295", "enabled=Y")
        status = Path(f"/proc/self/task/{int(module.parameters['kdamond_pid'].show())}/status")
        ctx = module.ctx
        assert ctx is not None

        def sleeps() -> int:
            lines = status.read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))

        until("intervals are eight times as long", lambda: ctx.attrs.sample_interval >= 40000)
        count, began = sleeps(), time.monotonic()
        until("it sleeps some more", lambda: sleeps() >= count + 20)
        more, spent = sleeps() - count, time.monotonic() - began
        # An iteration is a sleep or two beside that of the interval; at 5 ms it were 200 and more a second.
        assert more <= 3 * spent / 0.04 + 10, (more, spent)
    return {"sleeps": more, "seconds": spent}
