# SPDX-License-Identifier: GPL-2.0-only
"""A valid study, and reading one from a file. Every error is one line: file, line, field, value, remedy."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from damon import format_version
from damon.errors import DamonError, InvalidInput
from damon.library.engine import HOST, Engine, open_engine, other_modules
from damon.modules.cmdline import canonical
from damon.modules.loader import find_module
from damon.modules.module import Module
from damon.modules.params import ParamSpec, Value, show_value
from damon.quoting import listed
from damon.results.conditions import Condition
from damon.tune.domain import Domain, Point, Space, read_domain
from damon.tune.goals import Objective, read_constraint, read_objective
from damon.tune.request import Request
from damon.tune.schema import FORMAT, STRUCTS, TAKES, FileFields, TuneFields
from damon.workload.find import find_workload
from damon.workload.load import line_of, load_workload, read_yaml
from damon.workload.quantities import parse_duration, refusal
from damon.workload.schema import convert, steps
from damon.workload.yaml12 import read_text

MOST_COMBINATIONS: Final = 10_000_000
MOST_SCALE: Final = 1_000_000


@dataclass(frozen=True)
class WorkloadFile:
    """A workload of a study: its name, its file, and the hash of the file's content, traces that it names included."""

    name: str
    path: Path
    sha256: str
    traces: tuple[Path, ...] = ()  #: those that it names, or itself


@dataclass(frozen=True)
class Stage:
    """How a configuration is run: for how long, and with which parameters as multiples of what it has."""

    duration_us: int
    scale: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Study:
    """What a study file describes."""

    name: str
    workloads: tuple[WorkloadFile, ...]
    engines: Mapping[str, str]  #: version of each, with the hash of its sources
    space: Space
    given: Mapping[str, str]  #: each module's name -> how a worker finds it
    specs: Mapping[str, Mapping[str, ParamSpec]]  #: parameters of each module
    seeds: tuple[int, ...]
    stage: Stage
    objectives: tuple[Objective, ...]
    constraints: tuple[Condition, ...]
    tune: TuneFields
    default: bool = True
    coarse: Stage | None = None

    def words(self, point: Point | None, stage: Stage) -> dict[str, list[str]]:
        """What each module is given at ``point``, by how a worker finds it; None: free parameters are left alone."""
        free = {(domain.module, domain.name) for domain in self.space.free}
        free |= {(one.module, one.name) for one in self.space.domains if (one.module, one.of) in free}
        values = self.space.values(point if point is not None else (0,) * len(self.space.free))
        result: dict[str, list[str]] = {}
        for module, called in self.given.items():
            specs = self.specs[module]
            own = {name: value for (of, name), value in values.items() if of == module}
            if point is None:
                own = {name: value for name, value in own.items() if (module, name) not in free}
            for name, factor in stage.scale.items():
                if name in specs:
                    own[name] = _scaled(own.get(name, specs[name].default), factor)
            if "enabled" in specs:
                own.setdefault("enabled", True)
            result[called] = [f"{name}={show_value(value)}" for name, value in own.items()]
        return result

    def run(
        self, workload: WorkloadFile, engine: str, seed: int, point: Point | None, stage: Stage | None = None
    ) -> Request:
        """The request of one run. ``engine`` empty: nothing monitors."""
        stage = stage or self.stage
        modules = self.words(point, stage) if engine else {}
        version = self.engines.get(engine, "")
        return Request(workload.sha256, workload.name, engine, version, modules, seed, stage.duration_us)


def _scaled(value: Value, factor: float) -> Value:
    return max(round(value * factor), 1) if isinstance(value, int) and not isinstance(value, bool) and value else value


def load_study(path: str | Path) -> Study:
    """Read the study file ``path``, and all that it names.

    Raises:
        InvalidInput: it cannot be read, or is wrong.
        MissingCapability: an engine needs what this machine lacks.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except OSError as error:
        raise InvalidInput(f"study file: {str(path)!r}: {error.strerror}; correct the path") from None
    except ValueError as error:
        raise InvalidInput(f"study file: {str(path)!r}: {error}; correct it") from None
    try:
        root, data = read_yaml(text)
    except InvalidInput as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    try:
        return parse_study(data, path.stem, path.parent)
    except InvalidInput as error:
        line = line_of(root, steps(str(error.strerror).partition(": ")[0]))
        place = f"{path}: line {line}" if line is not None else str(path)
        raise InvalidInput(f"{place}: {error.strerror}") from None


def parse_study(data: Any, name: str = "study", directory: Path = Path()) -> Study:
    """The study that parsed YAML ``data`` describes; files are looked for in ``directory``, then as they are."""
    later = format_version.refusal(data, FORMAT)
    if later is not None:
        raise InvalidInput(later)
    raw = convert(data, FileFields, "", TAKES, STRUCTS)
    workloads = tuple(_workload(one, f"workloads[{nr}]", directory) for nr, one in enumerate(raw.workloads))
    _once("workloads", [workload.name for workload in workloads])
    _once("engines", raw.engines)
    _once("seeds", raw.seeds)
    engines = _engines(raw.engines)
    modules = _modules(raw.modules, engines, directory)
    specs = {kind.name: {spec.name: spec for spec in kind.specs()} for _, kind in modules.values()}
    domains = [
        domain
        for called, (_, kind) in modules.items()
        for domain in _domains(raw.modules[called], f"modules.{called}", kind.name, specs[kind.name])
    ]
    space = Space(tuple(domains))
    if len(space) > MOST_COMBINATIONS:
        raise refusal("modules", len(space), f"combinations are too many; give lists with at most {MOST_COMBINATIONS}")
    duration = parse_duration(raw.duration, "duration")
    objectives = [read_objective(one, f"objectives[{nr}]") for nr, one in enumerate(raw.objectives)]
    _once("objectives", [objective.figure for objective in objectives])
    return Study(
        name=raw.name or name, workloads=workloads, space=space,
        engines={spec: _version(engine) for spec, engine in engines.items()},
        given={kind.name: place for place, kind in modules.values()}, specs=specs, seeds=tuple(raw.seeds),
        stage=Stage(duration), objectives=tuple(objectives),
        constraints=tuple(read_constraint(one, f"constraints[{nr}]") for nr, one in enumerate(raw.constraints)),
        tune=raw.tune, default=raw.default, coarse=_coarse(raw.tune, duration, specs),
    )  # fmt: skip


def _version(engine: Engine) -> str:
    """That and the hash of its sources, if it has one."""
    return " ".join(filter(None, (engine.identity.version, engine.identity.sha256)))


def _once(what: str, names: Sequence[object]) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            raise refusal(f"{what}[{index}]", name, "is given twice; leave one out")


def _workload(given: str, field: str, directory: Path) -> WorkloadFile:
    beside = directory / given
    try:
        path = beside if beside.is_file() else find_workload(given)
        workload = load_workload(path)  # refused here, not by a worker
        digest = hashlib.sha256(path.read_bytes())
        traces = dict.fromkeys(area.replay.path for area in workload.areas if area.replay is not None)
        for trace in traces:
            with open(trace, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return WorkloadFile(path.stem, path, digest.hexdigest(), tuple(map(Path, traces)))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, DamonError) else str(error)
        raise InvalidInput(f"{field}: {said}") from None


def _engines(given: Sequence[str]) -> dict[str, Engine]:
    found: dict[str, Engine] = {}
    for nr, spec in enumerate(given):
        if spec == HOST:
            raise refusal(f"engines[{nr}]", spec, "works on this machine's memory; give one for the simulated machine")
        try:
            found[spec] = open_engine(spec)
        except InvalidInput as error:
            raise InvalidInput(f"engines[{nr}]: {error.strerror}") from None
    return found


def _modules(
    given: Mapping[str, Any], engines: Mapping[str, Engine], directory: Path
) -> dict[str, tuple[str, type[Module]]]:
    """By its name in the file: how a worker finds it, and the module, that of the first engine."""
    found: dict[str, tuple[str, type[Module]]] = {}
    for name, parameters in given.items():
        if not isinstance(parameters, dict):
            raise refusal(f"modules.{name}", parameters, f"is not valid; give {TAKES['modules.*']}")
        place = str((directory / name).resolve()) if "/" in name else name
        for engine in engines.values():
            try:
                found.setdefault(name, (place, find_module(place, known=other_modules(engine))))
            except DamonError as error:
                raise InvalidInput(f"modules.{name}: {error.strerror}") from None
    if not found:
        raise refusal("modules", {}, "is empty; give at least one")
    _once("modules", [kind.name for _, kind in found.values()])
    return found


def _domains(given: Mapping[str, Any], field: str, module: str, specs: Mapping[str, ParamSpec]) -> list[Domain]:
    found: dict[str, Domain] = {}
    for name, value in given.items():
        spec = specs.get(canonical(name))
        if spec is None or not spec.writable:
            why = "is not a parameter" if spec is None else "is read only"
            raise refusal(field, name, f"{why}; known are {listed([one for one in specs if specs[one].writable])}")
        if spec.name in found:
            raise refusal(field, name, "is given twice; leave one out")
        found[spec.name] = read_domain(module, spec, value, f"{field}.{name}", specs)
    for domain in list(found.values()):
        other = domain.of
        if other is None:
            continue
        if other in found and found[other].of is not None:
            raise refusal(f"{field}.{domain.name}.of", other, "is coupled itself; name what it is coupled to")
        found.setdefault(other, Domain(module, other, (specs[other].default,)))
    return list(found.values())


def _coarse(tune: TuneFields, duration: int, specs: Mapping[str, Mapping[str, ParamSpec]]) -> Stage | None:
    if tune.coarse is None:
        return None
    known = {name for one in specs.values() for name in one}
    for name, factor in tune.coarse.scale.items():
        if name not in known:
            raise refusal("tune.coarse.scale", name, f"is not a parameter; known are {listed(sorted(known))}")
        if isinstance(factor, bool) or not isinstance(factor, (int, float)) or not 0 < factor <= MOST_SCALE:
            raise refusal(f"tune.coarse.scale.{name}", factor, f"is not a factor; give one above 0, up to {MOST_SCALE}")
    given = tune.coarse.duration
    own = duration if isinstance(given, msgspec.UnsetType) else parse_duration(given, "tune.coarse.duration")
    return Stage(own, tune.coarse.scale)
