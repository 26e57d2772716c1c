# SPDX-License-Identifier: GPL-2.0-only
"""A patched tree: what the change does is seen, and what it breaks is reported with file and line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from damon.cli.main import main
from damon.damond.fusemount import mounts, unmount
from damon.kernel import faults
from damon.kernel.build import build
from damon.kernel.source import open_source
from tests.damond.conftest import PROBLEM, Damond, monitor
from tests.kernel.trees import built, changed
from tests.waiting import HANG_S, until

CHARGE = "\tif (!quota->fail_charge_denom || sz_applied > sz_region)\n"
TRIED = "\ts->stat.nr_tried++;\n"


def _run(tree: Path, *more: str) -> int:
    words = ["--module", "damon_reclaim", "min_age=1000000", "--sim", "hot-cold", "--duration", "6"]
    return main(["run", "--engine", f"kernel:{tree}", *words, "--quiet", *more])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (CHARGE, "\tif (*(volatile int *)&((struct damos_quota *)0)->fail_charge_denom)\n",
         r"NULL pointer dereference, address 0x[0-9a-f]+ at mm/damon/core\.c:\d+, damos_charge_quota\(\); called by "),
        (TRIED, "\ts->stat.nr_tried += sz_tried / s->stat.qt_exceeds;\n",
         r"division by zero at mm/damon/core\.c:\d+, damos_update_stat\(\)"),
        (TRIED, "\tBUG_ON(sz_tried);\n", r"BUG at mm/damon/core\.c:\d+, damos_update_stat\(\)"),
        (TRIED, "\tfor (;;)\n\t\tbarrier();\n", r"endless loop: .* at mm/damon/core\.c:\d+, damos_update_stat\(\)"),
    ],
    ids=["null", "division", "bug", "loop"],
)  # fmt: skip
def test_faults(
    old: str, new: str, said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "LOOP_S", 2)
    assert _run(changed((old, new))) == 1
    lines = [line for line in capfd.readouterr().err.splitlines() if "the kernel's code broke" in line]
    assert len(lines) == 1
    assert re.search(said, lines[0]), lines[0]


def test_a_warning_is_reported_and_the_run_goes_on(capfd: pytest.CaptureFixture[str]) -> None:
    tree = changed((TRIED, TRIED + '\tWARN_ONCE(sz_tried > 4096, "tried %lu\\n", sz_tried);\n'))
    assert _run(tree) == 0
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "WARNING" in line]
    assert re.search(r"kernel: WARNING at .*core\.c:\d+, damos_update_stat\(\): tried \d+$", line)


def test_what_does_not_compile_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(changed((TRIED, "\ts->stat.nr_tried+++;\n"))) == 2
    assert re.search(r"core\.c:\d+:\d+: error: ", capfd.readouterr().err)


@pytest.mark.skipif(bool(PROBLEM), reason=PROBLEM)
def test_a_service_ends_with_one_line(tmp_path: Path) -> None:
    """damond's: the place with its caller, no mount that hangs, and what stops a service ends no report."""
    tree = changed((TRIED, TRIED + "\tBUG_ON(sz_tried);\n"))
    build(open_source(str(tree)))
    damond = Damond(tmp_path, "--sim", "hot-cold", "--engine", f"kernel:{tree}").wait()
    try:
        one = monitor(damond)
        (one / "state").write_text("on\n")
        assert damond.process.wait(HANG_S) == faults.EXIT_FAULT
        until(lambda: not mounts(damond.mount), damond.log.read_text)
        lines = [line for line in damond.log.read_text().splitlines() if not line.startswith("[")]
    finally:
        damond.process.kill()
        unmount(damond.mount)
    assert len(lines) == 1, lines
    assert re.match(
        r"damond: the kernel's code broke: BUG at mm/damon/core\.c:\d+, damos_update_stat\(\); called by ", lines[0]
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("\t\t\t\t\tmax_merge_score / 10,\n", "\t\t\t\t\tmax_merge_score / 2,\n"),
        ("min_age_region <= r->age &&\n", "min_age_region < r->age &&\n"),
    ],
    ids=["constant", "inequality"],
)
def test_a_change_changes_the_result(old: str, new: str, tmp_path: Path) -> None:
    built()
    results = []
    for name, tree in (("as-is", None), ("changed", changed((old, new)))):
        engine = f"kernel:{tree}" if tree else "linux-source-7.3"
        words = ["--module", "damon_reclaim", "min_age=1000000", "--sim", "hot-cold", "--duration", "10"]
        path = tmp_path / f"{name}.json"
        assert main(["run", "--engine", engine, *words, "--quiet", "--json", str(path)]) == 0
        results.append(json.loads(path.read_text())["modules"]["damon_reclaim"]["stats"])
    assert results[0] != results[1]
