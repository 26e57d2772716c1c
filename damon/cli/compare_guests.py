# SPDX-License-Identifier: GPL-2.0-only
"""The runs of ``damon compare`` that are made in guests: what they need is looked for first."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from damon.cli.doctor import Host, guests_needs
from damon.cli.run import module_words, own_seconds
from damon.errors import InvalidInput, MissingCapability
from damon.guests.engine import GuestEngine
from damon.library.engine import OwnEngine
from damon.modules.cmdline import canonical, parse_cmdline
from damon.modules.loader import Loader, prepare_modules
from damon.progress import Progress
from damon.workload.find import find_workload

if TYPE_CHECKING:
    from damon.guests.job import Job

_LOOK_S: Final = 0.5


def prepare(
    arguments: argparse.Namespace, engine: GuestEngine, workload: str, files: bool = False, icount: int | None = None
) -> Job:
    """A run that can be made, as far as that can be seen without a guest.

    Args:
        arguments: ``module``, ``cmdline``, ``seed`` and ``duration`` as those of ``damon run``.
        engine: whose DAMON.
        workload: a file, or a shipped one's name.
        files: the workload's files are in memory; see :func:`damon.cli.as_guest.files_in_memory`.
        icount: see :func:`damon.guests.machine.prepare`.

    Raises:
        MissingCapability: the harness's packages, QEMU, the kernel or the root file system is missing.
        InvalidInput, DamonError: a module or parameter that is none, or what a guest has not.
    """
    try:
        guests_needs(Host())
    except MissingCapability as error:
        raise MissingCapability(f"{engine}: {error}") from None
    from damon.guests.job import Job
    from damon.guests.machine import prepare as guest_for
    from damon.workload.load import load_workload

    loaded = load_workload(workload)
    names = _modules(arguments)
    if engine.engine == OwnEngine.identity.engine:
        _check_parameters(arguments, workload)
    config = guest_for(engine, loaded, names, files, icount)
    words = [*(["--cmdline", arguments.cmdline] if arguments.cmdline else [])]
    for module in arguments.module:
        words += ["--module", *module]
    seconds = arguments.duration or own_seconds(loaded)
    reserved = loaded.machine.reserved
    return Job(engine, config, find_workload(workload), reserved, words, seconds, arguments.seed, files=files)


def _modules(arguments: argparse.Namespace) -> list[str]:
    """The full names of the modules; those of a directory of the user's own are in no guest."""
    given = [*parse_cmdline(arguments.cmdline), *(words[0] for words in arguments.module)]
    own = [name for name in given if "/" in name]
    if own:
        raise InvalidInput(f"module: {own[0]}: guests have the modules of this project only; name one of those")
    names = [canonical(name) for name in given]
    return [name if name.startswith("damon_") else f"damon_{name}" for name in names]


def _check_parameters(arguments: argparse.Namespace, workload: str) -> None:
    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload

    engine = OwnEngine()
    with SimulatedMachine(load_workload(workload), arguments.seed) as machine:
        prepare_modules(Loader(engine.open(machine, arguments.seed)), module_words(arguments, engine))


def run(job: Job, label: str, quiet: bool) -> dict[str, Any]:
    """One run; its result, as of ``damon run``.

    Raises:
        GuestFailed: it has none.
    """
    (result,) = run_all([job], label, quiet)
    return result


def run_all(jobs: Sequence[Job], label: str, quiet: bool) -> list[dict[str, Any]]:
    """As ``run``, of several jobs in one guest."""
    from damon.guests import job as guests

    with ExitStack() as closing:
        shown = None if quiet else closing.enter_context(Shown(label))
        return guests.run_all(jobs, (lambda line: None) if shown is None else shown.say)


class Shown:
    """What is going on in a guest, while this thread waits for it."""

    def __init__(self, label: str) -> None:
        self._progress = Progress(label)
        self._note = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._show, daemon=True)

    def say(self, line: str) -> None:
        """``line`` is what is going on from now on."""
        self._note = line

    def _show(self) -> None:
        while not self._over.wait(_LOOK_S):
            self._progress.update(self._note)

    def __enter__(self) -> Shown:
        self._progress.__enter__()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self._progress.__exit__(kind, error, trace)
