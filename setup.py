# SPDX-License-Identifier: GPL-2.0-only
"""Builds the C helper, a shared library loaded with ctypes, and the ``damon-workload`` program; tags the wheel."""

import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist

SRC = Path("damon/native/src")
LIBRARY = "damon.native.libdamon"
# Bit-identical with the Python reference on every machine: plain IEEE double arithmetic, no fused operations.
CFLAGS = [
    "-O2",
    "-g",
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-Werror=implicit",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
]


def sources(directory: Path) -> list[str]:
    """The C files of ``directory``; none is a broken source tree, not a smaller product."""
    found = sorted(str(path) for path in directory.glob("*.c"))
    if not found:
        raise SystemExit(f"setup.py: {directory} has no C sources: the source tree is incomplete; get a complete sdist")
    return found


PROGRAM = [*sources(SRC / "workload"), str(SRC / "trace.c")]


class BuildNative(build_ext):
    """Names the library plainly (it is no Python module) and links the workload program beside it."""

    def get_ext_filename(self, ext_name: str) -> str:
        return ext_name.replace(".", "/") + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        super().build_extension(ext)
        target = Path(self.get_ext_fullpath(ext.name)).parent / "bin"
        objects = self.compiler.compile(PROGRAM, output_dir=self.build_temp, extra_preargs=CFLAGS)
        self.compiler.link_executable(objects, "damon-workload", output_dir=str(target), libraries=["m", "pthread"])

    def copy_extensions_to_source(self) -> None:
        """For an editable installation: the program goes beside the library in the source tree, too."""
        super().copy_extensions_to_source()
        for built in Path(self.build_lib).glob("damon/native/bin/*"):
            target = Path("damon/native/bin") / built.name
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(built, target)


class Wheel(bdist_wheel):
    """The library has no Python symbol: one wheel serves every Python 3 of a platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


class SourceDistribution(sdist):
    """Keeps the links of the tree as links: each file is there once, as in a checkout."""

    def make_release_tree(self, base_dir: str, files: list[str]) -> None:
        links = [path for top in ("damon", "vmtest") for path in Path(top).rglob("*") if path.is_symlink()]
        linked = tuple(f"{link}/" for link in links)
        kept = [name for name in files if not name.startswith(linked) and Path(name) not in links]
        super().make_release_tree(base_dir, kept)
        for link in links:
            Path(base_dir, link).symlink_to(link.readlink())


setup(
    ext_modules=[
        Extension(
            LIBRARY,
            sources=sources(SRC),
            depends=sorted(str(p) for p in SRC.glob("*.h")),
            extra_compile_args=[*CFLAGS, "-fvisibility=hidden"],
        )
    ],
    cmdclass={"build_ext": BuildNative, "bdist_wheel": Wheel, "sdist": SourceDistribution},
)
