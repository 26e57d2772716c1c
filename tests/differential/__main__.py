# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.differential``: random cases for a time, against one version or several."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Final

from damon.errors import DamonError
from damon.kernel.build import Built, build
from damon.kernel.source import open_source
from tests.differential import fuzz
from tests.differential.coverage import missing, shares
from tests.differential.versions import comparable

#: A line after so many cases.
REPORT_EVERY: Final = 100


def main() -> int:
    """The exit code; 1 when an unexplained difference was found, 3 when a source cannot be had."""
    parser = argparse.ArgumentParser(prog="python -m tests.differential", description=__doc__)
    parser.add_argument("versions", nargs="*", default=["linux-source-7.3"], help="sources (default linux-source-7.3)")
    parser.add_argument("--cases", type=int, default=1_000_000, help="of each version at most")
    parser.add_argument("--seconds", type=float, help="of processor time, of each version at most")
    parser.add_argument("--no-shrink", action="store_true", help="tell the first difference as it was found")
    parser.add_argument("--seed", type=int, default=0, help="of the first case; the next has the next seed")
    given = parser.parse_args()
    code = 0
    for version in given.versions:
        try:
            built = build(open_source(version))
        except DamonError as error:
            print(f"{version}: {error}", file=sys.stderr)
            return 3
        code |= _version(built, version, given)
    return code


def _counts(version: str, total: fuzz.Outcome, began: float) -> str:
    known = ", ".join(f"{name} {count}" for name, count in sorted(total.known.items())) or "none"
    counts = f"{total.cases} cases, {total.observations} observations, {total.skipped} not comparable"
    return f"{version}: {counts}, known: {known}, {time.process_time() - began:.1f} s"


def _version(built: Built, version: str, given: argparse.Namespace) -> int:
    began = time.process_time()
    total, reported = fuzz.Outcome(), 0
    for total in fuzz.played(built, given.cases, given.seed, given.seconds, shrink=not given.no_shrink):
        if total.cases >= reported + REPORT_EVERY:
            reported = total.cases
            print(_counts(version, total, began), flush=True)
    if reported < total.cases:
        print(_counts(version, total, began), flush=True)
    if total.difference is not None:
        print(f"{version}: seed {total.seed}: {total.difference}")
        return 1
    print(f"{version}: met by: {shares(total.met, total.cases)}")
    if never := missing(total.met, total.cases, old=not comparable(built.source.version)):
        print(f"{version}: never met, so this run shows nothing of it: {', '.join(never)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
