# SPDX-License-Identifier: GPL-2.0-only
"""``python -m damon.cli.demo``: the main job on the simulated machine, shown and judged. No root, no guest.

Runs ``damon run`` as anybody would, each time in a process of its own, and ends with exit code 1 unless all of it is
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

WORKLOAD: Final = Path("workloads/hot-cold.yaml")
SECONDS: Final = 60
PAGE: Final = 4096


@dataclass(frozen=True)
class Check:
    """One line of the verdict."""

    what: str
    measured: str
    wanted: str
    kept: bool


def _damon_run(words: list[str], seed: int, out: Path, *, show: bool) -> dict[str, Any]:
    """The result object of one ``damon run`` of damon_reclaim; its summary is printed when ``show``."""
    command = ["run", "--module", "damon_reclaim", "min_age=5000000", *words]
    command += ["--sim", str(WORKLOAD), "--duration", str(SECONDS), "--seed", str(seed)]
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
        Check("wall time of 60 virtual seconds", f"{min(walls[:2]):.2f} s", "under 1 s", min(walls[:2]) < 1),
        Check("the same with 1000 regions", f"{walls[2]:.2f} s", "under 1 s", walls[2] < 1),
    ]


def main() -> int:
    """The exit code."""
    if not WORKLOAD.is_file():
        print(f"demo: {WORKLOAD} is not here: run it in the project's top folder", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="damon-demo-") as folder:
        files = [Path(folder, f"{name}.json") for name in ("first", "second", "many")]
        first = _damon_run([], 1, files[0], show=True)
        second = _damon_run([], 1, files[1], show=False)
        many = _damon_run(["min_nr_regions=1000", "max_nr_regions=1000"], 1, files[2], show=False)
    checks = _checks(first, second, many)
    rows = [(check.what, check.measured, check.wanted, "ok" if check.kept else "FAILED") for check in checks]
    output.table(("", "measured", "wanted", ""), rows)
    return 0 if all(check.kept for check in checks) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
