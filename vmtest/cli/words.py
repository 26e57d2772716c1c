# SPDX-License-Identifier: GPL-2.0-only
"""What several commands say."""

from __future__ import annotations

import sys

EXIT_CODES = """exit codes:
  of "exec": the command's own, 128+n when signal n ended it; and
  2    invalid input, nothing was started
  3    this machine lacks something (the message says what, and the remedy)
  4    building the kernel or image failed
  124  the command did not end in time and was killed
  125  the guest was lost (panic, oops, lockup, QEMU died, ...): the command has no result
  130  interrupted with Ctrl-C
"""
EXAMPLES = """examples:
  vmtest exec -- uname -r
  vmtest exec --memory 512M --cpus 1 -- cat /proc/meminfo
  vmtest exec --swap zram:512M -- sh -c 'cat /proc/swaps; nproc'
  vmtest exec --root host -- ./my-test         # sees this machine's files, in this folder; writes to memory
  vmtest exec --tree .:/opt/project --env PYTHONPATH=/opt/project -- python3 -m pytest /opt/project/tests
  vmtest exec --kernel arch/x86/boot/bzImage --append 'transparent_hugepage=always' -- true
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


def say(text: str) -> None:
    """One line on standard error."""
    print(f"vmtest: {text}", file=sys.stderr, flush=True)
