# SPDX-License-Identifier: GPL-2.0-only
"""Finding, loading, unloading and listing modules, and the boot command line (``NAME.PARAM=VALUE ...``)."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

from damon.core import Damon
from damon.errors import DamonError, InvalidInput
from damon.mm.interface import Machine
from damon.modules.module import Module
from damon.modules.params import Parameter

#: Folders of the user's own modules, separated by colons.
PATH_VARIABLE = "DAMON_MODULES_PATH"
_HERE = Path(__file__).parent


def canonical(name: str) -> str:
    """Module and parameter names: '-' and '_' are the same, as in the kernel."""
    return name.replace("-", "_")


def _unknown(what: str, name: str, known: Iterable[str]) -> InvalidInput:
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"
    return InvalidInput(f"unknown {what} {name!r}; {hint}")


def _folders(extra: Iterable[Path]) -> list[Path]:
    own = [Path(entry) for entry in os.environ.get(PATH_VARIABLE, "").split(":") if entry]
    return [_HERE, *extra, *own]


def _import(folder: Path) -> ModuleType:
    if folder.parent == _HERE:
        return importlib.import_module(f"damon.modules.{folder.name}")
    name = f"damon_user_modules.{folder.name}"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def find_modules(extra: Iterable[Path] = ()) -> dict[str, type[Module]]:
    """All modules by name: those of this project, then of ``extra`` folders and of ``$DAMON_MODULES_PATH``.

    A module is a folder whose ``__init__`` has ``MODULE``, a subclass of ``Module``.
    """
    found: dict[str, type[Module]] = {}
    for parent in _folders(extra):
        if not parent.is_dir():
            raise InvalidInput(f"module folder {str(parent)!r} does not exist: correct the path or ${PATH_VARIABLE}")
        for folder in sorted(parent.iterdir()):
            if (folder / "__init__.py").is_file():
                kind = getattr(_import(folder), "MODULE", None)
                if kind is not None:
                    found.setdefault(kind.name, kind)
    return found


def find_module(name: str, extra: Iterable[Path] = ()) -> type[Module]:
    """The module called ``name`` (also without ``damon_``); EINVAL with the nearest name when there is none."""
    modules = find_modules(extra)
    wanted = canonical(name)
    for candidate in (wanted, f"damon_{wanted}"):
        if candidate in modules:
            return modules[candidate]
    raise _unknown("module", name, modules)


def parameter_of(module: Module, name: str) -> Parameter:
    """The parameter ``name`` of ``module``; EINVAL with the nearest name when there is none."""
    try:
        return module.parameters[canonical(name)]
    except KeyError:
        raise _unknown(f"parameter of {module.name}", name, module.parameters) from None


def split_assignment(word: str) -> tuple[str, str | None]:
    """``name=value``, or a name alone."""
    name, equals, value = word.partition("=")
    return name, value if equals else None


def store_word(module: Module, word: str) -> None:
    """Store one ``param=value`` as the boot command line does: writes to read-only parameters are ignored."""
    name, value = split_assignment(word)
    parameter = parameter_of(module, name)
    if value is None:
        if parameter.bare is None:
            raise InvalidInput(f"{module.name}.{parameter.spec.name} needs a value: {parameter.spec.name}=VALUE")
        value = parameter.bare
    if not parameter.spec.writable:
        parameter.parse(value)
        return
    try:
        parameter.store(value)
    except DamonError as error:
        raise DamonError(error.errno or 0, f"{module.name}.{error.strerror}") from None


def parse_cmdline(line: str) -> dict[str, list[str]]:
    """``damon_reclaim.enabled=Y ...`` as words by module, in order of first mention.

    Words without a module (``quiet``) belong to somebody else and are passed over, as are modules that are no DAMON's.
    """
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise InvalidInput(f"command line {line!r}: {error}") from None
    result: dict[str, list[str]] = {}
    for word in words:
        name, value = split_assignment(word)
        module, dot, parameter = name.partition(".")
        if not dot:
            continue
        rest = parameter if value is None else f"{parameter}={value}"
        result.setdefault(canonical(module), []).append(rest)
    return result


class Loader:
    """The modules loaded on one machine, in order of loading."""

    def __init__(self, damon: Damon, extra: Iterable[Path] = ()) -> None:
        self._damon = damon
        self._extra = list(extra)
        self._loaded: dict[str, Module] = {}

    @property
    def machine(self) -> Machine:
        return self._damon.machine

    def kdamond_pid(self, module: Module) -> int:
        """The thread id of ``module``'s worker, -1 when there is none."""
        return self._damon.kdamond_pid(module.ctx) if module.ctx is not None else -1

    @property
    def loaded(self) -> Mapping[str, Module]:
        return self._loaded

    def prepare(self, name: str, words: Iterable[str] = ()) -> Module:
        """The module with parameters stored, nothing started yet."""
        kind = find_module(name, self._extra)
        module = kind(self._damon)
        for word in words:
            store_word(module, word)
        return module

    def load(self, module: Module) -> None:
        """Initialize a prepared module; an error leaves it unloaded."""
        if module.name in self._loaded:
            raise InvalidInput(f"module {module.name} is loaded already: unload it first")
        try:
            module.init()
        except BaseException:
            module.exit()
            raise
        self._loaded[module.name] = module

    def unload(self, name: str) -> None:
        """Stop a module and forget it."""
        try:
            module = self._loaded.pop(canonical(name))
        except KeyError:
            raise _unknown("loaded module", name, self._loaded) from None
        module.exit()

    def unload_all(self) -> None:
        """In reverse order of loading."""
        for name in reversed(list(self._loaded)):
            self.unload(name)
