# SPDX-License-Identifier: GPL-2.0-only
"""Reading and validating workload files: YAML or masim's plain text. Every error is one line: file, place, remedy."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from damon.errors import InvalidInput
from damon.workload.masim import parse_masim
from damon.workload.model import (
    Access,
    Area,
    Event,
    Kind,
    MachineSpec,
    Pattern,
    Phase,
    PhaseEvent,
    Swap,
    Workload,
)

PAGE = 4096
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(us|ms|s|m|h)")
_RATE = re.compile(r"(\d+(?:\.\d+)?) ?([kMG]?)(?:/s)?")
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_TIMES = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6}
_THOUSANDS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}

Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Size = int | str
Time = int | str
Rate = int | float | str


class _Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Unknown fields are refused: a misspelt one would be silently without effect."""


class _Area(_Strict, frozen=True):
    size: Size
    kind: Literal["anon", "file"] = "anon"
    process: Name = "main"
    populate: bool = True
    mapped: bool = True


class _Access(_Strict, frozen=True):
    area: Name
    rate: Rate
    pattern: Literal["sequential", "strided", "random", "zipf"] = "random"
    write: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    stride: Size = PAGE
    skew: Annotated[float, msgspec.Meta(gt=0, le=8)] = 1.0


class _Phase(_Strict, frozen=True):
    duration: Time
    name: str = ""
    access: list[_Access] = []
    mmap: list[Name] = []
    munmap: list[Name] = []
    exit: list[Name] = []


class _Swap(_Strict, frozen=True):
    size: Size
    read_us: Annotated[float, msgspec.Meta(ge=0)] = 20.0
    write_us: Annotated[float, msgspec.Meta(ge=0)] = 20.0


class _Machine(_Strict, frozen=True):
    memory: Size = 1 << 30
    reserved: Size = 0
    swap: _Swap | Literal["none"] | msgspec.UnsetType = msgspec.UNSET
    file_read_us: Annotated[float, msgspec.Meta(ge=0)] = 100.0
    file_write_us: Annotated[float, msgspec.Meta(ge=0)] = 100.0
    fault_us: Annotated[float, msgspec.Meta(ge=0)] = 0.5
    reclaim_us: Annotated[float, msgspec.Meta(ge=0)] = 1.0
    scan_us: Annotated[float, msgspec.Meta(ge=0)] = 0.1


class _Workload(_Strict, frozen=True):
    areas: dict[Name, _Area]
    phases: list[_Phase]
    name: str = ""
    repeat: bool = False
    machine: _Machine = _Machine()


def _bad(field: str, value: object, remedy: str) -> InvalidInput:
    return InvalidInput(f"{field}: {value!r} {remedy}")


def _scaled(value: int | float | str, form: re.Pattern[str], units: dict[str, float], field: str, remedy: str) -> float:
    if isinstance(value, bool) or (isinstance(value, (int, float)) and value < 0):
        raise _bad(field, value, remedy)
    if isinstance(value, (int, float)):
        return value
    match = form.fullmatch(value.strip())
    if match is None:
        raise _bad(field, value, remedy)
    return float(match[1]) * units[match[2]]


def parse_size(value: Size, field: str) -> int:
    """Bytes of ``33554432``, ``32M``, ``32 MiB`` (powers of 1024); a multiple of 4096 above 0."""
    size = _scaled(value, _SIZE, {k: float(1 << v) for k, v in _UNITS.items()}, field, "is no size: write e.g. 32M")
    if size <= 0 or size % PAGE:
        raise _bad(field, value, f"is no multiple of {PAGE} above 0: memory comes in pages")
    return int(size)


def parse_duration(value: Time, field: str) -> int:
    """Microseconds of ``250000``, ``250ms``, ``60s``, ``5m``; above 0."""
    us = _scaled(value, _DURATION, dict(_TIMES), field, "is no duration: write e.g. 60s or 250ms")
    if us < 1:
        raise _bad(field, value, "is no duration above 0: write e.g. 60s or 250ms")
    return int(us)


def parse_rate(value: Rate, field: str) -> float:
    """Touches a second of ``2000000``, ``200k``, ``2M/s``; above 0."""
    rate = _scaled(value, _RATE, dict(_THOUSANDS), field, "is no rate: write touches a second, e.g. 200k")
    if not 0 < rate < float("inf"):
        raise _bad(field, value, "is no rate above 0: leave the area out of the phase to not touch it")
    return float(rate)


def _area(name: str, raw: _Area) -> Area:
    return Area(name, parse_size(raw.size, f"areas.{name}.size"), Kind(raw.kind), raw.process, raw.populate, raw.mapped)


def _access(raw: _Access, field: str, areas: dict[str, Area]) -> Access:
    if raw.area not in areas:
        raise _bad(f"{field}.area", raw.area, f"is no area: known are {', '.join(areas)}")
    stride = _scaled(raw.stride, _SIZE, {k: float(1 << v) for k, v in _UNITS.items()}, f"{field}.stride",
                     "is no size: write e.g. 64K")  # fmt: skip
    if not 0 < stride <= areas[raw.area].size:
        raise _bad(
            f"{field}.stride", raw.stride, f"must lie above 0 and within the area's {areas[raw.area].size} bytes"
        )
    pattern = Pattern(raw.pattern)
    return Access(raw.area, parse_rate(raw.rate, f"{field}.rate"), pattern, raw.write, int(stride), raw.skew)


def _phase(index: int, raw: _Phase, areas: dict[str, Area]) -> Phase:
    field = f"phases[{index}]"
    accesses = tuple(_access(access, f"{field}.access[{i}]", areas) for i, access in enumerate(raw.access))
    touched = [access.area for access in accesses]
    for name in touched:
        if touched.count(name) > 1:
            raise _bad(f"{field}.access", name, "is given twice: an area has one pattern a phase")
    processes = {area.process for area in areas.values()}
    events = []
    for event, names, known in (
        (Event.MUNMAP, raw.munmap, set(areas)), (Event.EXIT, raw.exit, processes), (Event.MMAP, raw.mmap, set(areas))
    ):  # fmt: skip
        for name in names:
            if name not in known:
                what = "process" if event is Event.EXIT else "area"
                raise _bad(f"{field}.{event.value}", name, f"is no {what}: known are {', '.join(sorted(known))}")
            events.append(PhaseEvent(event, name))
    duration = parse_duration(raw.duration, f"{field}.duration")
    return Phase(raw.name or f"phase {index}", duration, accesses, tuple(events))


def check_story(workload: Workload) -> None:
    """Refuse a workload that maps twice, unmaps or touches what is not mapped, or revives a process."""
    areas = {area.name: area for area in workload.areas}
    mapped = {area.name for area in workload.areas if area.mapped_at_start}
    dead: set[str] = set()
    for index, phase in enumerate(workload.phases):
        for event in phase.events:
            field = f"phases[{index}].{event.event.value}"
            if event.event is Event.EXIT:
                if event.name in dead:
                    raise _bad(field, event.name, "has exited already")
                dead.add(event.name)
                mapped -= {name for name, area in areas.items() if area.process == event.name}
            elif event.event is Event.MMAP:
                if event.name in mapped:
                    raise _bad(
                        field, event.name, "is mapped already: say mapped: false in the area, or munmap it first"
                    )
                if areas[event.name].process in dead:
                    raise _bad(field, event.name, f"belongs to process {areas[event.name].process}, which has exited")
                mapped.add(event.name)
            else:
                if event.name not in mapped:
                    raise _bad(field, event.name, "is not mapped at that point")
                mapped.remove(event.name)
        for i, access in enumerate(phase.accesses):
            if access.area not in mapped:
                raise _bad(f"phases[{index}].access[{i}].area", access.area, "is not mapped in that phase")
    if workload.repeat and any(phase.events for phase in workload.phases):
        raise InvalidInput("repeat: true does not go with mmap, munmap and exit: they cannot happen again")


def _machine(raw: _Machine) -> MachineSpec:
    memory = parse_size(raw.memory, "machine.memory")
    reserved = parse_size(raw.reserved, "machine.reserved") if raw.reserved else 0
    if reserved >= memory:
        raise _bad("machine.reserved", raw.reserved, f"leaves nothing of the {memory} bytes of memory")
    given: dict[str, Any] = {}
    if raw.swap == "none":
        given["swap"] = None
    elif isinstance(raw.swap, _Swap):
        given["swap"] = Swap(parse_size(raw.swap.size, "machine.swap.size"), raw.swap.read_us, raw.swap.write_us)
    return MachineSpec(
        memory=memory, reserved=reserved, file_read_us=raw.file_read_us, file_write_us=raw.file_write_us,
        fault_us=raw.fault_us, reclaim_us=raw.reclaim_us, scan_us=raw.scan_us, **given,
    )  # fmt: skip


def parse_workload(data: Any, name: str = "workload") -> Workload:
    """The workload that parsed YAML ``data`` describes; ``InvalidInput`` names the field."""
    try:
        raw = msgspec.convert(data, _Workload)
    except msgspec.ValidationError as error:
        text, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".") or "workload"
        raise InvalidInput(f"{field}: {text[0].lower()}{text[1:]}") from None
    if not raw.areas:
        raise InvalidInput("areas: {} is empty: give at least one area")
    if not raw.phases:
        raise InvalidInput("phases: [] is empty: give at least one phase")
    areas = {area: _area(area, spec) for area, spec in raw.areas.items()}
    phases = tuple(_phase(index, phase, areas) for index, phase in enumerate(raw.phases))
    workload = Workload(raw.name or name, tuple(areas.values()), phases, raw.repeat, _machine(raw.machine))
    check_story(workload)
    return workload


def load_workload(path: str | Path) -> Workload:
    """Read ``path``: YAML if it is called so (``.yaml``, ``.yml``), else masim's configuration.

    Raises:
        InvalidInput: the file can't be read, or is wrong; one line with file, place, value and remedy.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"workload file {str(path)!r} cannot be read: {error.strerror}; correct the path") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"workload file {str(path)!r} is no text: give YAML or masim's configuration") from None
    try:
        if path.suffix in (".yaml", ".yml"):
            return parse_workload(yaml.load(text, _UniqueLoader), path.stem)
        return parse_masim(text, path.stem)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark is not None else str(path)
        raise InvalidInput(f"{place}: {getattr(error, 'problem', None) or 'this is no YAML'}") from None
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None


class _UniqueLoader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool)) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice or is no name", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)
