# SPDX-License-Identifier: GPL-2.0-only
"""``damond --metrics``: names, values, addresses, and that hostile clients cost the service nothing."""

from __future__ import annotations

import errno
import os
import re
import socket
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from damon.damond.endpoint import bind, bound
from damon.damond.http import MAX_CLIENTS, respond
from damon.damond.metrics import application, families
from damon.damond.snapshot import Snapshot
from damon.errors import DamonError, InvalidInput
from tests.damond.conftest import Damond, monitor
from tests.damond.snapshots import CONTEXT, MIB, QUOTA, SCHEME, SNAPSHOT, with_context
from tests.documentation import DOCS
from tests.waiting import HANG_S, until

Start = Callable[..., Damond]
Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def _scraped(text: str) -> Values:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _values(snapshot: Snapshot, head: bytes = b"GET /metrics HTTP/1.1\r\n\r\n") -> Values:
    answer = respond(application(lambda: snapshot), head)
    assert answer.startswith(b"HTTP/1.0 200 OK"), answer
    return _scraped(answer.partition(b"\r\n\r\n")[2].decode())


def _of(values: Values, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    return {labels: value for (one, labels), value in values.items() if one == name}


CTX = (("context", "0"), ("kdamond", "0"))
SCH = (("action", "pageout"), *CTX, ("scheme", "0"))
GOAL = (("action", "pageout"), ("context", "0"), ("goal", "0"), ("kdamond", "0"), ("metric", "node_mem_used_bp"),
        ("nid", "1"), ("scheme", "0"))  # fmt: skip


def test_values_of_a_snapshot() -> None:
    values = _values(SNAPSHOT)
    about = (("engine", "kernel"), ("engine_version", "7.3.4"), ("machine", "sim"), ("version", "1.2.3"))
    assert _of(values, "damon_build_info") == {about: 1}
    assert values["damon_clock_seconds", ()] == 2.5
    assert _of(values, "damon_kdamond_up") == {
        (("kdamond", "0"),): 1, (("kdamond", "damon_reclaim"),): 0, (("kdamond", "5"),): 0,
    }  # fmt: skip
    assert _of(values, "damon_kdamond_cpu_seconds_total") == {(("kdamond", "0"),): 1.5}
    expected = {
        "sample_interval_seconds": 0.005, "aggr_interval_seconds": 0.1, "ops_update_interval_seconds": 1, "regions": 3,
        "min_regions": 10, "max_regions": 1000, "targets": 1, "schemes": 1, "paused": 0, "monitored_bytes": 16384,
        "working_set_bytes": 12288, "regions_age_seconds": 0.25,
    }  # fmt: skip
    assert {name: values[f"damon_context_{name}", CTX] for name in expected} == expected
    expected = {
        "tried_regions_total": 4, "tried_bytes_total": 200 * MIB, "applied_regions_total": 3,
        "applied_bytes_total": 100 * MIB, "ops_filter_passed_bytes_total": 99 * MIB, "quota_exceeds_total": 2,
        "snapshots_total": 9, "active": 1, "quota_bytes": 128 * MIB, "quota_seconds": 0.01,
        "quota_reset_interval_seconds": 1, "quota_effective_bytes": 64 * MIB, "quota_charged_bytes": 4096,
        "quota_score_ratio": 0.5,
    }  # fmt: skip
    assert {name: values[f"damon_scheme_{name}", SCH] for name in expected} == expected
    expected = {"target_value": 9000, "current_value": 4500, "score_ratio": 0.5}
    assert {name: values[f"damon_scheme_quota_goal_{name}", GOAL] for name in expected} == expected


def test_sizes_are_in_bytes_whatever_an_address_counts() -> None:
    values = _values(with_context(replace(CONTEXT, addr_unit=8)))
    assert values["damon_scheme_tried_bytes_total", SCH] == 1600 * MIB
    assert values["damon_context_working_set_bytes", CTX] == 8 * 12288
    assert values["damon_scheme_quota_effective_bytes", SCH] == 512 * MIB


def test_what_is_not_there_has_no_value() -> None:
    unlimited = replace(SCHEME, quota=replace(QUOTA, ms=0, sz=0, esz=0, goals=()))
    values = _values(with_context(replace(CONTEXT, schemes=(unlimited,), regions_age_s=None)))
    for name in ("quota_bytes", "quota_seconds", "quota_effective_bytes", "quota_score_ratio", "quota_charged_bytes"):
        assert not _of(values, f"damon_scheme_{name}")
    for name in ("monitored_bytes", "working_set_bytes", "regions_age_seconds"):
        assert not _of(values, f"damon_context_{name}")
    paused = replace(SCHEME, wmarks=replace(SCHEME.wmarks, activated=False))
    assert _values(with_context(replace(CONTEXT, schemes=(paused,))))["damon_scheme_active", SCH] == 0


def test_names_follow_the_conventions_and_the_page_lists_them() -> None:
    found = {}
    for family in families(None):
        suffix = {"counter": "_total", "info": "_info"}.get(family.type, "")
        found[family.name + suffix] = family
        assert re.fullmatch(r"damon_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.samples == []
    page = (DOCS / "reference/damond.md").read_text()
    listed = re.findall(r"^\| `(damon_[a-z_]+)` \|", page, re.MULTILINE)
    assert listed == list(found)


def test_parts_by_name_and_other_formats() -> None:
    head = b"GET /metrics?name[]=damon_kdamond_up HTTP/1.1\r\n\r\n"
    assert {name for name, _ in _values(SNAPSHOT, head)} == {"damon_kdamond_up"}
    app = application(lambda: SNAPSHOT)
    open_metrics = b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n"
    assert respond(app, open_metrics).endswith(b"# EOF\n")
    other = respond(app, open_metrics.replace(b"1.0.0", b"x\r\n y")).partition(b"\r\n\r\n")
    assert b"version=1.0.0;" in other[0], "no version of a client's own"
    assert other[2].endswith(b"# EOF\n")
    assert b" 404 " in respond(app, b"GET / HTTP/1.1\r\n\r\n").split(b"\r\n")[0]
    assert b" 405 " in respond(app, b"POST /metrics HTTP/1.1\r\n\r\n").split(b"\r\n")[0]


def test_an_error_is_a_line_and_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Snapshot:
        raise ValueError("broken")

    answer = respond(application(broken), b"GET /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.0 500 ")
    assert b"broken" not in answer
    assert any(record.exc_info for record in caplog.records)


REFUSED = (
    "", "x", "127.0.0.1", ":9464", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "::1:9464",
    "[127.0.0.1]:9464", "localhost:9464", "0.0.0.0:9464", "[::]:9464", "192.0.2.1:9464", "[::ffff:127.0.0.1]:1",
    "[::1%lo]:1", "127.0.0.1:" + "9" * 5000, "127.0.0.1:000080", "127.0.0.1:\u0661", "relative/socket", "/" + "x" * 200,
)  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_addresses_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^--metrics: '.*: .*; give ") as refused:
        bind(text)
    assert len(str(refused.value)) < 300


def test_addresses_of_this_machine() -> None:
    for text, family in (
        ("127.0.0.1:0", socket.AF_INET),
        ("127.8.9.10:0", socket.AF_INET),
        ("[::1]:0", socket.AF_INET6),
    ):
        try:
            with bound(text) as made:
                assert made.family is family
                assert made.getsockname()[1] > 0
                made.listen()
                with pytest.raises(DamonError) as refused:
                    bind(text[:-1] + str(made.getsockname()[1]))
                assert refused.value.errno == errno.EADDRINUSE
        except DamonError as error:
            assert "6" in family.name
            assert error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT), error


def test_a_path(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    path = own / "socket"
    with bound(str(path)) as made:
        assert path.stat().st_mode & 0o777 == 0o600
        made.listen()
        with pytest.raises(DamonError) as refused:
            bind(str(path))
        assert refused.value.errno == errno.EADDRINUSE
    assert not path.exists()
    bind(str(path)).close()
    assert path.exists(), "as a killed service leaves it"
    bind(str(path)).close()
    path.unlink()
    path.write_text("content")
    with pytest.raises(DamonError):
        bind(str(path))
    assert path.read_text() == "content"
    path.unlink()
    path.symlink_to(own / "elsewhere")
    with pytest.raises(DamonError):
        bind(str(path))
    with pytest.raises(DamonError) as missing:
        bind(str(tmp_path / "none/socket"))
    assert missing.value.errno == errno.ENOENT
    own.chmod(0o777)
    with pytest.raises(DamonError, match="others can write there") as others:
        bind(str(own / "other"))
    assert others.value.errno == errno.EPERM


def test_a_path_in_the_runtime_directory_which_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    with bound(f"{tmp_path}/run/metrics"):
        assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700


# A service.


@pytest.fixture
def url(start: Start) -> Iterator[tuple[Damond, str]]:
    damond = start("--sim", "hot-cold", "--metrics", "127.0.0.1:0").wait()
    yield damond, damond.status()["metrics"]
    assert damond.end() == 0, damond.log.read_text()
    assert "Traceback" not in damond.log.read_text()


def _get(url: str) -> Values:
    with urllib.request.urlopen(url, timeout=HANG_S) as answer:
        return _scraped(answer.read().decode())


def test_a_service_is_scraped(url: tuple[Damond, str]) -> None:
    damond, where = url
    assert f"metrics at {where}\n" in damond.log.read_text()
    (monitor(damond) / "state").write_text("on\n")
    labels = (("action", "stat"), *CTX, ("scheme", "0"))
    until(lambda: _get(where).get(("damon_scheme_tried_bytes_total", labels), 0) > 0)
    values = _get(where)
    assert values["damon_context_monitored_bytes", CTX] == (1 << 30) - 0x100000
    assert values["damon_kdamond_up", (("kdamond", "0"),)] == 1
    assert values["damon_kdamond_cpu_seconds_total", (("kdamond", "0"),)] > 0
    assert values["process_start_time_seconds", ()] > 0


def test_hostile_clients_cost_others_nothing(url: tuple[Damond, str]) -> None:
    """All connections are taken and send nothing: the tree, commands and virtual time go on."""
    damond, where = url
    port = int(where.rsplit(":", 1)[1].partition("/")[0])
    (monitor(damond) / "state").write_text("on\n")
    taken = [socket.create_connection(("127.0.0.1", port)) for _ in range(MAX_CLIENTS)]
    for client in taken:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
    with pytest.raises((urllib.error.HTTPError, ConnectionError)):
        until(lambda: not _get(where))
    before = damond.status()
    until(lambda: damond.status()["virtual_s"] > before["virtual_s"])
    assert (damond.admin / "kdamonds/0/state").read_text() == "on\n"
    for client in taken:
        client.close()
    until(lambda: _reached(where))


def _reached(where: str) -> bool:
    try:
        return bool(_get(where))
    except (urllib.error.HTTPError, ConnectionError):
        return False


def test_at_a_path_nothing_is_left_there(start: Start, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    damond = start("--sim", "hot-cold", "--metrics", str(own / "metrics")).wait()
    assert damond.status()["metrics"] == f"unix:{own}/metrics"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(HANG_S)
        client.connect(str(own / "metrics"))
        client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
        with client.makefile("rb") as stream:
            assert b"damon_build_info{" in stream.read()
    assert damond.end() == 0
    assert list(own.iterdir()) == []


def _refused(damond: Damond, code: int) -> str:
    assert damond.process.wait(HANG_S) == code
    assert not damond.mount.exists(), "nothing was started"
    (line,) = damond.log.read_text().splitlines()
    return line


def test_refused_before_anything_starts(start: Start) -> None:
    assert "could connect" in _refused(start("--sim", "hot-cold", "--metrics", "0.0.0.0:0"), 2)


def test_a_missing_package_is_a_line(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = "raise ModuleNotFoundError('no', name='prometheus_client')"
    (tmp_path / "site").mkdir()
    (tmp_path / "site/prometheus_client.py").write_text(error)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}")
    assert "pip install 'pydamon[metrics]'" in _refused(start("--sim", "hot-cold", "--metrics", "127.0.0.1:0"), 3)


def test_without_the_option_the_package_is_not_imported(start: Start, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/prometheus_client.py").write_text("raise SystemExit('imported')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}")
    damond = start().wait()
    assert damond.status()["metrics"] is None
    assert damond.end() == 0
