# SPDX-License-Identifier: GPL-2.0-only
"""Module parameters with the kernel's value grammar, permissions and defaults (DAMON spec, modules, head).

A ``Parameter`` behaves like its file under ``/sys/module/NAME/parameters/``: ``store`` takes the text that is written,
``show`` gives the text that is read.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from damon.errors import InvalidInput
from damon.model.attrs import ULONG_MAX
from damon.quoting import quoted
from damon.units import as_plain

Value = int | bool | tuple[int, ...]


#: Of any base. What has more is larger than any type, and Python refuses to convert it when it has very many.
_MOST_DIGITS: Final = 64
_TOO_LARGE: Final = 1 << 64


def _digits(text: str) -> tuple[int, str] | None:
    """The number that ``text`` begins with, by the base of its prefix, and what follows; None without a digit."""
    base, start = 10, 0
    if text[:2].lower() == "0x" and text[2:3] and text[2] in "0123456789abcdefABCDEF":
        base, start = 16, 2
    elif text[:1] == "0":
        base = 8
    end = start
    while end < len(text) and text[end].isascii() and text[end].isalnum() and int(text[end], 36) < base:
        end += 1
    digits = text[start:end].lstrip("0") or "0"
    value = int(digits, base) if len(digits) <= _MOST_DIGITS else _TOO_LARGE
    return (value, text[end:]) if end > start else None


def parse_ulong(text: str) -> int:
    """Decimal, ``0x`` hexadecimal or ``0`` octal; an optional ``+``, one trailing newline.

    Raises:
        InvalidInput: EINVAL for anything else, ERANGE above 2**64 - 1. The message is the reason alone.
    """
    parsed = _digits(text.removeprefix("+"))
    if parsed is not None and parsed[0] > ULONG_MAX:
        raise InvalidInput(f"is too large; give at most {ULONG_MAX}", errno.ERANGE)
    if parsed is None or parsed[1] not in ("", "\n"):
        raise InvalidInput("is not an unsigned integer; give decimal, 0x hexadecimal or 0 octal digits")
    return parsed[0]


def parse_signed(text: str, bits: int) -> int:
    """As ``parse_ulong``, with an optional ``-``, and ``bits`` wide: 32 for an int, 64 for a long."""
    negative = text.startswith("-")
    parsed = _digits(text[1:] if negative else text.removeprefix("+"))
    value = (-parsed[0] if negative else parsed[0]) if parsed is not None else 0
    low, high = -(1 << bits - 1), (1 << bits - 1) - 1
    if not -(1 << 63) <= value < 1 << 63:
        raise InvalidInput(f"is out of range; give {low}..{high}", errno.ERANGE)
    if parsed is None or parsed[1] not in ("", "\n"):
        raise InvalidInput("is not an integer; give decimal, 0x hexadecimal or 0 octal digits")
    if not low <= value <= high:
        raise InvalidInput(f"is out of range; give {low}..{high}", errno.ERANGE)
    return value


def parse_int(text: str) -> int:
    return parse_signed(text, 32)


def parse_long(text: str) -> int:
    return parse_signed(text, 64)


def parse_bool(text: str) -> bool:
    """Y y T t 1 or N n F f 0 as the first character, or ``on`` / ``of...`` in any case."""
    first, second = text[:1], text[1:2].lower()
    if first and first in "yYtT1":
        return True
    if first and first in "nNfF0":
        return False
    if first and first in "oO" and second and second in "nf":
        return second == "n"
    raise InvalidInput("is not a truth value; give Y or N")


_SCALARS: Final[dict[str, Callable[[str], int | bool]]] = {
    "ulong": parse_ulong,
    "long": parse_long,
    "int": parse_int,
    "bool": parse_bool,
}
_ARRAY: Final = "array of "


def parse_value(type_name: str, text: str, length: int = 0) -> Value:
    """``text`` as a value of a ``ParamSpec.type``; arrays have at most ``length`` elements, separated by commas."""
    text = text.partition("\0")[0]
    if not type_name.startswith(_ARRAY):
        return _SCALARS[type_name](text)
    words = text.split(",")
    if len(words) > length:
        raise InvalidInput(f"has {len(words)} elements; give at most {length}")
    return tuple(_SCALARS[type_name.removeprefix(_ARRAY)](word) for word in words)


def show_value(value: Value) -> str:
    """As the kernel prints it, without the newline."""
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


@dataclass(frozen=True)
class ParamSpec:
    """The declaration of one parameter."""

    name: str
    type: str  #: "ulong", "long", "int", "bool", or "array of ..." one of them
    default: Value
    description: str  #: one line
    unit: str = ""  #: of the value; empty for a truth value
    perm: int = 0o600  #: 0o400: read only
    length: int = 0  #: most elements of an array

    @property
    def writable(self) -> bool:
        return bool(self.perm & 0o200)


class Parameter:
    """One parameter of a loaded module.

    Args:
        spec: its declaration.
        setter: called with the parsed value before it is kept; raises to refuse it.
        getter: gives the value to show, for parameters whose value is a state.
        fresh: called before the value is read, to bring it up to date.
        bare: text meant by the parameter's name alone on the command line; None where a value is needed.
    """

    def __init__(
        self,
        spec: ParamSpec,
        *,
        setter: Callable[[Value], None] | None = None,
        getter: Callable[[], Value] | None = None,
        fresh: Callable[[], None] | None = None,
        bare: str | None = None,
    ) -> None:
        self.spec = spec
        self._setter, self._getter, self._fresh = setter, getter, fresh
        self.bare = bare if bare is not None else ("Y" if spec.type == "bool" else None)
        self._value = spec.default

    @property
    def value(self) -> Value:
        if self._fresh is not None:
            self._fresh()
        return self._getter() if self._getter is not None else self._value

    @value.setter
    def value(self, value: Value) -> None:
        """Set by the module itself; no check."""
        self._value = value

    @property
    def number(self) -> int:
        """The value of an integer parameter."""
        value = self.value
        assert isinstance(value, int)
        return value

    def parse(self, text: str) -> Value:
        """The value that ``text`` stands for; EINVAL or ERANGE with parameter, value and remedy."""
        try:
            return parse_value(self.spec.type, text, self.spec.length)
        except InvalidInput as error:
            plain = as_plain(text, self.spec.unit) if error.errno == errno.EINVAL else None
            hint = "" if plain is None else f", in {self.spec.unit}: {plain}"
            message = f"{self.spec.name}: {quoted(text.strip())}: {error.strerror}{hint}"
            raise InvalidInput(message, error.errno or 0) from None

    def store(self, text: str) -> None:
        """Write ``text``.

        Raises:
            DamonError: refused; the value is unchanged. EACCES for a read-only parameter, as on opening its file.
        """
        if not self.spec.writable:
            raise InvalidInput(
                f"{self.spec.name}: {quoted(text.strip())}: it is read only; read it, or leave it out", errno.EACCES
            )
        value = self.parse(text)
        if self._setter is not None:
            self._setter(value)
        self._value = value

    def show(self) -> str:
        """What reading the file gives, newline included."""
        return show_value(self.value) + "\n"


class Parameters(dict[str, Parameter]):
    """The parameters of one module by name, in order of declaration."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        super().__init__((parameter.spec.name, parameter) for parameter in parameters)

    def values_by_name(self) -> dict[str, Value]:
        return {name: parameter.value for name, parameter in self.items()}
