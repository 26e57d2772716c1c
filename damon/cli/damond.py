# SPDX-License-Identifier: GPL-2.0-only
"""The command ``damond``."""

from __future__ import annotations

import argparse
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import engines
from damon.cli.access import add_access
from damon.cli.arguments import Parser, add_version, seed
from damon.command.process import start
from damon.errors import DamonError, MissingCapability
from damon.quoting import quoted

if TYPE_CHECKING:
    from damon.library.engine import Engine

DESCRIPTION = """\
The DAMON of this machine, in user space: serves the kernel's own files below a directory. DIR/kernel/mm/damon/admin is
the sysfs tree, DIR/module/damon_*/parameters are the modules' parameters. 'damon exec -- COMMAND' runs a command
that sees them where the kernel has them. Stops on SIGTERM and SIGINT, and leaves everything as it was.
"""
EPILOG = """\
The modules damon_reclaim, damon_lru_sort and damon_stat are built in, and off unless --cmdline has enabled=Y;
the kernel's samples (damon_sample_*) are loaded by damon modprobe.
One damond serves one directory; several can run beside each other.

examples:
  damond --sim hot-cold &
  damon exec -- damo start            # needs root
  damond --linux --cmdline "damon_reclaim.enabled=Y damon_reclaim.min_age=30000000"
  damond --sim hot-cold --metrics 127.0.0.1:9464 & curl http://127.0.0.1:9464/metrics

exit codes:
  0  stopped as asked    1  the mount was lost, an unexpected error, or stopped by force (it took more than 4 s)
  2  invalid input, or another damond serves the directory    3  this machine lacks something
  86  the kernel's code of --engine broke; a line on stderr names the place, and nothing is mounted any more
"""
log = logging.getLogger("damon.damond")
LEVELS: Final = ("err", "warning", "info", "debug")


class _KernelStyle(logging.Formatter):
    """``[    5.123456] damon: message``: seconds since the service began."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.time()

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + self.formatException(record.exc_info)
        stamp = f"[{record.created - self._began:12.6f}] damon: "
        return "\n".join(stamp + line for line in text.splitlines())


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_KernelStyle())
    logger = logging.getLogger("damon")
    logger.addHandler(handler)
    logger.setLevel({"err": "ERROR"}.get(level, level.upper()))
    logger.propagate = False


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.001 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a speed; give a number from 0.001 to 1000")
    return value


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="damond", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_version(top)
    machine = top.add_mutually_exclusive_group(required=True)
    machine.add_argument("--sim", metavar="WORKLOAD", help="simulated machine: plays this file, or shipped one")
    machine.add_argument("--linux", action="store_true", help="the memory of this machine (root, page_idle)")
    add_access(top)
    top.add_argument("--cmdline", default="", metavar="STRING", help="parameters as on the kernel's command line")
    top.add_argument("--mount", type=Path, metavar="DIR", help="where (default: $DAMOND_MOUNT, or /run/damond/sys)")
    top.add_argument("--seed", type=seed, default=0, metavar="N", help="of every random choice (default 0)")
    top.add_argument("--speed", type=_speed, default=1.0, metavar="X", help="virtual seconds a second (default 1)")
    engines.add(top)
    top.add_argument(
        "--metrics", metavar="ADDRESS",
        help="serve metrics for Prometheus at 127.0.0.1:PORT, [::1]:PORT (port 0: any; the log has it) or at the "
        "absolute path of a Unix socket",
    )  # fmt: skip
    top.add_argument("--log-level", choices=LEVELS, default="info", help="what is printed on stderr (default: info)")
    return top


def _machine(arguments: argparse.Namespace) -> Any:
    if arguments.linux:
        from damon.mm.linux import LinuxMachine

        return LinuxMachine(access=arguments.access)
    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload

    return SimulatedMachine(load_workload(arguments.sim), arguments.seed)


def _serve(arguments: argparse.Namespace) -> int:
    from damon.damond.fusemount import unmount
    from damon.damond.runtime import default_mount

    directory = arguments.mount or default_mount()

    def broken(line: str) -> None:
        print(f"damond: {line}", file=sys.stderr)
        unmount(directory)

    with engines.serving(arguments, broken) as opened, _metrics(arguments.metrics) as metrics:
        return _serve_at(directory, arguments, opened, metrics)


def _metrics(address: str | None) -> AbstractContextManager[socket.socket | None]:
    """The bound socket; refused before anything starts."""
    if address is None:
        return nullcontext()
    from damon.damond import metrics  # noqa: F401 - says what is missing
    from damon.damond.endpoint import bound

    return bound(address)


def _serve_at(
    directory: Path, arguments: argparse.Namespace, opened: Callable[[], Engine], metrics: socket.socket | None
) -> int:
    from damon.damond.service import Service
    from damon.damond.watchdog import SIGNALS, Watchdog

    service: Service | None = None
    asked = 0  #: the signal

    def stop(number: int, frame: object) -> None:
        nonlocal asked
        if asked and service is None:  # what takes so long is to be given up
            raise KeyboardInterrupt
        asked = number
        if service is not None:
            service.stop()

    def abandon() -> None:
        if service is not None:
            service.abandon()

    for number in SIGNALS:
        signal.signal(number, stop)
    with Watchdog(abandon):
        service = Service(
            _machine(arguments), directory, arguments.cmdline, arguments.seed, arguments.speed, opened(), metrics
        )
        why = "by an error"
        try:
            if not asked:
                service.run()
            why = f"by {signal.Signals(asked).name}" if asked else f"because {directory} was unmounted"
        finally:
            service.close()
            log.log(logging.INFO if asked else logging.ERROR, "ended %s", why)
    return 0 if asked else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; the exit code. Errors are one line on stderr."""
    arguments = parser().parse_args(argv)
    _log_to_stderr(arguments.log_level)
    try:
        engines.refuse_host(arguments, "damond")
        return _serve(arguments)
    except MissingCapability as error:
        code, said = 3, str(error)
    except DamonError as error:
        code, said = 2, str(error)
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        code, said = 1, str(error.strerror or error)
    print(f"damond: {said}", file=sys.stderr)
    return code


if __name__ == "__main__":
    start("damond", main)
