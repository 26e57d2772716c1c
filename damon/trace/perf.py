# SPDX-License-Identifier: GPL-2.0-only
"""A stand-in for ``perf`` with DAMON's trace events, as far as damo calls it; see docs/reference/tracing.md.

What is not about them (profiles) is handed to the machine's own ``perf`` if there is one further on in ``$PATH``.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from typing import Final, NoReturn

from damon.errors import DamonError, InvalidInput
from damon.trace.client import TraceClient, socket_path, until_signal

VERSION: Final = "perf version 7.3.pydamon"
GROUP: Final = "damon:"
_FLUSH_BYTES: Final = 1 << 20
_LINE: Final = re.compile(
    r"\s*(?P<comm>.+?)\s+(?P<pid>-?\d+) \[\d+\]\s+(?P<time>\d+\.\d+): (?P<event>\S+): (?P<text>.*)"
)
_USAGE_ERROR: Final = 129  # as perf's


def main(argv: Sequence[str], self_path: str = "") -> int:
    """The exit code of ``perf ARGV``; ``self_path`` is the script that runs this."""
    command, *words = argv or ("help",)
    try:
        if command in ("--version", "version", "-v"):
            print(VERSION)
            return 0
        if command in _COMMANDS:
            return _COMMANDS[command](words, [command, *words], self_path)
        return _hand_over([command, *words], self_path)
    except DamonError as error:
        return _fail(f"{error.strerror}")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return _fail(f"{error.filename or 'output'}: {error.strerror}")


def _fail(message: str, code: int = 255) -> int:
    print(f"perf: {message}", file=sys.stderr)
    return code


def _become_real(argv: Sequence[str], self_path: str) -> None:
    """Become the machine's own perf; returns if there is none."""
    own = os.path.realpath(self_path) if self_path else ""
    for directory in os.environ.get("PATH", "").split(os.pathsep):
        path = os.path.join(directory or ".", "perf")
        if os.access(path, os.X_OK) and os.path.isfile(path) and os.path.realpath(path) != own:
            os.execv(path, [path, *argv])


def _hand_over(argv: Sequence[str], self_path: str) -> int:
    _become_real(argv, self_path)
    return _fail(f"{argv[0]!r} needs the machine's own perf: install it (DAMON's events are all that this one knows)")


class _Options(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message)


def _parse(words: Sequence[str]) -> tuple[list[str], argparse.Namespace]:
    """The events, and the options that matter; others are passed over."""
    options = _Options(add_help=False, allow_abbrev=False)
    options.add_argument("-e", "--event", action="append", default=[])
    options.add_argument("-o", "--output")
    options.add_argument("-i", "--input", default="perf.data")
    known, _ = options.parse_known_args(list(words))
    return [event for events in known.event for event in events.split(",")], known


def _about_damon(events: Sequence[str]) -> bool:
    return bool(events) and all(event.startswith(GROUP) for event in events)


def _connected(events: Sequence[str]) -> AbstractContextManager[TraceClient]:
    return until_signal(socket_path(), () if f"{GROUP}*" in events else events)


def _record(words: Sequence[str], argv: Sequence[str], self_path: str) -> int:
    events, options = _parse(words)
    if not _about_damon(events):
        return _record_other(argv, self_path)
    path = options.output or "perf.data"
    with ExitStack() as stack:
        try:
            client = stack.enter_context(_connected(events))
        except InvalidInput as error:
            return _fail(f"event syntax error: {error.strerror}", _USAGE_ERROR)
        if os.path.isfile(path):
            os.replace(path, f"{path}.old")
        # Unbuffered: what is there stays readable whenever this process ends.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb", buffering=0) as file:
            nr, lost = _copy(client, file.fileno(), path)
            size = os.fstat(file.fileno()).st_size
    if lost:
        print(f"Warning:\nProcessed {nr + lost} events and lost {lost} events!", file=sys.stderr)
    print(f"[ perf record: Captured and wrote {size / 1e6:.3f} MB {path} ({nr} samples) ]", file=sys.stderr)
    return 0


def _copy(client: TraceClient, fd: int, path: str) -> tuple[int, int]:
    """Write the stream's lines to ``fd``, whole lines only; the events written and those lost."""
    nr = lost = 0
    for lines in client.bunches():
        lost += sum(int(line.split()[2]) for line in lines if line.startswith("#"))
        events = [line for line in lines if not line.startswith("#")]
        _write_all(fd, "".join(f"{line}\n" for line in events).encode(), path)
        nr += len(events)
    return nr, lost


def _write_all(fd: int, data: bytes, path: str) -> None:
    end = os.fstat(fd).st_size
    done = 0
    try:
        while done < len(data):
            done += os.write(fd, data[done:])
    except OSError as error:
        with suppress(OSError):  # not every file can be cut
            os.ftruncate(fd, end + data[:done].rfind(b"\n") + 1)
        raise OSError(error.errno, error.strerror, path) from None


def _record_other(argv: Sequence[str], self_path: str) -> int:
    """Profiles: the machine's own perf, else nothing is recorded until the signal, and no file is left."""
    _become_real(argv, self_path)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    _fail("no profile is recorded: that needs the machine's own perf (DAMON's events are all that this one knows)")
    signal.sigwait(signals)
    return 0


def _script(words: Sequence[str], argv: Sequence[str], self_path: str) -> int:
    _, options = _parse(words)
    with open(options.input, "rb") as file:
        start = file.read(1 << 12)
        if start and not _LINE.match(start.partition(b"\n")[0].decode(errors="replace")):
            return _hand_over(argv, self_path)
        while start:
            sys.stdout.buffer.write(start)
            start = file.read(_FLUSH_BYTES)
    sys.stdout.flush()
    return 0


def _trace(words: Sequence[str], argv: Sequence[str], self_path: str) -> int:
    events, _ = _parse(words)
    if not _about_damon(events):
        return _hand_over(argv, self_path)
    start: float | None = None
    with _connected(events) as client:
        for line in client:
            match = _LINE.match(line)
            if match is None:
                print(line, file=sys.stderr)
                continue
            now = float(match["time"])
            start = now if start is None else start
            milliseconds = (now - start) * 1000
            print(f"{milliseconds:>10.3f} {match['comm']}/{match['pid']} {match['event']}({match['text']})", flush=True)
    return 0


def _report(words: Sequence[str], argv: Sequence[str], self_path: str) -> int:
    """The machine's own perf; else a report of its absence, with exit code 0: damo's holistic report goes on then."""
    _become_real(argv, self_path)
    print("#\n" * 5 + "# No profile was recorded: that needs the machine's own perf.\n#")
    return 0


_COMMANDS: Final = {"record": _record, "script": _script, "trace": _trace, "report": _report}
