# SPDX-License-Identifier: GPL-2.0-only
"""The options that describe a guest, and the configuration that they give."""

from __future__ import annotations

import argparse
import os
import re
import socket
from collections.abc import Sequence
from pathlib import Path

from .. import units
from ..config import ACCELERATORS, BOOT_SECONDS, MACHINES, GuestConfig, Timeouts
from ..errors import InvalidInput
from ..host import root as hostroot
from ..images import arch, kernel_build, kernel_package, variants
from ..quoting import quoted
from ..terminal import say
from .machine_options import add_machine_options, machine_values

# A person at a breakpoint.
FOREVER = 1e9


def add_guest_options(to: argparse.ArgumentParser) -> None:
    """The options of every command that boots a guest."""
    _add_what_boots(to)
    _add_size(to)
    _add_what_commands_see(to)
    _add_debugging(to)


def _add_what_boots(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--kernel",
        metavar="NAME|BZIMAGE|DEB",
        help="a variant ('vmtest kernels'), an image, a kernel package's file or name (default: page-idle)",
    )
    to.add_argument(
        "--kernel-tree",
        "--kernel-source",
        type=Path,
        metavar="DIR|PACKAGE",
        help="boot a kernel built from this tree, or from a package like linux-source-7.3 (cached by content)",
    )
    add_arch_option(to)
    to.add_argument(
        "--rootfs", type=Path, metavar="IMAGE", help="root file system, a squashfs image (default: build or cached)"
    )
    add_packages_option(to)
    to.add_argument(
        "--root",
        metavar="host|DIR",
        help="what commands see as their root: this machine's own, or a directory with a root file system, shared "
        "read-only by 9p with a layer in memory for what they write (default: the image's)",
    )


def add_packages_option(to: argparse.ArgumentParser) -> None:
    """``--packages``, of what a guest's image has besides."""
    to.add_argument(
        "--packages",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="NAME,...",
        help="Debian packages that the image has besides (built with them, and cached)",
    )


def _add_size(to: argparse.ArgumentParser) -> None:
    to.add_argument("--memory", default="1G", metavar="SIZE", help="memory (default: 1G)")
    to.add_argument("--cpus", type=int, default=2, metavar="N", help="processors (default: 2)")
    to.add_argument(
        "--machine", choices=MACHINES, default="auto", help="auto takes light, which is up sooner, where it will do"
    )
    to.add_argument(
        "--snapshot",
        action="store_true",
        help="go on from a snapshot of such a guest after its boot; made the first time, kept in the cache",
    )
    add_machine_options(to)
    to.add_argument("--swap", metavar="KIND:SIZE", help="zram:512M, zram:512M:zstd or disk:1G (default: none)")
    to.add_argument("--append", default="", metavar="WORDS", help="added to the kernel command line")


def _add_what_commands_see(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--tree", action="append", default=[], metavar="HOST:GUEST", help="copy a host directory in; may be repeated"
    )
    to.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="HOST:GUEST",
        help="share a host directory read-only (9p); may be repeated",
    )
    to.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="environment of the command; may be repeated"
    )
    to.add_argument("--cwd", metavar="DIR", help="working directory in the guest (with --root host default: this one)")


def _add_debugging(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--tolerate",
        action="append",
        default=[],
        metavar="VERDICT",
        help="a kernel report that shall not end the guest: warning, oom, hung-task, ...; may be repeated",
    )
    to.add_argument(
        "--gdb",
        type=_port,
        metavar="PORT",
        help="the kernel under gdb: QEMU's stub on 127.0.0.1:PORT (there: target remote :PORT); adds nokaslr",
    )
    to.add_argument(
        "--gdb-wait", action="store_true", help="with --gdb: the guest starts at gdb's 'continue'; no boot timeout"
    )
    to.add_argument(
        "--accelerator", choices=ACCELERATORS, default="auto", help="auto starts a guest once to see what works"
    )
    to.add_argument(
        "--boot-timeout",
        type=seconds,
        default=Timeouts().boot,
        metavar="S",
        help=f"seconds to boot (default: {BOOT_SECONDS:g}, times $VMTEST_PATIENCE)",
    )


def add_arch_option(to: argparse.ArgumentParser) -> None:
    """``--arch``."""
    to.add_argument(
        "--arch",
        choices=tuple(arch.ARCHITECTURES),
        help="what --kernel-tree is built for (default: x86_64); other kernels have theirs",
    )
    to.add_argument(
        "--kernel-option",
        action="append",
        default=[],
        type=_kernel_option,
        metavar="CONFIG_NAME=VALUE",
        help="build --kernel-tree with this option too, n for 'is not set'; may be repeated",
    )


def _kernel_option(text: str) -> tuple[str, str]:
    """An option of a kernel's configuration and its value."""
    found = re.fullmatch(r"(CONFIG_\w+)=([^\n]+)", text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not an option; give CONFIG_NAME=VALUE, as in CONFIG_SAMPLES=y"
        )
    return found[1], found[2]


def tree_recipe(options: argparse.Namespace) -> kernel_build.Recipe:
    """What a kernel tree is built with.

    Raises:
        InvalidInput: ``--arch`` or ``--kernel-option`` without a tree.
    """
    if options.kernel_option and not options.kernel_tree:
        name, value = options.kernel_option[0]
        raise InvalidInput(
            f"--kernel-option: {name}={value}: belongs to --kernel-tree; other kernels are built as they are"
        )
    if options.arch and not options.kernel_tree:
        raise InvalidInput(f"--arch: {options.arch}: belongs to --kernel-tree; a variant and an image have theirs")
    shipped = kernel_build.shipped(arch.named(options.arch or arch.X86_64.name))
    return shipped.with_options(dict(options.kernel_option))


def seconds(text: str) -> float:
    """Seconds above 0 of ``90``, ``500ms``, ``5min``, ``1h``."""
    value = units.seconds(text)
    if value is None or not 0 < value <= FOREVER:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not a duration above 0; give seconds, or e.g. {units.DURATIONS}"
        )
    return float(value)


def _port(text: str) -> int:
    """An unprivileged TCP port."""
    value = int(text)
    if not 1024 <= value <= 65535:
        raise ValueError
    return value


def _debugger(options: argparse.Namespace) -> tuple[str, ...]:
    """QEMU's words for its gdb stub. A port in use is refused here: QEMU would only die of it."""
    if options.gdb is None:
        if options.gdb_wait:
            raise InvalidInput("--gdb-wait: needs --gdb; give --gdb PORT")
        return ()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", options.gdb))
        except OSError as error:
            raise InvalidInput(f"--gdb: {options.gdb}: {error.strerror}; choose another port") from error
    return ("-gdb", f"tcp:127.0.0.1:{options.gdb}", *(("-S",) if options.gdb_wait else ()))


def _pairs(texts: Sequence[str], option: str) -> tuple[tuple[Path, str], ...]:
    pairs = []
    for text in texts:
        host, colon, guest = text.rpartition(":")
        if not colon or not host:
            raise InvalidInput(f"{option}: {text!r}: is not valid; give HOST:GUEST, for example .:/opt/project")
        pairs.append((Path(host), guest))
    return tuple(pairs)


def _environment(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise InvalidInput(f"--env: {text!r}: is not valid; give NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def guest_config(options: argparse.Namespace) -> GuestConfig:
    """The configuration that the options describe; a kernel tree is built."""
    debugger = _debugger(options)
    kernel, recipe = options.kernel, tree_recipe(options)
    if options.kernel_tree:
        if kernel:
            raise InvalidInput("--kernel, --kernel-tree: exclude each other; give one")
        from ..images import source

        kernel = kernel_build.obtain(source.named(options.kernel_tree), recipe).image
    elif isinstance(kernel, str) and kernel_package.is_package(kernel):
        kernel = kernel_package.obtain(kernel).image
    return GuestConfig(
        kernel=kernel or variants.DEFAULT,
        rootfs=options.rootfs,
        packages=options.packages,
        root=options.root,
        memory=options.memory,
        cpus=options.cpus,
        machine=options.machine,
        snapshot=options.snapshot,
        **machine_values(options),
        swap=options.swap,
        append=f"{options.append} nokaslr".strip() if debugger else options.append,
        trees=_pairs(options.tree, "--tree"),
        shares=_pairs(options.share, "--share"),
        env={**hostroot.environment(options.root), **_environment(options.env)},
        accelerator=options.accelerator,
        tolerate=tuple(options.tolerate),
        timeouts=Timeouts(boot=FOREVER, silence=FOREVER) if options.gdb_wait else Timeouts(boot=options.boot_timeout),
        qemu_args=debugger,
    )


def working_directory(config: GuestConfig, wanted: str | None) -> str | None:
    """Where commands start. Prints a line when the host's root is used and the caller's directory is not in it."""
    found = hostroot.working_directory(config.root, wanted)
    if found is None and config.root == hostroot.HOST:
        own = hostroot.hidden(os.getcwd())
        say(f"this directory is not in the guest, which has its own {own}: the command starts in {hostroot.HOME}")
    return found
