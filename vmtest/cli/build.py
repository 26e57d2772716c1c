# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest build`` and ``vmtest kernels``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..errors import InvalidInput, MachineLacks
from ..images import arch, features, variants
from ..terminal import tell
from .options import add_arch_option, add_packages_option, tree_recipe


def add(commands: Any) -> None:
    """Adds the commands to the command line."""
    build = commands.add_parser(
        "build", help="build the guest kernel or the root file system now", description=_build.__doc__
    )
    build.add_argument("part", choices=("kernel", "image"))
    build.add_argument("variant", nargs="?", metavar="VARIANT", help="which kernel: see 'vmtest kernels'")
    build.add_argument(
        "--kernel-tree",
        "--kernel-source",
        type=Path,
        metavar="DIR|PACKAGE",
        help="a kernel tree, built out of tree, or a package like linux-source-7.3 of any suite (default: Debian's)",
    )
    build.add_argument("--package", metavar="PACKAGE", help="a package of kernel source, fetched where need be")
    build.add_argument("--suite", metavar="SUITE", help="with --package: the suite to take it from (default: any)")
    add_packages_option(build)
    add_arch_option(build)
    build.set_defaults(call=_build)
    unpack = commands.add_parser(
        "unpack", help="unpack the kernel tree of a package, to work on it", description=_unpack.__doc__
    )
    unpack.add_argument("package", metavar="PACKAGE", help="like linux-source-7.3, of any suite")
    unpack.add_argument("directory", type=Path, metavar="DIR", help="a directory that is not there yet")
    unpack.set_defaults(call=_unpack)
    kernels = commands.add_parser(
        "kernels", help="the kernels that have a name, and which are built", description=_kernels.__doc__
    )
    kernels.set_defaults(call=_kernels)


def _build(options: argparse.Namespace) -> int:
    """Builds a guest kernel (about five minutes on two processors, one for a variant of a built one) or the root file
    system (about a minute), unless the cache has it, and prints where it is."""
    from ..images import kernel_build, rootfs_build, source

    if options.part == "image":
        if options.kernel_tree or options.package or options.variant:
            raise InvalidInput("--kernel-tree, --package, VARIANT: belong to 'build kernel'; leave them out")
        of = arch.named(options.arch or arch.X86_64.name)
        tell(rootfs_build.obtain(of, rootfs_build.checked_packages(options.packages, of)).image)
        return 0
    if options.packages:
        raise InvalidInput(f"--packages: {','.join(options.packages)!r}: belong to 'build image'; leave them out")
    if sum(map(bool, (options.kernel_tree, options.package, options.variant))) > 1:
        raise InvalidInput("VARIANT, --kernel-tree, --package: exclude each other; give one")
    if options.suite and not options.package:
        raise InvalidInput(f"--suite: {options.suite!r}: belongs to --package; give both")
    if options.package:
        package = source.package_name(options.package)
        options.kernel_tree = Path(package)  # what it is refused as
        tree = source.from_package(package, suite=options.suite or "", fetch=True)
        tell(kernel_build.obtain(tree, tree_recipe(options)).image)
        return 0
    recipe = tree_recipe(options)
    if options.kernel_tree:
        tell(kernel_build.obtain(source.named(options.kernel_tree), recipe).image)
        return 0
    tell(variants.variant(options.variant or variants.DEFAULT).obtain(newest=True).image)
    return 0


def _unpack(options: argparse.Namespace) -> int:
    """Unpacks the whole kernel tree of a Debian package (1.6 GB, about a minute), downloaded where need be, into a new
    directory, and prints its version. Give the directory to --kernel-tree."""
    from ..images import source

    found = source.from_package(source.package_name(options.package), fetch=True)
    source.unpack_to(found, options.directory)
    tell(found.identity)
    return 0


def _kernels(_options: argparse.Namespace) -> int:
    """Lists the kernels that have a name, what they are, where those are that are built, and what these have (the
    features of 'vmtest kconfig')."""
    for one in variants.variants().values():
        try:
            built = one.find()
            where = f"{built.image}\n    has {_has(built.config)}" if built else "not built yet"
        except MachineLacks as error:
            where = str(error)
        tell(f"{one.name}: {one.about}\n    {where}")
    return 0


def _has(config: Path) -> str:
    have = features.read(config)
    return ", ".join(one.name for one in features.features().values() if not one.missing(have))
