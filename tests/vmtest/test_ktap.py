# SPDX-License-Identifier: GPL-2.0-only
"""KTAP: of a run, of kselftests, of KUnit, and damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vmtest.suite_fakes import OUTCOMES, run_of
from vmtest.results import ktap, writers


def test_blanks_before_a_line_take_no_time(tmp_path: Path) -> None:
    """Each way to cut them into levels was tried, of which there are more than can be counted."""
    for blanks in (" " * 3000, "# " * 3000, "#  " * 3000):
        for line in ("x", "ok 1 a", "not ok", "1..2", "1.." + "9" * 5000, "# Subtest: a", "KTAP version 1", "# Subtes"):
            ktap.remarks(f"{blanks}{line}\n")
            ktap.parse(f"{blanks}{line}\n")
    assert [one.name for one in ktap.parse("1..1\n     1..1\n     ok 1 a\nok 1 b\n").subtests] == ["b/a"]


def test_ktap_reads_back_the_same() -> None:
    text = writers.ktap(run_of(OUTCOMES))
    assert text.startswith("KTAP version 1\n1..11\n")
    parsed = ktap.parse(text)
    assert parsed.problems == []
    found = {subtest.name: subtest.status for subtest in parsed.subtests}
    assert found["k/m/w/good"] == "pass"
    assert found["k/m/w/known"] == "expected"
    assert found["k/m/w/absent"] == "skip"
    for name in ("bad", "lost", "healed", "other", "slow", "lacking", "never", "many/b"):
        assert found[f"k/m/w/{name}"] == "fail", name
    assert found["k/m/w/many/a"] == "pass"


KSELFTEST = """\
TAP version 13
1..3
# timeout set to 45
# selftests: damon: sysfs.sh
# ok: 3 bytes
ok 1 selftests: damon: sysfs.sh
# selftests: damon: sysfs_update_removed_scheme_dir.sh
not ok 2 selftests: damon: sysfs_update_removed_scheme_dir.sh # exit=1
# selftests: damon: x.py
ok 3 selftests: damon: x.py # SKIP no such file
"""
KUNIT = """\
[    1.0] KTAP version 1
[    1.0] 1..2
[    1.0]     KTAP version 1
[    1.0]     # Subtest: damon
[    1.0]     1..3
[    1.0]     ok 1 damon_test_target
[    1.0]     not ok 2 damon_test_regions
[    1.0]     ok 3 damon_test_more # SKIP too small
[    1.0] # damon: pass:1 fail:1 skip:1 total:3
[    1.0] not ok 1 damon
[    1.0]     KTAP version 1
[    1.0]     # Subtest: damon-operations
[    1.0]     1..2
[    1.0]     ok 1 one
[    1.0] ok 2 damon-operations
"""


def test_kselftests_output() -> None:
    parsed = ktap.parse(KSELFTEST)
    assert [(found.name, found.status) for found in parsed.subtests] == [
        ("selftests: damon: sysfs.sh", "pass"),
        ("selftests: damon: sysfs_update_removed_scheme_dir.sh", "fail"),
        ("selftests: damon: x.py", "skip"),
    ]
    assert parsed.subtests[1].message == "exit=1"
    assert parsed.problems == []


def test_kunits_output_and_a_plan_that_is_not_kept() -> None:
    parsed = ktap.parse(KUNIT)
    assert [(found.name, found.status) for found in parsed.subtests] == [
        ("damon/damon_test_target", "pass"),
        ("damon/damon_test_regions", "fail"),
        ("damon/damon_test_more", "skip"),
        ("damon-operations/one", "pass"),
    ]
    assert parsed.problems == ["damon-operations: 2 results planned, 1 came"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("1..2\nok 1 a\n", "the output: 2 results planned, 1 came"), ("1..1\nok 1 a\nBail out! no\n", "Bail out! no")],
)
def test_output_that_ends_early_is_a_problem(text: str, problem: str) -> None:
    assert ktap.parse(text).problems == [problem]


@given(st.text(max_size=300))
def test_any_output_is_read(text: str) -> None:
    for found in ktap.parse(text).subtests:
        assert found.status in {"pass", "fail", "skip", "expected"}
