# SPDX-License-Identifier: GPL-2.0-only
"""A workload file with everything that is expanded, and values that it must not have, with a part of the message."""

from __future__ import annotations

from typing import Any

GENERATED: dict[str, Any] = {
    "seed": 3,
    "duration": "1h",
    "rhythms": {
        "day": {"period": "1h", "trough": 0.5, "peak": 2, "peak_at": "30m", "step": "10m"},
        "line": {"period": "30m", "points": [["0m", 1], ["15m", 0]], "step": "5m"},
        "shift": {"period": "20m", "levels": [["5m", 1], ["10m", 0.5]]},
    },
    "areas": {
        "a": {"size": "1 MiB"},
        "g": {"size": "1 MiB", "grow": {"initial": "256K", "by": "256K", "every": "5m", "then": "shrink"}},
    },
    "access": [
        {"area": "a", "rate": 9, "rhythm": "day", "hot": {"size": "128K", "step": "128K", "rate": 900, "every": "7m"}},
        {"area": "g", "rate": 50, "rhythm": "shift"},
    ],
    "programs": {
        "job": {
            "params": {"size": "128K"},
            "areas": {"d": {"size": "$size"}},
            "access": [{"area": "d", "rate": 70, "rhythm": "line"}],
        }
    },
    "instances": [
        {"program": "job", "name": "j", "count": 5, "start": "1m", "every": "4m", "lifetime": ["5m", "9m"], "most": 2,
         "set": {"size": ["64K", "128K"]}},
    ],
}  # fmt: skip
_A, _H = "access[0]", "access[0].hot"

#: Path of the field, a wrong value for it, and a part of the message, which begins with the path where the part begins
#: with a colon, and follows it where the part begins with a dot or a bracket.
_BAD: list[tuple[str, Any, str]] = [
    ("seed", -1, ": is not valid; give a whole number from 0"),
    ("duration", "long", ": is not a duration"),
    ("duration", 0, ": is not a duration"),
    ("phases", [{"duration": "1s"}], "duration: '1h': is for a file without phases"),
    ("rhythms", [], ": is not valid; give a mapping of names to rhythms"),
    ("rhythms", {"a b": {}}, "rhythms: 'a b': is not a name"),
    ("rhythms.day", 5, ": is not valid; give a rhythm"),
    ("rhythms.day", {}, "rhythms.day: 'nothing': is not one form of a rhythm"),
    ("rhythms.day.amplitude", 5, "rhythms.day: 'amplitude': is not a field; known are period"),
    ("rhythms.day.period", "1 day", ": is not a duration"),
    ("rhythms.day.trough", 3, ": 3.0: is above the peak, 2"),
    ("rhythms.day.trough", -1, ": is not valid; give a factor from 0"),
    ("rhythms.day.peak", float("inf"), ": is not valid; give a factor"),
    ("rhythms.day.peak", 1e9, ": is not valid; give a factor"),
    ("rhythms.day.peak_at", "-1h", ": is not a duration"),
    ("rhythms.day.points", [[0, 1]], "rhythms.day: 'points and trough': is not one form"),
    ("rhythms.day.levels", 1, ": is not valid; give a list of times and factors"),
    ("rhythms.day.levels", [1], "[0]: 1: is not valid; give a list of times and factors"),
    ("rhythms.day.step", "2h", ": is not a part of the period"),
    ("rhythms.day.step", 1, ": is not a part of the period; give 1/10000"),
    ("rhythms.line.points", [[0, -1]], "[0][1]: -1: is not valid; give a list of times"),
    ("rhythms.line.points", [["1m", 1], ["1m", 2]], "[1][0]: '1m': is not after the one before"),
    ("rhythms.line.points", [["30m", 1]], "[0][0]: '30m': is not after the one before and within the period"),
    ("rhythms.shift.levels", [["x", 1]], "[0][0]: 'x': is not a duration"),
    ("rhythms.shift.step", "1m", ": has no effect on levels"),
    ("areas.a.grow", 5, ": is not valid; give growth"),
    ("areas.g.grow", {"by": "4K"}, ".every: is missing; give a duration"),
    ("areas.g.grow.by", 0, ": is not a size"),
    ("areas.g.grow.by", 5, ": is not a multiple of 4096"),
    ("areas.g.grow.every", 0, ": is not a duration"),
    ("areas.g.grow.initial", "1M", ": leaves nothing to grow; give less than 1048576"),
    ("areas.g.grow.then", "stop", ": is not valid; give stay, drop or shrink"),
    ("areas.g.grow.until", 1, "areas.g.grow: 'until': is not a field; known are by"),
    ("areas.g.mapped", False, "areas.g.grow: 'g': grows from the start"),
    ("areas.g.size", "1G", "areas.g.grow.by: '256K': makes more than 2000 parts"),
    ("access", {}, ": is not valid; give a list of accesses"),
    (f"{_A}.area", "x", ": is not an area; known are a, g"),
    (f"{_A}.area", "g", "access[1].area: 'g': is accessed by access[0] at the same time"),
    (f"{_A}.rate", -1, ": is not a rate"),
    (f"{_A}.rhythm", "night", ": is not a rhythm; known are day, line, shift"),
    (f"{_A}.rhythm", 5, ": is not valid; give the name of a rhythm"),
    (f"{_A}.rate", "9G", f"{_A}.rhythm: 9000000000.0: is a rate that becomes more than 10G"),
    (f"{_A}.pattern", "zipf", ": is for an area as a whole"),
    ("access[1].pattern", "strided", ": is for an area as a whole"),
    ("access[1].rate", 0, ": is not a rate"),
    (f"{_H}.size", "2M", ": is more than the area has; give at most 1048576"),
    (f"{_H}.rate", 0, ": is not a rate"),
    (f"{_H}.every", "often", ": is not a duration"),
    (f"{_H}.every", 1, ": makes more than 100000 changes"),
    (f"{_H}.every", "100ms", "phases: "),
    (f"{_H}.move", "fly", ": is not valid; give sweep, bounce, walk or jump"),
    (f"{_H}.move", "jump", f"{_H}.at: []: goes with move: jump, instead of step"),
    (f"{_H}.at", [0], ": is for move: jump"),
    (f"{_H}.at", [None], "[0]: None: is not valid; give an offset"),
    (f"{_H}", {"size": "128K", "rate": 1, "every": "1m", "move": "jump", "at": ["1M"]}, ".at[0]: '1M': leaves no room"),
    (f"{_H}.step", 5, ": is not a multiple of 4096"),
    (f"{_H}.speed", 5, f"{_H}: 'speed': is not a field; known are size"),
    ("programs", [], ": is not valid; give a mapping of names to programs"),
    ("programs.job", 5, ": is not valid; give a program"),
    ("programs.job.areas", {}, ": is empty"),
    ("programs.job.areas", {"a b": {"size": "4K"}}, "programs.job.areas: 'a b': is not a name"),
    ("programs.job.areas.d.size", "$mass", ": is not a parameter of the program; known are size"),
    ("programs.job.areas.d.process", "x", ": follows from the instance; leave it out"),
    ("programs.job.areas.d.mapped", False, ": follows from the instance"),
    ("programs.job.access", [{"area": "e", "rate": 1}], "[0].area: 'e': is not an area; known are d"),
    ("programs.job.params", {"size": None}, "[...]"),
    ("programs.job.memcg", "../x", ": is not a cgroup"),
    ("programs.job.node", 1, ": is not a node; machine.nodes has none"),
    ("programs.job.count", 1, "programs.job: 'count': is not a field; known are areas"),
    ("instances", {}, ": is not valid; give a list of instances"),
    ("instances", [5], "[0]: 5: is not valid; give an instance"),
    ("instances[0].program", "jog", ": is not a program; known are job"),
    ("instances[0].name", "a b", ": is not a name"),
    ("instances[0].count", 0, ": is not valid; give a whole number from 1 to 10000"),
    ("instances[0].start", "2h", ": is after the end of the workload"),
    ("instances[0].every", "0s", ": is not a duration"),
    ("instances[0].arrivals", "often", ": is not valid; give regular or poisson"),
    ("instances[0]", {"program": "job", "arrivals": "poisson"}, ".arrivals: 'poisson': has no mean time"),
    ("instances[0]", {"program": "job", "every": "1ms"}, ".every: '1ms': makes more than 10000 starts"),
    ("instances[0].lifetime", ["9m", "5m"], ": is not a range; give the shortest first"),
    ("instances[0].lifetime", ["9m"], ": is not a range; give the shortest and the longest"),
    ("instances[0].lifetime", "0s", ": is not a duration"),
    ("instances[0].most", 0, ": is not valid; give a whole number from 1 to 1000"),
    ("instances[0]", {"program": "job", "count": 3000}, ".program: 3000: processes of 1 areas are more than 2000"),
    ("instances[0].set", {"mass": 1}, ": 'mass': is not a parameter of job; known are size"),
    ("instances[0].set", {"size": []}, ".size: []: is empty"),
    ("instances[0].set", {"size": {}}, "[...]"),
    ("instances[0].pool", 1, "instances[0]: 'pool': is not a field; known are program"),
    ("areas.a.process", "j.0", "instances: 'j.0': is the name of two processes"),
]
#: With the message in two parts, one of them somewhere after the other.
BAD_GENERATED = [
    (path, value, (f"{path}: ", said[2:]) if said[0] == ":" else (f"{path}{said}" if said[0] in ".[" else said, ""))
    for path, value, said in _BAD
]
