# SPDX-License-Identifier: GPL-2.0-only
"""The table of features: what it claims is what its tests and links show, and its words follow the outcomes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import features
from tests.documentation import anchors
from tests.features import Row, State
from tests.rules.import_cycles import imported

#: What runs on either of these does not dictate its memory.
REAL_MACHINES = ("damon.mm.sim", "damon.mm.linux")
GUEST_TEST = "vm/test_a.py::test_b"
ROW = Row("group", "feature", "a.py::test_b", GUEST_TEST)
LIMITED = replace(ROW, lacks="not all", limit="explanation/linux.md#what-it-costs")


def _machines(path: Path) -> set[str]:
    """The machines that a test file, its conftest or what they share with other tests imports."""
    left, seen, found = [path, path.parent / "conftest.py"], set(), set()
    while left:
        file = left.pop()
        if file in seen or not file.exists() or file == features.HERE / "conftest.py":
            continue
        seen.add(file)
        for module, _ in imported("", file):
            found |= {machine for machine in REAL_MACHINES if module.startswith(machine)}
            if module.startswith("tests."):
                left.append(features.HERE.parent / f"{module.replace('.', '/')}.py")
    return found


def _collected(tests: set[str], *options: str) -> set[str]:
    """Those of ``tests`` that pytest finds, by itself or some of its parameters."""
    files = {f"tests/{test.partition('::')[0]}" for test in tests}
    words = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *options, *sorted(files)]
    done = subprocess.run(words, cwd=features.HERE.parent, capture_output=True, text=True, check=False)
    nodes = dict.fromkeys(done.stdout.splitlines(), "passed")
    return {test for test in tests if features.node_ids(test, nodes)}


def _functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_named_tests_exist() -> None:
    named = {tuple(test.split("::")) for test in features.named_tests()}
    missing = {(file, test) for file, test in named if test.partition("[")[0] not in _functions(features.HERE / file)}
    assert missing == set()


def test_named_parameters_exist() -> None:
    named = {test for test in features.named_tests() if "[" in test and not test.startswith(features.GUESTS)}
    assert named - _collected(named) == set()


def test_what_ran_in_a_guest_is_there_and_has_the_guests_marker() -> None:
    claimed = {row.linux for row in features.rows() if row.state in (State.GUEST, State.PARTIAL)}
    assert claimed - _collected(claimed, "-m", "guest and not arm64") == set()


def test_what_is_independent_of_the_machine_dictates_its_memory() -> None:
    files = {row.linux.partition("::")[0] for row in features.rows() if row.state is State.INDEPENDENT}
    assert {file: found for file in files if (found := _machines(features.HERE / file))} == {}
    assert _machines(features.HERE / "modules/test_on_the_simulator.py") == {"damon.mm.sim"}


def test_rows_show_what_they_claim() -> None:
    assert [(row.feature, *found) for row in features.rows() if (found := list(features.faults(row)))] == []


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (ROW, State.GUEST),
        (LIMITED, State.PARTIAL),
        (replace(ROW, linux=ROW.sim), State.INDEPENDENT),
        (replace(ROW, linux="core/vm/test_a.py::test_b"), State.INDEPENDENT),
        (replace(ROW, linux="no: why"), State.NO),
    ],
)
def test_the_state_follows_from_the_test(row: Row, state: State) -> None:
    assert row.state is state
    assert list(features.faults(row)) == []
    outcomes = {f"tests/{cell}": "passed" for cell in (row.sim, row.linux)}
    assert features._on_linux(row, outcomes).startswith(state.value)


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        (replace(ROW, linux=""), "neither a test nor a reason"),
        (replace(ROW, sim="works"), "neither a test nor a reason"),
        (replace(ROW, linux="no: "), "neither a test nor a reason"),
        (replace(ROW, sim=GUEST_TEST), "one for a guest"),
        (replace(LIMITED, limit=""), "without a link"),
        (replace(LIMITED, lacks=""), "does not say what is lacking"),
        (replace(LIMITED, limit="explanation/linux.md"), "no section"),
        (replace(LIMITED, limit="explanation/linux.md#nothing-of-the-kind"), "no section"),
        (replace(LIMITED, limit="nothing.md#what-it-costs"), "no section"),
        (replace(LIMITED, linux=LIMITED.sim), "does not run in a guest"),
        (replace(LIMITED, linux="no: why", limit="nothing.md"), "no section"),
    ],
)
def test_a_claim_that_is_not_shown_is_a_fault(row: Row, fault: str) -> None:
    (found,) = features.faults(row)
    assert fault in found


def test_sections_are_those_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A `page`: of 2 parts\n\n```\n# no section\n```\n\n## What's new, and what is not\n")
    assert anchors(page) == {"a-page-of-2-parts", "whats-new-and-what-is-not"}


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        ({}, ""),
        ({"tests/a.py::test_b": "passed"}, "works"),
        ({"tests/a.py::test_b[1]": "passed", "tests/a.py::test_b[2]": "failed"}, "**fails**"),
        ({"tests/a.py::test_b[1]": "passed", "tests/a.py::test_b[2]": "skipped"}, ""),
        ({"tests/a.py::test_b": "skipped"}, ""),
        ({"tests/a.py::test_bc": "passed"}, ""),
    ],
)
def test_words_follow_the_outcomes(outcomes: dict[str, str], word: str) -> None:
    assert features.outcome("a.py::test_b", outcomes) == word


def test_no_page_is_written_while_an_outcome_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(features, "PAGE", tmp_path / "page.md")
    nodes = {f"tests/{test}": "passed" for test in features.named_tests()}
    missing = "tests/core/test_quotas.py::test_charging"
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    first.write_text(json.dumps({node: outcome for node, outcome in nodes.items() if node != missing}))
    second.write_text(json.dumps({missing: "failed"}))
    assert features.main([str(first)]) == 1
    assert not features.PAGE.exists()
    assert capsys.readouterr().err == f"{missing}: no outcome: run it with --outcomes\n"
    assert features.main([str(first), str(second)]) == 0
    text = features.PAGE.read_text()
    assert text.count("**fails**") == 2
    assert features.counts(features.rows()) in text


def test_outcomes_are_added_to_a_file(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(features.HERE.parent))
    pytester.makeconftest('pytest_plugins = ["tests.features"]')
    pytester.makepyfile(test_it="def test_one(): ...\ndef test_two(): assert 0")
    for name in ("one", "two"):
        pytester.runpytest_subprocess("-p", "no:cacheprovider", "--outcomes", "out/all.json", "-k", name)
    text = (pytester.path / "out/all.json").read_text()
    assert '"test_it.py::test_one": "passed"' in text
    assert '"test_it.py::test_two": "failed"' in text
