# SPDX-License-Identifier: GPL-2.0-only
"""``--tree``: an exported file among a kernel tree's samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.results import POLICIES, export
from tests.files import lay

MAKEFILE = "obj-$(CONFIG_SAMPLE_DAMON_PRCL) += prcl.o"


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return lay(tmp_path / "linux/samples/damon", {"Makefile": MAKEFILE})  # no end of line


def test_built_in_once(samples: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = samples.parents[1]
    assert export("proactive_reclaim", "kernel-c", "--tree", tree) == 0
    said = capsys.readouterr()
    assert said.out == ""
    assert "CONFIG_SAMPLES=y and CONFIG_SAMPLE_DAMON_PRCL=y" in said.err
    assert (samples / "Makefile").read_text() == f"{MAKEFILE}\nobj-y += proactive_reclaim.o\n"
    first = (samples / "proactive_reclaim.c").read_text()
    (samples / "proactive_reclaim.c").write_text(first.replace("50;", "51;"))
    assert export("proactive_reclaim", "kernel-c", "--tree", tree) == 0
    assert (samples / "proactive_reclaim.c").read_text() == first
    assert (samples / "Makefile").read_text().count("proactive_reclaim.o") == 1


def test_other_files_stay(samples: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (samples / "prcl.c").write_text("/* the tree's */\n")
    policy = tmp_path / "prcl.py"
    policy.write_text((POLICIES / "proactive_reclaim.py").read_text())
    assert export(policy, "kernel-c", "--tree", samples.parents[1]) == 2
    assert "samples/damon/prcl.c: is not an exported file; give the policy another name" in capsys.readouterr().err
    assert (samples / "prcl.c").read_text() == "/* the tree's */\n"
    assert (samples / "Makefile").read_text() == MAKEFILE


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export("proactive_reclaim", "kernel-c", "--tree", tmp_path) == 2
    assert "it has no samples/damon/Makefile; give a kernel tree" in capsys.readouterr().err
    assert export("proactive_reclaim", "sysfs-script", "--tree", tmp_path) == 2
    assert "is for kernel-c, not for sysfs-script" in capsys.readouterr().err
