# SPDX-License-Identifier: GPL-2.0-only
"""Value files: each keeps what was last stored and shows it again (DAMON spec, sysfs 1.1)."""

from __future__ import annotations

import enum
import errno
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Generic, TypeVar

from damon.errors import DamonError, InvalidInput
from damon.model.attrs import U32_MAX
from damon.modules.params import parse_bool, parse_int, parse_ulong
from damon.modules.sysfs.node import Directory, File, Node
from damon.quoting import quoted

V = TypeVar("V")
E = TypeVar("E", bound=enum.Enum)


class Value(File, Generic[V]):
    """One staged value.

    Args:
        value: the default.
        parse: text to value; raises ``InvalidInput``.
        form: value to text.
        check: raises to refuse a parsed value.
        einval: every parse error is EINVAL, ERANGE as well.
    """

    __slots__ = ("_check_value", "_einval", "_form", "_parse", "value")

    def __init__(
        self,
        value: V,
        parse: Callable[[str], V],
        form: Callable[[V], str] = str,
        *,
        check: Callable[[V], None] | None = None,
        einval: bool = False,
    ) -> None:
        super().__init__(lambda: self._form(self.value) + "\n", self._take)
        self.value = value
        self._parse, self._form, self._check_value, self._einval = parse, form, check, einval

    def _take(self, text: str) -> None:
        try:
            value = self._parse(text)
        except InvalidInput as error:
            number = errno.EINVAL if self._einval else error.errno or errno.EINVAL
            raise DamonError(number, f"{quoted(text.strip())}: {error.strerror}") from None
        if self._check_value is not None:
            self._check_value(value)
        self.value = value


def parse_uint(text: str) -> int:
    """As ``parse_ulong``, 32 bits wide."""
    value = parse_ulong(text)
    if value > U32_MAX:
        raise InvalidInput(f"is too large; give at most {U32_MAX}", errno.ERANGE)
    return value


def ulong(value: int = 0, *, check: Callable[[int], None] | None = None, einval: bool = False) -> Value[int]:
    return Value(value, parse_ulong, check=check, einval=einval)


def uint(value: int = 0, *, check: Callable[[int], None] | None = None, einval: bool = False) -> Value[int]:
    return Value(value, parse_uint, check=check, einval=einval)


def integer(value: int = 0, *, einval: bool = False) -> Value[int]:
    return Value(value, parse_int, einval=einval)


def boolean(value: bool = False) -> Value[bool]:
    return Value(value, parse_bool, lambda flag: "Y" if flag else "N")


def path() -> Value[str]:
    """Kept as written, trailing newline included."""
    return Value("", lambda text: text)


class Shown(File):
    """A number that only the worker's side sets."""

    __slots__ = ("value",)

    def __init__(self, value: int = 0) -> None:
        super().__init__(lambda: f"{self.value}\n")
        self.value = value


class Keyword(Value[str], Generic[E]):
    """One word of ``words`` (by default an enum's values, in its order)."""

    __slots__ = ("_members", "_words")

    def __init__(self, default: E, words: Iterable[E] | None = None) -> None:
        super().__init__(str(default.value), self._word)
        self._words = [str(member.value) for member in (type(default) if words is None else words)]
        self._members: Mapping[str, E] = {str(member.value): member for member in type(default)}

    def _word(self, text: str) -> str:
        word = text.removesuffix("\n")
        if word not in self._words:
            raise InvalidInput(f"is unknown; give one of {', '.join(self._words)}")
        return word

    @property
    def member(self) -> E:
        return self._members[self.value]


#: More entries than one allocation of the kernel can list.
MAX_CHILDREN: Final = (4 << 20) // 8

D = TypeVar("D", bound=Directory)


class Numbered(Directory, Generic[D]):
    """A directory with ``nr_NAME``: writing N removes all children and makes 0..N-1 anew (spec, sysfs 1.2).

    A child comes into being when it is first asked for.

    Args:
        name: of the count file, after ``nr_``.
        make: a new child.
        held: the tree's lock.
        limit: most children.
        veto: raises when the children must stay.
    """

    __slots__ = ("_held", "_limit", "_make", "_name", "_veto", "nr")

    def __init__(
        self,
        name: str,
        make: Callable[[], D],
        held: Callable[[], AbstractContextManager[None]],
        *,
        limit: int | None = None,
        veto: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self._name, self._make, self._held, self._limit, self._veto = f"nr_{name}", make, held, limit, veto
        self.nr = 0
        self.add(self._name, File(lambda: f"{self.nr}\n", self._store))

    def names(self) -> Sequence[str]:
        return [self._name, *map(str, range(self.nr))]

    def child(self, name: str) -> Node | None:
        if name == self._name:
            return super().child(name)
        index = int(name) if name.isascii() and name.isdigit() and len(name) < 20 else -1
        return self[index] if 0 <= index < self.nr and name == str(index) else None

    def made_child(self, name: str) -> Node | None:
        return super().child(name)

    def __getitem__(self, index: int) -> D:
        """Child ``index``."""
        if not 0 <= index < self.nr:
            raise IndexError(f"{self._name} is {self.nr}: there is no {index}")
        found = super().child(str(index))
        if found is None:
            found = self.add(str(index), self._make())
            self._bring_up_to_date(index, found)
        return found  # type: ignore[return-value]

    def _bring_up_to_date(self, index: int, child: D) -> None:
        """Child ``index`` has just come into being: what would have been written into it before?"""

    def __len__(self) -> int:
        return self.nr

    def __iter__(self) -> Iterator[D]:
        return (self[index] for index in range(self.nr))

    def staged(self) -> Iterator[tuple[D, bool]]:
        """The children in order, to read what they stage, and whether they were asked for.

        The others are one and the same, with the defaults: there may be hundreds of thousands.
        """
        default: D | None = None
        for index in range(self.nr):
            found = super().child(str(index))
            if found is not None:
                yield found, True  # type: ignore[misc]
                continue
            if default is None:
                default = self._make()
            yield default, False

    def made(self) -> Iterator[D]:
        """The children that were asked for: no other has a value of its own."""
        for name in super().names():
            found = super().child(name)
            if name != self._name and found is not None:
                yield found  # type: ignore[misc]

    def numbered(self) -> list[tuple[int, D]]:
        """The same with their numbers, in that order."""
        found = ((name, super(Numbered, self).child(name)) for name in super().names() if name != self._name)
        return sorted((int(name), child) for name, child in found if child is not None)  # type: ignore[misc]

    def clear(self) -> None:
        """Remove all children."""
        self.nr = 0
        for name in super().names():
            if name != self._name:
                self.drop(name)

    def _store(self, text: str) -> None:
        try:
            count = parse_int(text)
        except InvalidInput as error:
            raise InvalidInput(f"{self._name}: {quoted(text.strip())}: {error.strerror}", error.errno or 0) from None
        if count < 0 or (self._limit is not None and count > self._limit):
            most = " or more" if self._limit is None else f"..{self._limit}"
            raise InvalidInput(f"{self._name}: {count}: is out of range; give 0{most}")
        with self._held():
            if self._veto is not None:
                self._veto()
            self.clear()
            if count > MAX_CHILDREN:
                raise DamonError(errno.ENOMEM, f"{self._name}: {count}: are too many; give at most {MAX_CHILDREN}")
            self.nr = count
