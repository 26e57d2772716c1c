# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest run``, ``vmtest rerun`` and ``vmtest report``."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..terminal import tell

RUN_EPILOG = """\
a suite file:
  name: reclaim
  timeouts: {boot: 120, login: 30, command: 300, total: 900}     # seconds, by phase
  kernels:
    page-idle:                                    # a named variant ('vmtest kernels')
    mine: {image: arch/x86/boot/bzImage}          # or variant:, or tree:; append: adds to the command line
  machines:
    small: {memory: 512M, cpus: 1}
    numa:  {memory: 2G, cpus: 4, numa: 2, swap: "zram:512M"}
    grows: {memory: 512M, memory_max: 1G, plug: ["10s:+512M"], dump_on_panic: true}   # as the options of 'exec'
    here:  {root: host}                           # tests see this machine's root; or a directory with one
  workloads:                                      # beside a test; may be left out
    load: {command: ./load.sh, ready: "^ready$"}  # the test starts when its output shows it
  tests:
    boots: uname -r
    stat:  {command: python3 /opt/t/stat.py, timeouts: {command: 60}, env: {A: "1"}, tolerate: [warning]}
    self:  {command: ./run.sh, output: ktap}      # results of subtests are read from its output
  trees: {tests: /opt/t}                          # host directories copied into each guest
  exclude: [{kernel: mine, machine: numa}]        # patterns; 'include' likewise
  expect:                                         # known failures; a pass is then reported
    - {test: stat, machine: small, verdict: fail, reason: "too little memory"}

examples:
  vmtest run suite.yaml --dry-run                 # the matrix
  vmtest run suite.yaml -j 4 --results out        # out/results.json, junit.xml, results.ktap, guests/*
  vmtest run suite.yaml --filter 'numa' --filter '!boots'
  vmtest run suite.yaml --cluster tcp://10.0.0.1:8786
  vmtest rerun out/guests/page-idle__numa__load__stat --trust    # your own run's: its trees are used again
  vmtest report out

exit codes:
  0    every test passed, was skipped or failed as expected
  1    a test failed, ran out of time, or passed unexpectedly
  2    the suite is wrong (reported with file:line:column); nothing was started
  3    this machine lacks something
  125  a guest was lost (panic, oops, lockup, QEMU died, ...)
  130  interrupted; what had ended by then is in the results
"""


def add(commands: Any) -> None:
    """Adds the commands to the command line."""
    _add_run(commands)
    _add_rerun(commands)
    _add_report(commands)


def _add_run(commands: Any) -> None:
    run = commands.add_parser(
        "run",
        help="run a suite: kernels x machines x workloads x tests, from one YAML file",
        description="Boots a guest for each job of a suite, runs its test, and reports the verdict of each.",
        epilog=RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("suite", type=Path, metavar="SUITE.yaml")
    run.add_argument(
        "--jobs",
        "-j",
        type=_count,
        metavar="N",
        help="guests at once, if memory holds them (default: as many as there are processors for)",
    )
    run.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="PATTERN",
        help="only jobs with such a kernel, machine, workload or test name, or kernel/machine/workload/test; '!' in "
        "front: without them; may be repeated",
    )
    run.add_argument("--dry-run", action="store_true", help="show the matrix and end")
    run.add_argument(
        "--results", type=Path, metavar="DIR", help="new directory for the results (default: vmtest-results/NAME-TIME)"
    )
    run.add_argument("--cluster", metavar="ADDRESS", help="spread the jobs over this Dask scheduler's workers")
    for name, what in (("ca", "certificate authority"), ("cert", "own certificate"), ("key", "own key")):
        run.add_argument(f"--tls-{name}", type=Path, metavar="FILE", help=f"TLS to the cluster: {what} (PEM)")
    run.set_defaults(call=_run)


def _add_rerun(commands: Any) -> None:
    rerun = commands.add_parser(
        "rerun",
        help="repeat exactly one guest and job of a run",
        description="Repeats the guest and job of a manifest, with the same files (by content) and values.\n"
        "A manifest that names trees, kernels outside the cache, a root or QEMU's arguments chooses what of this host\n"
        "the guest gets: it is refused without --trust, and the refusal lists all of it.",
        epilog="example:\n  vmtest rerun out/guests/page-idle__small__none__boots/manifest.json\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    rerun.add_argument("manifest", type=Path, metavar="MANIFEST", help="manifest.json of a guest, or its directory")
    rerun.add_argument("--kernel", type=Path, metavar="BZIMAGE", help="with another kernel")
    rerun.add_argument("--rootfs", type=Path, metavar="IMAGE", help="with another root file system")
    rerun.add_argument(
        "--trust",
        action="store_true",
        help="the manifest may choose kernels, images and directories of this host, and QEMU's arguments",
    )
    rerun.add_argument("--results", type=Path, metavar="DIR", help="new directory for the results")
    rerun.set_defaults(call=_rerun)


def _add_report(commands: Any) -> None:
    report = commands.add_parser(
        "report",
        help="render a run as one HTML page",
        description="Writes one self-contained page of a run: matrix, excerpts, timings, versions. It needs nothing "
        "from elsewhere and can be sent around.",
        epilog="examples:\n  vmtest report out --output page.html\n  vmtest report out --against last-week\n",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("results", type=Path, metavar="DIR", help="directory of a run")
    report.add_argument("--against", type=Path, metavar="DIR", help="an earlier run: the page begins with what changed")
    report.add_argument("--output", "-o", type=Path, metavar="FILE", help="the page (default: DIR/report.html)")
    report.set_defaults(call=_report)


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: is not a count; give at least 1")
    return value


def _run(options: argparse.Namespace) -> int:
    from ..suite.command import run_suite

    runner = None
    tls = (options.tls_ca, options.tls_cert, options.tls_key)
    if any(tls) and not options.cluster:
        raise InvalidInput("--tls-ca, --tls-cert, --tls-key: belong to --cluster; give that too")
    if options.cluster and not options.dry_run:
        from ..cluster.client import cluster_runner

        runner = cluster_runner(options.cluster, most=options.jobs, tls=tls)
    return run_suite(
        options.suite,
        most=options.jobs,
        filters=options.filter,
        dry_run=options.dry_run,
        results=options.results,
        runner=runner,
    )


def _rerun(options: argparse.Namespace) -> int:
    from ..suite.command import rerun

    return rerun(
        options.manifest,
        kernel=options.kernel,
        rootfs=options.rootfs,
        results=options.results,
        trust=options.trust,
    )


def _report(options: argparse.Namespace) -> int:
    from ..results.html import write

    page = write(options.results, options.output, options.against)
    tell(os.path.relpath(page))
    return 0
