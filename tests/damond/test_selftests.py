# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's selftest of the files, unmodified, on a simulated machine.

It runs in a mount namespace of its own, with the emulated files over the kernel's. The others need programs of their
own on the machine, so they run in guests (``tests/vm/test_selftests.py``).
"""

from __future__ import annotations

import os

import pytest

from tests.damond.conftest import PROBLEM, Damond
from vmtest.errors import MachineLacks
from vmtest.images import source
from vmtest.kselftest import collection

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root"),
    pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM),
]


@pytest.fixture(scope="module")
def selftests() -> str:
    try:
        return str(collection.obtain(source.from_package(), "damon").root / "damon")
    except MachineLacks as error:
        if os.environ.get("VMTEST_REQUIRED"):
            raise
        pytest.skip(str(error))


def test_every_file_reads_and_writes_as_the_kernels(selftests: str, damond: Damond) -> None:
    damond.sh(f"cd {selftests} && ./sysfs.sh", shell="bash")
    assert "Traceback" not in damond.log.read_text()
