# SPDX-License-Identifier: GPL-2.0-only
"""The result file: what a kill leaves, what is no such file, and one process at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from damon.errors import InvalidInput
from damon.tune.request import Request, Result
from damon.tune.results import Results, encode, read

REQUESTS = [Request("h", "w", "pydamon", "1", {"m": [f"a={nr}"]}, nr, 10) for nr in range(4)]
DONE = Result("refused", why="no")


def _write(path: Path, requests: list[Request]) -> None:
    with Results(path) as results:
        for request in requests:
            results.add(request, DONE)


def test_lines_come_back_in_the_studys_order(tmp_path: Path) -> None:
    path, other = tmp_path / "r", tmp_path / "o"
    _write(path, REQUESTS[::-1])
    with Results(path) as results:
        assert [results.get(one) for one in REQUESTS] == [DONE] * 4
        assert results.get(Request("h", "w", "pydamon", "1", {"m": ["a=9"]}, 0, 10)) is None
        results.finish(REQUESTS[:3])
    _write(other, REQUESTS)
    assert [line.request for _, line in read(path)] == REQUESTS
    assert path.read_bytes() == other.read_bytes()


def test_a_torn_line_is_dropped_wherever_it_was_torn(tmp_path: Path) -> None:
    path = tmp_path / "r"
    _write(path, REQUESTS[:2])
    whole = path.read_bytes()
    start = len(whole) - len(encode(REQUESTS[1], DONE))
    for end in (*range(0, start, 7), *range(start, len(whole), 31)):
        path.write_bytes(whole[:end])
        with Results(path) as results:
            known = [results.get(one) is not None for one in REQUESTS[:2]]
            assert known == [end >= start, False]
            for one, there in zip(REQUESTS, known, strict=False):
                if not there:
                    results.add(one, DONE)
        assert path.read_bytes() == whole, end


def test_nothing_is_left_of_a_torn_line_that_was_longer(tmp_path: Path) -> None:
    path = tmp_path / "r"
    with Results(path) as results:
        results.add(REQUESTS[0], Result("refused", why="no" * 200))
    path.write_bytes(path.read_bytes()[:-1])
    _write(path, REQUESTS[1:2])
    assert [line.request for _, line in read(path)] == REQUESTS[1:2]
    assert path.read_bytes().endswith(encode(REQUESTS[1], DONE))


def test_another_process_cannot_append(tmp_path: Path) -> None:
    with Results(tmp_path / "r"), pytest.raises(InvalidInput, match="another search"):
        Results(tmp_path / "r")
    with Results(tmp_path / "r"):
        """It has been let go."""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello\n", "line 1 is not that"), (b"{}\n", "line 1 is not that"), (b'{"format":2}\n', "version"),
        (b"%HEAD%{}\n", "line 2 is not a run"), (b"%HEAD%\xff\n", "line 2 is not a run"),
        (b'%HEAD%{"key":"x","request":{"workload":"","name":"","engine":"","version":"","modules":{},"seed":1,'
         b'"duration_us":1,"rules":null},"result":{"outcome":"complete","measured":[],"why":""}}\n', "has a key"),
        (b"x" * (1 << 20), "longer than"),
    ],
)  # fmt: skip
def test_what_is_no_result_file_is_left_as_it_is(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "r"
    _write(path, [])
    content = content.replace(b"%HEAD%", path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=why):
        Results(path)
    assert path.read_bytes() == content


def test_a_key_is_of_all_that_decides_a_result() -> None:
    request = REQUESTS[0]
    changed = [
        Request("i", "w", "pydamon", "1", {"m": ["a=0"]}, 0, 10), Request("h", "w", "", "1", {"m": ["a=0"]}, 0, 10),
        Request("h", "w", "pydamon", "2", {"m": ["a=0"]}, 0, 10), Request("h", "w", "pydamon", "1", {"m": []}, 0, 10),
        Request("h", "w", "pydamon", "1", {"m": ["a=0"]}, 1, 10),
        Request("h", "w", "pydamon", "1", {"m": ["a=0"]}, 0, 11),
    ]  # fmt: skip
    assert len({one.key() for one in [request, *changed]}) == 7
