# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.fuzz``: inputs for all targets, for a time or a number of them. ``make fuzz`` runs it.

The parent starts workers and restarts those that die, so that a crash of the interpreter, too much memory and a call
that does not end are found as well; the input is the one that the worker noted before it tried it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz import parent, worker


def main() -> int:
    """The exit code; 1 when something did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, help="run so long")
    parser.add_argument("--cases", type=float, help="run so many times the number of cases in the table, once each")
    parser.add_argument("--seed", type=int, help="of all choices (default with --cases 0, else random and printed)")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        return worker.run(given.worker, given.target or [], given.seed or 0, given.cases, given.seconds)
    with tempfile.TemporaryDirectory(prefix="pydamon-fuzz-") as scratch:
        return parent.run(given, Path(scratch))


if __name__ == "__main__":
    sys.exit(main())
