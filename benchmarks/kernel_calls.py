# SPDX-License-Identifier: GPL-2.0-only
"""Instructions of the kernel calls that sampling by page_idle consists of, by version of the kernel.

``python3 -m benchmarks.kernel_calls page-idle-6.12 page-idle-7.3`` boots a guest of each, with one processor, whose
clock counts an instruction as a ns: the result does not depend on the host. The loop around a call has three or four
instructions. The process has 256 MiB; the words of the idle bitmap are of its frames alone.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path

from vmtest import Guest, GuestConfig, Tree


def measure(kernel: str, program: Path) -> dict[str, str]:
    """ns by name."""
    config = GuestConfig(kernel=kernel, cpus=1, icount=0, trees=(Tree(program.parent, "/opt/calls"),))
    with Guest(config) as guest:
        text = guest.run([f"/opt/calls/{program.name}"], timeout=600).check().text
    return dict(line.split("\t") for line in text.splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernels", nargs="+", help="names that 'vmtest kernels' lists")
    kernels = parser.parse_args().kernels
    with tempfile.TemporaryDirectory() as directory:
        program = Path(directory) / "kernel_calls"
        subprocess.run(["gcc", "-O2", "-o", program, Path(__file__).with_suffix(".c")], check=True)
        found = [measure(kernel, program) for kernel in kernels]
    print("| call | " + " | ".join(kernels) + " |\n" + "|---" * (len(kernels) + 1) + "|")
    for name in found[0]:
        print(f"| {name} | " + " | ".join(one[name] for one in found) + " |")


if __name__ == "__main__":
    main()
