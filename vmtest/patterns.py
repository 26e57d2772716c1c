# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel prints when something is wrong, by verdict; lines of kernels 5.x to 7.x, x86 and arm64."""

from __future__ import annotations

import re

from .errors import Verdict

READY = re.compile(r"vmtest: ready\b")
FIRST_PROGRAM = re.compile(r"Run /\S+ as init process")
POWER_DOWN = re.compile(r"reboot: (Power down|System halted|Restarting system|machine restart)")
EMULATION = re.compile(r"emulation failure|KVM internal error")
TSC_DETECTED = re.compile(r"tsc: Detected ([\d.]+) MHz")
# A message begins after its time stamp (and caller, CONFIG_PRINTK_CALLER); what a program wrote may stand before it.
_STAMP = re.compile(r".*\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")
_FROM = r"(?:(?:NMI watchdog|watchdog|kfence|kasan|slub|workqueue|rcu|sched|clocksource|CPU\d+): )*"
_SANITIZERS = {
    "KASAN": Verdict.KASAN,
    "KFENCE": Verdict.KFENCE,
    "KCSAN": Verdict.KCSAN,
    "KMSAN": Verdict.KMSAN,
}
# Trap names of x86 before 6.10, which put "Oops: " in front of them; "[#1]" counts oopses since boot.
_OOPS = (
    r"BUG: (?:kernel NULL pointer|unable to handle|stack guard page|\w+ stack guard page|Unable to)|Oops\b|"
    r"Unable to handle kernel|Internal error: |Insufficient stack space|"
    r"(?:general protection fault|invalid opcode|divide error|stack segment|double fault|page fault|"
    r"segment not present|invalid TSS|int3|kernel stack overflow)[,:].*\[#\d+\]|traps: PANIC: "
)
_WARNING = (
    r"WARNING: (?:CPU: \d+ PID: \d+ at |\S+:\d+ at |"
    r"possible |inconsistent |suspicious RCU usage|bad unlock balance|bad contention|held lock freed|lock held when|"
    r"Nested lock|\S+-safe -> |kernel stack (?:regs|frame pointer)|Flushing |locking bug|nested lock)|"
    r"INFO: (?:possible (?:circular|recursive|irq)|suspicious RCU usage|inconsistent lock state)|"
    r"DEBUG_LOCKS_WARN_ON"
)
# The first that matches names the line. Order: what is more special first.
_TABLE: tuple[tuple[Verdict, re.Pattern[str]], ...] = tuple(
    (verdict, re.compile(f"{_FROM}(?:{pattern})"))
    for verdict, pattern in (
        *((verdict, rf"BUG: {name}: ") for name, verdict in _SANITIZERS.items()),
        (Verdict.UBSAN, r"UBSAN: "),
        (Verdict.LOCKUP, r"BUG: soft lockup|(?:Watchdog detected )?[Hh]ard LOCKUP|BUG: spinlock lockup"),
        (Verdict.LOCKUP, r"BUG: workqueue lockup"),
        (Verdict.PANIC, r"Kernel panic - not syncing"),
        (Verdict.BUG, r"kernel BUG at |Kernel BUG at |Internal error: Oops - BUG"),
        (Verdict.OOPS, _OOPS),
        (Verdict.BUG, r"BUG: |BUG \S+ \((?:Not tainted|Tainted|[A-Z ]+)"),
        (Verdict.RCU_STALL, r"INFO: rcu\w* (?:self-)?detected (?:expedited )?stalls? on|rcu_tasks\w* detected stalls"),
        (Verdict.RCU_STALL, r"\w+ kthread (?:starved for|timer wakeup didn't happen)"),
        (Verdict.HUNG_TASK, r"INFO: task .+ blocked (?:in I/O wait )?(?:on \S+ .*)?for more than \d+ seconds"),
        # A memcg OOM kill is not a guest failure.
        (Verdict.OOM, r"Out of memory(?: \(oom_kill_allocating_task\))?: Killed process"),
        (Verdict.OOM, r"oom-kill:constraint=CONSTRAINT_(?!MEMCG)"),
        (Verdict.OOM, r"Out of memory and no killable processes"),
        (Verdict.WARNING, _WARNING),
        (Verdict.KMEMLEAK, r"kmemleak: \d+ new suspected memory leaks"),
        (Verdict.SETUP_FAILED, r"vmtest: setup failed"),
    )
)
# Worth telling, and no reason to give a guest up.
_NOTE = re.compile(
    r"WARNING|Memory cgroup out of memory: Killed process|vmtest: setup: |\S+: page allocation failure|"
    r"Memory failure: |clocksource: .* unstable"
)
#: Lines that begin a report; the line with its verdict comes later. How far back they may be.
BEGINNINGS = re.compile(r"\[ cut here \]|={20,}|invoked oom-killer|^\S*\s*-{20,}")
#: What ends no guest when the configuration tolerates it: the guest lives on after it.
TOLERABLE = frozenset(
    {
        Verdict.WARNING,
        Verdict.BUG,
        Verdict.KASAN,
        Verdict.KFENCE,
        Verdict.KCSAN,
        Verdict.KMSAN,
        Verdict.UBSAN,
        Verdict.KMEMLEAK,
        Verdict.LOCKUP,
        Verdict.RCU_STALL,
        Verdict.HUNG_TASK,
        Verdict.OOM,
    }
)


def message(line: str) -> str:
    """A console line's message, without time stamp, caller and what a program had written on the same line."""
    return _STAMP.sub("", line, count=1)


def classify(line: str) -> Verdict | None:
    """The verdict that a console line stands for, or None."""
    text = message(line)
    for verdict, pattern in _TABLE:
        if pattern.match(text):
            return verdict
    return None


def noteworthy(line: str) -> bool:
    """Whether a line without a verdict is worth a warning."""
    return _NOTE.match(message(line)) is not None
