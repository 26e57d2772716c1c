# SPDX-License-Identifier: GPL-2.0-only
"""A suite of guest tests: each test runs commands in a QEMU guest that the ``guest`` fixture boots.

Run it with ``python -m pytest examples/guest_tests``; it needs QEMU (``vmtest doctor`` says what is missing), but no
root and no KVM. pytest prints its usual summary. The guest is booted once for this file.
"""

from __future__ import annotations

import pytest

from vmtest import Guest

pytestmark = pytest.mark.guest(memory="512M", swap="zram:64M")


def test_the_swap_is_on(guest: Guest) -> None:
    swaps = guest.run(["cat", "/proc/swaps"], check=True).stdout.decode()
    assert "/dev/zram0" in swaps


def test_advice_pages_out(guest: Guest) -> None:
    """Memory that is advised MADV_PAGEOUT counts as swapped in the process's status."""
    program = (
        "import mmap\n"
        "area = mmap.mmap(-1, 8 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
        "for page in range(0, len(area), 4096): area[page] = 1 + page // 4096 % 250\n"
        "area.madvise(21)  # MADV_PAGEOUT\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmSwap')))\n"
    )
    swapped_kib = int(guest.run(["python3", "-c", program], check=True).stdout)
    assert swapped_kib >= 7 << 10


def test_a_command_that_fails(guest: Guest) -> None:
    """A command's exit code is a result; only a guest that is lost is an error of the harness."""
    assert guest.run(["sh", "-c", "exit 3"]).returncode == 3
