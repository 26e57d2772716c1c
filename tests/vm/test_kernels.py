# SPDX-License-Identifier: GPL-2.0-only
"""What a guest of a kernel variant has, and has not."""

from __future__ import annotations

import pytest

from tests.vm.job import COUNTED
from vmtest import Guest

pytestmark = [pytest.mark.guest(memory="1G", kernel="page-idle-no-damon", **COUNTED)]


def test_kernel_without_damon_has_idle_page_tracking_and_fuse(guest: Guest) -> None:
    result = guest.run(
        "for path in /sys/kernel/mm/damon /sys/module/damon_reclaim /sys/module/damon_lru_sort"
        " /sys/kernel/mm/page_idle/bitmap /sys/module/fuse; do [ -e $path ] && echo $path; done; true"
    )
    assert result.text.split() == ["/sys/kernel/mm/page_idle/bitmap", "/sys/module/fuse"]
