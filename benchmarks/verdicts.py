# SPDX-License-Identifier: GPL-2.0-only
"""Provokes every way a guest or a command can end, in random order, and counts what is classified wrong.

``python -m benchmarks.verdicts --count 500 --seed 1 [--kernel BZIMAGE] [--report FILE]``. The kernel is the default
guest kernel with the kernel's own crash test module, all lockup detectors and line numbers (``verdicts.config``); it is
built when it is not in the cache. A guest boots for each run; nothing is simulated but the reports of sanitizers, which
are written to the kernel's log.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from vmtest.guest import Guest
from vmtest.images import kconfig, kernel_build, rootfs_build, source
from vmtest.images.kernel_build import KernelBuild
from vmtest.results.job import Job, Limits
from vmtest.results.live import Progress
from vmtest.results.manifest import file_ref
from vmtest.results.outcome import Outcome
from vmtest.results.symbols import vmlinux_of
from vmtest.suite.admission import Admission
from vmtest.suite.perform import Watch, perform
from vmtest.suite.pool import run as run_pool

HERE = Path(__file__).parent
CRASH = "echo now; echo {} >/sys/kernel/debug/provoke-crash/DIRECT"
SOFT = "sysctl -qw kernel.watchdog_thresh=2 2>/dev/null || echo 2 >/proc/sys/kernel/watchdog_thresh; "
# Somebody must wait for a grace period, or none is late.
GRACE = "(while :; do unshare -n true; done) & sleep 0.5; "
KMSG = "echo now; echo '<2>{}' >/dev/kmsg; "
# Memory, not the number of processes, is what a fork bomb shall run out of.
LIMITS = "echo 400000 >/proc/sys/kernel/pid_max; echo 400000 >/proc/sys/kernel/threads-max; "
HOG = "python3 -c 'x = []\nwhile True: x.append(bytearray(1 << 20))'"


@dataclass(frozen=True)
class Kind:
    """A way to end: what runs, and the verdict it must get.

    Attributes:
        right: verdicts that are right.
        weight: share of the runs.
        signal: sent to QEMU while the command runs.
    """

    name: str
    command: str
    right: tuple[str, ...]
    weight: int = 4
    cpus: int = 2
    append: str = ""
    signal: str = ""
    limits: Limits = field(default_factory=lambda: Limits(command=180))
    tolerate: tuple[str, ...] = ()


# Long: a table.
def _kinds() -> list[Kind]:
    crash, kmsg = CRASH.format, KMSG.format
    short = Limits(command=2)
    return [
        Kind("passes at once", "true", ("pass",), 10),
        Kind("passes after a second of work", "timeout 1 sh -c 'while :; do :; done'; true", ("pass",), 6),
        Kind("passes with 4 MiB of output", "head -c 4194304 /dev/urandom", ("pass",), 4),
        Kind("passes, its text is a panic", "echo 'Kernel panic - not syncing: no'; echo BUG: no >&2", ("pass",), 4),
        Kind("passes, a segfault beside it", "sh -c 'kill -SEGV $$'; true", ("pass",), 3),
        Kind("passes, a cgroup's own OOM kill", _cgroup("true"), ("pass",), 3),
        Kind("a tolerated warning", crash("WARNING") + "; true", ("pass",), 3, tolerate=("warning",)),
        Kind("fails with 1", "false", ("fail",), 6),
        Kind("fails with 125", "exit 125", ("fail",), 4),
        Kind("dies by a signal", "kill -ABRT $$", ("fail",), 4),
        Kind("fails by a cgroup's OOM kill", _cgroup("exit 9"), ("fail",), 3),
        Kind("skips", "echo not here; exit 4", ("skip",), 3),
        Kind("does not end in time", "echo now; sleep 1000", ("command-timeout",), 6, limits=short),
        Kind("ignores signals and time", "trap '' TERM INT; while :; do :; done", ("command-timeout",), 4,
             limits=short),
        Kind("sysrq panic", "echo now; echo c >/proc/sysrq-trigger; sleep 99", ("panic",), 8),
        Kind("panic with interrupts off", crash("PANIC_STOP_IRQOFF") + "; sleep 99", ("panic",), 3),
        Kind("panic() in a system call", crash("PANIC"), ("panic",), 4),
        Kind("reboots", "echo now; reboot -f; sleep 99", ("powered-off",), 2),
        Kind("null pointer", crash("EXCEPTION"), ("oops",), 6),
        Kind("write to read-only memory", crash("WRITE_RO"), ("oops",), 4),
        Kind("jump to nowhere", crash("EXEC_NULL"), ("oops",), 3),
        Kind("stack exhausted", crash("EXHAUST_STACK"), ("oops",), 3),
        Kind("BUG()", crash("BUG"), ("bug",), 6),
        Kind("BUG: line", kmsg("BUG: Bad page state in process cat  pfn:12345") + "sleep 99", ("bug",), 3),
        Kind("WARN_ON()", crash("WARNING") + "; sleep 99", ("warning",), 6),
        Kind("WARN_ON() and exit 0 at once", crash("WARNING"), ("warning",), 8),
        Kind("WARN_ON() and exit 1 at once", crash("WARNING") + "; exit 1", ("warning",), 4),
        Kind("soft lockup", SOFT + crash("SOFTLOCKUP"), ("lockup",), 8),
        Kind("hard lockup", SOFT + crash("HARDLOCKUP"), ("lockup",), 8),
        Kind("RCU stall", "echo 0 >/proc/sys/kernel/watchdog; " + GRACE + crash("SOFTLOCKUP"), ("rcu-stall",), 6,
             append="rcupdate.rcu_cpu_stall_timeout=3"),
        Kind("hung task", "echo 2 >/proc/sys/kernel/hung_task_timeout_secs; " + crash("HUNG_TASK"), ("hung-task",), 8),
        Kind("guest spins with interrupts off", crash("HARDLOCKUP"), ("hung",), 2, cpus=1,
             append="nowatchdog rcupdate.rcu_cpu_stall_suppress=1", limits=Limits(command=3)),
        Kind("memory hog", f"echo now; {HOG}", ("oom",), 8),
        Kind("fork bomb", LIMITS + "echo now; bomb() { bomb | bomb & }; bomb; sleep 160", ("oom",), 5),
        Kind("KASAN line", kmsg("BUG: KASAN: slab-use-after-free in f+0x1/0x2") + "sleep 99", ("kasan",), 5),
        Kind("KASAN line and exit 0", kmsg("BUG: KASAN: slab-out-of-bounds in f+0x1/0x2"), ("kasan",), 5),
        Kind("KFENCE line", kmsg("BUG: KFENCE: use-after-free read in f+0x1/0x2") + "sleep 99", ("kfence",), 3),
        Kind("UBSAN line", kmsg("UBSAN: shift-out-of-bounds in mm/x.c:1:2") + "sleep 99", ("ubsan",), 3),
        Kind("KCSAN line", kmsg("BUG: KCSAN: data-race in f / g") + "sleep 99", ("kcsan",), 2),
        Kind("lockdep line", kmsg("WARNING: possible circular locking dependency detected") + "sleep 9", ("warning",),
             3),
        Kind("kmemleak line", kmsg("kmemleak: 2 new suspected memory leaks (see x)") + "sleep 9", ("kmemleak",), 2),
        Kind("QEMU killed", "echo now; sleep 99", ("qemu-died",), 8, signal="KILL"),
        Kind("QEMU crashes", "echo now; sleep 99", ("qemu-died",), 4, signal="SEGV"),
        Kind("QEMU stopped", "echo now; sleep 99", ("qemu-stopped",), 8, signal="STOP"),
        Kind("powers off", "echo now; poweroff -f; sleep 99", ("powered-off",), 4),
        Kind("no root file system", "true", ("panic",), 4, append="root=/dev/none rootfstype=ext4"),
        Kind("no init", "true", ("panic",), 4, append="init=/bin/false"),
        Kind("silent", "true", ("silent",), 3, append="init=/bin/cat console=hvc9", limits=Limits(silence=6)),
        Kind("does not boot in time", "true", ("boot-timeout",), 4, limits=Limits(boot=0.7)),
    ]  # fmt: skip


def _cgroup(then: str) -> str:
    at = "/sys/fs/cgroup/small"
    setup = f"echo +memory >/sys/fs/cgroup/cgroup.subtree_control; mkdir {at}; echo 8M >{at}/memory.max; "
    return f"{setup} sh -c 'echo $$ >{at}/cgroup.procs; exec tail /dev/zero'; {then}"


@dataclass
class Provoked:
    """One run: what it was and how it went."""

    kind: Kind
    events: dict[str, float] = field(default_factory=dict)
    outcome: Outcome | None = None

    @property
    def latency(self) -> float | None:
        """Seconds from the console's line (or the signal) to the end of the wait."""
        begin = self.events.get("signal", self.events.get("doomed"))
        end = self.events.get("evidence")
        return None if begin is None or end is None else max(0.0, end - begin)


class Provoker(Watch):
    """Follows a job, notes when things happen, and signals its QEMU."""

    def __init__(self, inner: Watch, run: Provoked, directory: Path, delay: float) -> None:
        super().__init__()
        self._inner = inner
        self._run = run
        self._directory = directory
        self._delay = delay
        self._over = threading.Event()
        self._mine: Guest | None = None
        threading.Thread(target=self._follow, daemon=True).start()

    def phase(self, name: str) -> None:
        self._inner.phase(name)
        self._run.events[name] = time.monotonic()

    def guest(self, guest: Guest | None) -> None:
        self._inner.guest(guest)
        self._mine = guest
        if guest is None:
            self._over.set()

    def _follow(self) -> None:
        events = self._run.events
        while not self._over.wait(0.02):
            console = self._mine.machine.watched if self._mine else None
            if console is not None and console.doomed and "doomed" not in events:
                events["doomed"] = time.monotonic()
            if self._run.kind.signal and "signal" not in events and self._said_now():
                time.sleep(self._delay)
                if self._mine is not None:
                    _signal(self._mine, self._run.kind.signal)
                    events["signal"] = time.monotonic()

    def _said_now(self) -> bool:
        with contextlib.suppress(OSError):
            return b"now" in (self._directory / "stdout").read_bytes()
        return False


def _signal(guest: Guest, name: str) -> None:
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.cmdline() == guest.command_line:
                child.send_signal(getattr(__import__("signal"), f"SIG{name}"))


def kernel(path: Path | None) -> Path:
    """The kernel to crash: built when there is none."""
    if path:
        return path.resolve()
    fragments = []
    with tempfile.TemporaryDirectory() as scratch:
        for fragment in kconfig.fragments():
            text = fragment.read_text()
            if "CONFIG_DEBUG_INFO_NONE=y" in text:
                copy = Path(scratch) / fragment.name
                copy.write_text(text.replace("CONFIG_DEBUG_INFO_NONE=y\n", ""))
                fragments.append(copy)
            else:
                fragments.append(fragment)
        built: KernelBuild = kernel_build.obtain(
            source.from_package(), kernel_build.Recipe((*fragments, HERE / "verdicts.config"))
        )
    return built.image


def plan(count: int, seed: int, kinds: Sequence[Kind]) -> list[Kind]:
    """Each kind at least once when there is room, then by weight, in random order."""
    chance = random.Random(seed)
    chosen = list(kinds[:count])
    chosen += chance.choices(kinds, [kind.weight for kind in kinds], k=max(0, count - len(chosen)))
    chance.shuffle(chosen)
    return chosen


# Long: the options, and the fault that each run of the pool provokes.
def main(arguments: Sequence[str] | None = None) -> int:
    """The benchmark; 0 when nothing was classified wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=0, help="runs (default: each kind once)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", "-j", type=int, default=2)
    parser.add_argument("--only", default="", help="kinds whose name has this")
    parser.add_argument("--kernel", type=Path, help="a kernel with the options of verdicts.config")
    parser.add_argument("--directory", type=Path, help="keep artifacts here (default: a temporary directory)")
    parser.add_argument("--report", type=Path, help="write the summary to this file (Markdown)")
    options = parser.parse_args(arguments)
    kinds = [kind for kind in _kinds() if options.only in kind.name]
    image, rootfs = kernel(options.kernel), rootfs_build.obtain().image
    chosen = plan(options.count or len(kinds), options.seed, kinds)
    chance = random.Random(options.seed + 1)
    vmlinux = vmlinux_of(image)
    base = Job(
        suite="verdicts", kernel_name="k", machine_name="m", workload_name="w", test_name="t", command="true",
        kernel=file_ref(image), rootfs=file_ref(rootfs), vmlinux=file_ref(vmlinux) if vmlinux else None,
        machine_args={},
    )  # fmt: skip
    runs, jobs, delays = {}, [], {}
    for number, kind in enumerate(chosen):
        name = f"{number:04}"
        memory = chance.choice(["256M", "320M", "384M"])
        job = msgspec.structs.replace(
            base, test_name=name, machine_args={"memory": memory, "cpus": kind.cpus}, command=kind.command,
            append=kind.append, limits=kind.limits, tolerate=kind.tolerate,
        )  # fmt: skip
        jobs.append(job)
        runs[job.name] = Provoked(replace(kind))
        delays[job.name] = chance.uniform(0, 1.5)

    def performer(job: Job, directory: Path, watch: Watch) -> Outcome:
        run = runs[job.name]
        run.outcome = perform(job, directory, Provoker(watch, run, directory, delays[job.name]))
        good = run.outcome.verdict in run.kind.right
        if not good:
            print(f"WRONG {job.name} {run.kind.name}: {run.outcome.verdict} {run.outcome.message}", flush=True)
        return run.outcome

    before = {child.pid for child in psutil.Process().children(recursive=True)}
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        directory = options.directory or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        progress = stack.enter_context(Progress(len(jobs)))
        _, interrupted = run_pool(jobs, directory, progress, admission=Admission(options.jobs), performer=performer)
    took = time.monotonic() - began
    time.sleep(1)
    left = [child.pid for child in psutil.Process().children(recursive=True) if child.pid not in before]
    return report([run for run in runs.values() if run.outcome], took, left, options, interrupted)


def report(runs: list[Provoked], took: float, left: list[int], options: argparse.Namespace, interrupted: bool) -> int:
    """Prints and writes the summary."""
    wrong = [run for run in runs if run.outcome and run.outcome.verdict not in run.kind.right]
    false = [run for run in wrong if run.outcome and run.outcome.verdict == "pass"]
    head = (
        f"{len(runs)} guest runs, seed {options.seed}, {options.jobs} at a time, {took / 60:.1f} min: "
        f"{len(wrong)} classified wrong, {len(false)} false passes, {len(left)} processes left"
    )
    rows = []
    for kind in dict.fromkeys(run.kind for run in runs):
        mine = [run for run in runs if run.kind == kind]
        waits = [run.latency for run in mine if run.latency is not None]
        bad = sum(run in wrong for run in mine)
        slow = f"{statistics.median(waits):.1f} / {max(waits):.1f}" if waits else ""
        rows.append((kind.name, ", ".join(kind.right), str(len(mine)), str(bad), slow))
    rows.sort()
    titles = ("provoked", "right verdict", "runs", "wrong", "wait after it, s: median / most")
    table = Table(*titles, title=head, title_justify="left")
    for row in rows:
        table.add_row(*row)
    Console(width=140).print(table)
    if options.report:
        lines = [head, "", "| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        options.report.write_text("\n".join([*lines, ""]))
        details = [
            {
                "kind": run.kind.name,
                "verdict": run.outcome.verdict,
                "message": run.outcome.message,
                "name": run.outcome.name,
            }
            for run in wrong
            if run.outcome
        ]
        options.report.with_suffix(".wrong.json").write_text(json.dumps(details, indent=1))
    return 130 if interrupted else int(bool(wrong or left))


if __name__ == "__main__":
    sys.exit(main())
