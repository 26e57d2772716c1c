# SPDX-License-Identifier: GPL-2.0-only
"""Reads a suite file. What is wrong is told with file, line and column, all of it before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import yaml

from .. import hostroot, specs
from ..config import ACCELERATORS, GuestConfig
from ..errors import HarnessError, InvalidInput, Verdict
from ..images import arch, variants
from ..patterns import TOLERABLE
from ..sizes import parse_size
from .model import Expectation, FullMachine, Kernel, Limits, Machine, Selector, Suite, Test, Workload

#: Verdicts that a job can end with beside a lost guest's.
JOB_VERDICTS = ("pass", "fail", "command-timeout", "total-timeout", "workload-failed", "skip")
_TABLES: dict[str, type[msgspec.Struct]] = {
    "kernels": Kernel,
    "machines": FullMachine,
    "workloads": Workload,
    "tests": Test,
}
_LISTS: dict[str, type[msgspec.Struct]] = {"include": Selector, "exclude": Selector, "expect": Expectation}
_AT = re.compile(r" - at (?:key in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class SuiteError(InvalidInput):
    """A suite file that cannot be used; one line a finding, ``file:line:column: what``."""


@dataclass
class _Reader:
    path: str
    findings: list[tuple[int, int, str]]

    def wrong(self, node: yaml.Node, what: str) -> None:
        mark = node.start_mark
        finding = (mark.line + 1, mark.column + 1, what)
        if finding not in self.findings:
            self.findings.append(finding)

    def fail(self) -> None:
        if self.findings:
            lines = [f"{self.path}:{line}:{column}: {what}" for line, column, what in sorted(self.findings)]
            raise SuiteError("\n".join(lines))


class _Loader(yaml.SafeLoader):
    pass


# 512M, on and 1e3 are what they look like to a reader; only true and false are truth values.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))


def load(path: Path) -> Suite:
    """The suite of a file.

    Raises:
        InvalidInput: there is no such file.
        SuiteError: it is wrong; every finding with its place.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInput(f"suite {str(path)!r} cannot be read ({why}); give a YAML file") from error
    return parse(text, str(path))


def parse(text: str, name: str = "suite.yaml") -> Suite:
    """The suite of a text; see :func:`load`."""
    reader = _Reader(name, [])
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            data = loader.construct_document(root) if root is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise SuiteError(f"{where}: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SuiteError(f"{name}:1:1: {str(error).splitlines()[0]}") from error
    if not isinstance(root, yaml.MappingNode) or not isinstance(data, dict):
        raise SuiteError(f"{name}:1:1: a suite is a mapping with name, kernels and tests")
    _twice(reader, root)
    reader.fail()
    suite = _convert(reader, root, data)
    reader.fail()
    assert suite is not None
    _values(reader, root, suite)
    reader.fail()
    return suite


def _twice(reader: _Reader, node: yaml.Node) -> None:
    """YAML lets a key stand twice, and forgets the first."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                reader.wrong(key, f"{key.value!r} stands here twice; remove one")
            seen.add(key.value)
            _twice(reader, value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _twice(reader, item)


def _child(node: yaml.Node, name: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode) and isinstance(name, str):
        for key, value in node.value:
            if key.value == name:
                return value if isinstance(value, yaml.Node) else None
    if isinstance(node, yaml.SequenceNode) and isinstance(name, int) and name < len(node.value):
        item = node.value[name]
        return item if isinstance(item, yaml.Node) else None
    return None


def _key(node: yaml.Node | None, name: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((key for key, _ in pairs if key.value == name), None)


def _typed(reader: _Reader, node: yaml.Node, data: Any, kind: type[_Struct], what: str) -> _Struct | None:
    try:
        return msgspec.convert({} if data is None else data, kind)
    except msgspec.ValidationError as error:
        text = str(error)
        match = _AT.search(text)
        place, steps = node, []
        for word, number, _any in _STEP.findall(match["path"] if match else ""):
            steps.append(word or (f"[{number}]" if number else ""))
            place = _child(place, word or int(number or 0)) or place
        text = text[: match.start()] if match else text
        if unknown := re.search(r"contains unknown field `(.*)`", text):
            place = _key(place, unknown[1]) or place
            fields = ", ".join(_fields(kind, steps))
            text = f"{unknown[1]!r} is nothing known here; known: {fields}"
        elif missing := re.search(r"missing required field `(.*)`", text):
            text = f"{missing[1]!r} is missing"
        where = f"{what}{'.' if steps and what else ''}{'.'.join(step for step in steps if step)}"
        reader.wrong(place, f"{where}: {text}" if where else text)
        return None


def _fields(kind: type[msgspec.Struct], steps: list[str]) -> list[str]:
    for step in steps:
        inner = next((field.type for field in msgspec.structs.fields(kind) if field.name == step), None)
        if isinstance(inner, type) and issubclass(inner, msgspec.Struct):
            kind = inner
    return [field.encode_name for field in msgspec.structs.fields(kind)]


def _convert(reader: _Reader, root: yaml.MappingNode, data: dict[str, Any]) -> Suite | None:
    # Part by part: of a mapping with free names the library does not say under which one it found something.
    parts = dict(data)
    for section, kind in _TABLES.items():
        node = _child(root, section)
        if node is None or section not in data:
            continue
        table = data[section]
        if isinstance(table, list) and all(isinstance(item, str) for item in table) and section == "kernels":
            table = dict.fromkeys(table)
        if not isinstance(table, dict):
            reader.wrong(node, f"{section} must be a mapping of names")
            continue
        if not table:
            reader.wrong(node, f"{section} is empty; name at least one")
        parts[section] = {}
        for name, value in table.items():
            inner = _child(node, name) or node
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", str(name)):
                place = _key(node, name) or node
                reader.wrong(place, f"{section}: name {name!r} must be letters, digits, '_', '.', '+' and '-'")
            short = isinstance(value, str) and section == "tests"
            entry = {"command": value} if short else value
            parts[section][str(name)] = _typed(reader, inner, entry, kind, f"{section}.{name}")
    for section, kind in _LISTS.items():
        node = _child(root, section)
        if node is None or section not in data:
            continue
        if not isinstance(data[section], list):
            reader.wrong(node, f"{section} must be a list")
            continue
        pairs = zip(data[section], node.value, strict=True)
        parts[section] = [
            _typed(reader, inner, value, kind, f"{section}[{number}]") for number, (value, inner) in enumerate(pairs)
        ]
    limits = _child(root, "timeouts")
    if limits is not None:
        parts["timeouts"] = _typed(reader, limits, data["timeouts"], Limits, "timeouts")
    if reader.findings:
        # The parts that are right are no concern; what is wrong beside them is told as well.
        blank: dict[str, Any] = {section: {} for section in _TABLES if section in parts}
        blank.update({section: [] for section in _LISTS if section in parts})
        parts = {**parts, **blank, **({"timeouts": Limits()} if limits is not None else {})}
    machines = parts.pop("machines", None)
    suite = _typed(reader, root, parts, Suite, "")
    return msgspec.structs.replace(suite, machines=machines) if suite is not None and machines else suite


def _values(reader: _Reader, root: yaml.Node, suite: Suite) -> None:
    """What types alone do not say."""

    def at(*path: str | int) -> yaml.Node:
        node = root
        for step in path:
            node = _child(node, step) or node
        return node

    def check(node: yaml.Node, what: str, call: Any) -> None:
        try:
            call()
        except HarnessError as error:
            reader.wrong(node, f"{what}: {error}")
        except re.error as error:
            reader.wrong(node, f"{what}: {error.pattern!r} is no regular expression ({error.msg})")

    for name, kernel in suite.kernels.items():
        if sum(value is not None for value in (kernel.variant, kernel.image, kernel.tree)) > 1:
            reader.wrong(at("kernels", name), f"kernels.{name}: give one of variant, image and tree")
        elif not kernel.image and not kernel.tree:
            place = at("kernels", name, "variant") if kernel.variant else _key(at("kernels"), name) or at("kernels")
            check(place, f"kernels.{name}", lambda k=kernel, n=name: variants.variant(k.variant or n))
        if kernel.arch and not kernel.tree:
            what = "'arch' is for a tree; a variant and an image have theirs, leave it out"
            reader.wrong(at("kernels", name, "arch"), f"kernels.{name}: {what}")
        elif kernel.arch:
            check(at("kernels", name, "arch"), f"kernels.{name}.arch", lambda k=kernel: arch.named(k.arch))
    for name, machine in suite.machines.items():
        here = f"machines.{name}"
        check(at("machines", name, "memory"), f"{here}.memory", lambda m=machine: parse_size(m.memory, "memory"))
        if machine.swap:
            check(at("machines", name, "swap"), f"{here}.swap", lambda m=machine: specs.Swap.parse(m.swap))
        if machine.accelerator not in ACCELERATORS:
            what = f"{here}.accelerator: {machine.accelerator!r} must be one of {', '.join(ACCELERATORS)}"
            reader.wrong(at("machines", name, "accelerator"), what)
        if not reader.findings:
            _whole(reader, at("machines", name), here, machine)
    for name, workload in suite.workloads.items():
        check(at("workloads", name, "ready"), f"workloads.{name}.ready", lambda w=workload: re.compile(w.ready))
        if workload.ready and not workload.command:
            reader.wrong(at("workloads", name, "ready"), f"workloads.{name}: 'ready' without a command")
    survivable = {verdict.value for verdict in TOLERABLE}
    for name, test in suite.tests.items():
        for number, word in enumerate(test.tolerate):
            if word not in survivable:
                what = f"tests.{name}.tolerate: {word!r} must be one of {', '.join(sorted(survivable))}"
                reader.wrong(at("tests", name, "tolerate", number), what)
    known = {*JOB_VERDICTS, *(verdict.value for verdict in Verdict)} - {"pass", "closed"}
    for number, expectation in enumerate(suite.expect):
        if expectation.verdict not in known:
            what = f"expect[{number}].verdict: {expectation.verdict!r} must be one of {', '.join(sorted(known))}"
            reader.wrong(at("expect", number, "verdict"), what)
    for section, number, part in _selected(suite):
        for field, names in _names(suite):
            pattern = getattr(part, field)
            if not any(Selector(test=pattern).matches("", "", "", name) for name in names):
                what = f"{section}[{number}].{field}: {pattern!r} is none of {', '.join(names)}"
                reader.wrong(at(section, number, field), what)


def _whole(reader: _Reader, node: yaml.Node, here: str, machine: Machine) -> None:
    """What its values are together, as a guest would say it; its messages begin with the value's name."""
    try:
        values = msgspec.structs.asdict(machine)
        # A folder is relative to the suite's file, and looked at when the jobs are made.
        GuestConfig(**{**values, "root": values["root"] and hostroot.HOST})
    except HarnessError as error:
        word = re.split(r"\W", str(error), maxsplit=1)[0]
        field = next((name for name in machine.__struct_fields__ if name.startswith(word)), "")
        reader.wrong(_child(node, field) or node, f"{here}.{field}: {error}" if field else f"{here}: {error}")


def _selected(suite: Suite) -> Iterator[tuple[str, int, Selector | Expectation]]:
    for section in _LISTS:
        for number, part in enumerate(getattr(suite, section)):
            yield section, number, part


def _names(suite: Suite) -> tuple[tuple[str, list[str]], ...]:
    return (
        ("kernel", list(suite.kernels)),
        ("machine", list(suite.machines)),
        ("workload", list(suite.workloads)),
        ("test", list(suite.tests)),
    )
