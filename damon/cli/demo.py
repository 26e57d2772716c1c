# SPDX-License-Identifier: GPL-2.0-only
"""``python -m damon.cli.demo``: proactive reclaim on the simulated machine, shown and checked. No root, no guest.

Runs ``damon run`` as a user does, each time in a process of its own, and ends with exit code 1 unless all of it is
as it should be.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from damon.cli import output

WORKLOAD: Final = "hot-cold"
SECONDS: Final = 60
PAGE: Final = 4096
# What a run takes on a processor that does nothing else. Slower is shown and is not a failure: how busy a machine is
# does not depend on the simulator, whose speed `make bench` compares side by side.
WANTED_S: Final = 1.0


@dataclass(frozen=True)
class Check:
    """One line of the verdict."""

    what: str
    measured: str
    wanted: str
    kept: bool
    slow: bool = False  # later than wanted, and no fault for that

    @property
    def verdict(self) -> str:
        """For the table."""
        return "FAILED" if not self.kept else "slow here" if self.slow else "ok"


def _time(what: str, seconds: float) -> Check:
    return Check(what, f"{seconds:.2f} s", f"under {WANTED_S:g} s", kept=True, slow=seconds >= WANTED_S)


def _damon_run(words: list[str], seed: int, out: Path, *, show: bool) -> dict[str, Any]:
    """The result object of one ``damon run`` of damon_reclaim; its summary is printed when ``show``."""
    command = ["run", "--module", "damon_reclaim", "min_age=5000000", *words]
    command += ["--sim", WORKLOAD, "--duration", str(SECONDS), "--seed", str(seed)]
    print(f"$ damon {shlex.join([*command, '--json', out.name])}", flush=True)
    command += ["--json", str(out), *([] if show else ["--quiet"])]
    if subprocess.run([sys.executable, "-m", "damon.cli.main", *command], check=False).returncode:
        raise SystemExit(1)
    result: dict[str, Any] = json.loads(out.read_text())
    return result


def _untimed(result: dict[str, Any]) -> bytes:
    return json.dumps({key: value for key, value in result.items() if key != "timing"}).encode()


def _checks(first: dict[str, Any], second: dict[str, Any], many: dict[str, Any]) -> list[Check]:
    hot, cold = first["areas"]["hot"], first["areas"]["cold"]
    taken = 1 - cold["resident_bytes_end"] / cold["resident_bytes_start"]
    refaults = hot["refaults"] * PAGE / hot["size_bytes"]
    walls = [result["timing"]["wall_seconds"] for result in (first, second, many)]
    same = _untimed(first) == _untimed(second)
    return [
        Check("cold memory reclaimed", f"{taken:.1%}", "at least 85 %", taken >= 0.85),
        Check("hot pages faulted back in", f"{refaults:.2%}", "under 1 %", refaults < 0.01),
        Check("two runs of one seed", "the same bytes" if same else "differ", "the same bytes", same),
        _time("wall time of 60 virtual seconds", min(walls[:2])),
        _time("the same with 1000 regions", walls[2]),
    ]


def main() -> int:
    """The exit code."""
    with tempfile.TemporaryDirectory(prefix="damon-demo-") as directory:
        files = [Path(directory, f"{name}.json") for name in ("first", "second", "many")]
        first = _damon_run([], 1, files[0], show=True)
        second = _damon_run([], 1, files[1], show=False)
        many = _damon_run(["min_nr_regions=1000", "max_nr_regions=1000"], 1, files[2], show=False)
    checks = _checks(first, second, many)
    rows = [(check.what, check.measured, check.wanted, check.verdict) for check in checks]
    output.table(("", "measured", "wanted", ""), rows)
    return 0 if all(check.kept for check in checks) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
