# SPDX-License-Identifier: GPL-2.0-only
# ruff: noqa: E501 - a word a column would be no better
"""Words and values that parsers get wrong."""

from __future__ import annotations

from typing import Any, Final

#: Values that parsers get wrong: bounds, other grammars, other scripts, very long.
WORDS: Final = tuple(
    word.encode("utf-8", "surrogatepass")
    for word in (
        *["0", "-0", "1", "-1", "+1", "00", "010", "0o10", "0x1F", "0x", "0b1", "1_000", "1,000", "1e3", "1e999", "-1e999", "1e-999", ".5", "5.", ".", ".inf", "-.inf", ".nan", "NaN"],
        *["Infinity", "nan", "inf", "1:30", "12:30:45", "2020-01-01", "yes", "no", "on", "off", "y", "n", "Y", "N", "true", "false", "null", "~", "None", "=", "<<", "*", "&", "!", "%", "@", "`"],
        *["127", "128", "255", "256", "4095", "4096", "32767", "32768", "65535", "65536", "2147483647", "2147483648", "4294967295", "4294967296"],
        *["9223372036854775807", "9223372036854775808", "18446744073709551615", "18446744073709551616", "-9223372036854775809"],
        "9" * 40, "9" * 400, "9" * 5000, "-" + "9" * 5000, "0." + "9" * 5000, "0x" + "f" * 5000, "1" + "0" * 400,
        "", " ", "\n", "\r\n", "\t", "\0", "\x1b[31m", "\x7f", "\ufeff", "\u2028", "\u0664\u0660", "\u00bd", "\u00b2", "\ud800",
        "\U0001f600", "a\u0301", "x" * 300, "x" * 5000, "a b", "a/b", "../../etc/passwd", "/", "//", "-", "--", "---",
        "...", "'", '"', "\\", "\\u0000", "$(id)", "`id`", "%s%n", "{}", "{0}", "[", "]", "[[[[", "{", "}", "{a: b}",
        "[" * 3000, "{" * 3000, '{"a":' * 2000, "(" * 3000, "(a+)+$", "a{99999999999}", "[a", "*a", "&a [*a]", "!!set {a}",
        "!!python/object/apply:os.system [id]", "!!binary aGk=", "!!timestamp 2020-01-01", "!!int x", "? ", "- ", ": ",
        "#", ",", ";", "1K", "1M", "64T", "1MiB", "1.5 pages", "5s", "1us", "100 ms", "1000000h", "200k", "zram:1M",
        "disk:1T", "2M:64", "10s:+512M@1", "a:memory.max=1", "0:1=30", "1-2", "4096-8192", "1..2", "nid=1",
    )
)  # fmt: skip

VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 2**31, 2**32, 2**63, 2**64, -(2**63) - 1, 10**40, "", "x", "0", "-1",
    "\n", "\0", "\u2028", "x" * 300, [], {}, [[]], {"": {}}, [None], {"a": 1}, [0] * 50, "1,000", "9" * 40, "1e5", "*",
)  # fmt: skip

#: What may stand before a value in YAML.
MARKS: Final = tuple(
    f"{mark} ".encode()
    for mark in [
        "!!set",
        "!!omap",
        "!!pairs",
        "!!str",
        "!!int",
        "!!float",
        "!!bool",
        "!!null",
        "!!map",
        "!!seq",
        "!!binary",
        "!!timestamp",
        "!",
        "!x",
        "&a",
        "&b",
        "*a",
        "*b",
        "<<:",
    ]
)
