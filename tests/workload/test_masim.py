# SPDX-License-Identifier: GPL-2.0-only
"""masim's configurations: the shapes of its presets, and what is wrong in one, by line."""

from __future__ import annotations

import pytest

from damon.errors import InvalidInput
from damon.workload.masim import FULL_SPEED, parse_masim
from damon.workload.model import Access, Area, Pattern

MASIM = """\
# regions
a, 10485760
b, 20480, none

first phase
2000
a, 1, 64, 3
b, 0, 4096, 1, ro

idle
500
a, 0, 64, 0
"""


def test_regions_phases_and_weights() -> None:
    workload = parse_masim(MASIM, "m")
    assert workload.areas == (Area("a", 10 << 20), Area("b", 20480))
    first, idle = workload.phases
    assert (first.name, first.duration_us, idle.accesses) == ("first phase", 2_000_000, ())
    assert first.accesses == (
        Access("a", FULL_SPEED * 3 / 4, Pattern.RANDOM, 1.0, 64),
        Access("b", FULL_SPEED / 4, Pattern.STRIDED, 0.0, 4096),
    )


def test_regions_are_whole_pages_and_a_longer_stride_starts_over_at_once() -> None:
    """As in the preset with regions of some bytes: 64 bytes, stride 4096, read and written."""
    workload = parse_masim("b, 64, none\n\nphase\n1\nb, 0, 8192, 50, rw\n", "m")
    assert workload.areas == (Area("b", 4096),)
    assert workload.phases[0].accesses == (Access("b", FULL_SPEED, Pattern.STRIDED, 1.0, 4096),)


def test_stairs() -> None:
    """The preset's shape: all regions, then one after the other; comments, blank lines at the end, an indented name."""
    names = [f"s{i}" for i in range(10)]
    text = "#regions\n" + "".join(f"{name}, 10000000\n" for name in names)
    text += "\n#phases\ninitial phase\n10000\n" + "".join(f"{name}, 0, 4096, 1\n" for name in names)
    text += "".join(f"\n# {i}\n  L1$ phase {i}\n5000\n{name}, 0, 4096, 50\n" for i, name in enumerate(names)) + "\n\n"
    workload = parse_masim(text, "stairs", 1e6)
    assert [area.size for area in workload.areas] == [2442 * 4096] * 10
    assert [access.rate for access in workload.phases[0].accesses] == [1e5] * 10
    assert [(phase.name, phase.duration_us, phase.accesses) for phase in workload.phases[1:]] == [
        (f"L1$ phase {i}", 5_000_000, (Access(name, 1e6, Pattern.STRIDED),)) for i, name in enumerate(names)
    ]
    assert not workload.repeat


def test_lines_may_end_as_on_windows() -> None:
    assert parse_masim(MASIM.replace("\n", "\r\n"), "m") == parse_masim(MASIM, "m")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("a, 10485760", "a", "line 2"),
        ("10485760", "lots", "line 2: size: 'lots'"),
        ("b, 20480", "a, 20480", "line 3: region: 'a': is given twice"),
        ("2000", "soon", "line 6: time in ms: 'soon'"),
        ("a, 1, 64, 3", "c, 1, 64, 3", "line 7: region: 'c': is unknown"),
        ("a, 1, 64, 3", "a, 2, 64, 3", "line 7: random: '2'"),
        ("a, 1, 64, 3", "a, 1, 0, 3", "line 7: stride: '0'"),
        ("a, 10485760", "a b, 10485760", "line 2: region: 'a b': is not a name; give 1 to 64"),
        ("10485760", "0", "line 2: size: '0': is not a decimal number from 1"),
        ("10485760", "9" * 30, "line 2: size: '999"),
        ("10485760", "-4096", "line 2: size: '-4096'"),
        (
            "b, 20480, none",
            "b, 20480, none, x",
            "line 3: 'b, 20480, none, x': is not of that form; give 'NAME, BYTES[, FILE]'",
        ),
        ("first phase", 'the "first"', "line 5: phase"),
        ("2000", "0", "line 6: time in ms: '0'"),
        ("a, 1, 64, 3", "a, 1, 64", "line 7: 'a, 1, 64': is not of that form; give 'REGION, RANDOM"),
        ("4096, 1, ro", "4096, -1", "line 8: weight: '-1'"),
        ("idle\n500\na, 0, 64, 0", "idle", "line 10: phase: 'idle': is not whole"),
        ("4096, 1, ro", "4096, 1, xx", "line 8: mode: 'xx'"),
        ("4096, 1, ro", "4096, x", "line 8: weight: 'x'"),
        ("b, 0, 4096", "a, 0, 4096", "line 8: region: 'a': is given twice"),
    ],
)
def test_masim_refusals_name_the_line(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_masim(MASIM.replace(old, new, 1), "m")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "# nothing\n", "a, 4096\n", "a, 4096\n\n\n# end\n"])
def test_no_configuration_at_all(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^masim configuration: "):
        parse_masim(text, "m")
