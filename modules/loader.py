# SPDX-License-Identifier: GPL-2.0-only
"""Finding, loading, unloading and listing modules."""

from __future__ import annotations

import difflib
import errno
import importlib
import importlib.util
import os
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from damon.errors import DamonError, InvalidInput
from damon.model.machine import Machine
from damon.modules.cmdline import canonical, split_assignment
from damon.modules.module import Module
from damon.modules.params import Parameter, Value, show_value
from damon.quoting import quoted

if TYPE_CHECKING:
    from damon.core import Damon

#: Directories of the user's own modules, separated by colons.
PATH_VARIABLE = "DAMON_MODULES_PATH"
_HERE = Path(__file__).parent
_RESOLVED = _HERE.resolve()


def _unknown(what: str, name: str, known: Iterable[str]) -> InvalidInput:
    names = sorted(known)
    close = difflib.get_close_matches(name[:100], names, n=1, cutoff=0.6)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(names)}"
    return InvalidInput(f"{what}: {quoted(name)}: is unknown; {hint}")


def _directories(extra: Iterable[Path]) -> list[Path]:
    own = [Path(entry) for entry in os.environ.get(PATH_VARIABLE, "").split(":") if entry]
    return [_HERE, *extra, *own]


def _is_module(directory: Path) -> bool:
    return directory.name.isidentifier() and (directory / "__init__.py").is_file()


def _import(directory: Path) -> ModuleType:
    """Import a directory's module; repeated calls give the same one."""
    if directory.parent == _HERE or directory.parent.resolve() == _RESOLVED:
        return importlib.import_module(f"damon.modules.{directory.name}")
    name = f"damon_user_{directory.name}_{zlib.crc32(os.fsencode(directory.resolve())):08x}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(
        name, directory / "__init__.py", submodule_search_locations=[str(directory)]
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _kind_in(directory: Path) -> type[Module] | None:
    """The module that ``directory`` declares, None when it declares none."""
    try:
        kind = getattr(_import(directory), "MODULE", None)
    except Exception as error:  # whatever a module of the user's does at its import
        reason = " ".join(str(error).split())
        raise InvalidInput(
            f"module {str(directory)!r}: cannot be imported: {type(error).__name__}: {reason}"
        ) from error
    if kind is not None and not (isinstance(kind, type) and issubclass(kind, Module)):
        raise InvalidInput(
            f"module {str(directory)!r}: MODULE is not a subclass of damon.modules.module.Module; derive it"
        )
    return kind


def find_modules(extra: Iterable[Path] = ()) -> dict[str, type[Module]]:
    """All modules by name: those of this project, then of ``extra`` directories and of ``$DAMON_MODULES_PATH``.

    A module is a directory whose ``__init__`` has ``MODULE``, a subclass of ``Module``.

    Raises:
        InvalidInput: a directory of modules does not exist, one of them is broken, or a name is there twice.
    """
    found: dict[str, type[Module]] = {}
    for parent in _directories(extra):
        if not parent.is_dir():
            raise InvalidInput(f"module directory {str(parent)!r}: does not exist; correct it or ${PATH_VARIABLE}")
        for directory in sorted(filter(_is_module, parent.iterdir())):
            kind = _kind_in(directory)
            if kind is not None and found.setdefault(kind.name, kind) is not kind:
                raise InvalidInput(f"module {kind.name}: {str(directory)!r}: another module has this name; rename it")
    return found


def full_names(name: str) -> Sequence[str]:
    """The modules that ``name`` may mean, the first that there is: it as it is, without ``damon_``, a sample's."""
    plain = canonical(name)
    return plain, f"damon_{plain}", f"damon_sample_{plain}"


def find_module(name: str, extra: Iterable[Path] = (), known: Mapping[str, type[Module]] | None = None) -> type[Module]:
    """The module called ``name`` (``full_names``), or in the directory ``name`` when that has a slash.

    ``known``: the modules of another engine; then only those count.

    Raises:
        InvalidInput: there is none; with the nearest name, or those that are known.
    """
    if known is None and "/" in name:
        kind = _kind_in(Path(name)) if _is_module(Path(name)) else None
        if kind is None:
            raise InvalidInput(f"directory {name!r}: is not a module; it needs an __init__.py with MODULE")
        return kind
    modules = find_modules(extra) if known is None else known
    for candidate in full_names(name):
        if candidate in modules:
            return modules[candidate]
    raise _unknown("module", name, modules)


def parameter_of(module: Module, name: str) -> Parameter:
    """The parameter ``name`` of ``module``; EINVAL with the nearest name when there is none."""
    try:
        return module.parameters[canonical(name)]
    except KeyError:
        raise _unknown(f"parameter of {module.name}", name, module.parameters) from None


def store_word(module: Module, word: str) -> None:
    """Store one ``param=value`` as the boot command line does: writes to read-only parameters are ignored."""
    name, value = split_assignment(word)
    parameter = parameter_of(module, name)
    if value is None:
        if parameter.bare is None:
            raise InvalidInput(f"{module.name}.{parameter.spec.name}: needs a value; give {parameter.spec.name}=VALUE")
        value = parameter.bare
    try:
        if parameter.spec.writable:
            parameter.store(value)
        else:
            parameter.parse(value)
    except DamonError as error:
        raise DamonError(error.errno or 0, f"{module.name}.{error.strerror}") from None


class Loader:
    """The modules loaded on one machine, in order of loading."""

    def __init__(
        self, damon: Damon, extra: Iterable[Path] = (), known: Mapping[str, type[Module]] | None = None
    ) -> None:
        self._known = known
        self._damon = damon
        self._extra = tuple(extra)
        self._loaded: dict[str, Module] = {}

    @property
    def damon(self) -> Damon:
        return self._damon

    @property
    def machine(self) -> Machine:
        return self._damon.machine

    def kdamond_pid(self, module: Module) -> int:
        """The thread id of ``module``'s worker, -1 when there is none."""
        return self._damon.kdamond_pid(module.ctx) if module.ctx is not None else -1

    @property
    def loaded(self) -> Mapping[str, Module]:
        return self._loaded

    def prepare(self, name: str | type[Module], words: Iterable[str] = ()) -> Module:
        """The module (its name, or what ``find_module`` gave) with parameters stored, nothing started yet."""
        kind = find_module(name, self._extra, self._known) if isinstance(name, str) else name
        module = kind(self._damon)
        for word in words:
            store_word(module, word)
        return module

    def load(self, module: Module) -> None:
        """Initialize a prepared module; an error leaves it unloaded."""
        if module.name in self._loaded:
            raise InvalidInput(f"module: {module.name}: is loaded already; unload it first")
        try:
            module.init()
        except BaseException:
            module.exit()
            raise
        self._loaded[module.name] = module

    def reconfigure(self, module: Module, words: Iterable[str]) -> None:
        """Give a loaded ``module`` the parameters that loading it anew with ``words`` would give it.

        Everything is checked before anything is stored, ``enabled`` comes last, and when that fails all is as it was.

        Raises:
            DamonError: EINVAL, ERANGE: as ``prepare``; EBUSY: it runs, and more than ``enabled`` would change.
            MissingCapability: the machine lacks what the module then needs.
        """
        words = list(words)
        trial = self._trial(module, words)
        named = {canonical(split_assignment(word)[0]) for word in words}
        changed = [
            name
            for name, parameter in module.parameters.items()
            if name in named and parameter.spec.writable and trial[name] != parameter.value
        ]
        changed.sort(key=lambda name: name == "enabled")
        if module.running and changed not in ([], ["enabled"]):
            raise DamonError(
                errno.EBUSY,
                f"{module.name}.{changed[0]}: would change while the module runs; "
                f"damon param set {module.name}.{changed[0]}=..., or turn it off first (enabled=N)",
            )
        before = {name: parameter.value for name, parameter in module.parameters.items() if parameter.spec.writable}
        try:
            for name in changed:
                module.parameters[name].store(show_value(trial[name]))
        except BaseException:
            for name, value in before.items():  # a start that fails may have written others, as the region found
                module.parameters[name].value = value
            raise

    def _trial(self, module: Module, words: Sequence[str]) -> dict[str, Value]:
        """The values of ``module`` with ``words`` on top, found with one of its kind that is never started."""
        trial = type(module)(self._damon)
        for name, parameter in module.parameters.items():
            if parameter.spec.writable and name != "commit_inputs":
                trial.parameters[name].store(show_value(parameter.value))
        for word in words:
            store_word(trial, word)
        if trial.wanted and not module.running:
            trial.check()
            self._damon.machine.require(*trial.needs())
        values = trial.parameters.values_by_name()
        return values | ({"enabled": trial.wanted} if "enabled" in values else {})

    def unload(self, name: str) -> None:
        """Stop a module and forget it."""
        for candidate in full_names(name):
            if candidate in self._loaded:
                self._loaded.pop(candidate).exit()
                return
        raise _unknown("loaded module", name, self._loaded)

    def unload_all(self) -> None:
        """In reverse order of loading."""
        for name in reversed(list(self._loaded)):
            self.unload(name)


def prepare_modules(loader: Loader, words: Mapping[type[Module], Sequence[str]]) -> list[Module]:
    """All modules with their parameters stored and checked, and what they need is there; nothing is started."""
    modules = [loader.prepare(kind, given) for kind, given in words.items()]
    enabled = [module for module in modules if module.wanted]
    exclusive = [module.name for module in enabled if module.exclusive]
    if exclusive and len(enabled) > 1:
        first, second = [*exclusive, *(module.name for module in enabled if not module.exclusive)][:2]
        raise DamonError(errno.EBUSY, f"modules: {first}, {second}: they start exclusively; enable one")
    for module in enabled:
        try:
            module.check()
        except DamonError as error:
            raise DamonError(error.errno or 0, f"{module.name}: {error.strerror}") from None
        loader.machine.require(*module.needs())
    return modules
