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

from .. import format_version, specs
from ..config import ACCELERATORS, GuestConfig
from ..errors import HarnessError, InvalidInput, Verdict
from ..host import root as hostroot
from ..images import arch, variants
from ..patterns import TOLERABLE
from ..quoting import cut, listed, quoted
from ..results.job import Limits
from ..sizes import parse_size
from ..yaml12 import Malformed, compose, plain, read_text
from .model import Expectation, FullMachine, Kernel, Machine, Selector, Suite, Test, Workload

#: The version of the file format.
FORMAT = 1
MAX_NAMES = 1000  #: of kernels, machines, workloads, tests
MAX_SELECTORS = 200  #: in include, exclude, expect
MAX_TOLD = 50
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
        finding = (mark.line + 1, mark.column + 1, cut(what, 400))
        if finding not in self.findings:
            self.findings.append(finding)

    def fail(self) -> None:
        if self.findings:
            lines = [f"{self.path}:{line}:{column}: {what}" for line, column, what in sorted(self.findings)]
            more = [f"{self.path}: and {len(lines) - MAX_TOLD} findings more"] if len(lines) > MAX_TOLD else []
            raise SuiteError("\n".join(lines[:MAX_TOLD] + more))


def load(path: Path) -> Suite:
    """The suite of a file.

    Raises:
        InvalidInput: there is no such file.
        SuiteError: it is wrong; every finding with its place.
    """
    try:
        text = read_text(path)
    except Malformed as error:
        raise SuiteError(f"{path}:{error.line or 1}:{error.column or 1}: {error.what}") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidInput(f"suite {str(path)!r} cannot be read ({why}); give a YAML file") from error
    return parse(text, str(path))


def parse(text: str, name: str = "suite.yaml") -> Suite:
    """The suite of a text; see :func:`load`."""
    reader = _Reader(name, [])
    try:
        root = compose(text)
        data = plain(root)
    except Malformed as error:
        raise SuiteError(f"{name}:{error.line or 1}:{error.column or 1}: {cut(error.what)}") from error
    if not isinstance(root, yaml.MappingNode) or not isinstance(data, dict):
        raise SuiteError(f"{name}:1:1: a suite is a mapping with name, kernels and tests")
    suite = _convert(reader, root, data)
    reader.fail()
    assert suite is not None
    _values(reader, root, suite)
    reader.fail()
    return suite


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
        if unknown := re.search(r"contains unknown field `(.*)`", text, re.DOTALL):
            place = _key(place, unknown[1]) or place
            fields = ", ".join(_fields(kind, steps))
            text = f"{quoted(unknown[1])} is nothing known here; known: {fields}"
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
    later = format_version.refusal(data, FORMAT)
    if later is not None:
        reader.wrong(_key(root, format_version.FIELD) or root, later)
        return None
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
        if not table or len(table) > MAX_NAMES:
            what = f"has {len(table)} names; give at most {MAX_NAMES}" if table else "is empty; name at least one"
            reader.wrong(node, f"{section} {what}")
            continue
        parts[section] = {}
        for name, value in table.items():
            inner = _child(node, name) or node
            if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}", name):
                place = _key(node, name) or node
                reader.wrong(place, f"{section}: name {quoted(name)} must be letters, digits, '_', '.', '+' and '-'")
            short = isinstance(value, str) and section == "tests"
            entry = {"command": value} if short else value
            parts[section][name] = _typed(reader, inner, entry, kind, f"{section}.{name}")
    for section, kind in _LISTS.items():
        node = _child(root, section)
        if node is None or section not in data:
            continue
        if not isinstance(data[section], list) or len(data[section]) > MAX_SELECTORS:
            reader.wrong(node, f"{section} must be a list of at most {MAX_SELECTORS}")
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
        except (re.error, OverflowError, RecursionError) as error:
            reader.wrong(node, f"{what} is no regular expression that can be used: {error}")

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
            what = f"{here}.accelerator: {quoted(machine.accelerator)} must be one of {', '.join(ACCELERATORS)}"
            reader.wrong(at("machines", name, "accelerator"), what)
        if not reader.findings:
            _whole(reader, at("machines", name), here, machine)
    for name, workload in suite.workloads.items():
        check(at("workloads", name, "ready"), f"workloads.{name}.ready", lambda w=workload: re.compile(w.ready))
        if workload.ready and not workload.command:
            reader.wrong(at("workloads", name, "ready"), f"workloads.{name}: 'ready' without a command")
    survivable = {verdict.value for verdict in TOLERABLE}
    for name, test in suite.tests.items():
        if not test.command.strip():
            reader.wrong(
                at("tests", name, "command"), f"tests.{name}.command: {quoted(test.command)} says nothing to run"
            )
        for number, word in enumerate(test.tolerate):
            if word not in survivable:
                what = f"tests.{name}.tolerate: {quoted(word)} must be one of {', '.join(sorted(survivable))}"
                reader.wrong(at("tests", name, "tolerate", number), what)
    known = {*JOB_VERDICTS, *(verdict.value for verdict in Verdict)} - {"pass", "closed"}
    for number, expectation in enumerate(suite.expect):
        if expectation.verdict not in known:
            what = f"expect[{number}].verdict: {quoted(expectation.verdict)} must be one of {', '.join(sorted(known))}"
            reader.wrong(at("expect", number, "verdict"), what)
    for section, number, part in _selected(suite):
        for field, names in _names(suite):
            pattern = getattr(part, field)
            if not any(Selector(test=pattern).matches("", "", "", name) for name in names):
                what = f"{section}[{number}].{field}: {quoted(pattern)} is none of {listed(names)}"
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
