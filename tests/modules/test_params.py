# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's value grammar (DAMON spec, modules, head)."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import DamonError
from damon.modules.params import (
    Parameter,
    ParamSpec,
    Value,
    parse_bool,
    parse_int,
    parse_long,
    parse_ulong,
    parse_value,
)
from tests.refusals import refused


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("5", 5), ("+5", 5), ("5\n", 5), ("0x1f", 31), ("0X1F\n", 31), ("017", 15), ("00", 0),
     ("0" * 5000 + "17", 15), ("0x" + "0" * 5000, 0),
     ("18446744073709551615", 2**64 - 1), ("0xffffffffffffffff", 2**64 - 1)],
)  # fmt: skip
def test_ulong(text: str, value: int) -> None:
    assert parse_ulong(text) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [("", errno.EINVAL), ("\n", errno.EINVAL), ("-1", errno.EINVAL), ("5 ", errno.EINVAL), (" 5", errno.EINVAL),
     ("5\n\n", errno.EINVAL), ("5x", errno.EINVAL), ("08", errno.EINVAL), ("0x", errno.EINVAL), ("++5", errno.EINVAL),
     ("5.0", errno.EINVAL), ("1e3", errno.EINVAL), ("5M", errno.EINVAL), ("٣", errno.EINVAL), ("1_000", errno.EINVAL),
     ("18446744073709551616", errno.ERANGE), ("99999999999999999999999x", errno.ERANGE),
     ("9" * 5000, errno.ERANGE), ("0x" + "f" * 5000, errno.ERANGE), ("0" + "7" * 5000 + "8", errno.ERANGE)],
)  # fmt: skip
def test_ulong_refused(text: str, code: int) -> None:
    with pytest.raises(DamonError) as caught:
        parse_ulong(text)
    assert caught.value.errno == code


@pytest.mark.parametrize(
    ("text", "value"),
    [("Y", True), ("y\n", True), ("T", True), ("true", True), ("1", True), ("yonder", True), ("on", True), ("ON", True),
     ("N", False), ("n", False), ("F", False), ("false", False), ("0", False), ("off", False), ("oF", False),
     ("of", False), ("onion", True)],
)  # fmt: skip
def test_bool(text: str, value: bool) -> None:
    assert parse_bool(text) is value


@pytest.mark.parametrize("text", ["", "\n", "x", "2", "o", "ox", "o\n", " Y", "-1"])
def test_bool_refused(text: str) -> None:
    with refused(errno.EINVAL):
        parse_bool(text)


@pytest.mark.parametrize(("text", "value"), [("-1\n", -1), ("+7", 7), ("-0x10", -16), ("2147483647", 2**31 - 1)])
def test_int(text: str, value: int) -> None:
    assert parse_int(text) == value


@pytest.mark.parametrize(
    ("text", "code"),
    [("2147483648", errno.ERANGE), ("-2147483649", errno.ERANGE), ("99999999999999999999x", errno.ERANGE),
     ("--1", errno.EINVAL), ("-+1", errno.EINVAL), ("-", errno.EINVAL), ("", errno.EINVAL)],
)  # fmt: skip
def test_int_refused(text: str, code: int) -> None:
    with pytest.raises(DamonError) as caught:
        parse_int(text)
    assert caught.value.errno == code


def test_long() -> None:
    assert (parse_long("-9223372036854775808"), parse_long("0x7fffffffffffffff\n")) == (-(2**63), 2**63 - 1)
    for text in ("9223372036854775808", "-9223372036854775809"):
        with refused(errno.ERANGE):
            parse_long(text)


@pytest.mark.parametrize(("text", "value"), [("1,-2,3\n", (1, -2, 3)), ("0x10", (16,)), ("5\0rest", (5,))])
def test_array(text: str, value: tuple[int, ...]) -> None:
    assert parse_value("array of long", text, length=3) == value


@pytest.mark.parametrize("text", ["", ",", "1,", "1,2,3,4", "1 ,2", "1,x"])
def test_array_refused(text: str) -> None:
    with refused(errno.EINVAL):
        parse_value("array of long", text, length=3)


@given(st.integers(0, 2**64 - 1), st.sampled_from(["{}", "+{}", "{:#x}", "0{:o}", "{}\n"]))
def test_what_is_shown_can_be_stored_again(value: int, form: str) -> None:
    parameter = Parameter(ParamSpec("x", "ulong", 0, "for tests"))
    parameter.store(form.format(value))
    assert parameter.value == value
    parameter.store(parameter.show())
    assert parameter.value == value


@given(st.text(max_size=12))
def test_any_text_is_stored_or_refused_with_the_value_unchanged(text: str) -> None:
    defaults: dict[str, Value] = {"ulong": 7, "long": -7, "int": 7, "bool": False, "array of long": (1,)}
    for kind, default in defaults.items():
        parameter = Parameter(ParamSpec("x", kind, default, "for tests", length=3))
        try:
            parameter.store(text)
        except DamonError as error:
            assert parameter.value == default
            assert "\n" not in str(error)
            assert "x: " in str(error)


def test_read_only() -> None:
    parameter = Parameter(ParamSpec("x", "ulong", 0, "for tests", perm=0o400))
    with refused(errno.EACCES):
        parameter.store("1")
