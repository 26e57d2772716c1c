# SPDX-License-Identifier: GPL-2.0-only
"""How much of memory each stage of a scheme lets through, and why: what ``damon why`` finds in a run with ``--why``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from damon.errors import InvalidInput
from damon.quoting import cut
from damon.report.asked import Context
from damon.report.curves import MIB, scheme_name
from damon.report.differences import text
from damon.results.run import Run
from damon.results.why import explain

_MAX_SCHEMES: Final = 16
_LONGEST: Final = 600


@dataclass(frozen=True)
class Funnel:
    """Of a scheme: the stages in order, and MiB that passed each, as a mean over time."""

    scheme: str
    why: str
    stages: tuple[str, ...]
    mib: tuple[float, ...]

    def texts(self) -> list[tuple[str, str]]:
        """A row for each stage."""
        return [(stage, text(mib)) for stage, mib in zip(self.stages, self.mib, strict=True)]

    def drawn(self, name: str) -> dict[str, Any]:
        """What the page's script draws."""
        return {"id": name, "stages": list(self.stages), "mib": [float(f"{one:.6g}") for one in self.mib]}


def funnels(run: Run, known: Mapping[int, Context]) -> list[Funnel]:
    """One for each scheme; none where the run was recorded without ``--why``, or was changed."""
    if run.request.get("why") is not True:
        return []
    try:
        found = list(islice(explain(run), _MAX_SCHEMES))
    except (InvalidInput, KeyError, TypeError):
        return []
    return [
        Funnel(
            scheme_name(known, one.context, one.scheme),
            cut(f"{one.cause.value}: {one.sentence}. Remedy: {one.remedy}.", _LONGEST),
            tuple(name.replace("_", " ") for name, mean in one.stages.items() if mean is not None),
            tuple(mean / MIB for mean in one.stages.values() if mean is not None),
        )
        for one in found
    ]
