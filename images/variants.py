# SPDX-License-Identifier: GPL-2.0-only
"""Guest kernels by name, from ``kernels.yaml``."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InvalidInput
from ..yaml12 import compose, plain
from . import arch, kconfig, kernel_build, kernel_package, source

FILE = Path(__file__).parent / "kernels.yaml"
DEFAULT = "page-idle"


@dataclass(frozen=True)
class Variant:
    """How one kernel is made.

    Args:
        about: one line of text.
        source: Debian's package of its source.
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
    package: str = ""
    base: str | None = None
    without: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    arch: arch.Architecture = arch.X86_64

    def recipe(self) -> kernel_build.Recipe:
        """The fragments and options of it."""
        fragments = [
            path
            for path in kconfig.fragments(arch=self.arch.name)
            if path.name not in self.without and (not self.only or path.name in self.only)
        ]
        base = variant(self.base).recipe() if self.base else None
        return kernel_build.Recipe(tuple(fragments), tuple(sorted(self.options.items())), base, self.arch)

    def find(self) -> kernel_build.KernelBuild | None:
        """The kernel if it is built already.

        Raises:
            MachineLacks: its source is not installed, or apt has no such package any more.
        """
        if self.package:
            return kernel_package.find(self.package)
        return kernel_build.find(source.from_package(self.source), self.recipe())

    def obtain(self) -> kernel_build.KernelBuild:
        """The kernel, built if need be.

        Raises:
            MachineLacks: its source or a program of the build is missing.
            BuildFailed: the build failed.
        """
        if self.package:
            return kernel_package.obtain(self.package)
        return kernel_build.obtain(source.from_package(self.source), self.recipe())


@functools.cache
def variants() -> Mapping[str, Variant]:
    """All of them, in the file's order."""
    found: dict[str, Variant] = {}
    for name, words in plain(compose(FILE.read_text())).items():
        options = {option: "n" if value is False else str(value) for option, value in words.pop("options", {}).items()}
        without, only = (tuple(words.pop(key, ())) for key in ("without", "only"))
        architecture = arch.named(words.pop("arch", arch.X86_64.name))
        found[name] = Variant(name, without=without, only=only, options=options, arch=architecture, **words)
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
