# SPDX-License-Identifier: GPL-2.0-only
"""The fields of a workload file: names, types and defaults, and the message when one is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

import msgspec

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload import generators
from damon.workload.generators import GrowFields, HotFields, InstanceFields, Quantity
from damon.workload.quantities import refusal

NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
#: A cgroup below the root: names with slashes between.
MEMCG: Final = re.compile(rf"/?{NAME.pattern}(?:/{NAME.pattern}){{0,15}}")
#: Names of phases are shown to users: printable ASCII without quotes and backslashes, not beginning with a blank.
PHASE_NAME: Final = re.compile(r"[!#-\[\]-~][ !#-\[\]-~]{0,63}")
Scale = Annotated[float, msgspec.Meta(ge=0.001, le=1000)]
Latency = Annotated[float, msgspec.Meta(ge=0, le=1e9)]
#: Of one region: what all of them take has to fit a time.
CheckTime = Annotated[float, msgspec.Meta(ge=0, le=1e6)]


class Strict(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Unknown fields are refused: a misspelt one would be silently without effect."""


class AreaFields(Strict, frozen=True):
    size: Quantity
    kind: Literal["anon", "file"] = "anon"
    process: str = "main"
    populate: bool = True
    mapped: bool = True
    locked: bool = False
    memcg: str = ""
    grow: GrowFields | None = None


class TraceFields(Strict, frozen=True):
    """An entry of ``areas`` that stands for the areas of a trace file."""

    trace: str
    begin: Quantity | msgspec.UnsetType = msgspec.field(name="from", default=msgspec.UNSET)
    end: Quantity | msgspec.UnsetType = msgspec.field(name="to", default=msgspec.UNSET)
    loop: bool | msgspec.UnsetType = msgspec.UNSET
    time_scale: Scale = 1.0
    size_scale: Scale = 1.0
    process: str = ""
    populate: bool | msgspec.UnsetType = msgspec.UNSET
    memcg: str = ""


class ProcessFields(Strict, frozen=True):
    memcg: str = ""
    node: Annotated[int, msgspec.Meta(ge=0)] = 0
    late: bool = False


class CgroupFields(Strict, frozen=True):
    """Named as the kernel's files; each a limit, converted by hand, because the names have dots."""

    max: Any = msgspec.field(name="memory.max", default="max")
    high: Any = msgspec.field(name="memory.high", default="max")
    low: Any = msgspec.field(name="memory.low", default=0)
    min: Any = msgspec.field(name="memory.min", default=0)
    swap_max: Any = msgspec.field(name="memory.swap.max", default="max")


class AccessFields(Strict, frozen=True):
    area: str
    rate: Quantity
    pattern: Literal["sequential", "strided", "random", "zipf"] = "random"
    write: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    stride: Quantity = 4096
    skew: Annotated[float, msgspec.Meta(ge=0.001, le=8)] = 1.0
    rhythm: str = ""
    hot: HotFields | None = None


class HotplugFields(Strict, frozen=True):
    size: Quantity
    node: Annotated[int, msgspec.Meta(ge=0)] = 0


class PhaseFields(Strict, frozen=True):
    duration: Quantity
    name: str = ""
    access: list[AccessFields] = []
    mmap: list[str] = []
    munmap: list[str] = []
    exit: list[str] = []
    online: list[HotplugFields] = []
    offline: list[HotplugFields] = []


class SwapFields(Strict, frozen=True):
    size: Quantity
    read_us: Latency = 20.0
    write_us: Latency = 5.0
    priority: Annotated[int, msgspec.Meta(ge=0, le=32767)] | None = None


class NodeFields(Strict, frozen=True):
    size: Quantity
    latency_ns: Annotated[float, msgspec.Meta(ge=0, le=1e9)] = 100.0
    distances: list[Annotated[int, msgspec.Meta(ge=10, le=254)]] = []


class MachineFields(Strict, frozen=True):
    memory: Quantity | msgspec.UnsetType = msgspec.UNSET
    nodes: Annotated[list[NodeFields], msgspec.Meta(max_length=8)] = []
    reserved: Quantity = 0
    swap: Any = msgspec.UNSET  # SwapFields, a list of them, or none; converted by hand, so that messages name it
    file_read_us: Latency = 100.0
    file_write_us: Latency = 100.0
    fault_us: Latency = 0.5
    reclaim_us: Latency = 1.0
    scan_us: Latency = 0.1
    migrate_us: Latency = 2.0
    thp: Literal["always", "madvise", "never"] = "madvise"
    huge_us: Latency = 100.0
    check_us: CheckTime = 0.0
    wake_us: Latency = 0.0
    hz: Literal[0, 100, 250, 300, 1000] = 250


class FileFields(Strict, frozen=True):
    areas: dict[str, Any] | msgspec.UnsetType = (
        msgspec.UNSET
    )  # each an AreaFields; one by one, so that messages name it
    phases: list[PhaseFields] | msgspec.UnsetType = msgspec.UNSET
    format: int = 1
    name: str = ""
    repeat: bool = False
    processes: dict[str, Any] = {}  # each a ProcessFields
    cgroups: dict[str, Any] = {}  # each a CgroupFields
    machine: MachineFields = MachineFields()
    # What expand.py writes out as areas and phases.
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] = 0
    duration: Quantity | msgspec.UnsetType = msgspec.UNSET
    access: list[AccessFields] = []
    rhythms: dict[str, Any] = {}  # each a RhythmFields
    programs: dict[str, Any] = {}  # each a ProgramFields
    instances: list[InstanceFields] = []


_LIMIT: Final = "max, or bytes from 0 to 64T, e.g. 64M"
_LATENCY: Final = "microseconds from 0 to 1e9"
#: What each field takes; the key is the end of its path.
TAKES: Final[Mapping[str, str]] = {
    **generators.TAKES,
    "format": "1",
    "areas": "a mapping of names to areas, e.g. {hot: {size: 32M}}",
    "areas.*": "an area, e.g. {size: 32M}",
    "areas.* of a trace": "a trace, e.g. {trace: web.trace}",
    "processes": "a mapping of names to processes, e.g. {main: {memcg: web}}",
    "processes.*": "a process, e.g. {memcg: web, node: 0}",
    "memcg": "the name of a cgroup, e.g. web/worker",
    "cgroups": "a mapping of cgroups to limits, e.g. {web: {memory.max: 64M}}",
    "cgroups.*": "limits, e.g. {memory.max: 64M, memory.low: 16M}",
    **dict.fromkeys(("memory.max", "memory.high", "memory.low", "memory.min", "memory.swap.max"), _LIMIT),
    "phases": "a list of phases, e.g. [{duration: 60s}]",
    "phases[]": "a phase, e.g. {duration: 60s}",
    "access": "a list of accesses, e.g. [{area: hot, rate: 200k}]",
    "access[]": "an access, e.g. {area: hot, rate: 200k}",
    **dict.fromkeys(("mmap", "munmap"), "a list of areas, e.g. [hot]"),
    **dict.fromkeys(("mmap[]", "munmap[]", "area"), "the name of an area"),
    "exit": "a list of processes, e.g. [main]",
    **dict.fromkeys(("online", "offline"), "a list of memory, e.g. [{node: 1, size: 512M}]"),
    **dict.fromkeys(("online[]", "offline[]"), "memory, e.g. {node: 1, size: 512M}"),
    "exit[]": "the name of a process",
    "name": "text",
    "process": "a name",
    **dict.fromkeys(("repeat", "populate", "mapped", "locked", "late", "loop"), "true or false"),
    "trace": "the path of a file of `damon import`",
    **dict.fromkeys(("from", "to"), "a duration, e.g. 60s"),
    **dict.fromkeys(("time_scale", "size_scale"), "a number from 0.001 to 1000"),
    **dict.fromkeys(("size", "stride", "memory", "reserved"), "a size, e.g. 32M"),
    "duration": "a duration, e.g. 60s",
    "rate": "touches a second, e.g. 200k",
    "kind": "anon or file",
    "thp": "always, madvise or never",
    "hz": "100, 250, 300 or 1000 ticks a second, or 0 for exact time",
    "node": "the number of a node, from 0",
    "nodes": "a list of 1 to 8 nodes, e.g. [{size: 1G}, {size: 4G, latency_ns: 250}]",
    "nodes[]": "a node, e.g. {size: 1G, latency_ns: 80}",
    "latency_ns": "nanoseconds from 0 to 1e9",
    **dict.fromkeys(("distances", "distances[]"), "distances from 10 to 254 to each node, e.g. [10, 20]"),
    "pattern": "sequential, strided, random or zipf",
    "write": "a share from 0 to 1",
    "skew": "a number from 0.001 to 8",
    "machine": "a machine, e.g. {memory: 1G}",
    "swap": "none, a swap device, e.g. {size: 1G}, or a list of 1 to 8",
    "swap[]": "a swap device, e.g. {size: 1G, priority: 10}",
    "priority": "a whole number from 0 to 32767; the highest is filled first",
    **dict.fromkeys(("read_us", "write_us", "file_read_us", "file_write_us", "fault_us"), _LATENCY),
    **dict.fromkeys(("reclaim_us", "scan_us", "migrate_us", "huge_us", "check_us", "wake_us"), _LATENCY),
}
_FIELDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "": FileFields, "areas.*": AreaFields, "areas.* of a trace": TraceFields,
    "processes.*": ProcessFields, "cgroups.*": CgroupFields, "phases[]": PhaseFields,
    "online[]": HotplugFields, "offline[]": HotplugFields,
    "access[]": AccessFields, "machine": MachineFields, "nodes[]": NodeFields,
    "swap[]": SwapFields, **generators.FIELDS,
}  # fmt: skip
_FAILURE: Final = re.compile(r"(?P<what>.*?)(?: - at (?:`key` in )?`\$(?P<place>[^`]*)`)?", re.DOTALL)
_STEP: Final = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")
T = TypeVar("T", bound=msgspec.Struct)


def steps(field: str) -> list[str | int]:
    """Keys and indices of ``phases[0].access[1].rate``."""
    return [int(match[1]) if match[1] else match[2] for match in _STEP.finditer(field)]


def _end(place: str, into: type[msgspec.Struct], known: Mapping[str, type[msgspec.Struct]]) -> str:
    """The key in ``TAKES`` of ``place`` within ``into``."""
    if not place:
        return next((end for end, fields in known.items() if fields is into), "")
    return re.sub(r"\[(?:\d+|\.\.\.)\]", "[]", place).rpartition(".")[2]


def _at(data: Any, path: str) -> Any:
    """What is at ``path``, or the innermost that is: a field's name in the file may look like a path."""
    for step in steps(path):
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            break
    return data


def convert(
    data: Any, into: type[T], field: str = "", takes: Mapping[str, str] = TAKES,
    structs: Mapping[str, type[msgspec.Struct]] = _FIELDS,
) -> T:  # fmt: skip
    """``data`` as ``into``; ``field`` is the path of it in the file.

    Args:
        data: of a file, as plain values.
        into: the structure.
        field: where ``data`` stands in the file.
        takes: what each field takes, by the end of its path; the default is of a workload file, as that of ``structs``.
        structs: the structure at the end of each path.

    Raises:
        InvalidInput: path, value and what would be valid, or the fields that there are.
    """
    try:
        return msgspec.convert(data, into)
    except msgspec.ValidationError as error:
        failure = _FAILURE.fullmatch(str(error))
        assert failure is not None
        place = (failure["place"] or "").lstrip(".")
        full = f"{field}.{place}".strip(".")
        named = re.search(r"(unknown|missing required) field `(.*)`", failure["what"], re.DOTALL)
        if named and named[1] == "unknown":
            known = ", ".join(structs[_end(place, into, structs)].__struct_encode_fields__)
            raise InvalidInput(f"{full or 'file'}: {quoted(named[2])}: is not a field; known are {known}") from None
        if named:
            raise InvalidInput(f"{f'{full}.{named[2]}'.lstrip('.')}: is missing; give {takes[named[2]]}") from None
        if "`key` in" in str(error):
            raise InvalidInput(f"{full or 'file'}: a key: is not text; put it in quotes") from None
        value = _at(data, place)
        if not full:
            known = " and ".join(structs[""].__struct_fields__[:2])
            raise refusal("file", value, f"is not a mapping; give one with the fields {known}") from None
        raise refusal(full, value, f"is not valid; give {takes[_end(place, into, structs)]}") from None


def check_name(value: str, field: str, form: re.Pattern[str] = NAME) -> str:
    """``value`` if it is a name."""
    if not form.fullmatch(value):
        allowed = "letters, digits, _ . -" if form is NAME else "printable ASCII without quotes and backslashes"
        raise refusal(field, value, f"is not a name; give 1 to 64 of {allowed}")
    return value


def check_memcg(value: str, field: str) -> str:
    """``value`` without the leading slash if it names a cgroup; empty is none."""
    if value and (not MEMCG.fullmatch(value) or {".", ".."} & set(value.split("/"))):
        raise refusal(field, value, "is not a cgroup; give a name below the root, e.g. web or web/worker")
    return value.lstrip("/")
