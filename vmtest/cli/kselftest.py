# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest kselftest``: a collection of a kernel tree's selftests in a guest."""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput
from ..images import arch, kconfig, variants
from ..terminal import say, tell
from .options import add_guest_options, guest_config, seconds
from .text import EXIT_CODES

if TYPE_CHECKING:
    from ..images.source import KernelSource

EXAMPLES = """examples:
  vmtest kselftest damon                                   # 6.12's tests on the guest kernel
  vmtest kselftest damon --kernel-tree ~/linux             # your tree's tests on your tree's kernel, before you send it
  vmtest kselftest damon --test sysfs.sh --test reclaim.sh
  vmtest kselftest damon --kernel arch/x86/boot/bzImage --output junit >junit.xml
  vmtest kselftest cgroup --fresh --results out

The collection is built by its own Makefile, outside the tree. A test may take what its settings file gives (45 s
without one), five times that under software emulation, or --timeout. Its exit code counts (4: skipped), and its own
KTAP where that has "not ok". Ends with 0 when none failed, 1 when one did, 125 when one took its guest down; the
tests after that one run in another guest.

"""


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    tests = commands.add_parser(
        "kselftest",
        help="run a kernel tree's own selftests in a guest",
        description="Runs a collection of tools/testing/selftests in a guest, test by test, and prints KTAP.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tests.add_argument("collection", metavar="COLLECTION", help="directory below tools/testing/selftests: damon, ...")
    add_guest_options(tests)
    tests.set_defaults(memory="2G")
    add_source_options(tests)
    tests.add_argument("--test", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    tests.add_argument("--list", action="store_true", help="print the tests' names and boot nothing")
    tests.add_argument("--timeout", type=seconds, metavar="S", help="seconds a test may take")
    tests.add_argument("--fresh", action="store_true", help="a new guest for each test")
    add_output_options(tests)
    tests.set_defaults(call=_kselftest)


def add_source_options(to: argparse.ArgumentParser) -> None:
    """``--package``; ``--kernel-tree`` is one of the guest's options."""
    to.add_argument("--package", metavar="NAME", help="Debian's source package to take them from (linux-source-6.12)")


def add_output_options(to: argparse.ArgumentParser) -> None:
    """The options for the form of results."""
    to.add_argument("--output", choices=("ktap", "json", "junit"), default="ktap", help="on standard output")
    to.add_argument("--results", type=Path, metavar="DIR", help="keep all three forms and each test's output there")


def chosen_source(options: argparse.Namespace) -> KernelSource:
    """The tree that the tests are taken from: what the command names, else that of the kernel's variant.

    Raises:
        InvalidInput: both of two that exclude each other.
        MachineLacks: the package cannot be had.
    """
    from ..images import source

    if options.kernel_tree:
        if options.package:
            raise InvalidInput("--package, --kernel-tree: exclude each other; give one")
        return source.named(options.kernel_tree)
    if options.package:
        return source.from_package(source.package_name(options.package), fetch=True)
    known = variants.variants().get(options.kernel or variants.DEFAULT)
    of_variant = known is not None and not known.package
    return known.tree(fetch=True) if known and of_variant else source.from_package(source.PACKAGE, fetch=True)


def _kernel(options: argparse.Namespace) -> str:
    """What the kernel is called; ``options`` then name exactly one."""
    if options.kernel:
        options.kernel_tree = None
        return str(options.kernel)
    if options.kernel_tree:
        return str(options.kernel_tree)
    package = options.package
    if package:
        named = [name for name, one in variants.variants().items() if one.source == package]
        if not named:
            raise InvalidInput(
                f"--package: {package!r}: no kernel variant is built from it; name a kernel with --kernel"
            )
        options.kernel = named[0]
    return options.kernel or variants.DEFAULT


def _arch(options: argparse.Namespace) -> arch.Architecture:
    """The guest's architecture, before anything is built."""
    if options.kernel in variants.variants():
        return variants.variant(options.kernel).arch
    image = Path(options.kernel) if options.kernel else None
    return arch.of_image(image) if image and image.is_file() else arch.named(options.arch or arch.X86_64.name)


def _kselftest(options: argparse.Namespace) -> int:
    from ..kselftest import collection, execute, forms
    from ..results import writers
    from ..results.outcome import Run

    tree = chosen_source(options)
    found = collection.obtain(tree, options.collection, _arch(options))
    tests = found.chosen(options.test)
    if options.list:
        tell("\n".join(tests))
        return 0
    kernel = _kernel(options)
    config = guest_config(options)
    if options.results:
        options.results.mkdir(parents=True, exist_ok=True)
    for line in lacking(found.directory / "config", config.kernel):
        say(f"the kernel lacks what {options.collection}/config asks for: {line}")
    started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    runner = execute.Runner(
        found, config, kernel, timeout=options.timeout, fresh=options.fresh, directory=options.results
    )
    outcomes = runner.run(tests, forms.Progress(len(tests)))
    run = Run(
        suite=f"kselftest {options.collection}",
        started=started,
        seconds=time.monotonic() - begun,
        versions={"tests": tree.identity, "kernel": kernel},
        outcomes=outcomes,
    )
    if options.results:
        writers.write_all(run, options.results)
    tell(forms.text(run, options.output), end="")
    return run.exit_code


def lacking(wanted: Path, kernel: Path | str) -> list[str]:
    """Options of a collection's ``config`` that the kernel is not built with, as far as its configuration is known."""
    if not wanted.is_file():
        return []
    if isinstance(kernel, Path):
        near = (kernel.with_name("config"), kernel.with_name(".config"))
        config = next((path for path in near if path.is_file()), None)
    else:
        built = variants.variant(kernel).find()
        config = built.config if built else None
    if config is None:
        return []
    have = kconfig.parse(config.read_text())
    options = kconfig.requested([wanted])
    return [str(option) for option in options if option.value in {"y", "m"} and have.get(option.name) not in {"y", "m"}]
