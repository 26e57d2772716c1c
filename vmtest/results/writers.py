# SPDX-License-Identifier: GPL-2.0-only
"""A run as files that other programs read: ``results.json``, ``junit.xml``, ``results.ktap``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..terminal import visible
from . import stored
from .outcome import FORMAT, Outcome, Run, Status

if TYPE_CHECKING:
    from junitparser import Error, Failure, Skipped

RESULTS, JUNIT, KTAP = "results.json", "junit.xml", "results.ktap"
OUTPUT_LIMIT = 64 * 1024
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_all(run: Run, directory: Path) -> None:
    """Writes all forms into the run's directory."""
    _replace(directory / RESULTS, msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    _replace(directory / KTAP, ktap(run).encode())
    junit(run, directory)


def _replace(path: Path, data: bytes) -> None:
    # A concurrent reader sees the old or the new file, never half of one.
    part = path.with_name(path.name + ".part")
    part.write_bytes(data)
    part.replace(path)


def read(path: Path) -> Run:
    """A run that was written before; ``path`` is its directory or its ``results.json``.

    Raises:
        InvalidInput: there is none, or it is none.
    """
    file = path / RESULTS if path.is_dir() else path
    return stored.read(file, Run, "results", "'vmtest run'", "give the directory of a run", FORMAT)


def junit(run: Run, directory: Path) -> None:
    """``junit.xml``: a guest verdict is an error of that type, a failed test a failure, what is expected is skipped."""
    import junitparser

    suite = junitparser.TestSuite(_clean(run.suite))
    suite.timestamp = _clean(run.started)
    for name, value in run.versions.items():
        suite.add_property(_clean(name), _clean(value))
    for outcome in run.outcomes:
        place = _clean(".".join((run.suite, outcome.kernel, outcome.machine, outcome.workload)))
        case = junitparser.TestCase(_clean(outcome.test), place, round(outcome.seconds, 3))
        result = _junit_result(outcome)
        if result is not None:
            case.result = [result]
        if outcome.directory:
            output = directory / outcome.directory / "stdout"
            errors = directory / outcome.directory / "stderr"
            if output.exists():
                case.system_out = _tail(output) + f"\n[[ATTACHMENT|{_clean(outcome.directory)}/console.log]]\n"
            if errors.exists():
                case.system_err = _tail(errors)
        suite.add_testcase(case)
        for subtest in outcome.subtests:
            inner = junitparser.TestCase(_clean(subtest.name), f"{place}.{_clean(outcome.test)}", 0)
            if subtest.status == "fail":
                inner.result = [junitparser.Failure(_clean(subtest.message), "fail")]
            elif subtest.status != "pass":
                inner.result = [junitparser.Skipped(_clean(subtest.message or subtest.status), _clean(subtest.status))]
            suite.add_testcase(inner)
    suite.update_statistics()  # type: ignore[no-untyped-call]
    xml = junitparser.JUnitXml(_clean(run.suite))
    xml.add_testsuite(suite)
    xml.update_statistics()  # type: ignore[no-untyped-call]
    part = directory / (JUNIT + ".part")
    xml.write(str(part), pretty=True)
    part.replace(directory / JUNIT)


def _junit_result(outcome: Outcome) -> Failure | Error | Skipped | None:
    import junitparser

    status, line = outcome.status, _clean(outcome.line)
    if status is Status.PASS:
        return None
    if status in {Status.SKIP, Status.EXPECTED}:
        return junitparser.Skipped(line, _clean(outcome.verdict))
    no_result = status in {Status.LOST, Status.ERROR, Status.NOT_RUN}
    kind = junitparser.Error if no_result else junitparser.Failure
    result = kind(line, "unexpected-pass" if status is Status.UNEXPECTED_PASS else _clean(outcome.verdict))
    result.text = _clean(outcome.excerpt or outcome.line)
    return result


def _clean(text: str) -> str:
    """Without what XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)


def _tail(path: Path) -> str:
    data = path.read_bytes()
    cut = f"... {len(data) - OUTPUT_LIMIT} bytes before\n" if len(data) > OUTPUT_LIMIT else ""
    return cut + _clean(data[-OUTPUT_LIMIT:].decode(errors="replace"))


def ktap(run: Run) -> str:
    """The run as KTAP version 1, subtests nested; ``#`` and line ends in names and messages do not break it."""
    lines = ["KTAP version 1", f"1..{len(run.outcomes)}"]
    for number, outcome in enumerate(run.outcomes, 1):
        if outcome.subtests:
            lines += ["  KTAP version 1", f"  1..{len(outcome.subtests)}"]
            for inner, subtest in enumerate(outcome.subtests, 1):
                word = {"skip": " # SKIP", "expected": " # XFAIL"}.get(subtest.status, " #" if subtest.message else "")
                said = f"{word} {_flat(subtest.message)}".rstrip() if word else ""
                lines.append(f"  {'not ok' if subtest.status == 'fail' else 'ok'} {inner} {_flat(subtest.name)}{said}")
        if outcome.excerpt and not outcome.status.good:
            lines += [f"# {visible(line)}" for line in outcome.excerpt.splitlines()]
        lines.append(_ktap_line(number, outcome))
    totals = ", ".join(f"{status.value} {run.count(status)}" for status in Status if run.count(status))
    return "\n".join([*lines, f"# Totals: {totals}", ""])


def _ktap_line(number: int, outcome: Outcome) -> str:
    status, name, said = outcome.status, _flat(outcome.name), _flat(outcome.line)
    if status is Status.PASS:
        return f"ok {number} {name}"
    if status is Status.EXPECTED:
        return f"ok {number} {name} # XFAIL {said}"
    if status is Status.SKIP:
        return f"ok {number} {name} # SKIP {said}"
    word = "ERROR " if status in {Status.LOST, Status.ERROR, Status.NOT_RUN} else ""
    if outcome.verdict.endswith("-timeout"):
        word = "TIMEOUT "
    return f"not ok {number} {name} # {word}{said}"


def _flat(text: str) -> str:
    return visible(" ".join(text.replace("#", "\\#").split()))
