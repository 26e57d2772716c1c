# SPDX-License-Identifier: GPL-2.0-only
"""``--engine``: which DAMON a command runs. The kernel's C runs in a process of its own, where it may break."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.library.engine import FORMS, HOST, OWN, Engine, KernelEngine, open_engine
from damon.model.level import Level

if TYPE_CHECKING:
    from damon.core import Damon
    from damon.kernel.faults import Fault

#: Set in the environment when the sanitizers' runtime has been loaded.
_LOADED: Final = "PYDAMON_SANITIZERS_LOADED"


def add(command: Any) -> None:
    """The options."""
    command.add_argument("--engine", default=OWN, metavar="ENGINE", help=f"whose DAMON: {FORMS} (default {OWN})")
    command.add_argument(
        "--with", dest="extra", action="append", default=[], type=Path, metavar="FILE.c",
        help="build a C file into the kernel's C, such as one of damon export; its parameters make a module",
    )  # fmt: skip
    command.add_argument("--sanitize", action="store_true", help="build the kernel's C with AddressSanitizer and UBSan")
    command.add_argument(
        "--level", choices=[level.value for level in Level], default=Level.V7_3.value,
        help="the kernel whose features pydamon's own engine has: 7.3 (default), or next: also those merged since",
    )  # fmt: skip


def refuse_host(arguments: argparse.Namespace, command: str) -> None:
    """For a command whose contexts run in this process."""
    if arguments.engine == HOST:
        raise InvalidInput(f"--engine: {HOST}: {command} does not take it; use damon run, or damon.host from Python")


def of(arguments: argparse.Namespace, *, look: bool = False) -> Engine:
    """The engine that was asked for; ``look``: only its modules are looked at."""
    if arguments.sanitize and arguments.engine == OWN:
        raise DamonError(22, "--sanitize: is for the kernel's C; give --engine kernel:DIR or linux-source-VERSION")
    return open_engine(
        arguments.engine,
        sanitize=arguments.sanitize,
        extra=arguments.extra,
        say=lambda text: print(f"damon: {text}", file=sys.stderr),
        look=look,
        level=arguments.level,
    )


@contextmanager
def serving(arguments: argparse.Namespace, broken: Callable[[str], object]) -> Iterator[Callable[[], Engine]]:
    """For a service: what opens the engine. What breaks in the kernel's C ends this process; ``broken`` gets a line.

    Enter it before any thread is started. ``broken`` is called in another process.
    """
    if arguments.sanitize:
        _load_sanitizers("damon.cli.damond")
    if arguments.engine == OWN:
        yield lambda: of(arguments)
        return
    from damon.kernel.faults import LOOP_S, Reporter
    from damon.kernel.library import catch_faults

    reporter = Reporter(lambda fault: broken(f"the kernel's code broke: {fault}"))

    def opened() -> Engine:
        engine = of(arguments)
        if isinstance(engine, KernelEngine) and not engine.built.sanitized:
            built = engine.built
            catch_faults(reporter.watch(built.library, built.source.path), LOOP_S)
        return engine

    try:
        yield opened
    finally:
        reporter.close()


def run(arguments: argparse.Namespace, work: Callable[[argparse.Namespace, Engine], int]) -> int:
    """``work`` with the engine, the kernel's C in a process that ends when it breaks; the exit code."""
    if arguments.sanitize:
        _load_sanitizers("damon")
    engine = of(arguments)
    if not isinstance(engine, KernelEngine):
        return work(arguments, engine)
    from damon.cli.main import exit_code
    from damon.kernel.faults import LOOP_S, supervised
    from damon.kernel.library import catch_faults

    def guarded(descriptor: int) -> int:
        if not engine.built.sanitized:
            catch_faults(descriptor, LOOP_S)
        return exit_code(lambda: work(arguments, engine))

    return supervised(guarded, engine.built.library, engine.built.source.path, _tell)


def _tell(fault: Fault) -> int:
    print(f"damon: the kernel's code broke: {fault}", file=sys.stderr)
    return 1


def tell_warnings(damon: Damon) -> None:
    """Warnings and log of the kernel's code."""
    for line in [*getattr(damon, "log", ()), *getattr(damon, "warnings", ())]:
        print(f"damon: kernel: {line}", file=sys.stderr)


def _load_sanitizers(module: str) -> None:
    """Start ``python -m module`` again with their runtime loaded first, unless it is; does not return then."""
    if _LOADED in os.environ:
        return
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise MissingCapability("C compiler: is not installed: it builds the kernel's DAMON; install gcc")
    words = ([compiler, f"-print-file-name={name}"] for name in ("libasan.so", "libubsan.so"))
    found = [subprocess.run(one, capture_output=True, text=True, check=False).stdout.strip() for one in words]
    if not all(os.path.isabs(path) for path in found):
        raise MissingCapability("--sanitize: the sanitizers' runtime is missing; install gcc's libasan and libubsan")
    options = {"ASAN_OPTIONS": "detect_leaks=0:exitcode=1", "UBSAN_OPTIONS": "print_stacktrace=1"}
    environment = {**os.environ, **options, "LD_PRELOAD": " ".join(found), _LOADED: "1"}
    os.execve(sys.executable, [sys.executable, "-m", module, *sys.argv[1:]], environment)
