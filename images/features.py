# SPDX-License-Identifier: GPL-2.0-only
"""What a kernel configuration must have for a feature (``features.yaml``), and what is missing."""

from __future__ import annotations

import errno
import functools
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..errors import InvalidInput
from ..yaml12 import compose, plain
from . import kconfig
from .arch import ARCHITECTURES, X86_64

FILE = Path(__file__).parent / "features.yaml"
# What a feature asks for: the values that do.
_GZIP = b"\x1f\x8b"
_MOST = 16 << 20  # bytes of a configuration; a kernel's has 300 KiB
ENOUGH = {"y": ("y",), "m": ("y", "m"), "n": (None, "n")}


@dataclass(frozen=True)
class Need:
    """One of some options (the same one, of several versions) with a value: "y", "m" (a module will do) or "n".

    Attributes:
        arch: the only architecture that has it; empty: all have.
        where_declared: a version that has none of them is excused.
    """

    names: tuple[str, ...]
    value: str
    arch: str = ""
    where_declared: bool = False

    def met(self, config: Mapping[str, str | None]) -> bool:
        """Whether a configuration has it. A configuration mentions what its version declares and may be chosen."""
        if self.where_declared and not any(name in config for name in self.names):
            return True
        found = [config.get(name) in ENOUGH[self.value] for name in self.names]
        return all(found) if self.value == "n" else any(found)

    def __str__(self) -> str:
        name = (f"{self.arch}: " if self.arch else "") + " or ".join(self.names)
        return {"y": f"{name}=y", "m": f"{name}=y or m", "n": f"{name} not set"}[self.value]

    @property
    def line(self) -> str:
        """It as a line of a fragment."""
        return f"# {self.names[-1]} is not set" if self.value == "n" else f"{self.names[-1]}=y"


@dataclass(frozen=True)
class Feature:
    """Something a kernel can do, and the options that it takes, those of features it builds on first."""

    name: str
    about: str
    needs: tuple[Need, ...]

    def missing(self, config: Mapping[str, str | None]) -> list[Need]:
        """What a configuration (of :func:`vmtest.images.kconfig.parse`) lacks, of what its architecture needs."""
        arch = arch_of(config)
        return [need for need in self.needs if need.arch in {"", arch} and not need.met(config)]


def arch_of(config: Mapping[str, str | None]) -> str:
    """The architecture that a configuration is of."""
    marks = (name for name in ARCHITECTURES if config.get(f"CONFIG_{name.upper()}") == "y")
    return next(marks, X86_64.name)


@functools.cache
def features() -> Mapping[str, Feature]:
    """All of them, in the file's order."""
    found: dict[str, Feature] = {}
    for name, words in plain(compose(FILE.read_text())).items():
        needs: dict[tuple[str, ...], Need] = {}
        for base in words.get("with", ()):
            needs.update({need.names: need for need in found[base].needs})
        for arch, options in (("", words["needs"]), *((arch, words.get(arch, {})) for arch in ARCHITECTURES)):
            for names, value in options.items():
                one = Need(tuple(names.removesuffix("?").split("|")), str(value), arch, names.endswith("?"))
                needs[one.names] = one
        found[str(name)] = Feature(str(name), words["about"], tuple(needs.values()))
    return found


def feature(name: str) -> Feature:
    """The feature called ``name``.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return features()[name]
    except KeyError:
        raise InvalidInput(f"feature: {name!r}: is unknown; give one of {', '.join(features())}") from None


def beside(image: Path) -> Path | None:
    """The configuration that lies beside a kernel's image, or that of the tree where it was built."""
    near = [image.with_name("config"), image.with_name(".config")]
    # arch/x86/boot/bzImage of a tree that was built.
    near += [directory / ".config" for directory in image.resolve().parents[3:4]]
    return next((path for path in near if path.is_file()), None)


def read(path: Path) -> dict[str, str | None]:
    """A configuration: ``.config``, ``/boot/config-*``, ``/proc/config.gz``.

    Raises:
        InvalidInput: it cannot be read, or is none.
    """
    return kconfig.parse(text_of(path))


def text_of(path: Path) -> str:
    """The text of a configuration; see :func:`read`."""
    try:
        with path.open("rb") as stream, gzip.open(stream) if stream.peek(2)[:2] == _GZIP else stream as plain:
            data = plain.read(_MOST + 1)
        if len(data) > _MOST:
            raise OSError(errno.EFBIG, f"more than {_MOST >> 20} MiB")
        text = data.decode(errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidInput(f"kernel configuration: {str(path)!r}: cannot be read ({why}); give a .config") from error
    if not kconfig.parse(text):
        raise InvalidInput(f"kernel configuration: {str(path)!r}: has no CONFIG_ line; give a .config")
    return text
