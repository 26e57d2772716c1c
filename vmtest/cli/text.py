# SPDX-License-Identifier: GPL-2.0-only
"""Help texts and reports of several commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..terminal import say

if TYPE_CHECKING:
    from ..guest import Guest

EXIT_CODES = """exit codes:
  of "exec": the command's own, 128+n when signal n ended it; and
  2    invalid input, nothing was started
  3    this machine lacks something (the message has what, and the remedy)
  4    building the kernel or image failed
  124  the command did not end in time and was killed
  125  the guest was lost (panic, oops, lockup, QEMU died, ...): the command has no result
  130  interrupted with Ctrl-C
"""
EXAMPLES = """examples:
  vmtest exec -- uname -r
  vmtest exec --memory 512M --cpus 1 -- cat /proc/meminfo
  vmtest exec --swap zram:512M -- sh -c 'cat /proc/swaps; nproc'
  vmtest exec --root host -- ./my-test         # sees this machine's files, in this directory; writes to memory
  vmtest exec --tree .:/opt/project --env PYTHONPATH=/opt/project -- python3 -m pytest /opt/project/tests
  vmtest exec --kernel arch/x86/boot/bzImage --append 'transparent_hugepage=always' -- true
  vmtest exec --numa 2 --numa-cpus 2,0 --numa-memory 768M,256M --numa-distance 0:1=30 -- ls /sys/devices/system/node
  vmtest exec --memory-max 2G --plug 5s:+512M --plug 20s:-512M -- sh -c 'sleep 30; cat /proc/meminfo'
  vmtest exec --cgroup box:memory.max=256M,memory.swap.max=0 --in-cgroup box -- cat /proc/self/cgroup
  vmtest exec --dump out -- sh -c 'echo c >/proc/sysrq-trigger'       # out/vmcore, for crash and drgn
  vmtest exec --kernel page-idle-no-damon -- ls /sys/kernel/mm
  vmtest build kernel --kernel-tree ~/linux
  vmtest kselftest damon --kernel-tree ~/linux && vmtest kunit --kernel-tree ~/linux
  vmtest kconfig .config --feature page_idle
  vmtest run suite.yaml -j 2 --results out && vmtest report out
  vmtest doctor

A guest has no network but the way in over SSH on 127.0.0.1, with keys made for this run. It is gone when the command
ends, when you press Ctrl-C, and when this program is killed. No root is needed. What is built is kept in
~/.cache/pydamon ($XDG_CACHE_HOME), keyed by content.

"""


@contextmanager
def reporting_dump(guest: Guest) -> Iterator[None]:
    """Prints, once a guest is gone, where its memory is kept, or why it is not."""
    try:
        yield
    finally:
        if path := guest.dumps.kept():
            say(f"memory of the guest: {path}")
        for note in guest.dumps.notes:
            say(note)
