# SPDX-License-Identifier: GPL-2.0-only
"""Completes the jobs of a suite: kernels and images are found or built, each once, and hashed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from ..errors import HarnessError, InvalidInput
from ..host import root as hostroot
from ..images import rootfs_build
from ..images.arch import Architecture, of_image
from ..results.job import FileRef, Job
from ..results.manifest import file_ref
from ..results.symbols import vmlinux_of
from .load import SuiteError
from .model import Kernel, Suite

# Image, symbols, configuration.
_Files = tuple[FileRef, FileRef | None, FileRef | None]


def complete(suite: Suite, jobs: Sequence[Job], base: Path) -> list[Job]:
    """The jobs with their files, and their configurations checked.

    Args:
        suite: where the jobs come from.
        jobs: from :func:`vmtest.suite.expand.expand`.
        base: the directory that relative paths of the suite file start from.

    Raises:
        HarnessError: a kernel or the image cannot be had; before anything is booted.
    """
    given = suite.rootfs and (suite.rootfs if suite.rootfs == hostroot.HOST else str(_path(base, suite.rootfs)))
    root = given if given and hostroot.is_root(given) else None
    found = {name: _files(name, suite.kernels[name], base) for name in dict.fromkeys(job.kernel_name for job in jobs)}
    trees = tuple((str(_path(base, host)), guest) for host, guest in suite.trees.items())
    image = None if root or not given else Path(given)
    roots = {name: _rootfs(image, of_image(Path(files[0].path))) for name, files in found.items()}
    made = []
    for job in jobs:
        kernel, vmlinux, options = found[job.kernel_name]
        rootfs = roots[job.kernel_name]
        whole = replace(job, kernel=kernel, vmlinux=vmlinux, kernel_config=options, rootfs=rootfs, trees=trees)
        made.append(_checked(_rooted(whole, root, base)))
    return made


def _checked(job: Job) -> Job:
    try:
        if job.config.root:
            hostroot.check_qemu(job.config.arch.qemu)
            hostroot.check_kernel(job.config.root, job.kernel_name, Path(job.kernel.path))
    except InvalidInput as error:
        raise SuiteError(f"{job.name}: {error}") from error
    return job


def _rooted(job: Job, root: str | None, base: Path) -> Job:
    """A job with its root: its machine's or the suite's. With the host's it runs where and as its caller would."""
    found = job.machine_args.get("root", root)
    if found is None:
        return job
    found = found if found == hostroot.HOST else str(_path(base, found))
    return replace(
        job,
        machine_args={**job.machine_args, "root": found},
        env={**hostroot.environment(found), **job.env},
        cwd=hostroot.working_directory(found, job.cwd),
    )


def _path(base: Path, text: str) -> Path:
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise InvalidInput(f"path: {text!r}: is in a home directory that is not known; give it from / on") from None
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
            raise InvalidInput(f"image: {str(image)!r}: does not exist; correct the path, or name a variant")
        return image
    if kernel.tree:
        recipe = kernel_build.shipped(arch.named(kernel.arch or arch.X86_64.name))
        return kernel_build.obtain(source.from_tree(_path(base, kernel.tree)), recipe).image
    return variants.variant(kernel.variant or name).obtain().image
