# SPDX-License-Identifier: GPL-2.0-only
"""Guest kernels by name, from ``kernels.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BuildFailed, InvalidInput, MachineLacks
from ..terminal import say
from ..yaml12 import compose, plain
from . import arch, kconfig, kernel_build, kernel_package, source
from .source import KernelSource

FILE = Path(__file__).parent / "kernels.yaml"
#: Of the newest kernel that this machine has the source of.
DEFAULT = "page-idle"


@dataclass(frozen=True)
class Variant:
    """How one kernel is made.

    Args:
        about: one line of text.
        source: Debian's package of its source.
        suite: the suite that this package shall be of; "": any.
        first_of: other variants; it is the first of them whose source can be had.
        package: Debian's package of the kernel itself, which then is not built.
        arch: the architecture.
        base: the variant whose objects a build starts from.
        without: shipped fragments that are left out.
        only: the shipped fragments that are taken; all for none.
        options: set on top of the fragments; "n" for "is not set".
    """

    name: str
    about: str
    source: str = ""
    suite: str = ""
    first_of: tuple[str, ...] = ()
    package: str = ""
    base: str | None = None
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    arch: arch.Architecture = arch.X86_64

    def recipe(self) -> kernel_build.Recipe:
        """The fragments and options of it."""
        if self.first_of:
            return self.chosen().recipe()
        fragments = [
            path
            for path in kconfig.fragments(arch=self.arch.name)
            if path.name not in self.without and (not self.only or path.name in self.only)
        ]
        base = variant(self.base).recipe() if self.base else None
        return kernel_build.Recipe(tuple(fragments), tuple(sorted(self.options.items())), base, self.arch)

    def tree(self, *, fetch: bool = False) -> KernelSource:
        """Its source.

        Raises:
            MachineLacks: it is not on this machine, and cannot be fetched or shall not be.
        """
        if self.first_of:
            return self.chosen(fetch=fetch).tree(fetch=fetch)
        return source.from_package(self.source, suite=self.suite, fetch=fetch)

    def chosen(self, *, fetch: bool = False) -> Variant:
        """It, or the first of ``first_of`` whose source is on this machine; the last where none is.

        Args:
            fetch: download sources, each before the next one is considered. A source that cannot be had is reported.
        """
        for name in self.first_of[:-1]:
            one = variant(name)
            try:
                one.tree(fetch=fetch)
            except (MachineLacks, BuildFailed) as error:  # none, or its download failed
                if fetch:
                    say(f"NOTICE: kernel {self.name}: not {name}, but {self.first_of[-1]}: {error}")
                continue
            return one
        return variant(self.first_of[-1]) if self.first_of else self

    def find(self) -> kernel_build.KernelBuild | None:
        """The kernel if it is built already.

        Raises:
            MachineLacks: its source is not on this machine, or apt has no such package any more.
        """
        if self.package:
            return kernel_package.find(self.package)
        one = self.chosen()
        return kernel_build.find(one.tree(), one.recipe())

    def obtain(self, *, newest: bool = False) -> kernel_build.KernelBuild:
        """The kernel, built if need be.

        Args:
            newest: of ``first_of``, try to fetch the source of the first before another one is taken.

        Raises:
            MachineLacks: its source or a program of the build is missing.
            BuildFailed: the build failed.
        """
        if self.package:
            return kernel_package.obtain(self.package)
        one = self.chosen(fetch=newest)
        return kernel_build.obtain(one.tree(fetch=True), one.recipe())


@functools.cache
def variants() -> Mapping[str, Variant]:
    """All of them, in the file's order."""
    found: dict[str, Variant] = {}
    for name, words in plain(compose(FILE.read_text())).items():
        package = words.get("source", "")
        if isinstance(package, dict):
            words.update(source=package["package"], suite=package.get("suite", ""))
        options = {option: "n" if value is False else str(value) for option, value in words.pop("options", {}).items()}
        lists: dict[str, Any] = {key: tuple(words.pop(key, ())) for key in ("without", "only", "first_of")}
        architecture = arch.named(words.pop("arch", arch.X86_64.name))
        found[name] = Variant(name, options=options, arch=architecture, **lists, **words)
    return found


def variant(name: str) -> Variant:
    """The variant called ``name``.

    Raises:
        InvalidInput: there is none.
    """
    try:
        return variants()[name]
    except KeyError:
        raise InvalidInput(f"kernel variant: {name!r}: is unknown; give one of {', '.join(variants())}") from None
