# SPDX-License-Identifier: GPL-2.0-only
"""How long boot, ``true`` and power off take: vmtest booting, vmtest from a snapshot, and virtme-ng, by turns.

``python benchmarks/boot_time.py --rounds 10 [--vng PATH] [--kernel BZIMAGE]``. virtme-ng (``pip install virtme-ng``)
gets the same kernel, memory, processors and accelerator, and a terminal. Where the root has no udev its guest does
not find the port for the exit code, and it ends with 255 although ``true`` has run: that is let pass.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pexpect

from vmtest.images import variants
from vmtest.qemu import accel

VMTEST = (sys.executable, "-m", "vmtest.cli", "exec", "--memory", "1G", "--cpus", "2")


def timed(words: Sequence[str], codes: Sequence[int] = (0,)) -> float:
    """Seconds until a command has ended, with one of these exit codes."""
    begun = time.monotonic()
    # The stubs of pexpect have only its answer without an exit status.
    output, code = cast("tuple[bytes, int]", pexpect.run(shlex.join(words), withexitstatus=True, timeout=180))
    if code not in codes:
        sys.exit(f"{' '.join(words)} ended with {code}:\n{output.decode(errors='replace')[-2000:]}")
    return time.monotonic() - begun


def main() -> int:
    """All rounds; the ways take turns, so that what else the host does meets all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10, help="default: 10")
    parser.add_argument("--vng", default=shutil.which("vng"), metavar="PATH", help="virtme-ng's program")
    parser.add_argument("--kernel", help="default: the page-idle kernel")
    options = parser.parse_args()
    if not options.vng:
        sys.exit("virtme-ng is not here: pip install virtme-ng, and give its program with --vng")
    kernel = options.kernel or str(variants.variant("page-idle").obtain().image)
    accelerator = accel.choose("auto", Path(kernel)).name
    vng = [options.vng, *(["--disable-kvm"] if accelerator == "tcg" else []), "-r", kernel]
    # It starts programs of its own by name.
    os.environ["PATH"] = f"{Path(options.vng).parent}{os.pathsep}{os.environ['PATH']}"
    ways = {
        "virtme-ng": [*vng, "--memory", "1G", "--cpus", "2", "--", "true"],
        "vmtest, boot": [*VMTEST, "--kernel", kernel, "--", "true"],
        "vmtest, snapshot": [*VMTEST, "--kernel", kernel, "--snapshot", "--", "true"],
    }
    codes = {name: (0, 255) if name == "virtme-ng" else (0,) for name in ways}
    for name, words in ways.items():
        timed(words, codes[name])  # what is made once is made now
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds):
        for name, words in ways.items():
            times[name].append(timed(words, codes[name]))
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {spent[-1]:.2f} s" for name, spent in times.items()),
            flush=True,
        )
    base = statistics.median(times["virtme-ng"])
    print(f"{'':18}{'min':>8}{'median':>8}{'max':>8}   ratio of medians ({accelerator})")
    for name, spent in times.items():
        middle = statistics.median(spent)
        print(f"{name:18}{min(spent):8.2f}{middle:8.2f}{max(spent):8.2f}{middle / base:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
