# SPDX-License-Identifier: GPL-2.0-only
"""Builds the C helper: one shared library loaded with ctypes, and the ``damon-workload`` program."""

import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

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


class BuildNative(build_ext):
    """Names the library plainly (it is no Python module) and links the workload program beside it."""

    def get_ext_filename(self, ext_name: str) -> str:
        return ext_name.replace(".", "/") + ".so"

    def get_export_symbols(self, ext: Extension) -> list[str]:
        return []

    def build_extension(self, ext: Extension) -> None:
        super().build_extension(ext)
        target = Path(self.get_ext_fullpath(ext.name)).parent / "bin"
        program = sorted(str(p) for p in (SRC / "workload").glob("*.c"))
        if program:
            objects = self.compiler.compile(program, output_dir=self.build_temp, extra_preargs=CFLAGS)
            self.compiler.link_executable(objects, "damon-workload", output_dir=str(target), libraries=["m", "pthread"])

    def copy_extensions_to_source(self) -> None:
        """For an editable installation: the program goes beside the library in the source tree, too."""
        super().copy_extensions_to_source()
        for built in Path(self.build_lib).glob("damon/native/bin/*"):
            target = Path("damon/native/bin") / built.name
            target.parent.mkdir(exist_ok=True)
            shutil.copy2(built, target)


setup(
    ext_modules=[
        Extension(
            LIBRARY,
            sources=sorted(str(p) for p in SRC.glob("*.c")),
            depends=sorted(str(p) for p in SRC.glob("*.h")),
            extra_compile_args=[*CFLAGS, "-fvisibility=hidden"],
        )
    ],
    cmdclass={"build_ext": BuildNative},
)
