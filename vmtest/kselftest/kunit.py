# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that tests itself while it boots: its KUnit results from the console. It needs no root file system."""

from __future__ import annotations

import dataclasses
import platform
import re
import time
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace

from ..config import GuestConfig
from ..errors import BuildFailed, GuestLost, InvalidInput, Verdict
from ..guest import Guest
from ..patterns import message
from ..qemu import run_directory
from ..results import ktap
from ..results.outcome import FAIL, PASS, SKIP, Outcome, Subtest

_FILTER = re.compile(r"[\w*?\[\].-]+")
_RESULT = re.compile(r"\s*(not )?ok \d+ ")
_HEADER = re.compile(r"KTAP version 1$")
EXCERPT_LINES = 40


def run(config: GuestConfig, pattern: str, kernel: str, *, directory: Path | None = None) -> list[Outcome]:
    """Boots, lets the kernel run the tests that ``pattern`` matches, and reads its console; an outcome a suite.

    Args:
        config: of the guest; its kernel has KUnit built in.
        pattern: KUnit's glob over suites, or ``suite.test`` ("damon*").
        kernel: what the kernel is called in the results.
        directory: where ``console.log`` is kept; None for nowhere.

    Raises:
        InvalidInput: the pattern is none, or no suite matches it.
        BuildFailed: the kernel has no KUnit.
        GuestLost: it was lost before a test began.
    """
    if not _FILTER.fullmatch(pattern):
        raise InvalidInput(f"filter: {pattern!r}: is not a KUnit glob; give for example 'damon*' or 'damon.*split*'")
    started, begun = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    lines, accelerator, lost = _boot(config, pattern, directory)
    if not any(_HEADER.match(line) for line in lines):
        if lost is None or lost.verdict in {Verdict.POWERED_OFF, Verdict.PANIC}:
            raise BuildFailed(
                f"kernel: {kernel}: ran no KUnit tests: it has no CONFIG_KUNIT=y; see: vmtest kconfig --feature kunit"
            )
        raise lost
    template = Outcome(
        name="",
        kernel=kernel,
        machine=accelerator,
        workload="kunit",
        test="",
        verdict=PASS,
        started=started,
        host=platform.node(),
        timings={"boot and tests": time.monotonic() - begun},
    )
    crash = lost if lost and lost.verdict is not Verdict.POWERED_OFF else None
    outcomes = read(lines, template, crash)
    if not outcomes:
        raise InvalidInput(f"filter: {pattern!r}: matches no suite of kernel {kernel}; see its CONFIG_*_KUNIT_TEST")
    return outcomes


def _boot(config: GuestConfig, pattern: str, directory: Path | None) -> tuple[list[str], str, GuestLost | None]:
    """Lets a kernel run its tests; returns its messages, the accelerator and how it ended."""
    # Not poweroff: that needs ACPI. QEMU ends at a reboot.
    words = f"{config.append} kunit.enable=1 kunit.filter_glob={pattern} kunit_shutdown=reboot"
    # A test may provoke a warning, and its own result decides whether that is right.
    config = dataclasses.replace(config, append=words.strip(), tolerate=(*config.tolerate, "warning"))
    with run_directory.temporary("kunit") as scratch:
        kept = directory or scratch
        guest = Guest(config, artifacts=kept)
        lost: GuestLost | None = None
        try:
            with guest:
                pass
        except GuestLost as error:
            lost = error
        log = kept / "console.log"
        console = log.read_text("utf-8", errors="replace") if log.is_file() else ""
    return [message(line) for line in console.replace("\r", "").splitlines()], guest.accelerator, lost


def read(lines: list[str], template: Outcome, lost: GuestLost | None) -> list[Outcome]:
    """An outcome for each suite in the kernel's messages.

    Args:
        lines: the console's messages, without time stamps.
        template: what all outcomes have in common.
        lost: why the kernel did not come to the end of its tests; None when it did.
    """
    first = next((number for number, line in enumerate(lines) if _HEADER.match(line)), len(lines))
    text = [line for line in lines[first:] if not line.lstrip().startswith("# Totals")]
    parsed = ktap.parse("\n".join(text))
    suites: dict[str, list[Subtest]] = {}
    for one in parsed.subtests:
        suite, slash, test = one.name.partition("/")
        found = suites.setdefault(suite, [])
        found.append(Subtest(test if slash else suite, one.status, one.message))
    outcomes = []
    for suite, subtests in suites.items():
        statuses = {one.status for one in subtests}
        verdict = FAIL if "fail" in statuses else SKIP if statuses == {"skip"} else PASS
        bad = [one.name for one in subtests if one.status == "fail"]
        said = f"{len(bad)} of {len(subtests)} failed: {', '.join(bad)}" if bad else ""
        outcomes.append(
            _copy(template, suite, verdict, said or (subtests[0].message if verdict == SKIP else ""), subtests)
        )
        if bad:
            outcomes[-1].excerpt = "\n".join(ktap.remarks("\n".join(_said_before_failures(text)))[-EXCERPT_LINES:])
    if lost:
        outcomes.append(_copy(template, "the kernel", lost.verdict.value, lost.summary, []))
        outcomes[-1].excerpt = lost.excerpt
    elif parsed.problems and outcomes:
        outcomes.append(_copy(template, "the plan", FAIL, "; ".join(parsed.problems), []))
    return outcomes


def _copy(template: Outcome, name: str, verdict: str, said: str, subtests: list[Subtest]) -> Outcome:
    return replace(template, name=name, test=name, verdict=verdict, message=said, subtests=subtests)


def _said_before_failures(lines: list[str]) -> list[str]:
    """What stands between one result and the next where that next one is a failure."""
    said: list[str] = []
    waiting: list[str] = []
    for line in lines:
        if match := _RESULT.match(line):
            said += [*waiting, line] if match[1] else []
            waiting = []
        else:
            waiting.append(line)
    return said
