# SPDX-License-Identifier: GPL-2.0-only
"""Pieces of C: numbers that are module parameters, initializers, functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from damon.model.checks import U32_MAX, ULONG_MAX

_TYPES: Final = {"ulong": "unsigned long", "uint": "unsigned int", "int": "int"}


def number(kind: str, value: int) -> str:
    """A literal of the type ``kind`` of ``module_param()``."""
    if kind == "ulong" and value == ULONG_MAX:
        return "ULONG_MAX"
    if kind == "uint" and value == U32_MAX:
        return "UINT_MAX"
    return f"{value}UL" if value > 0x7FFFFFFF else str(value)


class Parameters:
    """Module parameters, in the order in which they are asked for."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, kind: str, value: int, description: str = "") -> str:
        """A parameter with the default ``value``; its name."""
        self.lines += [f"static {_TYPES[kind]} {name} __read_mostly{f' = {number(kind, value)}' if value else ''};"]
        self.lines += [f"module_param({name}, {kind}, 0600);"]
        self.lines += [f'MODULE_PARM_DESC({name}, "{description}");'] if description else []
        self.lines += [""]
        return name

    def ulong(self, name: str, value: int, *, usual: int = 0, always: bool = False) -> str:
        """What stands for ``value``: a parameter, or its usual value as a literal."""
        return self.add(name, "ulong", value) if always or value != usual else number("ulong", value)

    def uint(self, name: str, value: int, *, usual: int = 0) -> str:
        return self.add(name, "uint", value) if value != usual else number("uint", value)

    def int(self, name: str, value: int, *, usual: int = 0) -> str:
        return self.add(name, "int", value) if value != usual else number("int", value)


def designated(what: str, fields: Mapping[str, str]) -> list[str]:
    """A variable with its initializer; what is 0 is left out."""
    lines = [f"\t.{name} = {value}," for name, value in fields.items() if value != "0"]
    return [f"{what} = {{", *lines, "};"] if lines else [f"{what} = {{}};"]


def block(head: str, lines: Sequence[str], end: str = "") -> str:
    """A function."""
    body = "".join(f"\t{line}\n" if line else "\n" for line in lines)
    return f"\n{head}\n{{\n{body}{end}}}\n"
