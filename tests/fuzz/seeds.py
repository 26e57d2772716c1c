# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: E501 - inputs are as they are
"""Inputs to begin with: files that are right, in every form that is read."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.workload.bad_generated import GENERATED

ROOT = Path(__file__).parents[2]
_REGION: dict[str, Any] = {
    "start": "4,096", "end": "8,192", "nr_accesses": {"samples": 7, "percent": None},
    "age": {"usec": None, "aggr_intervals": "12"}, "probe_hits": [1, 2], "sz_filter_passed": "0 B",
}  # fmt: skip
_RECORD: dict[str, Any] = {
    "kdamond_idx": 0, "context_idx": 0, "scheme_idx": None, "target_id": 4, "scheme_filters": [],
    "intervals": {"sample_us": "5 ms", "aggr_us": "100 ms", "ops_update_us": "1 s"},
}  # fmt: skip


def _snapshot(number: int) -> dict[str, Any]:
    regions = [{**_REGION, "start": at << 12, "end": at + 1 << 12} for at in range(number, number + 4)]
    return {"start_time": str(number * 10**8), "end_time": str((number + 1) * 10**8), "regions": regions}


def recordings() -> list[bytes]:
    """In the layout of ``damon record``."""
    from damon.records.form import HEAD_END

    def text(*targets: int) -> bytes:
        parts = []
        for target in targets:
            head = json.dumps({**_RECORD, "target_id": target})[:-1] + ", " + HEAD_END
            parts.append(head + "\n" + ",\n".join(json.dumps(_snapshot(n)) for n in range(3)))
        return ("[\n" + "\n]},\n".join(parts) + "\n]}\n]\n").encode()

    return [text(0), text(0, 1, 0), b"[\n]\n"]


def records() -> list[bytes]:
    whole = [{**_RECORD, "snapshots": [_snapshot(0), _snapshot(1)]}]
    script = "".join(
        f"kdamond.0  4452 [000] {n}.315633: damon:damon_aggregated: target_id=0 nr_regions=2 {at}-{at + 4096}: 3 1\n"
        for n in range(3)
        for at in (0, 4096)
    )
    return [*recordings(), json.dumps(whole).encode(), json.dumps(whole, indent=4).encode(), script.encode()]


def workloads() -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / "workloads").glob("*.yaml"))] + [
        b"areas: &a {x: &x {size: 4K}, y: {<<: *x, kind: file}}\nphases: [{duration: 1s, access: [{area: x, rate: 5}]}]\n"
        b"machine: {nodes: [{size: 1G}, {size: 1G, distances: [20, 10]}], swap: [{size: 1M, priority: 3}]}\n"
        b"processes: {main: {memcg: a/b, node: 1}}\nrepeat: true\n"
        b"cgroups: {a: {memory.max: 1M, memory.low: max}, a/b: {memory.high: 4097, memory.swap.max: 0}}\n",
        json.dumps(GENERATED).encode(),
        json.dumps(GENERATED | {"repeat": True, "machine": {"nodes": [{"size": "1G"}]}}).encode(),
    ]


def traces() -> list[bytes]:
    from tests.workload.traces import random_trace

    with tempfile.TemporaryDirectory() as scratch:
        origins = [("a test", seed) for seed in range(6)] + [("truth", seed) for seed in range(3)]
        return [random_trace(Path(scratch, "t"), seed, 20, origin).read_bytes() for origin, seed in origins]


def raw_truths() -> list[bytes]:
    from tests.raw_truth import small

    with tempfile.TemporaryDirectory() as scratch:
        return [small(Path(scratch, "raw")).read_bytes()]


def truth_lines() -> list[bytes]:
    return [
        b"agent 1 9\nzero 7 1\nmark 1 10 20\nlook 30\nprocess 1 9 60 30 prog\nareas\n"
        b"400000-404000 rw-p 00000000 00:00 0\n7f0000000000-7f0000008000 r-xp 00001000 08:01 77    /lib/libc.so.6\n.\n"
        b"+400 10 4\n+7f0000001 20 3\nend 40\nlook 50\nprocess 1 9 60 50 prog\n-401 1\n+402 30 1\nprocess 2 10 70 51 other\nareas\n"
        b"400000-404000 rw-p 00000000 00:00 0\n.\n+400 11 1\ngone 1 55\nend 60\n",
    ]


def policies() -> list[bytes]:
    return [
        b"cold-5s: damon_reclaim.min_age=5000000\nnone: damon_reclaim.enabled=N\n",
        b"a: 'damon-lru-sort.x=\"1 2\" quiet damon_stat.enabled=Y'\n'b.1': {}\n",
    ]


def studies() -> list[bytes]:
    return [
        b"format: 1\nworkloads: [hot-cold, phases]\nmodules:\n  damon_reclaim:\n    min_age: {from: 1s, to: 1h, log: 12}\n"
        b"    sample_interval: [5ms, 100ms]\n    aggr_interval: {of: sample_interval, times: [10, 20]}\n    skip_anon: [Y, N]\n"
        b"seeds: [1, 2]\nduration: 24h\nobjectives: [maximize saved_bytes]\nconstraints: [refaulted_wss_per_min <= 0.2%]\n"
        b"tune: {trials: 20, batch: 4, coarse: {trials: 9, duration: 6h, scale: {sample_interval: 2}}}\n",
        b"workloads: [stairs]\nmodules: {damon_lru_sort: {hot_thres_access_freq: {from: 10, to: 900, step: 50}}, damon_stat: {}}\n"
        b"duration: 60s\nobjectives: [minimize slowdown, 'maximise saved']\nname: x\ndefault: false\n",
    ]


def study_results() -> list[bytes]:
    from damon.tune.goals import Objective
    from damon.tune.measure import Measured
    from damon.tune.request import Request, Result, Rules
    from damon.tune.results import encode

    rules = Rules(("slowdown < 1.02",), Objective("saved", True), (None, 0.5))
    counts = Measured(1.0, 2.0, 2.5, 3.0, 4, 5, 6, 7.0, 0)
    requests = [Request("h", "w", "pydamon", "1", {"m": ["a=1"]}, nr, 10, rules if nr else None) for nr in range(3)]
    head = b'{"format":1,"what":"damon study results"}\n'
    lines = [encode(request, Result("complete", [counts, counts])) for request in requests]
    return [head, head + b"".join(lines), head + lines[0] + lines[1][:50]]


def guest_results() -> list[bytes]:
    from tests.guests.standin import output

    head = b'{"format": 1, "what": "damon guest results"}\n'
    lines = [json.dumps({"key": f"{nr:032x}", "result": output(seed=nr)}).encode() + b"\n" for nr in range(2)]
    return [head, head + b"".join(lines), head + lines[0] + lines[1][:50]]


def frames() -> list[bytes]:
    return [
        b'{"format":1,"lead_s":5.9,"system_ram":[[4096,654336]],"areas":{"a":[[0,32626,48],[88,33285,4]]},'
        b'"beside":[[256,3,0.0,false],[300,1,12.5,true]]}',
    ]


def masim() -> list[bytes]:
    return [
        b"# comment\nheap, 10485760\nstack, 4096, file\n\ninitial\n1000\nheap, 0, 4096, 1\nstack, 1, 64, 10, ro\n\n"
        b"second\n500\nheap, 1, 128, 3, wo\n",
        b"a, 4096\n\np\n1\na, 1, 1, 1, rw\n",
    ]


def plans() -> list[bytes]:
    from damon.workload.load import load_workload
    from damon.workload.plan import Options, compile_plan

    paths = sorted((ROOT / "workloads").glob("*.yaml"))
    return [compile_plan(load_workload(path), Options(seed=3)).encode() for path in paths]


def conditions() -> list[bytes]:
    """Of each unit and comparison."""
    return [
        b"saved>=50%,refaults_per_s<10,slowdown<1.02",
        b"free > 1.5 GiB, applied<=64K,psi_some_us==0",
        b"regret<3.2e0",
    ]


def suites() -> list[bytes]:
    found = [path.read_bytes() for path in sorted((ROOT / "tests/vm/suites").glob("*.yaml"))]
    return [
        *found,
        b"name: x\nkernels: [page-idle]\nmachines: {m: {memory: 1G, numa: 2, cpus: 4, swap: 'zram:1M', plug: ['5s:+2M'],"
        b" memory_max: 2G, hugepages: '2M:4', cgroups: ['a:memory.max=1M'], in_cgroup: a}}\n"
        b"workloads: {w: {command: x, ready: '^up$', env: {A: b}}}\ntests: {t: {command: y, tolerate: [warning],"
        b" timeouts: {command: 3}, output: ktap}, u: z}\ninclude: [{test: t}]\nexclude: [{kernel: none*}]\n"
        b"expect: [{test: t, reason: r, verdict: panic}]\n",
    ]


_OUTCOME: dict[str, Any] = {
    "name": "k/m/w/t", "kernel": "k", "machine": "m", "workload": "w", "test": "t", "verdict": "pass",
    "message": "fine", "exit_code": 0, "expected": {"verdict": "fail", "reason": "r"}, "excerpt": "a\nb",
    "warnings": ["w"], "subtests": [{"name": "s", "status": "fail", "message": "m"}], "timings": {"boot": 1.5},
    "started": "2026-01-01T00:00:00+00:00", "host": "h", "folder": "guests/k__m__w__t",
}  # fmt: skip


def manifests() -> list[bytes]:
    file = {"path": "/nowhere/bzImage", "sha256": "0" * 64}
    job = {
        "suite": "s", "kernel_name": "k", "machine_name": "m", "workload_name": "w", "test_name": "t", "kernel": file,
        "rootfs": file, "vmlinux": None, "machine_args": {"memory": "1G", "cpus": 2}, "append": "quiet",
        "trees": [["/a", "/b"]], "env": {"A": "b"}, "command": "true", "limits": {"boot": 5.0}, "tolerate": ["warning"],
        "expected": {"verdict": "fail", "reason": "r"},
    }  # fmt: skip
    return [
        json.dumps({"format": 1, "job": job, "outcome": _OUTCOME, "qemu": ["qemu"], "versions": {"q": "1"}}).encode()
    ]


#: Tables of a run directory as lines of JSON.
RUN_TABLES = {
    "snapshots": {"time_ns": [10**8], "context": [0], "target": [0], "nr_rows": [1], "aged": [0]},
    "regions": {"start": [0], "end": [1 << 20], "nr_accesses": [3], "age": [2]},
    "contexts": {
        "time_ns": [10**8], "context": [0], "sample_us": [5000], "aggr_us": [100_000], "nr_regions": [1],
        "accessed_bytes": [4096],
    },
    "actions": {
        "time_ns": [10**8], "context": [0], "scheme": [0], "target": [0], "start": [0], "end": [4096],
        "applied_bytes": [4096],
    },
    "placement": {"time_ns": [0], "area": ["hot"], "start": [0], "end": [1 << 20], "resident_bytes": [1 << 19]},
}  # fmt: skip


def runs() -> list[bytes]:
    access = {"area": "hot", "rate": 1e5, "pattern": "zipf", "skew": 1.1, "stride": 4096, "write_share": 0.5}
    phase = {"name": "p", "duration_us": 10**6, "accesses": [access], "events": [{"event": "mmap", "name": "hot"}]}
    area = {"name": "hot", "size": 1 << 20, "start": 0, "kind": "anon", "process": "main", "mapped_at_start": False}
    workload = {"name": "w", "areas": [area], "phases": [phase], "repeat": True, "pids": {"main": 1000}}
    modules = {"damon_reclaim": {"min_age": 5, "enabled": True}}
    request = {"machine": "sim", "seed": 1, "engine": {"engine": "pydamon", "version": "1"}, "modules": modules}
    target, scheme = {"pid": "1000"}, {"action": "pageout", "quotas": {"goals": []}}
    stats = {"stats": {"nr_tried": 5}, "state": "active"}
    result = {
        "slowdown": 1.5, "psi_some_us": 7, "modules": {"damon_reclaim": stats}, "areas": {"hot": {"resident_bytes_end": 5}},
        "memory": {"resident_bytes_start": 9, "resident_bytes": 5, "refaults": 3},
    }  # fmt: skip
    found = []
    for ops in ("paddr", "vaddr"):
        context = {
            "ops": ops,
            "addr_unit": "1",
            "targets": [target],
            "schemes": [scheme],
            "intervals": {"sample_us": "5"},
        }
        head = {"format": 1, "form": "jsonl", "state": "complete", "strides": {"0": 2}, "contexts": [context]}
        found.append(json.dumps({**head, "request": {**request, "workload": workload}, "result": result}).encode())
    return found


def results() -> list[bytes]:
    run = {"format": 1, "suite": "s", "started": "now", "seconds": 5.0, "versions": {"q": "1"}}
    verdicts = ["pass", "fail", "panic", "not-run", "machine-lacks", "total-timeout"]
    outcomes = [{**_OUTCOME, "verdict": verdict, "expected": None} for verdict in verdicts]
    return [json.dumps({**run, "outcomes": [_OUTCOME]}).encode(), json.dumps({**run, "outcomes": outcomes}).encode()]
