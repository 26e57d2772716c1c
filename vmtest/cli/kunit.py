# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest kunit``: a kernel's KUnit tests."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from ..errors import InvalidInput
from ..images import variants
from ..terminal import say, tell
from .kselftest import add_output_options, add_source_options, chosen_source
from .options import add_guest_options, guest_config
from .text import EXIT_CODES

VARIANT = "kunit"
EXAMPLES = """examples:
  vmtest kunit                                             # all KUnit tests of 6.12's 'kunit' kernel: DAMON's
  vmtest kunit --filter 'damon*' --kernel-tree ~/linux     # your tree, built as the 'kunit' variant
  vmtest kunit --filter 'damon.*split*'
  vmtest kunit --kernel my/bzImage --filter 'ext4*' --output junit

The kernel runs its tests while it boots, and that is all; no root file system is read. Ends with 0 when all passed, 1
when one failed, 125 when the kernel crashed on the way (what passed before is reported).

"""


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    tests = commands.add_parser(
        "kunit",
        help="boot a kernel that runs its own KUnit tests",
        description="Boots a kernel with KUnit built in and prints its results.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_guest_options(tests)
    add_source_options(tests)
    tests.add_argument("--filter", default="*", metavar="GLOB", help="suites, or SUITE.TEST (default: all)")
    add_output_options(tests)
    tests.set_defaults(call=_kunit, cpus=1)


def _kunit(options: argparse.Namespace) -> int:
    from ..images import kernel_build
    from ..kselftest import forms, kunit
    from ..results import writers
    from ..results.outcome import Run

    if options.kernel and (options.kernel_tree or options.package):
        raise InvalidInput("--kernel: excludes --kernel-tree and --package; give one")
    if options.arch:
        raise InvalidInput(f"--arch: {options.arch}: the kunit kernel is built for x86_64; give an image with --kernel")
    name = options.kernel or VARIANT
    if options.kernel_tree or options.package:
        tree = chosen_source(options)
        name = f"{VARIANT} of {tree.name}"
        options.kernel_tree = None
        # Not every version has every test.
        asked = variants.variant(VARIANT).recipe().with_options(dict(options.kernel_option))
        recipe, options.kernel_option = kernel_build.known_to(tree, asked, "_KUNIT_TEST"), []
        options.kernel = kernel_build.obtain(tree, recipe).image
    else:
        options.kernel = name
    config = guest_config(options)
    if options.results:
        options.results.mkdir(parents=True, exist_ok=True)
    started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    outcomes = kunit.run(config, options.filter, name, directory=options.results)
    progress = forms.Progress(len(outcomes))
    for outcome in outcomes:
        progress(outcome)
    run = Run(
        suite="kunit", started=started, seconds=time.monotonic() - begun, versions={"kernel": name}, outcomes=outcomes
    )
    if options.results:
        writers.write_all(run, options.results)
    say(f"{sum(len(outcome.subtests) for outcome in outcomes)} tests in {run.seconds:.1f} s, booting included")
    tell(forms.text(run, options.output), end="")
    return run.exit_code
