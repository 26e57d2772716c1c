# SPDX-License-Identifier: GPL-2.0-only
"""The map of the kernel's functions agrees with the code and with the kernel's sources."""

from __future__ import annotations

import re

from tests import kernel_names
from tests.kernel.trees import source

ROW = re.compile(r"^\| `(\w+)` \| (?:`([^`]+)`)? *\| (.*?) *\|$", re.M)


def test_places_are_there() -> None:
    """Those of the page and of the rules; where no reason is given, the place has the kernel's name."""
    there = kernel_names.places()
    for rule in kernel_names.rules():
        assert rule["reason"] in kernel_names.REASONS, rule
        assert rule.get("place", "") in {"", *there}, rule
    found = ROW.findall(kernel_names.PAGE.read_text())
    assert len(found) > 300
    for name, place, reason in found:
        assert not place or place in there, (name, place)
        assert reason in {"", *kernel_names.REASONS.values()}, (name, reason)
        assert reason or there[place] == name, (name, place)


def test_each_function_of_the_kernel_is_on_the_page() -> None:
    rows = kernel_names.rows([source("linux-source-6.12").path, source("linux-source-7.3").path])
    on_page = {name: (place, reason) for name, place, reason in ROW.findall(kernel_names.PAGE.read_text())}
    assert {row.name: (row.place, kernel_names.REASONS.get(row.reason, "")) for row in rows} == on_page
