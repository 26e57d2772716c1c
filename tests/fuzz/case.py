# SPDX-License-Identifier: GPL-2.0-only
"""One input for one target: what must hold whatever it is, and how one for which it does not is made small."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

FAILURES: Final = Path(__file__).with_name("failures")
#: Calls of functions, Python's and C's, for one input. Counted, as seconds depend on the machine.
MOST_CALLS: Final = 3_000_000
LONGEST_LINE: Final = 1000
MOST_LINES: Final = 51  # a suite's findings


@dataclass(frozen=True)
class Target:
    """Something that reads foreign input.

    Args:
        name: what an input that was kept is called after.
        form: as for ``Mutator``.
        seeds: inputs to begin with.
        run: reads one; raises only ``refused``.
        refused: the errors that say what is wrong with an input.
        cases: inputs in each run of the tests.
    """

    name: str
    form: str
    seeds: Callable[[], list[bytes]]
    run: Callable[[bytes], None]
    refused: tuple[type[BaseException], ...]
    cases: int


class TooManyCalls(BaseException):
    """The input takes too long."""


class Hangs(BaseException):
    """The input takes seconds in one call."""


def check(target: Target, data: bytes) -> str:
    """What does not hold for ``data``; empty when all is well."""
    left = MOST_CALLS

    def count(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            sys.setprofile(None)
            raise TooManyCalls

    threads = threading.active_count()
    sys.setprofile(count)
    try:
        target.run(data)
    except target.refused as error:
        sys.setprofile(None)
        return _message(str(error))
    except TooManyCalls:
        return f"more than {MOST_CALLS} calls"
    except Hangs:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        sys.setprofile(None)
        return f"{type(error).__name__}: {str(error)[:200]!r} at {_place(error)}"
    finally:
        sys.setprofile(None)
    return "a thread is left" if threading.active_count() > threads else ""


def _place(error: BaseException) -> str:
    """File and line where it was raised, of ours if there is one."""
    frames = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    root = str(Path(__file__).parents[2])
    ours = [
        frame for frame in frames if frame[0].startswith(root) and "/tests/" not in frame[0] and ".venv" not in frame[0]
    ]
    file, line = (ours or frames)[-1]
    return f"{file.removeprefix(root + '/')}:{line}"


def _message(text: str) -> str:
    """What is wrong with a message."""
    if not text.strip():
        return "an empty message"
    lines = text.split("\n")
    if len(lines) > MOST_LINES:
        return f"a message of {len(lines)} lines"
    if len(longest := max(lines, key=len)) > LONGEST_LINE:
        return f"a message with a line of {len(longest)} characters: {longest[:80]!r}"
    if strange := next((char for char in text if char != "\n" and not char.isprintable()), None):
        return f"a message with character {strange!r}: {text[:80]!r}"
    return ""


def kind_of(problem: str) -> str:
    """What two problems of one cause have in common."""
    place = problem.rpartition(" at ")[2]
    return place if place != problem else re.sub(r"\d+", "N", problem.partition(":")[0])


def smaller(target: Target, data: bytes, problem: str, tries: int = 400) -> bytes:
    """An input as small as ``tries`` allow that has the same problem."""
    wanted = kind_of(problem)
    size = max(len(data) // 2, 1)
    while size and tries > 0:
        at, found = 0, False
        while at < len(data) and tries > 0:
            tries -= 1
            candidate = data[:at] + data[at + size :]
            if kind_of(check(target, candidate)) == wanted:
                data, found = candidate, True
            else:
                at += size
        if not found:
            size //= 2
    return data
