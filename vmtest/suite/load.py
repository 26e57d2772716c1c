# SPDX-License-Identifier: GPL-2.0-only
"""Reads a suite file. Everything wrong is reported with file, line and column before anything starts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
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
MAX_FINDINGS = 50
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
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,63}")
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class SuiteError(InvalidInput):
    """A suite file that cannot be used; one line a finding, ``file:line:column: what``."""


@dataclass
class _Reader:
    path: str
    root: yaml.Node
    findings: list[tuple[int, int, str]]

    def at(self, *steps: str | int) -> yaml.Node:
        """The node at a path, or the last one on the way to it that is there."""
        node = self.root
        for step in steps:
            node = _child(node, step) or node
        return node

    def check(self, node: yaml.Node, what: str, call: Callable[[], object]) -> None:
        """Notes what ``call`` raises."""
        try:
            call()
        except HarnessError as error:
            self.wrong(node, f"{what}: {error}")
        except (re.error, OverflowError, RecursionError) as error:
            self.wrong(node, f"{what}: is not a regular expression that can be used ({error})")

    def wrong(self, node: yaml.Node, what: str) -> None:
        mark = node.start_mark
        finding = (mark.line + 1, mark.column + 1, cut(what, 400))
        if finding not in self.findings:
            self.findings.append(finding)

    def fail(self) -> None:
        if self.findings:
            lines = [f"{self.path}:{line}:{column}: {what}" for line, column, what in sorted(self.findings)]
            more = [f"{self.path}: and {len(lines) - MAX_FINDINGS} findings more"] if len(lines) > MAX_FINDINGS else []
            raise SuiteError("\n".join(lines[:MAX_FINDINGS] + more))


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
        raise InvalidInput(f"suite: {str(path)!r}: cannot be read ({why}); give a YAML file") from error
    return parse(text, str(path))


def parse(text: str, name: str = "suite.yaml") -> Suite:
    """The suite of a text; see :func:`load`."""
    try:
        root = compose(text)
        data = plain(root)
    except Malformed as error:
        raise SuiteError(f"{name}:{error.line or 1}:{error.column or 1}: {cut(error.what)}") from error
    if not isinstance(root, yaml.MappingNode) or not isinstance(data, dict):
        raise SuiteError(f"{name}:1:1: suite: is not a mapping; give one with name, kernels and tests")
    reader = _Reader(name, root, [])
    suite = _convert(reader, data)
    reader.fail()
    assert suite is not None
    for check in (_kernels, _machines, _workloads, _tests, _expectations, _patterns):
        check(reader, suite)
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
            text = f"{quoted(unknown[1])} is unknown here; known: {fields}"
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


def _table(reader: _Reader, section: str, table: Any) -> dict[str, Any]:
    """One of kernels, machines, workloads and tests: entries by name. What is wrong is noted and None."""
    node, kind = reader.at(section), _TABLES[section]
    if isinstance(table, list) and all(isinstance(item, str) for item in table) and section == "kernels":
        table = dict.fromkeys(table)
    if not isinstance(table, dict):
        reader.wrong(node, f"{section} must be a mapping of names")
        return {}
    if not table or len(table) > MAX_NAMES:
        what = f"has {len(table)} names; give at most {MAX_NAMES}" if table else "is empty; name at least one"
        reader.wrong(node, f"{section} {what}")
        return {}
    entries = {}
    for name, value in table.items():
        if not _NAME.fullmatch(name):
            place = _key(node, name) or node
            reader.wrong(place, f"{section}: name {quoted(name)} must be letters, digits, '_', '.', '+' and '-'")
        short = isinstance(value, str) and section == "tests"
        entry = {"command": value} if short else value
        entries[name] = _typed(reader, _child(node, name) or node, entry, kind, f"{section}.{name}")
    return entries


def _list(reader: _Reader, section: str, items: Any) -> list[Any]:
    """One of include, exclude and expect."""
    node, kind = reader.at(section), _LISTS[section]
    if not isinstance(items, list) or len(items) > MAX_SELECTORS:
        reader.wrong(node, f"{section} must be a list of at most {MAX_SELECTORS}")
        return []
    pairs = enumerate(zip(items, node.value, strict=True))
    return [_typed(reader, inner, value, kind, f"{section}[{number}]") for number, (value, inner) in pairs]


def _convert(reader: _Reader, data: dict[str, Any]) -> Suite | None:
    later = format_version.refusal(data, FORMAT)
    if later is not None:
        reader.wrong(_key(reader.root, format_version.FIELD) or reader.root, later)
        return None
    # Part by part: in a mapping with free names the library does not report the name where it found something.
    parts = dict(data)
    parts.update({section: _table(reader, section, data[section]) for section in _TABLES if section in data})
    parts.update({section: _list(reader, section, data[section]) for section in _LISTS if section in data})
    if "timeouts" in data:
        parts["timeouts"] = _typed(reader, reader.at("timeouts"), data["timeouts"], Limits, "timeouts")
    if reader.findings:
        # What is wrong beside these parts is reported as well.
        parts.update({section: type(part)() for section, part in parts.items() if section in {*_TABLES, *_LISTS}})
        parts.update({"timeouts": Limits()} if "timeouts" in data else {})
    machines = parts.pop("machines", None)
    suite = _typed(reader, reader.root, parts, Suite, "")
    return msgspec.structs.replace(suite, machines=machines) if suite is not None and machines else suite


# What types alone do not check.


def _kernels(reader: _Reader, suite: Suite) -> None:
    for name, kernel in suite.kernels.items():
        what = f"kernels.{name}"
        if sum(value is not None for value in (kernel.variant, kernel.image, kernel.tree)) > 1:
            reader.wrong(reader.at("kernels", name), f"{what}: give one of variant, image and tree")
        elif not kernel.image and not kernel.tree:
            node = reader.at("kernels")
            place = reader.at("kernels", name, "variant") if kernel.variant else _key(node, name) or node
            reader.check(place, what, partial(variants.variant, kernel.variant or name))
        if kernel.arch and not kernel.tree:
            why = "'arch' is for a tree; a variant and an image have theirs, leave it out"
            reader.wrong(reader.at("kernels", name, "arch"), f"{what}: {why}")
        elif kernel.arch:
            reader.check(reader.at("kernels", name, "arch"), f"{what}.arch", partial(arch.named, kernel.arch))


def _machines(reader: _Reader, suite: Suite) -> None:
    for name, machine in suite.machines.items():
        what, at = f"machines.{name}", partial(reader.at, "machines", name)
        reader.check(at("memory"), f"{what}.memory", partial(parse_size, machine.memory, "memory"))
        if machine.swap:
            reader.check(at("swap"), f"{what}.swap", partial(specs.Swap.parse, machine.swap))
        _one_of(reader, at("accelerator"), f"{what}.accelerator", machine.accelerator, ACCELERATORS)
        if not reader.findings:
            _whole(reader, at(), what, machine)


def _workloads(reader: _Reader, suite: Suite) -> None:
    for name, workload in suite.workloads.items():
        node = reader.at("workloads", name, "ready")
        reader.check(node, f"workloads.{name}.ready", partial(re.compile, workload.ready))
        if workload.ready and not workload.command:
            reader.wrong(node, f"workloads.{name}: 'ready' without a command; give one, or leave it out")


def _tests(reader: _Reader, suite: Suite) -> None:
    survivable = sorted(verdict.value for verdict in TOLERABLE)
    for name, test in suite.tests.items():
        if not test.command.strip():
            what = f"tests.{name}.command: {quoted(test.command)}: runs nothing; give a command"
            reader.wrong(reader.at("tests", name, "command"), what)
        for number, word in enumerate(test.tolerate):
            _one_of(reader, reader.at("tests", name, "tolerate", number), f"tests.{name}.tolerate", word, survivable)


def _expectations(reader: _Reader, suite: Suite) -> None:
    known = sorted({*JOB_VERDICTS, *(verdict.value for verdict in Verdict)} - {"pass", "closed"})
    for number, expectation in enumerate(suite.expect):
        node, what = reader.at("expect", number, "verdict"), f"expect[{number}].verdict"
        _one_of(reader, node, what, expectation.verdict, known)


def _patterns(reader: _Reader, suite: Suite) -> None:
    names = {field: list(getattr(suite, f"{field}s")) for field in Selector.__struct_fields__}
    for section in _LISTS:
        for number, part in enumerate(getattr(suite, section)):
            for field, known in names.items():
                pattern = getattr(part, field)
                if not any(fnmatchcase(name, pattern) for name in known):
                    what = f"{section}[{number}].{field}: {quoted(pattern)} is none of {listed(known)}"
                    reader.wrong(reader.at(section, number, field), what)


def _one_of(reader: _Reader, node: yaml.Node, what: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        reader.wrong(node, f"{what}: {quoted(value)}: must be one of {', '.join(known)}")


def _whole(reader: _Reader, node: yaml.Node, here: str, machine: Machine) -> None:
    """Checks the values together, as a guest does; its messages begin with the value's name."""
    try:
        values = msgspec.structs.asdict(machine)
        # A directory is relative to the suite's file, and checked when the jobs are completed.
        GuestConfig(**{**values, "root": values["root"] and hostroot.HOST})
    except HarnessError as error:
        word = re.split(r"\W", str(error), maxsplit=1)[0]
        field = next((name for name in machine.__struct_fields__ if name.startswith(word)), "")
        reader.wrong(_child(node, field) or node, f"{here}.{field}: {error}" if field else f"{here}: {error}")
