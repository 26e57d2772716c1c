# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own DAMON selftests against damond, on real page tables, in a kernel that has no DAMON of its own.

The tests are taken from the kernel's source package when this runs, unmodified; two processors run them.
docs/reference/damond.md has the results beside those of the guest kernel's own DAMON.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.calls import INSIDE, Answer, Calls
from tests.vm.checks import complaints
from tests.vm.job import start_damond
from tests.vm.trees import ROOT
from vmtest import Guest
from vmtest.images import variants
from vmtest.kselftest import collection

pytestmark = pytest.mark.guest(memory="1G", cpus=2, swap="zram:512M", kernel="page-idle-no-damon", snapshot=True)

SELFTESTS = "/tmp/selftests/damon"
KTAP = ROOT / "build/damond-selftests.ktap"
TESTS = (
    "sysfs.sh",
    "sysfs_update_removed_scheme_dir.sh",
    "sysfs_update_schemes_tried_regions_hang.py",
    "sysfs_update_schemes_tried_regions_wss_estimation.py",
    "damos_quota.py",
    "damos_quota_goal.py",
    "damos_apply_interval.py",
    "damos_tried_regions.py",
    "damon_nr_regions.py",
    "reclaim.sh",
    "lru_sort.sh",
    "sysfs.py",
    "sysfs_no_op_commit_break.py",
    "sysfs_refresh.py",
    "sysfs_memcg_path_leak.sh",
)
#: Thousands of processes, which takes minutes in a guest (``tests/damond/test_selftests.py`` has it without one); the
#: others sleep for seconds on end beside a program that is meant to have a processor of its own.
LONG = (
    "sysfs.sh",
    "sysfs_update_schemes_tried_regions_wss_estimation.py",
    "damos_quota.py",
    "damos_quota_goal.py",
    "damos_apply_interval.py",
    "damos_tried_regions.py",
    "damon_nr_regions.py",
)
#: By the guest's clock.
TIMEOUT_S = 240
#: Ends before a test could touch the kernel's own files.
SURE = '[ "$(stat -f -c %T /sys/kernel/mm/damon/admin)" = fuseblk ] || exit 99; '


@pytest.fixture(scope="module")
def staged(shared_guest: Guest) -> Guest:
    shared_guest.put(
        collection.obtain(variants.variant(variants.DEFAULT).tree(), "damon").root, str(Path(SELFTESTS).parent)
    )
    return shared_guest


@pytest.fixture(scope="module")
def damond(staged: Guest) -> Guest:
    start_damond(staged)
    return staged


@pytest.fixture(scope="module")
def call(damond: Guest) -> Iterator[Calls]:
    """Commands that see damond's files."""
    calls = Calls(damond, INSIDE)
    yield calls
    calls.close()


@pytest.fixture(scope="module")
def ktap() -> Iterator[list[str]]:
    """Lines of results, as the kernel's own runner prints them; in the end they are in ``build``."""
    lines: list[str] = []
    yield lines
    nr = sum(not line.startswith("#") for line in lines)
    text = "\n".join(["KTAP version 1", f"1..{nr}", *lines, ""])
    print(text)
    KTAP.parent.mkdir(exist_ok=True)
    KTAP.write_text(text)


def _read_before_it_was_counted(result: Answer) -> bool:
    """The last of the windows that ``damos_quota.py`` saw full was not counted yet.

    A full window is counted when the next one begins. The program ends with its workload, maybe between the two. It
    notices where an aggregation interval is as long as its own loop: only there are no windows that it did not see.
    """
    found = re.match(r"quota is exceeded less than expected: (\d+) < (\d+)$", result.text.strip())
    return found is not None and int(found[2]) - int(found[1]) == 1


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.long] * (name in LONG)) for name in TESTS])
def test_damond(damond: Guest, call: Calls, name: str, ktap: list[str]) -> None:
    if call("test", "-e", f"{SELFTESTS}/{name}").code:
        pytest.skip(f"{name}: is newer than this kernel source")
    command = f"{SURE} cd {SELFTESTS} && timeout -k 5 {TIMEOUT_S} ./{name}"
    for _ in range(3):
        result = call("bash", "-c", command)
        if not _read_before_it_was_counted(result):
            break
    ktap += [f"# {line}" for line in f"selftests: damon: {name}\n{result.text}{result.errors}".splitlines()]
    ktap.append(f"{'not ok' if result.code else 'ok'} {TESTS.index(name) + 1} selftests: damon: {name}")
    log = damond.run(["tail", "-n", "20", "/tmp/damond.log"]).text
    assert result.code == 0, f"exit code {result.code}\n{result.text}{result.errors}\n{log}"


def test_nothing_went_wrong_in_damond(damond: Guest) -> None:
    log = damond.run(["cat", "/tmp/damond.log"]).text
    assert "Traceback" not in log, log
    assert complaints(damond) == []
