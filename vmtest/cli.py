# SPDX-License-Identifier: GPL-2.0-only
"""The ``vmtest`` command: run one command in a guest, build what guests boot, say what is missing here."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

from . import cli_suite
from .config import ACCELERATORS, GuestConfig, Timeouts
from .errors import CommandTimeout, HarnessError, InvalidInput, MachineLacks

CHUNK = 1 << 16
EXIT_CODES = """exit codes:
  of "exec": the command's own, 128+n when signal n ended it; and
  2    invalid input, nothing was started
  3    this machine lacks something (the message says what, and the remedy)
  4    building the kernel or image failed
  124  the command did not end in time and was killed
  125  the guest was lost (panic, oops, lockup, QEMU died, ...): the command has no result
  130  interrupted with Ctrl-C
"""
EXAMPLES = """examples:
  vmtest exec -- uname -r
  vmtest exec --memory 512M --cpus 1 -- cat /proc/meminfo
  vmtest exec --swap zram:512M -- sh -c 'cat /proc/swaps; nproc'
  vmtest exec --tree .:/opt/project --env PYTHONPATH=/opt/project -- python3 -m pytest /opt/project/tests
  vmtest exec --kernel arch/x86/boot/bzImage --append 'transparent_hugepage=always' -- true
  vmtest build kernel --kernel-source ~/linux
  vmtest run suite.yaml -j 2 --results out && vmtest report out
  vmtest doctor

A guest has no network but the way in over SSH on 127.0.0.1, with keys made for this run. It is gone when the command
ends, when you press Ctrl-C, and when this program is killed. No root is needed. What is built is kept in
~/.cache/pydamon ($XDG_CACHE_HOME), keyed by content.

"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # One line, as everywhere; the usage is what --help is for.
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        sys.exit(InvalidInput.exit_code)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(
        prog="vmtest",
        description="Boots a Linux guest in QEMU, runs a command in it, and cleans up.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="what", required=True, metavar="COMMAND", parser_class=_Parser)
    run = commands.add_parser(
        "exec",
        help="boot a guest, run one command, end with its exit code",
        description="Boots a guest and runs one command in it as root. Its standard output, standard error and\n"
        "exit code become this program's own; standard input is passed on unless it is a terminal.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="vmtest exec [options] -- COMMAND [ARGUMENT ...]",
    )
    _guest_options(run)
    run.add_argument(
        "--timeout", type=_seconds, default=None, metavar="S", help="seconds the command may take (default: no limit)"
    )
    run.add_argument(
        "--verbose", "-v", action="store_true", help="say what is started, and how long each phase took, on stderr"
    )
    run.add_argument(
        "command", nargs="+", metavar="COMMAND", help="after --: program and arguments, run as they are (no shell)"
    )
    run.set_defaults(call=_exec)
    build = commands.add_parser(
        "build", help="build the guest kernel or the root file system now", description=_build.__doc__
    )
    build.add_argument("part", choices=("kernel", "image"))
    build.add_argument(
        "--kernel-source", type=Path, metavar="DIR", help="a kernel tree, built out of tree (default: Debian's package)"
    )
    build.set_defaults(call=_build)
    doctor = commands.add_parser(
        "doctor", help="what is missing here, the remedy, and which accelerator works", description=_doctor.__doc__
    )
    doctor.set_defaults(call=_doctor)
    cli_suite.add(commands)
    return top


def _guest_options(to: argparse.ArgumentParser) -> None:
    to.add_argument(
        "--kernel", type=Path, metavar="BZIMAGE", help="boot this kernel (default: build or take the cached one)"
    )
    to.add_argument(
        "--kernel-source", type=Path, metavar="DIR", help="boot a kernel built from this tree (cached by content)"
    )
    to.add_argument(
        "--rootfs", type=Path, metavar="IMAGE", help="root file system, a squashfs image (default: build or cached)"
    )
    to.add_argument("--memory", default="1G", metavar="SIZE", help="memory (default: 1G)")
    to.add_argument("--cpus", type=int, default=2, metavar="N", help="processors (default: 2)")
    to.add_argument("--numa", type=int, default=1, metavar="N", help="NUMA nodes (default: 1)")
    to.add_argument("--swap", metavar="KIND:SIZE", help="zram:512M, zram:512M:zstd or disk:1G (default: none)")
    to.add_argument("--append", default="", metavar="WORDS", help="added to the kernel command line")
    to.add_argument(
        "--tree", action="append", default=[], metavar="HOST:GUEST", help="copy a host folder in; may be repeated"
    )
    to.add_argument(
        "--share",
        action="append",
        default=[],
        metavar="HOST:GUEST",
        help="share a host folder read-only (9p); may be repeated",
    )
    to.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="environment of the command; may be repeated"
    )
    to.add_argument("--cwd", metavar="DIR", help="working folder in the guest")
    to.add_argument(
        "--accelerator", choices=ACCELERATORS, default="auto", help="auto starts a guest once to see what works"
    )
    to.add_argument(
        "--boot-timeout",
        type=_seconds,
        default=Timeouts().boot,
        metavar="S",
        help="seconds to boot (default: %(default)g)",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise ValueError
    return value


def _pairs(texts: Sequence[str], option: str) -> tuple[tuple[Path, str], ...]:
    pairs = []
    for text in texts:
        host, colon, guest = text.rpartition(":")
        if not colon or not host:
            raise InvalidInput(f"{option} {text!r} must be HOST:GUEST, for example .:/opt/project")
        pairs.append((Path(host), guest))
    return tuple(pairs)


def _environment(texts: Sequence[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise InvalidInput(f"--env {text!r} must be NAME=VALUE")
    return {name: value for name, _, value in (text.partition("=") for text in texts)}


def _config(options: argparse.Namespace) -> GuestConfig:
    kernel = options.kernel
    if options.kernel_source:
        if kernel:
            raise InvalidInput("--kernel and --kernel-source exclude each other; give one")
        from .images import kernel_build, source

        kernel = kernel_build.obtain(source.from_tree(options.kernel_source)).image
    return GuestConfig(
        kernel=kernel,
        rootfs=options.rootfs,
        memory=options.memory,
        cpus=options.cpus,
        numa=options.numa,
        swap=options.swap,
        append=options.append,
        trees=_pairs(options.tree, "--tree"),
        shares=_pairs(options.share, "--share"),
        env=_environment(options.env),
        accelerator=options.accelerator,
        timeouts=Timeouts(boot=options.boot_timeout),
    )


def _exec(options: argparse.Namespace) -> int:
    from .guest import Guest

    config = _config(options)
    with Guest(config) as guest:
        if options.verbose:
            phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in guest.timings.items())
            _say(f"guest up ({guest.accelerator}): {phases}")
        for warning in guest.warnings:
            _say(f"console: {warning}")
        # Not through sys.stdin: a thread that waits in it would hold its lock when this program ends.
        stdin = None if os.isatty(0) else iter(lambda: os.read(0, CHUNK), b"")
        process = guest.popen(
            options.command,
            cwd=options.cwd,
            input=stdin,
            stdout=_writer(sys.stdout.buffer),
            stderr=_writer(sys.stderr.buffer),
        )
        try:
            result = process.wait(options.timeout)
        except CommandTimeout:
            process.kill()
            raise
        if options.verbose:
            _say(f"command ended with code {result.returncode} after {result.seconds:.1f} s")
    return result.returncode


def _writer(stream: BinaryIO) -> Callable[[bytes], None]:
    def write(data: bytes) -> None:
        try:
            stream.write(data)
            stream.flush()
        except BrokenPipeError:
            pass  # nobody reads it any more; the command runs on, as it would behind "| head" without SIGPIPE

    return write


def _build(options: argparse.Namespace) -> int:
    """Builds the guest kernel (about five minutes on two processors) or the root file system (about a minute),
    unless the cache has it, and prints where it is."""
    from .images import kernel_build, rootfs_build, source

    if options.part == "image":
        if options.kernel_source:
            raise InvalidInput("--kernel-source belongs to 'build kernel'; leave it out")
        print(rootfs_build.obtain().image)
        return 0
    tree = source.from_tree(options.kernel_source) if options.kernel_source else source.from_package()
    print(kernel_build.obtain(tree).image)
    return 0


def _doctor(_options: argparse.Namespace) -> int:
    """Looks at packages, disk, memory, kernel, image and accelerator. Ends with 3 when something is missing that guests
    need; a kernel or image that is not built yet is not: it is built when first needed."""
    from rich.console import Console
    from rich.markup import escape

    from .doctor import examine

    console = Console(highlight=False, soft_wrap=True)
    findings = examine()
    for finding in findings:
        mark = "[green]ok[/]" if finding.good else "[red]--[/]"
        console.print(f"{mark}  {finding.what}: {escape(finding.found)}")
        if not finding.good:
            console.print(f"    remedy: {escape(finding.remedy)}")
    return 0 if all(finding.good or finding.optional for finding in findings) else 3


def _say(text: str) -> None:
    print(f"vmtest: {text}", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    # A supervisor of CI jobs ends us with TERM: clean up as for Ctrl-C.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        options = parser().parse_args(arguments)
        code: int = options.call(options)
    except HarnessError as error:
        _say(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        _say(f"Python module {error.name!r} is missing; install the harness's own: pip install 'pydamon[vmtest]'")
        return MachineLacks.exit_code
    except KeyboardInterrupt:
        _say("interrupted; nothing is left behind")
        return 130
    return code


def _interrupted(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
