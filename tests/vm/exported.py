# SPDX-License-Identifier: GPL-2.0-only
"""Exported policies in a guest: each form with what starts it and what ends it, and the guest kernel of the third."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tests.export.results import CASES, export, exported
from tests.waiting import HANG_S
from vmtest import Guest, cache
from vmtest.images import kernel_build, source
from vmtest.progress import Progress

#: The version that kernels with exported C are built from, and what they need for it.
PACKAGE = "linux-source-7.3"
OPTIONS = ["CONFIG_SAMPLES=y", "CONFIG_SAMPLE_DAMON_PRCL=y"]
FORMS = ("sysfs-script", "damo-json", "kernel-c")


def text_of(policy: Path | str, form: str, workload: str, *words: str) -> str:
    """What ``damon export`` writes."""
    with TemporaryDirectory() as directory:
        return exported(policy, form, workload, Path(directory, "out"), *words).read_text()


class Exported:
    """A policy in one form, at work in a guest from :meth:`start` to :meth:`stop`."""

    def __init__(self, guest: Guest, policy: Path, form: str, workload: str) -> None:
        self.guest, self.policy, self.form, self.workload = guest, policy, form, workload
        self._parameters = f"/sys/module/damon_{policy.stem}/parameters"

    def start(self, pid: int = 0) -> None:
        """``pid``: of the policy's process; 0 for policies of physical memory."""
        if self.form == "kernel-c":
            target = f"echo {pid} >{self._parameters}/target_pid; " if pid else ""
            self._sh(f"{target}echo Y >{self._parameters}/enabled")
            return
        if self.form == "damo-json":
            ranges = self._sh("sed -n 's/ : System RAM//p' /proc/iomem").split()
            start, end = ranges[0].partition("-")[0], int(ranges[-1].partition("-")[2], 16) + 1
            words = ["--pid", str(pid)] if pid else ["--ram", f"0x{start}-{end:#x}"]
            self._put("/tmp/policy.json", text_of(self.policy, self.form, self.workload, *words))
            self._sh("damo start /tmp/policy.json")
            return
        self._put("/tmp/policy.sh", text_of(self.policy, self.form, self.workload))
        self._sh(f"sh /tmp/policy.sh {pid or ''}")

    def stop(self) -> None:
        """Afterwards no kdamond runs."""
        ends = {
            "kernel-c": f"echo N >{self._parameters}/enabled",
            "damo-json": "damo stop; echo 0 >/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds",  # it leaves them, off
            "sysfs-script": "sh /tmp/policy.sh stop",
        }
        self._sh(ends[self.form])
        assert self.kdamonds() == 0

    def kdamonds(self) -> int:
        return int(self._sh("pgrep -c '^kdamond' || true"))

    def _put(self, path: str, text: str) -> None:
        self.guest.run(["sh", "-c", f"cat >{path}"], input=text.encode()).check()

    def _sh(self, script: str) -> str:
        return self.guest.run(["sh", "-ec", script], timeout=2 * HANG_S).check().text


def kernel() -> Path:
    """The image of a kernel with all policies' C built in, from the cache or built now.

    Raises:
        MachineLacks: the source cannot be had.
        BuildFailed: it does not build.
    """
    package = source.from_package(PACKAGE, fetch=True)
    texts = {policy: text_of(policy, "kernel-c", workload) for policy, workload in CASES}

    def build(directory: Path, progress: Progress) -> None:
        source.unpack_to(package, directory / "linux")
        for policy, workload in CASES:
            assert export(policy, "kernel-c", "--sim", workload, "--tree", directory / "linux") == 0

    key = cache.content_key({"source": package.identity, **texts})
    facts = {"source": package.identity, "policies": list(texts)}
    directory = cache.obtain("exported", key, f"{package.identity} with exported C", build, facts)
    recipe = kernel_build.shipped().with_options(dict(option.split("=", 1) for option in OPTIONS))
    return kernel_build.obtain(source.from_tree(directory / "linux"), recipe).image
