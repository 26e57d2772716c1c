# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's selftests of the files, unmodified, on a simulated machine.

They run in a mount namespace of their own, with the emulated files over the kernel's. The others need programs of their
own on the machine, so they run in guests (``tests/vm/test_selftests.py``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.damond.conftest import PROBLEM, Damond
from vmtest.errors import MachineLacks
from vmtest.images import variants
from vmtest.kselftest import collection

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root"),
    pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM),
]


@pytest.fixture(scope="module")
def selftests() -> str:
    try:
        return str(collection.obtain(variants.variant(variants.DEFAULT).tree(), "damon").root / "damon")
    except MachineLacks as error:
        if os.environ.get("VMTEST_REQUIRED"):
            raise
        pytest.skip(str(error))


def test_every_file_reads_and_writes_as_the_kernels(selftests: str, damond: Damond) -> None:
    damond.sh(f"cd {selftests} && ./sysfs.sh", shell="bash")
    assert "Traceback" not in damond.log.read_text()


#: One context: a scheme with a quota, a goal and filters.
START = """
cd /sys/kernel/mm/damon/admin/kdamonds && echo 1 > nr_kdamonds && cd 0/contexts && echo 1 > nr_contexts && cd 0
echo paddr > operations; echo 7000 > monitoring_attrs/intervals/sample_us
echo 70000 > monitoring_attrs/intervals/aggr_us; echo 1 > targets/nr_targets
echo 1 > targets/0/regions/nr_regions; echo 4096 > targets/0/regions/0/start; echo 40960 > targets/0/regions/0/end
echo 1 > schemes/nr_schemes; cd schemes/0; echo migrate_cold > action; echo 1 > target_nid
echo 3 > access_pattern/age/min; echo 5 > quotas/ms; echo 8192 > quotas/bytes; echo 600 > quotas/reset_interval_ms
echo 1 > quotas/goals/nr_goals; echo 1000 > quotas/goals/0/target_value; echo 10 > quotas/goals/0/current_value
echo 1 > core_filters/nr_filters; echo addr > core_filters/0/type; echo 8192 > core_filters/0/addr_end
echo Y > core_filters/0/matching; echo on > ../../../../state
"""


def test_a_debuggers_script_reads_a_running_context(selftests: str, damond: Damond, tmp_path: Path) -> None:
    """The kernel's own script, run by the stand-in for drgn in ``damon exec``."""
    script = Path(selftests) / "drgn_dump_damon_status.py"
    if not script.exists():
        pytest.skip(f"{script.name}: is newer than this kernel source")
    said, _ = damond.sh(f"({START}) && drgn {script} $(cat /sys/kernel/mm/damon/admin/kdamonds/0/pid) stdout")
    (ctx,) = json.loads(said)["contexts"]
    (target,), (scheme,) = ctx["adaptive_targets"], ctx["schemes"]
    quota = scheme["quota"]
    assert (ctx["ops"]["id"], ctx["attrs"]["sample_interval"], ctx["attrs"]["aggr_interval"]) == (2, 7000, 70000)
    assert target["regions_list"][0]["ar"]["start"] == 4096
    assert target["nr_regions"] == len(target["regions_list"])
    assert (scheme["action"], scheme["target_nid"], scheme["pattern"]["min_age_region"]) == (9, 1, 3)
    assert (quota["ms"], quota["sz"], quota["reset_interval"]) == (5, 8192, 600)
    assert [(goal["metric"], goal["target_value"], goal["current_value"]) for goal in quota["goals"]] == [(0, 1000, 10)]
    assert scheme["core_filters"] == [{"type": "addr", "matching": True, "allow": False, "addr_range": [0, 8192]}]
    _, errors = damond.sh(f"drgn {script} 1 stdout", code=1)
    assert "worker: 1: does not run" in errors
    (tmp_path / "other.py").write_text("print(prog['jiffies'])")
    _, errors = damond.sh(f"drgn {tmp_path}/other.py", code=1)
    assert errors == "drgn: symbol: 'jiffies': only DAMON's workers are known here; use drgn on a kernel\n"
