# SPDX-License-Identifier: GPL-2.0-only
"""The table of features: each test that it names is there, and its words follow the outcomes."""

from __future__ import annotations

import pytest

from tests import features


@pytest.mark.parametrize("test", sorted(set(features.named_tests())))
def test_named_tests_exist(test: str) -> None:
    path, _, name = test.partition("::")
    assert name.partition("[")[0] in features.tests_in(features.HERE / path)


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        ({}, "not run"),
        ({"tests/a.py::test_b": "passed"}, "works"),
        ({"tests/a.py::test_b[1]": "passed", "tests/a.py::test_b[2]": "failed"}, "**fails**"),
        ({"tests/a.py::test_b": "skipped"}, "not run"),
        ({"tests/a.py::test_bc": "passed"}, "not run"),
    ],
)
def test_words_follow_the_outcomes(outcomes: dict[str, str], word: str) -> None:
    assert features._said(features.Cell("", "a.py::test_b"), outcomes).startswith(word + " ")


def test_each_row_says_something_of_both_machines() -> None:
    for row in features.rows():
        for cell in (row.sim, row.linux):
            assert cell.test or cell.words == "open" or cell.words.startswith("no: "), row


def test_outcomes_are_added_to_a_file(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(features.HERE.parent))
    pytester.makeconftest('pytest_plugins = ["tests.features"]')
    pytester.makepyfile(test_it="def test_one(): ...\ndef test_two(): assert 0")
    for name in ("one", "two"):
        pytester.runpytest_subprocess("-p", "no:cacheprovider", "--outcomes", "out/all.json", "-k", name)
    text = (pytester.path / "out/all.json").read_text()
    assert '"test_it.py::test_one": "passed"' in text
    assert '"test_it.py::test_two": "failed"' in text
