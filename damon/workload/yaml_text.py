# SPDX-License-Identifier: GPL-2.0-only
"""YAML without its traps: no key twice, plain scalars of YAML 1.2's core schema, and the line of a field."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from damon.errors import InvalidInput


class _Loader(yaml.SafeLoader):
    """A key given twice is an error, not the last one's win. In YAML 1.1 ``1:30`` is 90, ``010`` is 8, ``on`` is true,
    and ``1e6`` is text; in 1.2, and here, none of it."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own form

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, (str, int, float, bool)) or key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice or is no name", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


for _tag, _form, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)|0x[0-9a-fA-F]+", list("-+0123456789")),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
     list("-+.0123456789")),
    ("merge", "<<", ["<"]),
):  # fmt: skip
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_form})\Z", re.ASCII), _first)


def read_yaml(text: str) -> Any:
    """The data in ``text``.

    Raises:
        InvalidInput: this is no YAML; ``line N: ...`` where the line is known.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark is not None else ""
        what = getattr(error, "problem", None) or str(getattr(error, "reason", "")) or "not understood"
        raise InvalidInput(f"{place}this is no valid YAML: {' '.join(what.split())}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no valid YAML: {' '.join(str(error).split())}") from None


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) of the field at ``path``, or of the innermost one that is there, in valid ``text``."""
    node = yaml.compose(text, _Loader)
    if node is None:
        return None
    line: int = node.start_mark.line
    for step in path:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.start_mark.line
        elif isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == step), None)
            if found is None:
                break
            line, node = found[0].start_mark.line, found[1]
        else:
            break
    return line + 1
