# SPDX-License-Identifier: GPL-2.0-only
"""Reads TAP and KTAP as kselftest, KUnit and others print it: results of subtests, and whether all of them came."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from .outcome import Subtest

# kselftest's runner puts "# " in front of what a test itself prints; KUnit indents by four blanks. A run of
# blanks is taken whole: with a choice of lengths, fifty of them took the matcher years.
_LINE = re.compile(r"^(?P<indent>(?:# | {2,}(?! ))*)(?P<not>not )?ok(?: (?P<number>\d+))?(?P<rest>(?:\s.*)?)$")
_PLAN = re.compile(r"^(?P<indent>(?:# | {2,}(?! ))*)1\.\.(?P<count>[0-9]{1,9})(?P<rest>\s.*)?$")
_HEADER = re.compile(r"^(?:# | {2,}(?! ))*# ?(?:Subtest|Totals):")
_VERSION = re.compile(r"^(?:# | {2,}(?! ))*K?TAP version \d+$")
_STAMP = re.compile(r"^\[ *\d+\.\d+\] ?")
_DIRECTIVE = re.compile(r"#\s*(SKIP|TODO|XFAIL|TIMEOUT|ERROR)\b:?\s*(.*)$", re.IGNORECASE)


@dataclass
class Parsed:
    """What was read.

    Attributes:
        subtests: in order; a nested one is named ``outer/inner``.
        problems: what does not add up: a plan that was not kept, a bail-out.
    """

    subtests: list[Subtest] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def failed(self) -> list[Subtest]:
        """The ones that failed."""
        return [subtest for subtest in self.subtests if subtest.status == "fail"]


def parse(text: str) -> Parsed:
    """Reads what a test printed; lines that are not results are passed over."""
    parsed = Parsed()
    # By depth: the plan, how many came, and the results that wait for the name of what encloses them.
    plans: dict[int, int] = {}
    seen: dict[int, int] = {}
    waiting: dict[int, list[Subtest]] = {}

    def close(depth: int, below: str) -> None:
        for deeper in sorted(level for level in {*plans, *seen} if level > depth):
            planned, came = plans.pop(deeper, None), seen.pop(deeper, 0)
            if planned is not None and planned != came:
                parsed.problems.append(f"{below or 'the output'}: {planned} results planned, {came} came")

    for raw in text.splitlines():
        line = _STAMP.sub("", raw.rstrip())
        if line.strip().startswith("Bail out!"):
            parsed.problems.append(line.strip())
            continue
        if match := _PLAN.match(line):
            depth = _depth(match["indent"])
            plans[depth] = int(match["count"])
            seen.setdefault(depth, 0)
            continue
        match = _LINE.match(line)
        if match is None or _HEADER.match(line):
            continue
        depth = _depth(match["indent"])
        seen[depth] = seen.get(depth, 0) + 1
        subtest = _subtest(match)
        inner = [found for level in sorted(waiting) if level > depth for found in waiting.pop(level)]
        close(depth, subtest.name)
        results = [Subtest(f"{subtest.name}/{one.name}", one.status, one.message) for one in inner]
        # An enclosing result counts only when it adds something to those inside.
        if not inner or (subtest.status == "fail" and not any(one.status == "fail" for one in inner)):
            results.append(subtest)
        waiting.setdefault(depth, []).extend(results)
    close(-1, "")
    parsed.subtests = [found for level in sorted(waiting) for found in waiting[level]]
    return parsed


def remarks(text: str) -> list[str]:
    """The lines that are neither results nor plans nor headers: what may stand in a comment of another KTAP."""
    lines = text.splitlines()
    marks = (_LINE, _PLAN, _VERSION)
    return [line for line in lines if not any(mark.match(_STAMP.sub("", line.rstrip())) for mark in marks)]


def _depth(indent: str) -> int:
    return indent.count("# ") + len(indent.replace("# ", "")) // 2


def _subtest(match: re.Match[str]) -> Subtest:
    name, message, status = match["rest"].strip().removeprefix("- "), "", "fail" if match["not"] else "pass"
    if directive := _DIRECTIVE.search(name):
        word, message = directive[1].upper(), directive[2].strip()
        name = name[: directive.start()].strip()
        if word == "SKIP":
            status = "skip"
        elif word in {"TODO", "XFAIL"}:
            status = "expected"
        else:
            status, message = "fail", f"{word.lower()} {message}".strip()
    elif " # " in name:
        name, _, message = name.partition(" # ")
    return Subtest(name.strip() or match["number"] or "?", status, message)
