# SPDX-License-Identifier: GPL-2.0-only
"""``damon modinfo NAME``: what a module does and every parameter that it takes."""

from __future__ import annotations

import argparse
import json
from typing import Any

from damon.cli import engines
from damon.library.engine import other_modules
from damon.modules.loader import find_module
from damon.modules.params import ParamSpec, show_value


def add(commands: Any) -> None:
    command = commands.add_parser(
        "modinfo",
        help="show a module's parameters",
        description="Show what a module does and its parameters: type, permission, default, unit, meaning.",
        epilog="example: damon modinfo damon_reclaim",
    )
    command.add_argument(
        "name",
        help="damon_reclaim, damon_lru_sort, damon_stat, damon_sample_wsse, damon_sample_prcl, damon_sample_mtier, "
        "one of $DAMON_MODULES_PATH, or a directory",
    )
    engines.add(command)
    command.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    command.set_defaults(function=show)


def _row(spec: ParamSpec) -> dict[str, str]:
    return {
        "name": spec.name,
        "type": spec.type,
        "perm": f"{spec.perm:04o}",
        "default": show_value(spec.default),
        "unit": spec.unit,
        "description": spec.description,
    }


def show(arguments: argparse.Namespace) -> int:
    kind = find_module(arguments.name, known=other_modules(engines.of(arguments, look=True)))
    rows = [_row(spec) for spec in kind.specs()]
    if arguments.json:
        print(json.dumps({"name": kind.name, "description": kind.description, "parameters": rows}, indent=2))
        return 0
    from damon.cli.output import table

    for row, spec in zip(rows, kind.specs(), strict=True):
        if isinstance(spec.default, tuple) and len(set(spec.default)) == 1 < len(spec.default):
            row["default"] = f"{show_value(spec.default[:1])}, {len(spec.default)} times"
    print(f"{kind.name}: {kind.description}")
    table(("parameter", "type", "perm", "default", "unit", "meaning"), [tuple(row.values()) for row in rows])
    return 0
