# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's special-purpose modules, by their parameters."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterator, Sequence
from pathlib import Path

from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.host.files import number, put, read, writable
from damon.host.found import Found, restore_parameters, take_parameters
from damon.host.guard import Guard
from damon.quoting import listed, quoted


class HostModules:
    """The part of the engine that starts modules; :class:`damon.host.engine.HostDamon` is the whole."""

    _guard: Guard
    _found: Found

    def __init__(self, modules: Path) -> None:
        self._modules = modules

    def _refuse_others(self) -> None:
        raise NotImplementedError

    def _refuse_own(self, module: str = "") -> None:
        raise NotImplementedError

    def modules(self) -> list[str]:
        """The names of the modules of DAMON that this kernel has and that are turned on by a parameter."""
        return sorted(path.parent.parent.name for path in self._modules.glob("damon_*/parameters/enabled"))

    def required(self) -> list[str]:
        """As :meth:`modules`.

        Raises:
            MissingCapability: there is none.
        """
        found = self.modules()
        if not found:
            raise MissingCapability(f"{self._modules}: this kernel has no module of DAMON; boot one with DAMON_RECLAIM")
        return found

    def parameters(self, name: str) -> dict[str, str]:
        """All parameters of a module as the kernel shows them, statistics among them.

        Raises:
            MissingCapability: this kernel has no such module.
        """
        return {path.name: read(path) for path in sorted(self._directory(name).iterdir())}

    def start_module(self, name: str, words: Sequence[str] = ()) -> None:
        """Write parameters, and turn the module on unless they set ``enabled``.

        Args:
            name: as in ``/sys/module``, also without ``damon_``.
            words: ``parameter=value``, values as the kernel takes them. ``enabled`` is written last.

        Raises:
            DamonError: EBUSY, another worker runs; what the kernel refuses. The module is then as it was found.
            InvalidInput: a parameter that the module has not.
        """
        directory = self._directory(name)
        values = dict(self._checked(directory, words))
        enabled = values.pop("enabled", "Y")
        self._refuse_others()
        self._refuse_own(directory.parent.name)
        self._claim(directory)
        try:
            for parameter, value in values.items():
                put(directory / parameter, value, patient=False)
            put(directory / "enabled", enabled, patient=False)
            self._note_worker(directory)
        except BaseException:
            restore_parameters(directory, self._found.parameters[directory.parent.name])
            raise

    def commit_module(self, name: str, words: Sequence[str]) -> None:
        """Give a module that runs other values of its parameters."""
        directory = self._directory(name)
        values = dict(self._checked(directory, words))
        if not self.module_runs(name):
            raise DamonError(errno.ECANCELED, f"{directory.parent.name}: it does not run; start it first")
        for parameter, value in values.items():
            put(directory / parameter, value, patient=False)
        put(directory / "commit_inputs", "Y", patient=False)

    def stop_module(self, name: str) -> None:
        """Turn a module off that was started here; its parameters stay until ``close()``."""
        if self.module_runs(name):
            put(self._directory(name) / "enabled", "N")

    def module_runs(self, name: str) -> bool:
        """Does the worker run that was started here?"""
        directory = self._directory(name)
        known = self._found.workers.get(directory.parent.name)
        return read(directory / "enabled") == "Y" and known is not None and _worker(directory) == known

    def running_modules(self) -> list[str]:
        """The modules whose workers run and were started here."""
        return [name for name in self._found.parameters if name in self.modules() and self.module_runs(name)]

    def module_stats(self, name: str) -> dict[str, str]:
        """The parameters that can only be read, but the worker's thread: a module's statistics."""
        directory = self._directory(name)
        paths = [path for path in sorted(directory.iterdir()) if not writable(path) and path.name != "kdamond_pid"]
        return {path.name: read(path) for path in paths}

    def writable_parameters(self, name: str) -> set[str]:
        """The names of the parameters that can be written."""
        return {path.name for path in self._directory(name).iterdir() if writable(path)}

    def _refuse_other_modules(self) -> None:
        """EBUSY when a module runs that was not started here."""
        for name in self.modules():
            directory = self._modules / name / "parameters"
            if read(directory / "enabled") == "Y" and self._found.workers.get(name) != _worker(directory):
                raise DamonError(
                    errno.EBUSY,
                    f"{name}.enabled: Y: it belongs to another user; turn it off: echo N > {directory}/enabled",
                )

    def _claim(self, directory: Path) -> None:
        """Write down how the module was found, the first time."""
        name = directory.parent.name
        if name not in self._found.parameters:
            self._found.parameters[name] = take_parameters(directory)
        self._found.workers.pop(name, None)
        self._guard.record(self._found)

    def _note_worker(self, directory: Path) -> None:
        worker = _worker(directory)
        if worker != -1:
            self._found.workers[directory.parent.name] = worker
            self._guard.record(self._found)

    def _directory(self, name: str) -> Path:
        plain = name.replace("-", "_")
        for candidate in (plain, f"damon_{plain}"):
            if candidate in self.modules():
                return self._modules / candidate / "parameters"
        raise MissingCapability(
            f"module: {quoted(name)}: this kernel has none such; it has {listed(self.modules()) or 'none of DAMON'}"
        )

    @staticmethod
    def _checked(directory: Path, words: Sequence[str]) -> Iterator[tuple[str, str]]:
        known = sorted(path.name for path in directory.iterdir())
        module = directory.parent.name
        for word in words:
            name, equals, value = word.partition("=")
            name = name.replace("-", "_")
            if not equals:
                raise InvalidInput(f"{module}.{name}: it needs a value; write {name}=VALUE")
            if name not in known:
                close = difflib.get_close_matches(name[:100], known, n=1, cutoff=0.6)
                raise InvalidInput(
                    f"{module}.{name}: {quoted(value)}: this kernel's module has no such parameter; "
                    + (f"did you mean {close[0]}?" if close else f"it has {listed(known)}")
                )
            if not writable(directory / name):
                raise InvalidInput(f"{module}.{name}: {quoted(value)}: it can only be read; leave it out")
            yield name, value


def _worker(directory: Path) -> int:
    """The worker's thread; -1 when there is none, or the module does not show it."""
    path = directory / "kdamond_pid"
    return number(path) if path.is_file() else -1
