# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: E501 - inputs are as they are
"""Inputs to begin with: what services read: arguments, lines, requests."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def quantities() -> list[bytes]:
    words = [
        "4096",
        "32M",
        "1.5GiB",
        "4K",
        "64T",
        "250ms",
        "60s",
        "5m",
        "100us",
        "1h",
        "200k",
        "2M/s",
        "10G",
        "0x10",
        "1-2",
        "4096-0x2000",
        "0.5",
        "1e6",
        "7",
    ]
    return [bytes([number]) + word.encode() for number in range(8) for word in words]


def arguments() -> list[bytes]:
    words = ("60", "5min", "1h", "0.5", "7", "0x10", "4096-8192", "0x1000-0x2000", "250", "1e3", "65535")
    return [bytes([number]) + word.encode() for number in range(16) for word in words]


def ktap() -> list[bytes]:
    return [
        b"KTAP version 1\n1..2\n  KTAP version 1\n  1..2\n  ok 1 a\n  not ok 2 b # SKIP why\nnot ok 1 - outer\n"
        b"ok 2 c # TODO later\n# Totals: 1\nBail out! no\n",
        b"TAP version 13\n1..1\n# selftests: damon: x.sh\n[    1.234567] ok 1 selftests: damon: x.sh # SKIP\n",
    ]


def console() -> list[bytes]:
    return [
        b"[    0.000000] Linux version 6.12\r\n[    1.5] BUG: KASAN: use-after-free in x\n[  2.0][ T12] Kernel panic - not "
        b"syncing: Oops\n[ 3.0] watchdog: BUG: soft lockup - CPU#0\n[ 4.0] INFO: task x:1 blocked for more than 5 seconds\n"
        b"[ 5.0] ------------[ cut here ]------------\n[ 6.0] WARNING: CPU: 0 PID: 1 at a.c:1\nvmtest: ready 1\n",
        b"a\x1b[31mb\n[ 1.0] rcu: INFO: rcu_sched self-detected stall on CPU\n[ 2.0] Out of memory: Killed process 5\n",
    ]


def machine() -> list[bytes]:
    words = (
        "512M", "1GiB", "zram:512M:zstd", "disk:1G", "2M:64,1G:1", "box:memory.max=256M,cpuset.cpus=0,2", "10s:+512M",
        "30s:-512M@1", "timeout=45\ntimeout = \"0\"", "memory=1G\nswap=zram:1M\nhugepages=2M:4\nthp=never",
        "memory=1G\nmemory_max=2G\nappend=a b\nnuma_cpus=1", "768M,256M\n2,2\n0:1=30", "1G,0\n4,0\n0:1=20,1:0=30",
    )  # fmt: skip
    return [bytes([number]) + word.encode() for number in range(9) for word in words]


def kconfigs() -> list[bytes]:
    text = b'# comment\nCONFIG_64BIT=y\nCONFIG_X86_64=y\nCONFIG_CMDLINE="a \\" b"\n# CONFIG_DAMON is not set\nCONFIG_HZ=250\n'
    return [text, gzip.compress(text), b"ARM\x64" * 20, b"\x7fELF" + bytes(60)]


def tars() -> list[bytes]:
    found = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
            for name, kind in (("out", tarfile.DIRTYPE), ("out/a", tarfile.REGTYPE), ("out/l", tarfile.SYMTYPE)):
                entry = tarfile.TarInfo(name)
                entry.type, entry.mode, entry.linkname = kind, 0o755, "a" if kind == tarfile.SYMTYPE else ""
                entry.size = 5 if kind == tarfile.REGTYPE else 0
                archive.addfile(entry, io.BytesIO(b"hello") if entry.size else None)
            archive.addfile(tarfile.TarInfo("out/" + "n" * (90 if form == tarfile.USTAR_FORMAT else 120)))
        found.append(stream.getvalue())
    return found


def parameters() -> list[bytes]:
    from damon.modules.loader import find_modules
    from damon.modules.params import show_value

    found = []
    for number, kind in enumerate(find_modules().values()):
        values = kind_parameters(kind)
        words = [f"{name}={show_value(value)}" for name, value in values]
        found += [bytes([number]) + "\n".join(words).encode()]
        found += [bytes([number]) + word.encode() for word in words]
    return found


def kind_parameters(kind: Any) -> list[tuple[str, Any]]:
    """Names and defaults of a module's parameters."""
    from damon.core import Damon
    from tests.fakes import FakeMachine

    return [(name, parameter.spec.default) for name, parameter in kind(Damon(FakeMachine())).parameters.items()]


def cmdlines() -> list[bytes]:
    return [
        b"quiet damon_reclaim.enabled=Y damon_reclaim.min_age=5000000 root=/dev/vda -- init",
        b'damon-reclaim.quota_ms="10" damon_lru_sort.enabled=N damon_stat.enabled=1',
        b"damon_reclaim.monitor_region_start=4096 damon_reclaim.monitor_region_end=0x10000000 damon_reclaim.wmarks_high=200",
        b"damon_reclaim.enabled damon_lru_sort.hot_thres_access_freq=500 damon_lru_sort.cold_min_age=120000000",
    ]


def requests() -> list[bytes]:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("status", {}), ("modprobe", {"name": "damon_reclaim", "words": ["min_age=5", "enabled=N"]}),
        ("modprobe", {"name": "stat", "words": []}), ("requests", {"pids": [1, 2]}), ("parameters", {"pid": 7}),
    ]  # fmt: skip
    return [json.dumps({"call": name, "args": arguments}).encode() + b"\n" for name, arguments in calls]


def http() -> list[bytes]:
    return [
        b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9464\r\nAccept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\nAccept-Encoding: gzip\r\nUser-Agent: Prometheus/3.1.0\r\n\r\n",
        b"GET /metrics?name[]=damon_kdamond_up&name[]=damon_build_info HTTP/1.0\r\n\r\n",
        b"POST /metrics HTTP/1.1\nContent-Length: 5\nExpect: 100-continue\n\nhello",
        b"GET /metrics\r\n\r\n",
    ]


def addresses() -> list[bytes]:
    return [b"127.0.0.1:0", b"[::1]:0", b"0.0.0.0:9464", b"[::ffff:127.0.0.1]:0", b"localhost:1", b"127.1:0"]


def snapshots() -> list[bytes]:
    from damon.damond.snapshot import as_object
    from tests.damond.snapshots import SNAPSHOT

    return [json.dumps(as_object(SNAPSHOT)).encode()]


def subscriptions() -> list[bytes]:
    return [
        b"damon-trace 1 script all\n",
        b"damon-trace 1 json damon_aggregated,damos_esz\n",
        b"damon-trace 1 raw damon:damon_aggregated\n",
    ]


def stores() -> list[bytes]:
    from tests.modules.sysfs.test_files import COUNTS, FILES

    grow = "\n".join(f"{path} 1" for path in COUNTS)
    values = [line.split(" ", 1) for line in FILES]
    found = [f"{grow}\n{path} {rest[0] if rest else ''}".encode() for path, *rest in values]
    fill = "\n".join(
        f"kdamonds/0/contexts/0/{name}"
        for name in (
            "operations vaddr", "targets/0/pid_target 7", "schemes/0/action pageout", "schemes/0/quotas/bytes 4096",
            "schemes/0/filters/0/type addr", "schemes/0/filters/0/addr_end 4096", "monitoring_attrs/nr_regions/max 20",
        )
    )  # fmt: skip
    return [*found, f"{grow}\n{fill}\nkdamonds/0/state on\nkdamonds/0/state commit\nkdamonds/0/state off".encode()]
