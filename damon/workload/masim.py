# SPDX-License-Identifier: GPL-2.0-only
"""masim's plain-text configuration: paragraphs split by a blank line, the first lists regions, each other is a phase.

masim runs at full speed; here that is ``FULL_SPEED`` touches a second, shared by the phase's weights. masim ends after
its last phase; a workload goes on with it until it is stopped. Initial contents of regions are ignored.
"""

from __future__ import annotations

from dataclasses import replace

from damon.errors import InvalidInput
from damon.quoting import listed, quoted
from damon.workload.model import Access, Area, Pattern, Phase, Workload
from damon.workload.quantities import MAX_DURATION, MAX_SIZE, PAGE
from damon.workload.schema import NAME, PHASE_NAME

#: Touches a second of a program at full speed, as a configuration has no rates.
FULL_SPEED = 2_000_000.0
_SHARES = {"ro": 0.0, "wo": 1.0, "rw": 1.0}  # rw reads and then writes the same byte: the page is written each time

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
        raise InvalidInput(f"line {line[0]}: {quoted(line[1])}: is not of that form; give {form!r}")
    return fields


def _number(line: _Line, text: str, what: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 20 or not least <= int(text) <= most:
        raise InvalidInput(
            f"line {line[0]}: {what}: {quoted(text)}: is not a decimal number from {least} to {most}; give one"
        )
    return int(text)


def _area(line: _Line) -> Area:
    name, size, *_ = _fields(line, 2, 3, "NAME, BYTES[, FILE]")
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"line {line[0]}: region: {quoted(name)}: is not a name; give 1 to 64 of letters, digits, _ . -"
        )
    return Area(name, -(-_number(line, size, "size", 1, MAX_SIZE) // PAGE) * PAGE)


def _access(line: _Line, areas: dict[str, Area]) -> Access:
    """What one line of a phase does, with its weight as the rate (0 as well)."""
    name, random, stride, weight, *mode = _fields(line, 4, 5, "REGION, RANDOM, STRIDE, WEIGHT[, ro|wo|rw]")
    if name not in areas:
        raise InvalidInput(f"line {line[0]}: region: {quoted(name)}: is unknown; known are {listed(areas)}")
    if random not in ("0", "1"):
        raise InvalidInput(f"line {line[0]}: random: {quoted(random)}: is not valid; give 0 or 1")
    kind = mode[0] if mode else "wo"
    if kind not in _SHARES:
        raise InvalidInput(f"line {line[0]}: mode: {quoted(kind)}: is not valid; give ro, wo or rw")
    # A longer step than the region starts over at once, as one of exactly its size does.
    step = min(_number(line, stride, "stride", 1, MAX_SIZE), areas[name].size)
    pattern = Pattern.RANDOM if random == "1" else Pattern.STRIDED
    return Access(name, float(_number(line, weight, "weight", 0, 10**9)), pattern, _SHARES[kind], step)


def _phase(paragraph: list[_Line], areas: dict[str, Area], rate: float) -> Phase:
    if len(paragraph) < 2:
        number, text = paragraph[0]
        raise InvalidInput(
            f"line {number}: phase: {quoted(text)}: is not whole; give a name, a time in ms, and accesses"
        )
    name, time, *lines = paragraph
    if not PHASE_NAME.fullmatch(name[1]):
        raise InvalidInput(
            f"line {name[0]}: phase: {quoted(name[1])}: is not a name; "
            "give 1 to 64 of printable ASCII without quotes and backslashes"
        )
    duration = _number(time, time[1], "time in ms", 1, MAX_DURATION // 1000)
    accesses: dict[str, Access] = {}
    for line in lines:
        access = _access(line, areas)
        if access.area in accesses:
            raise InvalidInput(
                f"line {line[0]}: region: {quoted(access.area)}: is given twice in a phase; join the two"
            )
        accesses[access.area] = access
    total = sum(access.rate for access in accesses.values())
    shared = (replace(access, rate=access.rate / total * rate) for access in accesses.values() if access.rate)
    return Phase(name[1], duration * 1000, tuple(shared))


def parse_masim(text: str, name: str, rate: float = FULL_SPEED) -> Workload:
    """The workload that ``text`` describes; ``rate`` touches a second in all.

    Raises:
        InvalidInput: one line with the line number.
    """
    paragraphs = _paragraphs(text)
    if len(paragraphs) < 2:
        raise InvalidInput("masim configuration: lacks paragraphs; give one of regions, and one or more of phases")
    areas: dict[str, Area] = {}
    for line in paragraphs[0]:
        area = _area(line)
        if area.name in areas:
            raise InvalidInput(f"line {line[0]}: region: {quoted(area.name)}: is given twice; remove one")
        areas[area.name] = area
    phases = tuple(_phase(paragraph, areas, rate) for paragraph in paragraphs[1:])
    return Workload(name, tuple(areas.values()), phases)
