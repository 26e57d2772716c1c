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
#: Directories and the values of files, in the order that they are written.
Tree = dict[str, Any]


def _numbered(name: str, parts: list[Tree]) -> Tree:
    return {f"nr_{name}": len(parts), **{str(index): part for index, part in enumerate(parts)}}


def _attrs(plain: Plain) -> Tree:
    sample, unit = plain["sample"], max(plain["sample"], 1)
    bp, aggrs, down, up = plain["goal"] or (0, 0, 1, 0)
    goal = {"access_bp": bp, "aggrs": aggrs, "min_sample_us": sample // down, "max_sample_us": sample * up}
    intervals = {
        "sample_us": sample, "aggr_us": unit * plain["samples"], "update_us": unit * plain["updates"],
        "intervals_goal": goal if plain["goal"] else dict.fromkeys(goal, 0),
    }  # fmt: skip
    return {"intervals": intervals, "nr_regions": {"min": plain["min"], "max": plain["min"] + plain["more"]}}


def _probe(plain: Plain) -> Tree:
    filters = [
        {"type": kind.value, "matching": matching, "allow": allow, "path": _CGROUPS[memcg]}
        for kind, matching, allow, memcg in plain["filters"]
    ]
    return {"weight": plain["weight"], "filters": _numbered("filters", filters)}


def _target(target: Plain, plain: Plain) -> Tree:
    unit = plain["unit"]
    regions = [{"start": start * PAGE // unit, "end": end * PAGE // unit} for start, end in joined(target["ranges"])]
    process = {} if plain["ops"] == "paddr" else {"pid_target": target["pid"]}
    return {**process, "obsolete_target": target["obsolete"], "regions": _numbered("regions", regions)}


def _goals(goals: list[Plain]) -> Tree:
    parts = [
        {
            "target_metric": goal["metric"].value, "target_value": goal["target"], "current_value": goal["current"],
            "nid": goal["nid"], "path": _CGROUPS[goal["memcg"]],
        }
        for goal in goals
    ]  # fmt: skip
    return _numbered("goals", parts)


def _quota(plain: Plain) -> Tree:
    weights = zip(("sz_permil", "nr_accesses_permil", "age_permil"), plain["weights"], strict=True)
    return {
        "ms": plain["ms"], "bytes": plain["sz"], "reset_interval_ms": plain["reset"],
        "goal_tuner": plain["tuner"].value, "fail_charge_num": plain["fail"][0], "fail_charge_denom": plain["fail"][1],
        "weights": dict(weights), "goals": _goals(plain["goals"]),
    }  # fmt: skip


def _filter(one: Plain, unit: int) -> Tree:
    start, end = (page * PAGE // unit + one["off"] for page in sorted(one["range"]))
    return {
        "type": one["type"].value, "matching": one["matching"], "allow": one["allow"],
        "memcg_path": _CGROUPS[one["memcg"]], "addr_start": start, "addr_end": end,
        "damon_target_idx": one["index"], "min": one["size"][0], "max": one["size"][1],
    }  # fmt: skip


def _scheme(plain: Plain, sample: int, unit: int) -> Tree:
    pattern = {name: dict(zip(("min", "max"), bounds, strict=True)) for name, bounds in plain["pattern"].items()}
    pattern["sz"] = {name: pages * PAGE // unit for name, pages in pattern["sz"].items()}
    tree = {
        "access_pattern": pattern, "action": plain["action"].value, "apply_interval_us": plain["apply"] * sample // 2,
        "target_nid": plain["nid"], "stats": {"max_nr_snapshots": plain["snapshots"]},
        "quotas": _quota(plain["quota"]) if plain["quota"] else {},
    }  # fmt: skip
    if plain["wmarks"]:
        marks = dict(zip(("low", "mid", "high"), sorted(plain["wmarks"]["marks"]), strict=True))
        tree["watermarks"] = {"metric": "free_mem_rate", "interval_us": plain["wmarks"]["interval"], **marks}
    tree["filters"] = _numbered("filters", [_filter(one, unit) for one in plain["filters"]])
    tree["dests"] = _numbered("dests", [{"id": nid, "weight": weight} for nid, weight in plain["dests"]])
    return tree


def _files(tree: Tree, place: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from _files(value, f"{place}{name}/")
        else:
            yield f"{place}{name}", value


def staged(plain: Plain) -> Iterator[tuple[str, Any]]:
    """Files below a context's directory, and what to write into them."""
    probes = {"probes": _numbered("probes", [_probe(probe) for probe in plain["probes"]])}
    schemes = [_scheme(scheme, plain["attrs"]["sample"], plain["unit"]) for scheme in plain["schemes"]]
    tree = {
        "operations": plain["ops"], "addr_unit": plain["unit"], "pause": plain["pause"],
        "monitoring_attrs": _attrs(plain["attrs"]) | probes,
        "targets": _numbered("targets", [_target(target, plain) for target in plain["targets"]]),
        "schemes": _numbered("schemes", schemes),
    }  # fmt: skip
    return _files(tree)


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
            for name, value in _files(_goals(goals)):
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
