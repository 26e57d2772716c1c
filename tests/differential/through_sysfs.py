# SPDX-License-Identifier: GPL-2.0-only
"""Plays a case through the sysfs tree: the user writes files and commands, and reads the tree afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from damon.modules.sysfs import Admin, Directory, File
from tests.differential.cases import Plain
from tests.differential.making import joined
from tests.differential.play import Player
from tests.fakes import PAGE

_CGROUPS: Final = ("/none", "/one", "/two")
#: Not the engine's: a thread's number.
_OWN: Final = ("pid",)
_NUMBERS: Final = ("update_schemes_stats", "update_schemes_effective_quotas", "update_tuned_intervals")
Staged = Iterator[tuple[str, Any]]


def _numbered(name: str, parts: list[Any]) -> Staged:
    yield f"nr_{name}", len(parts)


def _attrs(plain: Plain) -> Staged:
    sample, unit = plain["sample"], max(plain["sample"], 1)
    yield "intervals/sample_us", sample
    yield "intervals/aggr_us", unit * plain["samples"]
    yield "intervals/update_us", unit * plain["updates"]
    bp, aggrs, down, up = plain["goal"] or (0, 0, 1, 0)
    goal = {"access_bp": bp, "aggrs": aggrs, "min_sample_us": sample // down, "max_sample_us": sample * up}
    for name, value in goal.items():
        yield f"intervals/intervals_goal/{name}", value if plain["goal"] else 0
    yield "nr_regions/min", plain["min"]
    yield "nr_regions/max", plain["min"] + plain["more"]


def _probes(probes: list[Plain]) -> Staged:
    yield from _numbered("probes", probes)
    for index, probe in enumerate(probes):
        yield f"{index}/weight", probe["weight"]
        yield f"{index}/filters/nr_filters", len(probe["filters"])
        for number, (kind, matching, allow, memcg) in enumerate(probe["filters"]):
            parts = {"type": kind.value, "matching": matching, "allow": allow, "path": _CGROUPS[memcg]}
            for name, value in parts.items():
                yield f"{index}/filters/{number}/{name}", value


def _targets(plain: Plain) -> Staged:
    yield from _numbered("targets", plain["targets"])
    for index, target in enumerate(plain["targets"]):
        if plain["ops"] != "paddr":
            yield f"{index}/pid_target", target["pid"]
        yield f"{index}/obsolete_target", target["obsolete"]
        ranges = joined(target["ranges"])
        yield f"{index}/regions/nr_regions", len(ranges)
        for number, bounds in enumerate(ranges):
            for name, page in zip(("start", "end"), bounds, strict=True):
                yield f"{index}/regions/{number}/{name}", page * PAGE // plain["unit"]


def _goals(goals: list[Plain]) -> Staged:
    yield from _numbered("goals", goals)
    for index, goal in enumerate(goals):
        parts = {
            "target_metric": goal["metric"].value, "target_value": goal["target"], "current_value": goal["current"],
            "nid": goal["nid"], "path": _CGROUPS[goal["memcg"]],
        }  # fmt: skip
        for name, value in parts.items():
            yield f"{index}/{name}", value


def _quota(plain: Plain) -> Staged:
    yield "ms", plain["ms"]
    yield "bytes", plain["sz"]
    yield "reset_interval_ms", plain["reset"]
    yield "goal_tuner", plain["tuner"].value
    yield "fail_charge_num", plain["fail"][0]
    yield "fail_charge_denom", plain["fail"][1]
    for name, weight in zip(("sz", "nr_accesses", "age"), plain["weights"], strict=True):
        yield f"weights/{name}_permil", weight
    for name, value in _goals(plain["goals"]):
        yield f"goals/{name}", value


def _filters(plain: list[Plain], unit: int) -> Staged:
    yield from _numbered("filters", plain)
    for index, one in enumerate(plain):
        start, end = (page * PAGE // unit + one["off"] for page in sorted(one["range"]))
        parts = {
            "type": one["type"].value, "matching": one["matching"], "allow": one["allow"],
            "memcg_path": _CGROUPS[one["memcg"]], "addr_start": start, "addr_end": end,
            "damon_target_idx": one["index"], "min": one["size"][0], "max": one["size"][1],
        }  # fmt: skip
        for name, value in parts.items():
            yield f"{index}/{name}", value


def _scheme(plain: Plain, sample: int, unit: int) -> Staged:
    pages = {"min": plain["pattern"]["sz"][0], "max": plain["pattern"]["sz"][1]}
    for name, value in pages.items():
        yield f"access_pattern/sz/{name}", value * PAGE // unit
    for what in ("nr_accesses", "age"):
        for name, value in zip(("min", "max"), plain["pattern"][what], strict=True):
            yield f"access_pattern/{what}/{name}", value
    yield "action", plain["action"].value
    yield "apply_interval_us", plain["apply"] * sample // 2
    yield "target_nid", plain["nid"]
    yield "stats/max_nr_snapshots", plain["snapshots"]
    for name, value in _quota(plain["quota"]) if plain["quota"] else ():
        yield f"quotas/{name}", value
    if plain["wmarks"]:
        marks = dict(zip(("low", "mid", "high"), sorted(plain["wmarks"]["marks"]), strict=True))
        parts = {"metric": "free_mem_rate", "interval_us": plain["wmarks"]["interval"], **marks}
        for name, value in parts.items():
            yield f"watermarks/{name}", value
    for name, value in _filters(plain["filters"], unit):
        yield f"filters/{name}", value
    yield "dests/nr_dests", len(plain["dests"])
    for index, (nid, weight) in enumerate(plain["dests"]):
        yield f"dests/{index}/id", nid
        yield f"dests/{index}/weight", weight


def staged(plain: Plain) -> Staged:
    """Files below a context's directory, and what to write into them."""
    yield "operations", plain["ops"]
    yield "addr_unit", plain["unit"]
    yield "pause", plain["pause"]
    parts: dict[str, Staged] = {
        "monitoring_attrs": _attrs(plain["attrs"]),
        "monitoring_attrs/probes": _probes(plain["probes"]),
        "targets": _targets(plain),
    }
    for directory, files in parts.items():
        for name, value in files:
            yield f"{directory}/{name}", value
    yield "schemes/nr_schemes", len(plain["schemes"])
    for index, scheme in enumerate(plain["schemes"]):
        for name, value in _scheme(scheme, plain["attrs"]["sample"], plain["unit"]):
            yield f"schemes/{index}/{name}", value


class SysfsPlayer(Player):
    """The user of a tree that has a kdamond for each context."""

    def start(self) -> None:
        self.tree = Admin(self.damon)
        self._write("kdamonds/nr_kdamonds", len(self.case.contexts))
        for index, plain in enumerate(self.case.contexts):
            self._write(f"kdamonds/{index}/contexts/nr_contexts", 1)
            self._write(f"kdamonds/{index}/refresh_ms", self.case.sysfs or 0)
            self._stage(index, plain)
        for index in range(len(self.case.contexts)):
            self._write(f"kdamonds/{index}/state", "on")
            ctx = self.tree.kdamonds[index].ctx
            assert ctx is not None
            self.ctxs.append(ctx)

    def _write(self, path: str, value: Any) -> None:
        file = self.tree.find(path)
        assert isinstance(file, File)
        text = "NY"[value] if isinstance(value, bool) else str(value)
        file.write(text.encode())

    def _stage(self, index: int, plain: Plain) -> None:
        for path, value in staged(plain):
            self._write(f"kdamonds/{index}/contexts/0/{path}", value)

    def _command(self, word: str) -> None:
        self._write("kdamonds/0/state", word)

    def _read(self) -> None:
        """The files of the first kdamond: compared like all else."""
        directory = self.tree.find("kdamonds/0")
        assert isinstance(directory, Directory)
        files = {path: node.read() for path, node in directory.walk() if isinstance(node, File) and path not in _OWN}
        self.note("tree", **files)

    def commit(self, plain: Any) -> None:
        self._stage(0, plain)
        self._command("commit")

    def goals(self, plain: Any) -> None:
        schemes = len(self.tree.kdamonds[0].contexts[0].schemes)
        for index, goals in enumerate(plain[:schemes]):
            for name, value in _goals(goals):
                self._write(f"kdamonds/0/contexts/0/schemes/{index}/quotas/goals/{name}", value)
        self._command("commit_schemes_quota_goals")

    def walk(self, seen: list[Any]) -> None:
        try:
            for word in (*_NUMBERS, "update_schemes_tried_regions"):
                self._command(word)
        finally:
            self._read()
            self._seen(seen)

    def _seen(self, seen: list[Any]) -> None:
        """As the library's walk has them, without the target: a scheme's tried regions."""
        for index, scheme in enumerate(self.tree.kdamonds[0].contexts[0].schemes):
            tried = scheme.tried_regions
            for number in range(tried.nr):
                parts = (tried.find(f"{number}/{name}") for name in ("start", "end", "sz_filter_passed"))
                start, end, passed = (int(part.read()) for part in parts if isinstance(part, File))
                seen.append((0, start, end, index, passed))
