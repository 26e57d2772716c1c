# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's DAMON was before it was touched, and how it becomes that again.

The guardian runs this after its process was killed. Restoring can be interrupted and begun anew at any point.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from damon.errors import DamonError
from damon.host import instances
from damon.host.files import number, put, read, writable

#: Written as commands, not kept as values.
_COMMANDS: Final = frozenset(("state", "commit_inputs"))
#: Made by the kernel as results, and taken away with the rest.
_RESULTS: Final = "tried_regions"


@dataclass
class Found:
    """As it was found, and what was started since.

    Args:
        admin: DAMON's sysfs directory ``admin``.
        modules: the directory of the kernel's modules.
        tree: values of all writable files below ``kdamonds``, by relative path; None: not touched.
        kdamonds: worker's thread by number of the kdamond, as far as it is known.
        parameters: of each touched module the values of all writable parameters but commands.
        workers: worker's thread by module, as far as it is known.
        instances: of tracefs, that were made.
    """

    admin: str
    modules: str
    tree: dict[str, str] | None = None
    kdamonds: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)
    workers: dict[str, int] = field(default_factory=dict)
    instances: list[str] = field(default_factory=list)

    def as_object(self) -> dict[str, object]:
        """For a file in JSON."""
        return asdict(self)


def take_tree(kdamonds: Path) -> dict[str, str]:
    """The values of all writable files below ``admin/kdamonds``, by relative path."""
    values = {}
    for directory, directories, names in os.walk(kdamonds):
        directories[:] = [name for name in directories if name != _RESULTS]
        for name in names:
            path = Path(directory, name)
            if name not in _COMMANDS and writable(path):
                values[str(path.relative_to(kdamonds))] = read(path)
    return values


def take_parameters(directory: Path) -> dict[str, str]:
    """The values of a module's writable parameters but commands."""
    return {
        path.name: read(path) for path in sorted(directory.iterdir()) if path.name not in _COMMANDS and writable(path)
    }


def running(admin: Path) -> dict[int, int]:
    """Worker's thread by number of each kdamond that runs."""
    kdamonds = admin / "kdamonds"
    found = range(number(kdamonds / "nr_kdamonds"))
    return {index: number(kdamonds / f"{index}/pid") for index in found if read(kdamonds / f"{index}/state") == "on"}


def restore(found: Found) -> list[str]:
    """Stops what was started and writes back what was there; what could not be done, a line each.

    A worker that is not the one that was started belongs to another user: it and its settings are left alone.
    """
    problems = []
    for name in reversed(list(found.parameters)):
        try:
            problems += _restore_module(found, name)
        except (DamonError, OSError) as error:
            problems.append(f"{name}: cannot be restored: {error}")
    if found.tree is not None:
        try:
            problems += _restore_tree(found, found.tree)
        except (DamonError, OSError) as error:
            problems.append(f"{found.admin}: cannot be restored: {error}")
    for place in found.instances:
        problems += instances.remove(Path(place))
    return problems


def _restore_module(found: Found, name: str) -> list[str]:
    directory = Path(found.modules, name, "parameters")
    if not directory.is_dir():
        return []  # unloaded: its next load begins with its defaults
    if read(directory / "enabled") == "Y":
        pid = number(directory / "kdamond_pid")
        if pid not in (-1, found.workers.get(name, pid)):
            return [f"{name}: its worker {pid} was started by another user: left alone"]
    return restore_parameters(directory, found.parameters[name])


def restore_parameters(directory: Path, values: dict[str, str]) -> list[str]:
    """Turns a module off, and writes ``values`` back; what could not be done."""
    if read(directory / "enabled") == "Y":
        put(directory / "enabled", "N", patient=False)
    commit = directory / "commit_inputs"
    if commit.exists() and read(commit) == "Y":
        # Asked for and not yet done when the worker was stopped: its next start would find it.
        put(commit, "N", patient=False)
    problems = []
    for parameter, value in values.items():
        path = directory / parameter
        if parameter != "enabled" and read(path) != value:
            try:
                put(path, value, patient=False)
            except DamonError as error:
                problems.append(str(error))
    return problems


def _restore_tree(found: Found, tree: dict[str, str]) -> list[str]:
    kdamonds = Path(found.admin, "kdamonds")
    for index, pid in running(Path(found.admin)).items():
        if found.kdamonds.get(str(index), pid) != pid:
            return [f"{kdamonds}/{index}: its worker {pid} was started by another user: left alone"]
    for index in running(Path(found.admin)):
        put(kdamonds / f"{index}/state", "off")
    if take_tree(kdamonds) != tree:
        # The count is written in any case: the kernel then makes all directories anew.
        put(kdamonds / "nr_kdamonds", tree["nr_kdamonds"])
        for path in sorted(tree, key=_order):
            if read(kdamonds / path) != tree[path]:
                put(kdamonds / path, tree[path])
    return []


def _order(path: str) -> tuple[int, bool, str]:
    """A count makes the directories below it: it comes before what is in them."""
    return path.count("/"), not path.rpartition("/")[2].startswith("nr_"), path
