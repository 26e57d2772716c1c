# SPDX-License-Identifier: GPL-2.0-only
"""C and Python agree on every record that they share, and on every routine that Python calls."""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import damon
from damon.errors import MissingCapability
from damon.native import BOUND, layout

SOURCES = Path(damon.__file__).parent / "native/src"
#: A routine that is called from outside: its result, its name, its arguments.
PROTOTYPE = re.compile(r"^EXPORT\s+([\w\s]+?[\s*]+)(\w+)\(([^)]*)\)", re.MULTILINE)
VALUES = {
    "void": None,
    "double": ctypes.c_double,
    "int": ctypes.c_int,
    "int32_t": ctypes.c_int32,
    "int64_t": ctypes.c_int64,
    "uint32_t": ctypes.c_uint32,
    "uint64_t": ctypes.c_uint64,
    "size_t": ctypes.c_size_t,
    "ssize_t": ctypes.c_ssize_t,
}


@pytest.fixture(scope="module", autouse=True)
def _everything_bound() -> None:
    for module in pkgutil.walk_packages(damon.__path__, "damon."):
        if module.name.split(".")[1] in ("core", "damond", "mm", "model", "ops", "workload"):
            importlib.import_module(module.name)


def test_every_struct_is_the_same_on_both_sides() -> None:
    assert set(layout.SHARED) == set(layout.c_layouts())
    for name, record in layout.SHARED.items():
        assert layout.mismatches(name, record) == []


def test_every_structure_of_these_packages_is_compared() -> None:
    """A record that is not declared as shared would go unchecked."""
    known = {f"{record.__module__}.{record.__qualname__}" for record in layout.SHARED.values()}
    found = set()
    for package in ("core", "mm", "model", "ops", "workload"):
        for path in (SOURCES.parents[1] / package).rglob("*.py"):
            module = ".".join(("damon", *path.relative_to(SOURCES.parents[1]).with_suffix("").parts))
            names = re.findall(r"^class (\w+)\(ctypes\.Structure\)", path.read_text(), re.MULTILINE)
            found |= {f"{module}.{name}" for name in names}
    assert found == known


def _changed(change: str) -> type[ctypes.Structure]:
    fields = list(layout.SHARED["damon_folio"]._fields_)
    if change == "renamed":
        fields[1] = ("cgroup", ctypes.c_uint64)
    elif change == "swapped":
        fields[0], fields[1] = fields[1], fields[0]
    elif change == "signed":
        fields[4] = ("nr_pages", ctypes.c_int32)
    elif change == "narrow":
        fields[3] = ("ilx", ctypes.c_uint32)
    elif change == "missing":
        fields.pop()
    else:
        fields.append(("more", ctypes.c_uint64))
    return type("Changed", (ctypes.Structure,), {"_fields_": tuple(fields)})


@pytest.mark.parametrize("change", ["renamed", "swapped", "signed", "narrow", "missing", "more"])
def test_what_differs_is_found(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = layout.mismatches("damon_folio", _changed(change))
    assert wrong
    assert all(line.startswith("struct damon_folio: ") for line in wrong)
    changed = _changed(change)
    monkeypatch.setattr(layout, "SHARED", {})
    monkeypatch.setenv("PYDAMON_DEBUG", "1")
    with pytest.raises(MissingCapability, match=r"^C helper: struct damon_folio: .*another version"):
        layout.shared("damon_folio")(changed)


def test_a_field_that_layout_c_forgets_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    size, fields = layout.c_layouts()["damon_region"]
    monkeypatch.setattr(layout, "c_layouts", lambda: {"damon_region": (size, fields[:3] + fields[4:])})
    assert any("hole" in line for line in layout.mismatches("damon_region", layout.SHARED["damon_region"]))


@pytest.mark.parametrize("way", [["-X", "dev"], []], ids=["development mode", "variable"])
def test_the_loader_compares(way: list[str]) -> None:
    modules = "damon.core, damon.mm.sim, damon.mm.linux"
    script = f"import damon.native.layout as l, {modules}; print(l.c_layouts.cache_info().hits)"
    environment = os.environ | ({} if way else {"PYDAMON_DEBUG": "1"})
    done = subprocess.run(
        [sys.executable, *way, "-c", script], capture_output=True, text=True, env=environment, check=True
    )
    assert int(done.stdout) >= len(layout.SHARED)


def test_otherwise_it_does_not() -> None:
    script = "import damon.native.layout as l, damon.core, damon.mm.sim; print(l.c_layouts.cache_info().misses)"
    environment = {name: value for name, value in os.environ.items() if name != "PYDAMON_DEBUG"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "0\n"


def _prototypes() -> Iterator[tuple[str, str, list[str]]]:
    for path in sorted(SOURCES.glob("*.c")):
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.DOTALL)
        for result, name, arguments in PROTOTYPE.findall(text):
            given = [] if arguments.strip() == "void" else arguments.split(",")
            yield name, result.strip(), [argument.strip() for argument in given]


def _kind(declared: str) -> object:
    """``pointer``, or the ctypes type of a C declaration (with or without a name)."""
    if "*" in declared or "[" in declared:
        return "pointer"
    words = [word for word in declared.split() if word != "const"]
    return VALUES[words[0]]


def _ctypes_kind(declared: object) -> object:
    pointers = (ctypes.c_void_p, ctypes.c_char_p)
    if declared in pointers or (isinstance(declared, type) and issubclass(declared, ctypes._Pointer)):
        return "pointer"
    return declared


def test_every_routine_is_called_as_it_is_defined() -> None:
    """Number and types of arguments, and the result; every bound name is defined once."""
    found = {name: (result, arguments) for name, result, arguments in _prototypes()}
    assert len(BOUND) > 60
    for name, function in BOUND.items():
        result, arguments = found[name]
        assert _ctypes_kind(function.restype) == _kind(result), name
        assert list(map(_ctypes_kind, function.argtypes)) == list(map(_kind, arguments)), name
