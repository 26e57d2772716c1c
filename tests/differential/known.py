# SPDX-License-Identifier: GPL-2.0-only
"""Known differences: kernel bugs, and fixes that a version lacks, one predicate each, so that none hides another.

A predicate looks at where the logs part, at what came before, and at what either engine does next. It
decides whether that bug, and nothing else, makes them part there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.differential.cases import U32, Case
from tests.differential.play import Entry, Played


@dataclass(frozen=True)
class Parting:
    """Where two logs part: they are equal before ``index``."""

    case: Case
    own: Played
    kernel: Played
    index: int

    @property
    def before(self) -> list[Entry]:
        return self.own.log[: self.index]

    def last(self, *places: str) -> dict[str, Any]:
        """The values of the last such entry that both have; none: empty."""
        return next((values for _, place, values in reversed(self.before) if place in places), {})

    def at(self, played: Played) -> tuple[int, str, dict[str, Any]]:
        """The entry where they part."""
        return played.log[self.index] if self.index < len(played.log) else (-1, "", {})

    def following(self, played: Played, *places: str) -> tuple[int, str, dict[str, Any]]:
        """The first such entry from there on."""
        return next((entry for entry in played.log[self.index :] if entry[1] in places), (-1, "", {}))


@dataclass(frozen=True)
class Known:
    """``versions``: "7.3" and so on, all without; ``explains``: is it the reason?"""

    name: str
    what: str
    explains: Callable[[Parting], bool]
    versions: tuple[str, ...] = ()


def _nr_schemes(values: dict[str, Any]) -> int:
    return sum(name.endswith("next_apply_sis") for name in values)


def _schemes_gone_while_waiting(parting: Parting) -> bool:
    """All schemes slept, a commit took them away, ours samples at once; the kernel's runs requests and does not.

    A sample by probes alone makes no page old and is not logged: the next request shows that there was one.
    """
    now, where, values = parting.at(parting.own)
    waits = parting.last("call 0")
    slept = [value for name, value in waits.items() if name.endswith("wmarks.activated")]
    called = [time for time, place, _ in parting.before if place == "call 0"]
    if _nr_schemes(values) or not slept or any(slept):
        return False
    same = ("passed_sample_intervals", "next_aggregation_sis", "attrs", "target 0 regions")
    if where == "call 0":
        _, following, then = parting.following(parting.kernel, "call 0", "sample 0")
        passed = "passed_sample_intervals"
        shown = [then for _, place, then in parting.own.log[parting.index :] if place == where]
        if len(parting.case.contexts) > 1:  # another one's request shows this one in the middle of its sample
            shown = [then for then in shown if then[passed] != waits[passed]]
        sampled = bool(shown) and shown[0][passed] == waits[passed] + 1
        still = not following or all(then.get(name) == waits[name] for name in same)
        return sampled and following in ("call 0", "") and not _nr_schemes(then) and still
    if where != "sample 0" or called[-1] != now:
        return False
    _, following, then = parting.following(parting.kernel, "call 0", "sample 0")
    if not following:
        return True
    return following == "call 0" and not _nr_schemes(then) and all(then.get(name) == values.get(name) for name in same)


def _walk_after_a_canceled_one(parting: Parting) -> bool:
    """A walk that began with schemes marked as done: the kernel's leaves those out, and ends when the others have done.

    All that it shows of the others is what ours shows, and nothing but the walk's end is different.
    """
    begun = [index for index in parting.kernel.stale if index < parting.index]
    stale = parting.kernel.stale[begun[-1]] if begun else frozenset()
    ends = {parting.at(played)[1] for played in (parting.own, parting.kernel)} & {"walk", "walked", "tree"}
    if not stale or not ends or any(where == "walked" for _, where, _ in parting.own.log[begun[-1] : parting.index]):
        return False
    ours, theirs = (
        [seen for seen in parting.following(played, "walked")[2].get("seen", ()) if seen[3] not in stale]
        for played in (parting.own, parting.kernel)
    )
    shown = parting.following(parting.kernel, "walked")[2].get("seen", ())
    return len(shown) == len(theirs) and all(one == other for one, other in zip(ours, theirs, strict=False))


def _goals_before_a_refused_one(parting: Parting) -> bool:
    """A commit of goals alone is refused for a target of 0: the kernel keeps the goals before that one, ours none."""
    for context in range(len(parting.case.contexts)):
        places = f"sample {context}", f"call {context}"
        own, kernel = (parting.following(played, *places)[2] for played in (parting.own, parting.kernel))
        before = parting.last(*places)
        for name in (name for name in own if name.endswith("quota.goals")):
            scheme = int(name.split()[1])
            old, ours, theirs = ([target for target, _ in values.get(name, ())] for values in (before, own, kernel))
            for kind, committed in parting.case.steps:
                if kind != "goals" or len(committed) <= scheme:
                    continue
                targets = [goal["target"] for goal in committed[scheme]]
                count = targets.index(0) if 0 in targets else 0
                if count and ours == old and theirs == targets[:count] + old[count:] != old:
                    return True
    return False


def _names(parting: Parting) -> set[str]:
    """What differs where they part; empty when it is not the same place."""
    (t1, w1, own), (t2, w2, kernel) = parting.at(parting.own), parting.at(parting.kernel)
    if (t1, w1) != (t2, w2):
        return set()
    return {name for name in own.keys() | kernel.keys() if own.get(name) != kernel.get(name)}


def _nr_regions(values: dict[str, Any]) -> int:
    return sum(len(rows) for name, rows in values.items() if name.startswith("target "))


def _at_boundary(values: dict[str, Any]) -> bool:
    return bool(values) and values["passed_sample_intervals"] >= values["next_aggregation_sis"]


def _many_regions_split(parting: Parting) -> bool:
    """After an aggregation with more than half of the regions that there may be: since 7.3 some of them are split.

    Before, none are, and their number is not kept for the next time, when regions are split in two or three.
    """
    _, where, values = parting.at(parting.own)
    names = _names(parting)
    if not where.startswith("sample ") or any(n != "rnd_state" and not n.startswith("target ") for n in names):
        return False
    last = parting.last(where.replace("sample", "call"))
    if not names or not _at_boundary(last):
        return False
    if _nr_regions(parting.at(parting.kernel)[2]) > values["nr_regions"][1] // 2:  # unsplit, as many as there were
        return True
    boundaries = (then for _, place, then in parting.before if place.startswith("call ") and _at_boundary(then))
    return any(_nr_regions(then) > then["nr_regions"][1] // 2 for then in boundaries)


def _last_counts_kept(parting: Parting) -> bool:
    """Attributes that are committed when an aggregation ends: the counts of the last one are not converted there."""
    _, where, values = parting.at(parting.own)
    last, names = parting.last(where), _names(parting)
    if not names or not where.startswith("call ") or not _at_boundary(last) or values["attrs"] == last["attrs"]:
        return False
    kernel = parting.at(parting.kernel)[2]
    return all(
        name.startswith("target ")
        and [row[:3] + row[4:] for row in values[name]] == [row[:3] + row[4:] for row in kernel[name]]
        for name in names
    )


def _moving_sums(parting: Parting) -> bool:
    """A scheme is due within an aggregation, and its pattern or its quota's scores go by the moving sum of accesses.

    At an aggregation's end it is as well, when other attributes are committed there: the next end is later then.
    """
    where = parting.at(parting.own)[1] or parting.at(parting.kernel)[1]
    for index in range(len(parting.case.contexts)):
        last = parting.last(f"call {index}")
        then = parting.following(parting.own, f"sample {index}")[2]
        committed = bool(then) and then["attrs"] != last.get("attrs")
        # A sample by probes alone is not logged: the next request shows the pass before it.
        asked = where == f"call {index}" and all(name.startswith("scheme ") for name in _names(parting))
        if (_at_boundary(last) and not committed) or not (asked or where in ("action", f"sample {index}")):
            continue
        schemes = [name.removesuffix(" next_apply_sis") for name in last if name.endswith(" next_apply_sis")]
        if any(
            last[f"{scheme} next_apply_sis"] <= last["passed_sample_intervals"]
            and last[f"{scheme} wmarks.activated"]
            and (
                last[f"{scheme} accesses"] != (0, U32)
                or last[f"{scheme} quota.esz"]
                or then.get(f"{scheme} quota.esz")  # the first pass with a quota
                or last[f"{scheme} quota.goals"]
            )
            for scheme in schemes
        ):
            return True
    return False


def _size_before_filters(parting: Parting) -> bool:
    """An address filter has split a region: tried and charged is the size before that."""
    for index in range(len(parting.case.contexts)):
        own = parting.following(parting.own, f"sample {index}", f"call {index}")[2]
        kernel = parting.following(parting.kernel, f"sample {index}", f"call {index}")[2]
        for name in own.keys() & kernel.keys():
            scheme, found, _ = name.partition(" core filters")
            tried = f"{scheme} stat.sz_tried"
            if found and "addr" in own[name] and kernel[name] == own[name] and kernel[tried] > own[tried]:
                return True
    return False


_OLD: Final = ("7.2",)
KNOWN: Final = (
    Known("walk after a canceled one",
          "after a walk that was canceled, the next one leaves out schemes that the first had seen",
          _walk_after_a_canceled_one, ("7.2", "7.3")),
    Known("goals before a refused one",
          "a commit of goals that is refused: the goals before the refused one are committed",
          _goals_before_a_refused_one, ("7.3",)),
    Known("schemes gone while waiting",
          "a commit that removes all schemes during a watermark wait: the kdamond waits for ever",
          _schemes_gone_while_waiting),
    Known("many regions are split",
          "before 7.3 regions are not split once there are more than half of those that there may be",
          _many_regions_split, _OLD),
    Known("moving sums",
          "before 7.3 schemes that are due within an aggregation go by a moving sum that is kept in another way",
          _moving_sums, _OLD),
    Known("last counts kept",
          "before 7.3 attributes that are committed when an aggregation ends do not convert the counts of the last one",
          _last_counts_kept, _OLD),
    Known("size before filters",
          "before 7.3 what a core filter cuts off is counted as tried, and charged",
          _size_before_filters, _OLD),
)  # fmt: skip


def reason(version: str, case: Case, own: Played, kernel: Played) -> Known | None:
    """The known difference that explains where these logs part."""
    pairs = zip(own.log, kernel.log, strict=False)
    index = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(own.log), len(kernel.log)))
    parting = Parting(case, own, kernel, index)
    for known in KNOWN:
        fits = not known.versions or any(version.startswith(one) for one in known.versions)
        if fits and known.explains(parting):
            return known
    return None
