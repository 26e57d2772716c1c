# SPDX-License-Identifier: GPL-2.0-only
"""Processes by name, while another damond runs the same workload and the system has processes of that name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from damon.damond.pids import Own
from damon.damond.placeholder import SHOWN_BY
from tests.damond.conftest import Damond, monitor, serving

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="damon exec needs root")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Damond, Damond]]:
    """Two damonds with the same workload, each with one worker."""
    with serving(tmp_path_factory.mktemp("one")) as one, serving(tmp_path_factory.mktemp("other")) as other:
        made = one(), other()
        for damond in made:
            (monitor(damond.wait()) / "state").write_text("on")
        yield made
        assert [damond.end() for damond in made] == [0, 0], [damond.log.read_text() for damond in made]
        assert not any("Traceback" in damond.log.read_text() for damond in made)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A process of the system called main; its program."""
    (tmp_path / "main").symlink_to("/bin/cat")
    with subprocess.Popen([tmp_path / "main"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        yield tmp_path / "main", process
        process.stdin.close()


def _shown(damond: Damond) -> dict[str, int]:
    status = damond.status()
    return {"main": status["processes"][0]["pid"], "kdamond.0": status["kdamonds"][0]["pid"]}


Two = tuple[Damond, Damond]
Stranger = tuple[Path, "subprocess.Popen[bytes]"]


@needs_root
def test_by_name_only_ours(two: Two, stranger: Stranger) -> None:
    shown = [_shown(damond) for damond in two]
    assert len({*shown[0].values(), *shown[1].values()}) == 4
    for damond, own in zip(two, shown, strict=True):
        main, worker = own["main"], own["kdamond.0"]
        said = damond.out(
            "pidof main; pidof -s main kdamond.0 | wc -w; pidof kdamond.0; pgrep -x main; pgrep -xc main; "
            "pgrep -xl main; pgrep -xn 'main|kdamond.0'; pgrep -d, -xo 'main|kdamond.0'; pidof -q main; echo $?",
        ).splitlines()
        assert said == [*map(str, (main, 1, worker, main, 1)), f"{main} main", str(worker), str(main), "0"]


@needs_root
def test_the_commands_own_processes_and_nothing_else(two: Two, stranger: Stranger) -> None:
    program, process = stranger
    main = _shown(two[0])["main"]
    said = (
        two[0]
        .out(
            f"cd {program.parent}; ln -s /bin/sleep mine; ./mine 600 & echo $!; until pidof mine; do :; done; "
            "ln -sf /bin/sleep main2; pgrep -x systemd; pidof nothing; echo $?; "
            "pkill -e -KILL -x mine; wait; pidof mine; pgrep -x mine; echo $?; pkill -0 -x 'main|mine'; echo $?",
        )
        .split()
    )
    assert said == [said[0], said[0], "1", "process", said[0], "killed", "1", "0"]
    assert process.poll() is None
    assert Path(f"/proc/{main}").exists()


@needs_root
def test_unknown_options_are_reported(two: Two) -> None:
    for words, code in (("pidof --nonsense main", 2), ("pgrep -Z main", 2), ("pkill --signal NOPE main", 2)):
        done = two[0].damon("exec", "--", *words.split())
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done
    assert two[0].damon("exec", "--", "pgrep", "--version").stdout.startswith("pgrep from")


def test_pid_by_the_client(two: Two) -> None:
    own = _shown(two[1])
    said = two[1].damon("pid", "main", "kdamond.0")
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.split() == [str(own["main"]), str(own["kdamond.0"])]
    none = two[1].damon("pid", "nope", "main")
    assert (none.returncode, none.stdout) == (1, f"{own['main']}\n")
    assert (
        none.stderr
        == f"damon: pid 'nope': no such process; it has main ({own['main']}), kdamond.0 ({own['kdamond.0']})\n"
    )


def test_on_real_page_tables_the_systems_processes_are_there(tmp_path: Path) -> None:
    """Dictated: 1 is of the system, 2 shown by another damond, 3 by ours, 4 the command's own, 5 closed to us."""
    for pid, environ, namespace in (
        ("1", b"A=1\0", 7),
        ("2", f"{SHOWN_BY}=9\0".encode(), 7),
        ("3", b"", 7),
        ("4", b"", 8),
    ):
        (tmp_path / pid / "ns").mkdir(parents=True)
        (tmp_path / pid / "environ").write_bytes(environ)
        (tmp_path / pid / "ns/mnt").symlink_to(f"mnt:[{namespace}]")
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/mnt").symlink_to("mnt:[8]")
    (tmp_path / "5").mkdir()
    for simulated, there in ((False, {1, 3, 4, 5}), (True, {3, 4})):
        own = Own(8, frozenset({3}), simulated)
        assert {pid for pid in range(1, 7) if own.has(pid, tmp_path)} == there
