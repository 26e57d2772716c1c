# SPDX-License-Identifier: GPL-2.0-only
"""Builds ``mm/damon`` of a tree into a shared library in the user's cache, keyed by content."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import damon.native
from damon.cache import content_key, obtain
from damon.errors import InvalidInput, MissingCapability
from damon.kernel import header
from damon.kernel.source import KernelSource

_INCLUDE: Final = re.compile(r"^#\s*include\s+<([\w./-]+)>", re.MULTILINE)
SHIM: Final = Path(__file__).parent / "shim"
NATIVE: Final = Path(damon.native.__file__).parent
#: In the kernel's order of linking; ``stat.c`` came with 6.17.
FILES: Final = ("core.c", "modules-common.c", "reclaim.c", "lru_sort.c", "stat.c")
OPTIONS: Final = {
    "CONFIG_DAMON": 1, "CONFIG_DAMON_PADDR": 1, "CONFIG_DAMON_VADDR": 1, "CONFIG_NUMA": 1, "CONFIG_PSI": 1,
    "CONFIG_MEMCG": 1, "CONFIG_64BIT": 1, "CONFIG_DAMON_RECLAIM": 1, "CONFIG_DAMON_LRU_SORT": 1,
}  # fmt: skip
#: The kernel's own, as far as they decide what the code means (``Makefile``, CONFIG_INIT_STACK_ALL_ZERO).
CFLAGS: Final = (
    "-std=gnu11", "-O2", "-g", "-fPIC", "-fno-strict-aliasing", "-fwrapv", "-fno-delete-null-pointer-checks",
    "-ftrivial-auto-var-init=zero", "-funsigned-char", "-fno-omit-frame-pointer", "-fno-builtin", "-fcommon", "-w",
    "-Werror=implicit-function-declaration", "-Werror=incompatible-pointer-types", "-Werror=int-conversion",
)  # fmt: skip
SANITIZE: Final = ("-fsanitize=address,undefined", "-fno-sanitize=alignment", "-fno-sanitize-recover=undefined")


@dataclass(frozen=True)
class Built:
    """A library of ``source``; ``sanitized``: with AddressSanitizer and UBSan, whose runtime must be loaded first."""

    source: KernelSource
    library: Path
    seconds: float
    sanitized: bool


def _includes(tree: Path) -> list[Path]:
    directory = tree / "mm/damon"
    return [directory / name for name in FILES if (directory / name).is_file()]


def _stand_ins(tree: Path, out: Path, extra: Sequence[Path]) -> None:
    """A header for each that the tree's files include; all but a few are ``standin.h`` again."""
    paths = [*_includes(tree), *(tree / "mm/damon").glob("*.h")]
    paths += [tree / "include" / name for name in ("linux/damon.h", "linux/list.h", "trace/events/damon.h")]
    paths += extra
    texts = [path.read_text(errors="replace") for path in paths]
    for name in sorted({name for text in texts for name in _INCLUDE.findall(text)}):
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#include "standin.h"\n')
    (out / "linux/list.h").write_text(f'#include "standin.h"\n#include "{tree}/include/linux/list.h"\n')
    (out / "linux/damon.h").write_text('#include <linux/list.h>\n#include "damon_h.h"\n')
    (out / "linux/tracepoint.h").write_text('#include "trace_event.h"\n')
    (out / "trace").mkdir(exist_ok=True)
    (out / "trace/define_trace.h").write_text("")
    events = tree / "include/trace/events/damon.h"
    (out / "trace/events").mkdir(exist_ok=True)
    (out / "trace/events/damon.h").write_text(f'#ifdef CREATE_TRACE_POINTS\n#include "{events}"\n#endif\n')


def generate(tree: Path, out: Path, extra: Sequence[Path] = ()) -> None:
    """Writes the headers that the files of ``tree``, ``extra`` and the shim include, in ``out``."""
    declared = header.parse((tree / "include/linux/damon.h").read_text(errors="replace"))
    for name, text in header.generated(declared).items():
        (out / name).write_text(text)
    common, paddr, vaddr = (tree / "mm/damon" / name for name in ("ops-common.c", "paddr.c", "vaddr.c"))
    if not common.is_file():
        raise InvalidInput(f"{common}: is not there: the tree is too old for this engine; take 6.1 or later")
    parts = [
        header.functions_of(path.read_text(errors="replace"), names, str(path))
        for path, names in (
            (common, ["damon_hot_score", "damon_cold_score"]),
            (paddr, ["damon_pa_scheme_score"]),
            (vaddr, ["damon_va_scheme_score"]),
        )
    ]
    (out / "ops.h").write_text("\n".join(parts))
    _stand_ins(tree, out, extra)


def _compiler() -> tuple[str, str]:
    name = os.environ.get("CC", "cc")
    path = shutil.which(name)
    if path is None:
        raise MissingCapability(f"{name}: no C compiler is installed, which builds the kernel's DAMON; install gcc")
    done = subprocess.run([path, "-dumpfullversion", "-dumpmachine"], capture_output=True, text=True, check=False)
    return path, f"{path} {done.stdout.strip()}"


def build(source: KernelSource, *, sanitize: bool = False) -> Built:
    """The library of ``source``, from the cache or built now.

    Raises:
        InvalidInput: the tree does not compile; the first error, with file and line.
        MissingCapability: there is no compiler.
    """
    compiler, identity = _compiler()
    flags = (*CFLAGS, *(SANITIZE if sanitize else ()))
    recipe: dict[str, str | bytes] = {
        "source": source.sha256, "path": str(source.path), "compiler": identity,
        "flags": " ".join((*flags, *_options())), "extra": " ".join(map(str, source.extra)),
    }  # fmt: skip
    shared = [NATIVE / "src" / name for name in ("damon.h", "sample.h")]
    for path in (*SHIM.rglob("*.[ch]"), *shared, Path(__file__), Path(header.__file__)):
        recipe[path.name] = path.read_bytes()
    begun = time.monotonic()
    directory = obtain(
        "engine",
        content_key(recipe),
        f"building mm/damon of {source.origin}",
        lambda out, progress: _compile(source, out, compiler, flags),
        {"origin": source.origin, "version": source.version, "sha256": source.sha256},
    )
    return Built(source, directory / "damon.so", time.monotonic() - begun, sanitize)


def _options() -> list[str]:
    return [f"-D{name}={value}" for name, value in OPTIONS.items()]


def _with_headers(tree: Path, out: Path) -> list[str]:
    words = [*_options(), "-isystem", str(out), "-I", str(SHIM), "-include", str(out / "features.h")]
    return [*words, f'-DSHIM_DAMON_H="{tree}/include/linux/damon.h"']


def shim_files(tree: Path, out: Path) -> dict[Path, list[str]]:
    """The C files of the shim, each with the compiler's arguments for it beside the flags.

    Args:
        tree: a kernel tree.
        out: where ``generate`` wrote its headers.
    """
    against_tree = [*_with_headers(tree, out), '-DSHIM_FILE="shim"']
    against_helper = ["-I", str(NATIVE / "src"), "-I", str(SHIM)]
    found = dict.fromkeys((SHIM / name for name in ("access.c", "operations.c", "params.c", "runtime.c")), against_tree)
    return found | dict.fromkeys((SHIM / name for name in ("fault.c", "quiet.c")), against_helper)


def _compile(source: KernelSource, out: Path, compiler: str, flags: tuple[str, ...]) -> None:
    tree = source.path
    generate(tree, out, source.extra)
    jobs = []
    for number, path in enumerate((*_includes(tree), *source.extra)):
        stem = path.stem.replace("-", "_")
        own = [f'-DSHIM_FILE="damon_{stem}"', "-include", "standin.h"]
        jobs.append([*_with_headers(tree, out), *own, "-c", str(path), "-o", str(out / f"{number}-{path.stem}.o")])
    for path, words in shim_files(tree, out).items():
        jobs.append([*words, "-c", str(path), "-o", str(out / f"shim-{path.name}.o")])
    jobs = [[compiler, *flags, *words] for words in jobs]
    # What a compiler that is killed leaves is removed with the rest.
    scratch = out / "tmp"
    scratch.mkdir()

    def run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "TMPDIR": str(scratch)}
        return subprocess.run(words, env=environment, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor() as pool:
        for done in pool.map(run, jobs):
            _refuse(done, source)
    objects = [str(path) for path in sorted(out.glob("*.o"))]
    link = [compiler, *flags, "-shared", "-Wl,-Bsymbolic", "-o", str(out / "damon.so"), *objects, "-ldl", "-lc"]
    if not any(flag.startswith("-fsanitize") for flag in flags):
        link.insert(-2, "-Wl,-z,defs")  # missing symbols fail the link; the sanitizers' own are resolved at load time
    _refuse(run(link), source)
    shutil.rmtree(scratch)


def _refuse(done: subprocess.CompletedProcess[str], source: KernelSource) -> None:
    if done.returncode:
        full = os.strerror(errno.ENOSPC)
        if full in done.stderr:
            raise OSError(errno.ENOSPC, full)
        errors = [line for line in done.stderr.splitlines() if " error: " in line or "undefined reference" in line]
        first = (errors or done.stderr.splitlines() or ["the compiler failed"])[0]
        what = ", ".join((f"{source.path}/mm/damon", *map(str, source.extra)))
        raise InvalidInput(f"{what}: does not build: {first}; correct it")
