# SPDX-License-Identifier: GPL-2.0-only
"""Lines as kernels print them (5.x to 7.x, x86 and arm64): what each is taken for, and what is taken for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmtest.errors import Verdict
from vmtest.patterns import TOLERABLE, classify, message, noteworthy

LINES: dict[Verdict, list[str]] = {
    Verdict.PANIC: [
        "Kernel panic - not syncing: sysrq triggered crash",
        "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
        "Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100",
        "Kernel panic - not syncing: System is deadlocked on memory",
        "Kernel panic - not syncing: Fatal exception in interrupt",
        "Kernel panic - not syncing: Requested init /bin/nothing failed (error -2).",
    ],
    Verdict.OOPS: [
        "BUG: kernel NULL pointer dereference, address: 0000000000000010",
        "BUG: unable to handle page fault for address: ffffc90000dd4000",
        "BUG: unable to handle kernel NULL pointer dereference at 0000000000000000",
        "BUG: TASK stack guard page was hit at 00000000f0c4a5b2 (stack is 0000..0000)",
        "Oops: 0002 [#1] SMP NOPTI",
        "Oops: 0000 [#1] PREEMPT SMP PTI",
        "Oops: Oops: 0000 [#1] PREEMPT SMP NOPTI",
        "Oops: general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] PREEMPT SMP",
        "general protection fault, probably for non-canonical address 0xdead000000000100: 0000 [#1] SMP PTI",
        "general protection fault: 0000 [#1] SMP",
        "invalid opcode: 0000 [#1] SMP PTI",
        "divide error: 0000 [#1] SMP",
        "Oops: divide error: 0000 [#1] PREEMPT SMP",
        "stack segment: 0000 [#1] SMP",
        "traps: PANIC: double fault, error_code: 0x0",
        "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
        "Unable to handle kernel paging request at virtual address dead000000000108",
        "Internal error: Oops: 0000000096000004 [#1] SMP",
        "Insufficient stack space to handle exception!",
    ],
    Verdict.BUG: [
        "kernel BUG at mm/damon/core.c:1234!",
        "kernel BUG at /build/linux/mm/slub.c:548!",
        "BUG: Bad page state in process kworker/1:1  pfn:12345",
        "BUG: Bad page map in process cat  pte:8000000012345025 pmd:1234",
        "BUG: Bad rss-counter state mm:00000000f0c4 type:MM_ANONPAGES val:1",
        "BUG: scheduling while atomic: kdamond.0/77/0x00000002",
        "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:938",
        "BUG: using smp_processor_id() in preemptible [00000000] code: damon/123",
        "BUG: non-zero pgtables_bytes on freeing mm: 4096",
        "BUG kmalloc-64 (Not tainted): Redzone overwritten",
        "BUG kmalloc-64 (Tainted: G    B             ): Object already free",
        "Internal error: Oops - BUG: 00000000f2000800 [#1] SMP",
    ],
    Verdict.KASAN: [
        "BUG: KASAN: slab-use-after-free in damon_va_target_valid+0x1b/0x40",
        "BUG: KASAN: use-after-free in kobject_put+0x12/0x80",
        "BUG: KASAN: slab-out-of-bounds in damon_split_region_at+0x3c/0x90",
        "BUG: KASAN: null-ptr-deref in foo+0x1/0x2",
        "BUG: KASAN: double-free or invalid-free in kfree+0x0/0x0",
    ],
    Verdict.KFENCE: ["BUG: KFENCE: out-of-bounds read in test_out_of_bounds_read+0xa6/0x234"],
    Verdict.KCSAN: ["BUG: KCSAN: data-race in shmem_add_to_page_cache / shmem_recalc_inode"],
    Verdict.KMSAN: ["BUG: KMSAN: uninit-value in test_uninit_kmsan_check_memory+0x1be/0x380"],
    Verdict.UBSAN: [
        "UBSAN: array-index-out-of-bounds in mm/damon/core.c:12:3",
        "UBSAN: Undefined behaviour in drivers/x.c:3:1",
        "UBSAN: shift-out-of-bounds in lib/x.c:1:2",
    ],
    Verdict.LOCKUP: [
        "watchdog: BUG: soft lockup - CPU#1 stuck for 26s! [cat:123]",
        "NMI watchdog: BUG: soft lockup - CPU#0 stuck for 22s! [kdamond.0:77]",
        "watchdog: Watchdog detected hard LOCKUP on cpu 0",
        "NMI watchdog: Watchdog detected hard LOCKUP on cpu 3",
        "watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 0",
        "Watchdog detected hard LOCKUP on cpu 0",
        "BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 45s!",
        "BUG: spinlock lockup suspected on CPU#1, cat/123",
    ],
    Verdict.HUNG_TASK: [
        "INFO: task khugepaged:42 blocked for more than 120 seconds.",
        "INFO: task kworker/u8:2:123 blocked for more than 245 seconds.",
        "INFO: task a b:77 blocked for more than 10 seconds.",
        "INFO: task dd:77 blocked in I/O wait for more than 120 seconds.",
    ],
    Verdict.RCU_STALL: [
        "rcu: INFO: rcu_preempt self-detected stall on CPU",
        "rcu: INFO: rcu_sched self-detected stall on CPU { 0 }",
        "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
        "rcu: INFO: rcu_sched detected expedited stalls on CPUs/tasks: { 1-... } 21 jiffies s: 77 root: 0x2/.",
        "rcu: rcu_preempt kthread starved for 5252 jiffies! g77 f0x0 RCU_GP_WAIT_FQS(5) ->state=0x0 ->cpu=0",
        "INFO: rcu_sched self-detected stall on CPU",
        "INFO: rcu_tasks detected stalls on tasks:",
    ],
    Verdict.OOM: [
        "Out of memory: Killed process 123 (python3) total-vm:12kB, anon-rss:3kB, file-rss:0kB, shmem-rss:0kB, UID:0",
        "Out of memory (oom_kill_allocating_task): Killed process 5 (a) total-vm:1kB",
        "Out of memory and no killable processes...",
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task=python3,pid=9,uid=0",
        "oom-kill:constraint=CONSTRAINT_CPUSET,nodemask=(null),cpuset=a,mems_allowed=0",
    ],
    Verdict.WARNING: [
        "WARNING: CPU: 1 PID: 234 at mm/damon/core.c:1407 damon_split_region_at+0x1/0x20",
        "WARNING: CPU: 0 PID: 1 at arch/x86/kernel/x.c:1 f+0x0/0x1 [damon]",
        "WARNING: mm/damon/core.c:123 at damon_verify_nr_regions+0x1/0x2, CPU#1: kdamond.0/77",
        "WARNING: possible circular locking dependency detected",
        "WARNING: possible recursive locking detected",
        "WARNING: possible irq lock inversion dependency detected",
        "WARNING: inconsistent lock state",
        "WARNING: suspicious RCU usage",
        "WARNING: bad unlock balance detected!",
        "WARNING: held lock freed!",
        "WARNING: lock held when returning to user space!",
        "WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected",
        "INFO: possible recursive locking detected",
    ],
    Verdict.KMEMLEAK: ["kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)"],
    Verdict.SETUP_FAILED: ["vmtest: setup failed: no overlay"],
}
HARMLESS = [
    "Linux version 6.12.117-pydamon (vmtest@vmtest) (gcc 12) #1 SMP",
    "Kernel command line: console=ttyS0 panic=-1 oops=panic softlockup_panic=1 hung_task_panic=1",
    "Warning: unable to open an initial console.",
    "Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible",
    "x86/fpu: x87 FPU will use FXSAVE",
    "rcu: Hierarchical RCU implementation.",
    "rcu: \tRCU event tracing is enabled.",
    "rcu: RCU calculated value of scheduler-enlistment delay is 25 jiffies.",
    "Memory cgroup out of memory: Killed process 9 (hog) total-vm:1kB",
    "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task=hog,pid=9,uid=0",
    "python3 invoked oom-killer: gfp_mask=0x140dca(GFP_HIGHUSER_MOVABLE), order=0, oom_score_adj=0",
    "traps: python3[77] general protection fault ip:7f sp:7f error:0 in libc.so.6[7f+1]",
    "traps: a.out[12] trap invalid opcode ip:55 sp:7f error:0 in a.out[55+1]",
    "python3[77]: segfault at 0 ip 0000 sp 0000 error 4 in libc.so.6",
    "kfence: initialized - using 2097152 bytes for 255 objects at 0x0",
    "NMI watchdog: Enabled. Permanently consumes one hw-PMU counter.",
    "watchdog: Delayed init of the lockup detector failed: -19",
    "lkdtm: Performing direct entry WARNING",
    "sysrq: Show Blocked State",
    "task:kworker/0:1     state:D stack:0     pid:9     tgid:9     ppid:2      flags:0x4000",
    "systemd[1]: Failed to start a unit: BUG: this is a program's text",
    "random: crng init done",
    "debug: all good",
    "kmemleak: Kernel memory leak detector initialized (mem pool available: 15780)",
    "ok 1 oops_in_name # this is a test's result",
]
STAMPS = ["", "[   12.345678] ", "[    0.000000] ", "[12345.678901][  T123] ", "[   12.345678][    C1] "]


@pytest.mark.parametrize(("verdict", "line"), [(verdict, line) for verdict, lines in LINES.items() for line in lines])
def test_each_line_has_its_verdict_with_and_without_a_stamp(verdict: Verdict, line: str) -> None:
    for stamp in STAMPS:
        assert classify(stamp + line) is verdict


@pytest.mark.parametrize("line", HARMLESS)
def test_what_is_harmless_is_no_verdict(line: str) -> None:
    for stamp in STAMPS:
        assert classify(stamp + line) is None


def test_a_message_behind_what_a_program_wrote_is_found() -> None:
    assert classify("half a line of a prog[   12.345678] Kernel panic - not syncing: x") is Verdict.PANIC
    assert message("half[    1.500000][    T1] rest") == "rest"


def test_what_is_worth_a_note() -> None:
    assert noteworthy("[ 1.0] Memory cgroup out of memory: Killed process 9 (hog)")
    assert noteworthy("[ 1.0] kswapd0: page allocation failure: order:0, mode:0x40dc0")
    assert not noteworthy("[ 1.0] random: crng init done")


def test_every_verdict_a_line_can_have_has_examples() -> None:
    assert set(LINES) >= TOLERABLE
    assert not TOLERABLE & {Verdict.PANIC, Verdict.OOPS, Verdict.SETUP_FAILED}


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_no_line_is_a_riddle(line: str) -> None:
    assert classify(line) in {None, *LINES}
