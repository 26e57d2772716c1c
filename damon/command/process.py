# SPDX-License-Identifier: GPL-2.0-only
"""How the process of a command starts and ends: descriptors, streams, Ctrl-C, what cannot be written."""

import io
import os
import signal
import sys

from .interrupts import INTERRUPTED, leave_at_once, take_interrupts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType
    from typing import IO, NoReturn, Protocol

    class Main(Protocol):
        """A command: arguments (default: those of the process) to exit code."""

        def __call__(self, argv: "Sequence[str] | None" = None, /) -> int: ...


_RETRY_S = 0.01


def run(name: str, module: str) -> "NoReturn":
    """Run the ``main`` of ``module`` as the command ``name``."""
    _run(name, lambda: _main_of(module))


def start(name: str, main: "Main") -> "NoReturn":
    """Run ``main`` as the command ``name``, for a module that is started with ``python -m``."""
    take_interrupts()
    _run(name, lambda: main)


def _main_of(module: str) -> "Main":
    __import__(module)
    main: Main = sys.modules[module].main
    return main


def _run(name: str, load: "Callable[[], Main]") -> "NoReturn":
    """End the process with the exit code of the command that ``load`` imports."""
    code: object
    try:
        _open_descriptors()
        _prepare_streams()
        try:
            code = load()()
        except SystemExit as end:  # argparse
            code = end.code
        except OSError:
            if not output_failed():
                raise
            code = 0
        except Exception as error:
            if not hasattr(error, "exit_code"):
                raise
            print(f"{name}: {error}", file=sys.stderr)
            code = error.exit_code
        code = _flush(name, code)
    except KeyboardInterrupt:
        code = INTERRUPTED
    _end(code)


def raise_interrupts() -> None:
    """From now on Ctrl-C is ``KeyboardInterrupt``: there is something to clean up. Does nothing in a process that has
    handlers of its own (a test's, a program's that calls ``main()``)."""
    if signal.getsignal(signal.SIGINT) is leave_at_once:
        signal.signal(signal.SIGINT, interrupt)


def interrupt(_number: int, frame: "FrameType | None") -> None:
    """A handler that raises ``KeyboardInterrupt``, a little later where that would be lost or leave half a module."""
    while frame is not None:
        code = frame.f_code
        if code.co_name == "__del__" or code.co_filename.endswith(("importlib._bootstrap>", "/weakref.py")):
            signal.signal(signal.SIGALRM, interrupt)
            signal.setitimer(signal.ITIMER_REAL, _RETRY_S)
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _open_descriptors() -> None:
    """``/dev/null`` in place of what is closed (``>&-``), so that no file that is opened later gets its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            os.set_inheritable(descriptor, True)


class _Stdout(io.TextIOWrapper):
    """Standard output that remembers why it could not be written."""

    failed: "OSError | None" = None

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self.failed = error
            raise

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self.failed = error
            raise


class _Stderr(io.TextIOWrapper):
    """Standard error. A reader that has left, or a full disk, does not end the command."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError:
            discard(self)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            discard(self)


def _prepare_streams() -> None:
    """Streams for what was closed, too. What an encoding lacks is spelled out."""
    out, err = (getattr(stream, "encoding", None) or "utf-8" for stream in (sys.stdout, sys.stderr))
    lines = sys.stdout is not None and (sys.stdout.isatty() or getattr(sys.stdout, "write_through", False))
    sys.stdout = _Stdout(_binary(1, "wb"), out, "backslashreplace", line_buffering=lines)
    sys.stderr = _Stderr(_binary(2, "wb"), err, "backslashreplace", line_buffering=True)
    if sys.stdin is None:
        sys.stdin = io.TextIOWrapper(_binary(0, "rb"), "utf-8")


def _binary(descriptor: int, mode: str) -> "IO[bytes]":
    return open(descriptor, mode, closefd=False)


def output_failed() -> bool:
    """Is it standard output that an ``OSError`` came from?"""
    try:
        sys.stdout.flush()
    except OSError:
        return True
    return getattr(sys.stdout, "failed", None) is not None


def discard(stream: "IO[str]") -> None:
    """Let everything that is still written to ``stream`` be lost."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def _flush(name: str, code: object) -> object:
    """``code``, or 1 where the output did not arrive. A reader that has left (``| head``) wanted no more of it."""
    if not output_failed():
        return code
    error = getattr(sys.stdout, "failed", None)
    discard(sys.stdout)
    if error is None or isinstance(error, BrokenPipeError) or code:
        return code
    print(f"{name}: standard output cannot be written: {error.strerror}", file=sys.stderr)
    return 1


def _end(code: object) -> "NoReturn":
    """All is done and written: from here on Ctrl-C changes nothing."""
    if isinstance(code, str):  # sys.exit("message")
        print(code, file=sys.stderr)
    number = code if isinstance(code, int) else int(code is not None)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(number))
    sys.exit(number)
