# SPDX-License-Identifier: GPL-2.0-only
"""A configuration as what loads it: the kernel's command line, modprobe, damo, a shell script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from damon.core import Damon
from damon.export.damo import damo_json
from damon.export.policy import Policy, as_policy
from damon.export.script import script
from damon.mm.sim import SimulatedMachine
from damon.model.context import DamonCtx
from damon.modules.loader import Loader, find_module
from damon.modules.module import Module
from damon.tune.domain import Point
from damon.tune.study import Study
from damon.workload.load import load_workload


@dataclass(frozen=True)
class Choice:
    """Lines and files that load one configuration.

    Attributes:
        cmdline: of the kernel's boot, and of ``damon run --cmdline``.
        modprobe: a command for each module.
        files: text by name: the sysfs script and damo's JSON of modules whose context is known before they start.
    """

    cmdline: str
    modprobe: Sequence[str]
    files: Mapping[str, str]

    def damo(self) -> str | None:
        """The command that starts it with damo."""
        name = next((name for name in self.files if name.endswith(".json")), None)
        return None if name is None else f"damo start {name}"


def choice(study: Study, point: Point | None) -> Choice:
    """The configuration at ``point`` of the study's space."""
    words = study.words(point, study.stage)
    names = {called: name for name, called in study.given.items()}
    cmdline = " ".join(f"{names[called]}.{word}" for called, given in words.items() for word in given)
    modprobe = [" ".join(("modprobe", names[called], *given)) for called, given in words.items()]
    return Choice(cmdline, modprobe, _files(study, words))


def _files(study: Study, words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Of pydamon's own modules, whatever engine ran them: the kernel's have the same parameters."""
    with SimulatedMachine(load_workload(study.workloads[0].path), 0) as machine:
        loader = Loader(Damon(machine))
        ctxs = [_context(loader.prepare(find_module(called), given)) for called, given in words.items()]
        known = [ctx for ctx in ctxs if ctx is not None]
        if len(known) < len(ctxs):
            return {}
        path = Path(re.sub(r"\W", "_", f"{study.name}_chosen", flags=re.ASCII) + ".py")

        def policy() -> Policy:
            return as_policy(path, known, machine)

        return {f"{path.stem}.sh": script(policy()), f"{path.stem}.json": damo_json(policy())}


def _context(module: Module) -> DamonCtx | None:
    """What it would start; None where only its start decides it."""
    made = getattr(module, "context", None)
    return made() if callable(made) else None
