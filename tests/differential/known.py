# SPDX-License-Identifier: GPL-2.0-only
"""Known differences: kernel bugs, and fixes that a version lacks, one predicate each, so that none hides another.

A predicate looks at the logs up to the point where they part and says whether that bug can be the reason there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.differential.cases import Case
from tests.differential.play import Entry

Logs = tuple[list[Entry], list[Entry], int]


@dataclass(frozen=True)
class Known:
    """``versions``: "7.3" and so on, all without; ``explains(case, own, kernel, index)``: can it be the reason?"""

    name: str
    what: str
    explains: Callable[[Case, list[Entry], list[Entry], int], bool]
    versions: tuple[str, ...] = ()


def _schemes_gone_while_waiting(case: Case, own: list[Entry], kernel: list[Entry], index: int) -> bool:
    """A commit without schemes has just run, and the context had inactive ones; ours goes on, the kernel's waits."""
    before = [values for _, where, values in kernel[:index] if where == "call 0"]
    if not before or not any(name.startswith("scheme 0") for name in before[-1]):
        inactive = [name for name in (before[-2] if len(before) > 1 else {}) if name.endswith("wmarks.activated")]
    else:
        inactive = [name for name, value in before[-1].items() if name.endswith("wmarks.activated") and not value]
    empties = any(name == "commit" and not value["schemes"] for name, value in case.steps)
    return empties and bool(inactive)


def _walk_after_a_canceled_one(case: Case, own: list[Entry], kernel: list[Entry], index: int) -> bool:
    """A walk had been canceled, and where the logs part a later walk ends, or shows another list of regions."""
    canceled = [values for _, where, values in kernel[:index] if where == "walk" and values["error"]]
    ends = {log[index][1] for log in (own, kernel) if index < len(log)} & {"walk", "walked"}
    return bool(canceled) and bool(ends)


KNOWN: Final = (
    Known("walk after a canceled one",
          "after a walk that was canceled, the next one leaves out schemes that the first had seen",
          _walk_after_a_canceled_one, ("7.2", "7.3")),
    Known("schemes gone while waiting",
          "a commit that removes all schemes during a watermark wait: the kdamond waits for ever",
          _schemes_gone_while_waiting, ("7.2", "7.3")),
)  # fmt: skip


def _goal_of_zero(case: Case) -> bool:
    """A context, at the start or later, has a quota goal with a target of 0."""
    contexts = [*case.contexts, *(value for name, value in case.steps if name == "commit")]
    quotas = [scheme["quota"] for ctx in contexts for scheme in ctx["schemes"] if scheme["quota"]]
    return any(not goal["target"] for quota in quotas for goal in quota["goals"])


def breaks(version: str, case: Case) -> bool:
    """Would the kernel's C divide by zero? Later versions refuse such a goal. The case cannot be played there."""
    return version.startswith(("7.2", "6.")) and _goal_of_zero(case)


def reason(version: str, case: Case, own: list[Entry], kernel: list[Entry]) -> Known | None:
    """The known difference that explains where these logs part."""
    index = next((i for i, (a, b) in enumerate(zip(own, kernel, strict=False)) if a != b), min(len(own), len(kernel)))
    for known in KNOWN:
        fits = not known.versions or any(version.startswith(one) for one in known.versions)
        if fits and known.explains(case, own, kernel, index):
            return known
    return None
