# SPDX-License-Identifier: GPL-2.0-only
"""``damon compare``: the same run under several engines, and where they part; guests are dictated here."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from damon.cli import compare_guests
from damon.cli.comparison import Entry, first_difference
from damon.cli.doctor import Host
from damon.cli.main import main
from damon.core.events import AGGREGATED, ESZ, STAT
from damon.guests import job as guests_job
from damon.guests import machine as guests_machine
from tests.guests.standin import StandIn
from tests.kernel.trees import CURRENT, built, changed
from vmtest import GuestConfig

RUN = ["--module", "damon_reclaim", "min_age=1000000", "--sim", "hot-cold", "--duration", "6"]


def _compare(path: Path, *words: str) -> list[dict[str, Any]]:
    assert main(["compare", *words, "--quiet", "--json", str(path)]) == 0
    return list(json.loads(path.read_text())["runs"])


def test_equal_engines_do_not_part(tmp_path: Path) -> None:
    built()
    own, kernel = _compare(tmp_path / "a.json", "pydamon", CURRENT, *RUN)
    assert kernel["difference"] is None
    assert own["tried_bytes"] == kernel["tried_bytes"] > 0
    assert own["hot_bytes"] == 32 << 20
    assert kernel["engine"]["sha256"]


def test_a_changed_tree_parts_where_it_was_changed(tmp_path: Path) -> None:
    tree = changed(("\t\t\t\tr->age++;\n", "\t\t\t\tr->age += 2;\n"))
    _, kernel = _compare(tmp_path / "a.json", CURRENT, f"kernel:{tree}", *RUN)
    found = kernel["difference"]
    assert (found["event"], found["field"], found["aggregation"]) == (AGGREGATED, "age", 1)
    assert found["values"] == [1, 2]
    assert "damon_merge_regions_of()" in found["function"]


def test_the_table_names_what_differs(capfd: pytest.CaptureFixture[str]) -> None:
    tree = changed(("\t\t\t\tr->age++;\n", "\t\t\t\tr->age += 2;\n"))
    assert main(["compare", "pydamon", f"kernel:{tree}", *RUN]) == 0
    said = capfd.readouterr()
    assert "0.100" in said.out
    assert "part at 0.100000 s, aggregation 1, damon_aggregated, region 0: age is 1 and 2" in said.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["pydamon"], 2, "engines: pydamon: one cannot be compared"),
        (["pydamon", "linux"], 2, "engine: 'linux': is unknown"),
        (["pydamon", "kernel:/nonexistent"], 2, "/nonexistent"),
        (["pydamon", "host"], 2, "engine: host: is not for the simulated machine; give guest:host"),
        (["pydamon", "guest:linux-source-7.3"], 2, "is unknown in a guest; give guest:pydamon"),
    ],
)
def test_refused(words: list[str], code: int, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *words, *RUN]) == code
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, None),
        ({1: (200, AGGREGATED, (0, 2), [(0, 4, 1, 1), (4, 8, 0, 3)])}, "damon_aggregated, region 1: age is 2 and 3"),
        ({1: (200, AGGREGATED, (0, 1), [(0, 4, 1, 1)])}, "nr_regions is 2 and 1"),
        ({2: (200, ESZ, (0, 0, 8), [])}, "damos_esz: esz is 7 and 8; computed by damos_set_effective_quota()"),
        ({2: (201, ESZ, (0, 0, 7), [])}, "time is"),
        ({2: (200, STAT, (0, 0, 7), [])}, "event is damos_esz and damos_stat_after_apply_interval"),
        ({2: None}, "event is this one and none"),
    ],
)  # fmt: skip
def test_the_first_difference(change: dict[int, Entry | None], said: str | None, tmp_path: Path) -> None:
    paths = [_events(tmp_path / "a", ENTRIES), _events(tmp_path / "b", ENTRIES | change)]
    found = first_difference(*paths)
    assert (found is None) == (said is None)
    assert said is None or said in str(found)


ENTRIES: dict[int, Entry | None] = {
    0: (100, AGGREGATED, (0, 2), [(0, 4, 1, 0), (4, 8, 0, 1)]),
    1: (200, AGGREGATED, (0, 2), [(0, 4, 1, 1), (4, 8, 0, 2)]),
    2: (200, ESZ, (0, 0, 7), []),
}


def _events(path: Path, entries: dict[int, Entry | None], known: Sequence[str] = (AGGREGATED, ESZ, STAT)) -> Path:
    """As a run of an engine with the events ``known`` writes them."""
    written = [frozenset(known), *(entry for entry in entries.values() if entry is not None)]
    path.write_bytes(b"".join(map(pickle.dumps, written)))
    return path


def test_events_that_one_engine_has_not_are_no_difference(tmp_path: Path) -> None:
    """A version of the kernel without a tracepoint is compared by the others."""
    new = _events(tmp_path / "a", {3: (90, ESZ, (0, 0, 5), []), **ENTRIES})
    assert first_difference(new, _events(tmp_path / "b", ENTRIES | {2: None}, [AGGREGATED])) is None
    aged = {1: (200, AGGREGATED, (0, 2), [(0, 4, 1, 1), (4, 8, 0, 3)])}
    found = first_difference(new, _events(tmp_path / "c", ENTRIES | aged | {2: None}, [AGGREGATED]))
    assert found is not None
    assert "damon_aggregated, region 1: age is 2 and 3" in str(found)


@pytest.fixture
def guest(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """In place of guests, with all that they need on this machine."""
    stand_in = StandIn()
    monkeypatch.setattr(guests_job, "Guest", stand_in)
    monkeypatch.setattr(guests_machine, "prepare", lambda *_: GuestConfig(icount=2))
    monkeypatch.setattr(compare_guests, "Host", lambda: Host(module_there=lambda name: True, which=lambda name: "/q"))
    return stand_in


def test_a_guest_stands_beside_the_simulated_machine(
    guest: StandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    assert main(["compare", "pydamon", "guest:host", "guest:pydamon@stock", *RUN, "--json", str(path)]) == 0
    own, host, other = json.loads(path.read_text())["runs"]
    assert [run["asked"] for run in (own, host, other)] == ["pydamon", "guest:host", "guest:pydamon@stock"]
    assert (host["applied_bytes"], host["reclaimed_bytes"], host["kdamond_cpu_seconds"]) == (3 << 20, 12288, 0.5)
    assert (host["hot_bytes"], host["hot_bytes_kept"], host["refaults"], host["slowdown"]) == (8192, 4096, 9, 1.25)
    assert (set(own["missing"]), set(host["missing"])) == ({"kdamond_cpu_seconds"}, {"difference"})
    assert own["applied_bytes"] == own["reclaimed_bytes"]  # the only process there is
    table = capfd.readouterr().out
    rows = {words[1]: words[2:] for words in map(str.split, table.splitlines()) if words[:1] == ["hot-cold"]}
    assert rows["pydamon"][-2:] == ["-", "-"]
    assert rows["guest:host"] == ["3.0", "MiB", "12.0", "KiB", "50.0%", "9", "1.2500", "0.50", "s", "-"]
    assert "no CPU: a simulated machine's worker" in table
    assert "no first difference: in a guest time is real" in table
    assert "guest:host: 6.12, kernel page-idle, its time counted in instructions" in table


def test_a_guest_gets_the_same_words_and_its_own_workload_file(guest: StandIn, tmp_path: Path) -> None:
    words = ["--cmdline", "damon_reclaim.quota_ms=1", "--seed", "5"]
    assert main(["compare", "guest:pydamon", "guest:host", *RUN, *words, "--quiet", "--json", str(tmp_path / "a")]) == 0
    own, host = (" ".join(command) for command in guest.commands)
    assert own.replace("--engine pydamon", "--engine host") == host
    assert "--duration 6.000000 --seed 5" in host
    assert host.endswith("--cmdline damon_reclaim.quota_ms=1 --module damon_reclaim min_age=1000000")
    assert b"areas:" in guest.files["/run/workload.yaml"]
    assert json.loads((tmp_path / "a").read_text())["seed"] == 5


def test_a_guest_without_a_result_leaves_none(
    guest: StandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    guest.code, guest.err = 3, b"damon: swap: there is none; add some\n"
    path = tmp_path / "a.json"
    assert main(["compare", "pydamon", "guest:host", *RUN, "--quiet", "--json", str(path)]) == 3
    said = capfd.readouterr()
    assert "hot-cold with guest:host: guest:host: damon run in the guest ended with code 3: damon: swap" in said.err
    assert (said.out, path.exists()) == ("", False)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--module", "damon_reclaim", "min_age=2s"], 2, "min_age: '2s': is not an unsigned integer"),
        (["--module", "./mine"], 2, "module: ./mine: guests have the modules of this project only"),
        ([], 2, "--module: none is given"),
    ],
)
def test_what_is_wrong_is_reported_before_anything_runs(
    words: list[str], code: int, said: str, guest: StandIn, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", "pydamon", "guest:pydamon", "--sim", "hot-cold", *words]) == code
    printed = capfd.readouterr()
    assert (printed.out, printed.err.count("\n"), guest.commands) == ("", 1, [])
    assert said in printed.err


def test_without_the_harness_one_line_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare_guests, "Host", lambda: Host(module_there=lambda name: name != "paramiko"))
    assert main(["compare", "pydamon", "guest:host", *RUN]) == 3
    assert (
        capfd.readouterr().err
        == "damon: guest:host: packages: paramiko: are not installed; pip install 'pydamon[vmtest]'\n"
    )
