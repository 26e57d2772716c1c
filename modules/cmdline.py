# SPDX-License-Identifier: GPL-2.0-only
"""The boot command line: ``NAME.PARAM=VALUE ...``, split as the kernel's ``parse_args`` splits it."""

from __future__ import annotations

from damon.errors import InvalidInput
from damon.quoting import quoted


def canonical(name: str) -> str:
    """Module and parameter names: '-' and '_' are the same, as in the kernel."""
    return name.replace("-", "_")


def split_assignment(word: str) -> tuple[str, str | None]:
    """``name=value``, or a name alone; double quotes around the value are taken off."""
    name, equals, value = word.partition("=")
    if not equals:
        return name, None
    if value.startswith('"'):
        value = value[1:].removesuffix('"')
    return name, value


def split_words(line: str) -> list[str]:
    """Words between white space; a part in double quotes may contain some. There is no other quoting.

    A word that begins with a quote loses it and the last one. ``--`` ends the line: the rest is init's.

    Raises:
        InvalidInput: a quote is not closed.
    """
    words: list[str] = []
    word, inside = "", False
    for char in line + " ":
        if char.isspace() and not inside:
            if word == "--":
                break
            if word:
                words.append(word[1:].removesuffix('"') if word.startswith('"') else word)
            word = ""
            continue
        inside ^= char == '"'
        word += char
    if inside:
        raise InvalidInput(f'command line: {quoted(line)}: a quotation is not closed; add a "')
    return words


def parse_cmdline(line: str) -> dict[str, list[str]]:
    """Words for modules, ``param=value``, by module in order of first mention.

    Words without a module (``quiet``, ``root=...``) belong to other parts of the kernel and are passed over.

    Raises:
        InvalidInput: an open quotation, or a word that was meant for a module and lacks the dot.
    """
    result: dict[str, list[str]] = {}
    for word in split_words(line):
        name, value = split_assignment(word)
        module, dot, parameter = name.partition(".")
        if dot and module:
            result.setdefault(canonical(module), []).append(parameter if value is None else f"{parameter}={value}")
        elif canonical(name).lower().startswith("damon"):
            raise InvalidInput(f"command line word: {quoted(word)}: has no dot; write MODULE.PARAM=VALUE")
    return result
