# SPDX-License-Identifier: GPL-2.0-only
"""What a search found, as its page reads it: the object that ``damon tune --json`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from damon.results.conditions import Condition, read_condition
from damon.results.figures import FIGURES, Figure

#: One of its configurations.
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """What a search found, as ``--json`` writes it."""

    data: Mapping[str, Any]

    @cached_property
    def objectives(self) -> Sequence[tuple[Figure, bool]]:
        """Figure, and whether it is to be large."""
        words = [text.split() for text in self.data["objectives"]]
        return [(FIGURES[name], what.startswith("max")) for what, name in words]

    @cached_property
    def constraints(self) -> Sequence[Condition]:
        return [read_condition(text, "constraint") for text in self.data["constraints"]]

    @property
    def figures(self) -> Sequence[Figure]:
        """Those that the study asks about."""
        own = [figure for figure, _ in self.objectives] + [one.figure for one in self.constraints]
        return list(dict.fromkeys(own))

    @property
    def labels(self) -> Mapping[str, str]:
        """Of each free parameter a short name: without the module's where there is one only."""
        names = list(self.data["parameters"])
        modules = {name.partition(".")[0] for name in names}
        return {name: name.partition(".")[2] if len(modules) == 1 else name for name in names}

    def text(self, config: Config) -> str:
        """The values of a configuration."""
        if config["values"] is None:
            return "the module's defaults"
        rows = zip(self.labels.values(), self.data["parameters"].values(), config["values"], strict=True)
        return ", ".join(f"{name} {values[index]}" for name, values, index in rows)

    def ranked(self) -> Sequence[Config]:
        """The best at first, as ``order`` has them."""
        configs = self.data["configurations"]
        return [configs[index] for index in self.data["order"]]
