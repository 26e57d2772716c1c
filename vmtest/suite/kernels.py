# SPDX-License-Identifier: GPL-2.0-only
"""From cells to jobs: kernels and images are found or built (each once), hashed, and put beside what a cell says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from ..errors import HarnessError, InvalidInput
from ..host import root as hostroot
from ..images import rootfs_build
from ..images.arch import Architecture, of_image
from ..results.job import FileRef, Job
from ..results.manifest import file_ref
from ..results.outcome import Expected
from ..results.symbols import vmlinux_of
from .expand import Cell
from .load import SuiteError
from .model import Kernel, Suite

# Image, symbols, configuration.
_Files = tuple[FileRef, FileRef | None, FileRef | None]


def jobs(suite: Suite, cells: Sequence[Cell], base: Path) -> list[Job]:
    """A job for each cell.

    Args:
        suite: where the cells come from.
        cells: from :func:`vmtest.suite.expand.expand`.
        base: the folder that relative paths of the suite file start from.

    Raises:
        HarnessError: a kernel or the image cannot be had; before anything is booted.
    """
    given = suite.rootfs and (suite.rootfs if suite.rootfs == hostroot.HOST else str(_path(base, suite.rootfs)))
    root = given if given and hostroot.is_root(given) else None
    found = {
        name: _files(name, suite.kernels[name], base) for name in dict.fromkeys(cell.kernel_name for cell in cells)
    }
    trees = tuple((str(_path(base, host)), guest) for host, guest in suite.trees.items())
    image = None if root or not given else Path(given)
    roots = {name: _rootfs(image, of_image(Path(files[0].path))) for name, files in found.items()}
    made = [_job(cell, found[cell.kernel_name], roots[cell.kernel_name], trees) for cell in cells]
    made = [_rooted(job, root, base) for job in made]
    for job in made:
        try:
            config = job.config()
            if config.root:
                hostroot.check_qemu(config.arch.qemu)
                hostroot.check_kernel(config.root, job.kernel_name, Path(job.kernel.path))
        except InvalidInput as error:
            raise SuiteError(f"{job.name}: {error}") from error
    return made


def _rooted(job: Job, root: str | None, base: Path) -> Job:
    """A job with its root: its machine's or the suite's. With the host's it runs where and as its caller would."""
    found = job.machine_args.get("root", root)
    if found is None:
        return job
    found = found if found == hostroot.HOST else str(_path(base, found))
    return msgspec.structs.replace(
        job,
        machine_args={**job.machine_args, "root": found},
        env={**hostroot.environment(found), **job.env},
        cwd=hostroot.working_folder(found, job.cwd),
    )


def _job(
    cell: Cell,
    kernel: tuple[FileRef, FileRef | None, FileRef | None],
    rootfs: FileRef,
    trees: tuple[tuple[str, str], ...],
) -> Job:
    # What is as ever need not be in a manifest.
    plain = msgspec.structs.asdict(type(cell.machine)())
    machine = {name: value for name, value in msgspec.structs.asdict(cell.machine).items() if value != plain[name]}
    append = " ".join(word for word in (cell.kernel.append, machine.pop("append", "")) if word)
    image, vmlinux, config = kernel
    return Job(
        suite=cell.suite,
        kernel_name=cell.kernel_name,
        machine_name=cell.machine_name,
        workload_name=cell.workload_name,
        test_name=cell.test_name,
        kernel=image,
        rootfs=rootfs,
        vmlinux=vmlinux,
        kernel_config=config,
        machine_args=machine,
        append=append,
        trees=trees,
        env=cell.env,
        workload=cell.workload.command,
        ready=cell.workload.ready,
        command=cell.test.command,
        exit=cell.test.exit,
        skip_exit=cell.test.skip_exit,
        cwd=cell.test.cwd,
        output=cell.test.output,
        tolerate=cell.test.tolerate,
        limits=cell.limits,
        expected=Expected(cell.expected.verdict, cell.expected.reason) if cell.expected else None,
    )


def _path(base: Path, text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise InvalidInput(f"path {text!r} is in a home directory that is not known; write it from / on") from None
    return path if path.is_absolute() else (base / path).resolve()


def _rootfs(given: Path | None, arch: Architecture) -> FileRef:
    """The root file system of a kernel of that architecture."""
    if given is None:
        return file_ref(rootfs_build.obtain(arch).image)
    rootfs_build.check_image(given, arch)
    return file_ref(given)


def _files(name: str, kernel: Kernel, base: Path) -> _Files:
    """Image, symbols and configuration."""
    try:
        image = _image(name, kernel, base)
    except HarnessError as error:
        error.args = (f"kernels.{name}: {error}",)
        raise
    vmlinux = _path(base, kernel.vmlinux) if kernel.vmlinux else vmlinux_of(image)
    config = next((path for path in (image.with_name("config"), image.with_name(".config")) if path.is_file()), None)
    return file_ref(image), file_ref(vmlinux) if vmlinux else None, file_ref(config) if config else None


def _image(name: str, kernel: Kernel, base: Path) -> Path:
    from ..images import arch, kernel_build, source, variants

    if kernel.image:
        image = _path(base, kernel.image)
        if not image.is_file():
            raise InvalidInput(f"image {str(image)!r} does not exist; correct the path, or name a variant")
        return image
    if kernel.tree:
        recipe = kernel_build.shipped(arch.named(kernel.arch or arch.X86_64.name))
        return kernel_build.obtain(source.from_tree(_path(base, kernel.tree)), recipe).image
    return variants.variant(kernel.variant or name).obtain().image
