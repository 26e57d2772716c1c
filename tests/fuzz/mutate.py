# SPDX-License-Identifier: GPL-2.0-only
"""Mutations of inputs: bytes, words, lines, trees in JSON and YAML. The same seed gives the same inputs."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import re
import zlib
from collections.abc import Sequence
from typing import Any, Final

from tests.fuzz.words import MARKS, VALUES, WORDS

#: No input of the fuzzers is longer; limits of sizes have tests of their own.
LONGEST: Final = 1 << 16

_TOKEN: Final = re.compile(rb"[A-Za-z0-9_.]+|[^\sA-Za-z0-9_.]|\s+")
#: What a value of YAML stands behind.
_BEFORE: Final = re.compile(rb"[:,\[-] ")


class Mutator:
    """Makes inputs from ``seeds``.

    Args:
        seeds: inputs that are right, or almost.
        form: ``text``, ``json``, ``yaml``, or ``zlib`` (JSON, compressed).
        number: the seed of all choices.
    """

    def __init__(self, seeds: Sequence[bytes], form: str, number: int) -> None:
        self._seeds, self._form = list(seeds), form
        self._random = random.Random(number)
        self._words: list[bytes] = [
            *WORDS,
            *{word for seed in seeds for word in _TOKEN.findall(self._plain(seed)[:4000])},
        ]

    def _plain(self, data: bytes) -> bytes:
        if self._form == "zlib":
            with contextlib.suppress(zlib.error):
                return zlib.decompress(data)
        return data

    def next(self) -> bytes:
        """An input."""
        choose = self._random
        data = choose.choice(self._seeds)
        if self._form == "zlib" and choose.random() < 0.9:
            data = self._plain(data)
        if self._form != "text" and choose.random() < 0.5:
            data = self._tree(data)
        for _ in range(choose.choice((0, 1, 1, 1, 2, 3, 8))):
            data = choose.choice((self._bytes, self._token, self._token, self._lines, self._splice))(data)[:LONGEST]
        if self._form == "yaml" and choose.random() < 0.3:
            data = self._mark(data)
        data = data[:LONGEST]
        if self._form == "zlib" and choose.random() < 0.7:
            data = zlib.compress(data, 1)
            if choose.random() < 0.2:
                data = self._bytes(data)
        return data

    def _bytes(self, data: bytes) -> bytes:
        """A byte or a run of them changed, taken away, doubled; or the end cut off."""
        choose = self._random
        at = choose.randrange(len(data) + 1)
        size = choose.choice((1, 1, 2, 8, 64, 1000))
        kind = choose.randrange(5)
        if kind == 0 and data:
            at = min(at, len(data) - 1)
            return data[:at] + bytes([data[at] ^ (1 << choose.randrange(8))]) + data[at + 1 :]
        if kind == 1:
            return data[:at] + data[at + size :]
        if kind == 2:
            return data[:at] + data[at : at + size] * choose.choice((2, 3, 50)) + data[at + size :]
        if kind == 3:
            return data[:at] + choose.randbytes(min(size, 8)) + data[at:]
        return data[:at]

    def _token(self, data: bytes) -> bytes:
        """A word in another's place, or between two."""
        tokens: list[bytes] = _TOKEN.findall(data)
        if not tokens:
            return self._random.choice(self._words)
        at = self._random.randrange(len(tokens))
        word = self._random.choice(self._words)
        tokens[at : at + self._random.choice((0, 1, 1, 1))] = [word]
        return b"".join(tokens)

    def _mark(self, data: bytes) -> bytes:
        """A tag, an anchor or an alias before a value."""
        places = [match.end() for match in _BEFORE.finditer(data)]
        for at in self._random.choices(places, k=self._random.choice((1, 1, 2, 4))) if places else ():
            data = data[:at] + self._random.choice(MARKS) + data[at:]
        return data

    def _lines(self, data: bytes) -> bytes:
        """A line away, doubled or in another place."""
        lines = data.split(b"\n")
        line = lines.pop(self._random.randrange(len(lines)))
        for _ in range(self._random.choice((0, 1, 2, 200))):
            lines.insert(self._random.randrange(len(lines) + 1), line)
        return b"\n".join(lines)

    def _splice(self, data: bytes) -> bytes:
        """The begin of this and the end of another."""
        other = self._plain(self._random.choice(self._seeds))
        return data[: self._random.randrange(len(data) + 1)] + other[self._random.randrange(len(other) + 1) :]

    def _tree(self, data: bytes) -> bytes:
        """A value of the tree away, in another's place, or another value. JSON is YAML as well."""
        tree = self._parsed(data)
        if tree is None:
            return data
        for _ in range(self._random.choice((1, 1, 2, 4))):
            places = list(_places(tree))
            if not places:
                break
            holder, key = self._random.choice(places)
            kind = self._random.randrange(6)
            if kind == 0:
                del holder[key]
            elif kind == 1:
                donor, other = self._random.choice(places)
                with contextlib.suppress(KeyError, IndexError):
                    holder[key] = json.loads(json.dumps(donor[other]))
            elif kind == 2 and isinstance(holder, dict):
                holder[self._text()] = holder.pop(key)
            elif kind == 3:
                holder[key] = [holder[key]] * self._random.choice((1, 2, 8))
            elif kind == 4:
                holder[key] = self._text()
            else:
                holder[key] = copy.deepcopy(self._random.choice(VALUES))  # the tree is changed further
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(tree, ensure_ascii=self._random.random() < 0.5).encode("utf-8", "surrogatepass")
        return data

    def _text(self) -> str:
        return self._random.choice(self._words).decode(errors="replace")

    def _parsed(self, data: bytes) -> Any:
        try:
            if self._form == "yaml":
                from damon.workload.yaml12 import compose, plain

                return plain(compose(data.decode()))
            return json.loads(data)
        except (ValueError, RecursionError):
            return None


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Each container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    waiting = [tree]
    while waiting and len(found) < 5000:
        holder = waiting.pop()
        if isinstance(holder, (dict, list)):
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            found += [(holder, key) for key in keys]
            waiting += [holder[key] for key in keys]
    return found
