# SPDX-License-Identifier: GPL-2.0-only
"""Tables for notebooks: what ``_repr_html_`` of contexts, schemes and regions returns."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterable, Sequence
from html import escape

#: Rows that are shown at most.
_ROWS = 200


def text(value: object) -> str:
    """A value as the kernel's files show it, escaped."""
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, list):
        return ", ".join(map(text, value)) or "none"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return "; ".join(f"{escape(name)} {shown}" for name, shown in fields(value))
    return escape(str(value))


def fields(record: object, until: str = "") -> list[tuple[str, str]]:
    """Names and values of the fields of a dataclass, before ``until``, that are not the default, escaped."""
    assert dataclasses.is_dataclass(record)
    found = []
    for field in dataclasses.fields(record):
        if field.name == until:
            break
        value = getattr(record, field.name)
        default = field.default
        if default is dataclasses.MISSING and field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        if field.repr and not field.name.startswith("_") and value != default:
            found.append((field.name, text(value)))
    return found


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are escaped already."""
    shown = list(rows)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in shown[:_ROWS])
    more = f"<p>{len(shown) - _ROWS} more rows</p>" if len(shown) > _ROWS else ""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in columns)
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"
    )
