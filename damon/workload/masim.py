# SPDX-License-Identifier: GPL-2.0-only
"""masim's plain-text configuration: paragraphs split by a blank line, the first lists regions, each other is a phase.

masim runs at full speed; here that is ``FULL_SPEED`` touches a second, shared by the phase's weights.
"""

from __future__ import annotations

from damon.errors import InvalidInput
from damon.workload.model import Access, Area, Pattern, Phase, Workload

#: Touches a second of a program at full speed, when a configuration says nothing of rates.
FULL_SPEED = 2_000_000.0
PAGE = 4096

_Line = tuple[int, str]


def _paragraphs(text: str) -> list[list[_Line]]:
    """Runs of lines without blank ones between, comments taken out, with their numbers."""
    result: list[list[_Line]] = [[]]
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if line.strip():
            result[-1].append((number, line.strip()))
        elif result[-1]:
            result.append([])
    return [paragraph for paragraph in result if paragraph]


def _fields(line: _Line, least: int, most: int, form: str) -> list[str]:
    fields = [field.strip() for field in line[1].split(",")]
    if not least <= len(fields) <= most:
        raise InvalidInput(f"line {line[0]}: {line[1]!r} must be {form!r}")
    return fields


def _number(line: _Line, text: str, what: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < least:
        raise InvalidInput(f"line {line[0]}: {what} {text!r} must be a decimal number, at least {least}")
    return int(text)


def _area(line: _Line) -> Area:
    fields = _fields(line, 2, 3, "NAME, BYTES")
    size = _number(line, fields[1], "size", 1)
    return Area(fields[0], -(-size // PAGE) * PAGE)


def _access(line: _Line, areas: dict[str, Area], scale: float) -> tuple[Access | None, int]:
    """What one line of a phase does, and its weight."""
    name, random, stride, weight, *mode = _fields(line, 4, 5, "REGION, RANDOM, STRIDE, WEIGHT[, ro|wo|rw]")
    if name not in areas:
        raise InvalidInput(f"line {line[0]}: region {name!r} is unknown; known are {', '.join(areas)}")
    if random not in ("0", "1"):
        raise InvalidInput(f"line {line[0]}: random {random!r} must be 0 or 1")
    shares = {"ro": 0.0, "wo": 1.0, "rw": 0.5}
    kind = mode[0] if mode else "wo"
    if kind not in shares:
        raise InvalidInput(f"line {line[0]}: mode {kind!r} must be ro, wo or rw")
    step = _number(line, stride, "stride", 1)
    if step > areas[name].size:
        raise InvalidInput(f"line {line[0]}: stride {step} is larger than the region's {areas[name].size} bytes")
    share = _number(line, weight, "weight", 0)
    if not share:
        return None, 0
    pattern = Pattern.RANDOM if random == "1" else Pattern.STRIDED
    return Access(name, share * scale, pattern, shares[kind], step), share


def _phase(paragraph: list[_Line], areas: dict[str, Area], rate: float) -> Phase:
    if len(paragraph) < 2:
        raise InvalidInput(f"line {paragraph[0][0]}: a phase needs a name, a time in ms, and its accesses")
    name, time, *lines = paragraph
    duration = _number(time, time[1], "time in ms", 1)
    total = sum(_access(line, areas, 1.0)[1] for line in lines)
    accesses: dict[str, Access] = {}
    for line in lines:
        access, _ = _access(line, areas, rate / total if total else 0.0)
        if access is not None and access.area in accesses:
            raise InvalidInput(f"line {line[0]}: region {access.area!r} is given twice in one phase")
        if access is not None:
            accesses[access.area] = access
    return Phase(name[1], duration * 1000, tuple(accesses.values()))


def parse_masim(text: str, name: str, rate: float = FULL_SPEED) -> Workload:
    """The workload that ``text`` describes; ``rate`` touches a second in all.

    Raises:
        InvalidInput: one line with the line number.
    """
    paragraphs = _paragraphs(text)
    if len(paragraphs) < 2:
        raise InvalidInput("a masim configuration has a paragraph of regions and at least one of a phase")
    areas: dict[str, Area] = {}
    for line in paragraphs[0]:
        area = _area(line)
        if area.name in areas:
            raise InvalidInput(f"line {line[0]}: region {area.name!r} is given twice")
        areas[area.name] = area
    phases = tuple(_phase(paragraph, areas, rate) for paragraph in paragraphs[1:])
    return Workload(name, tuple(areas.values()), phases)
