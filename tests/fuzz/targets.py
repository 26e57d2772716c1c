# SPDX-License-Identifier: GPL-2.0-only
"""The table of everything that reads foreign text. A new parser gets a row."""

from __future__ import annotations

import zlib

from damon.errors import DamonError, InvalidInput
from tests.fuzz import files, seeds, service_seeds, services
from tests.fuzz.case import Target
from tests.fuzz.place import Said
from vmtest.errors import HarnessError

_OURS, _THEIRS = (InvalidInput,), (HarnessError,)
_TARGETS = [
    Target("records", "json", seeds.records, files.records, _OURS, 400),
    Target("records-packed", "zlib", lambda: list(map(zlib.compress, seeds.records())), files.records, _OURS, 250),
    Target("record-run", "json", seeds.records, files.record_run, _OURS, 100),
    Target("report", "json", seeds.records, files.report, (Said,), 40),
    Target("import", "json", seeds.records, files.import_record, (Said,), 60),
    Target("trace-file", "text", seeds.traces, files.trace_file, _OURS, 150),
    Target("truth-raw", "text", seeds.raw_truths, files.raw_truth, _OURS, 150),
    Target("truth-agent", "text", seeds.truth_lines, files.truth_lines, _OURS, 300),
    Target("convert", "zlib", lambda: [zlib.compress(one) for one in seeds.recordings()], files.convert, _OURS, 150),
    Target("workload", "yaml", seeds.workloads, files.workload, _OURS, 200),
    Target("study", "yaml", seeds.studies, files.study, _OURS, 200),
    Target("guest-results", "json", seeds.guest_results, files.guest_results, _OURS, 300),
    Target("frames", "json", seeds.frames, files.frames, (ValueError,), 300),
    Target("study-results", "json", seeds.study_results, files.study_results, _OURS, 300),
    Target("masim", "text", seeds.masim, files.masim, _OURS, 600),
    Target("plan", "text", seeds.plans, files.plan, _OURS, 800),
    Target("native-plan", "text", seeds.plans, files.native_plan, (Said,), 150),
    Target("performed-trace", "text", seeds.traces, files.performed_trace, (Said,), 60),
    Target("quantities", "text", service_seeds.quantities, services.quantities, _OURS, 2000),
    Target("conditions", "text", seeds.conditions, files.conditions, _OURS, 2000),
    Target("policies", "yaml", seeds.policies, files.policies, _OURS, 300),
    Target("arguments", "text", service_seeds.arguments, services.arguments, (Said,), 800),
    Target("suite", "yaml", seeds.suites, files.suite, _THEIRS, 120),
    Target("manifest", "json", seeds.manifests, files.manifest, _THEIRS, 300),
    Target("run-report", "json", seeds.runs, files.run_report, (DamonError,), 40),
    Target("results", "json", seeds.results, files.results, _THEIRS, 60),
    Target("ktap", "text", service_seeds.ktap, services.ktap, (), 400),
    Target("console", "text", service_seeds.console, services.console, (), 300),
    Target("machine", "text", service_seeds.machine, services.machine, _THEIRS, 2000),
    Target("kconfig", "text", service_seeds.kconfigs, services.kconfig, _THEIRS, 300),
    Target("tar", "text", service_seeds.tars, services.tar, _THEIRS, 100),
    Target("parameters", "text", service_seeds.parameters, services.parameters, (DamonError,), 600),
    Target("cmdline", "text", service_seeds.cmdlines, services.cmdline, (DamonError,), 600),
    Target("control", "json", service_seeds.requests, services.control, (Said,), 600),
    Target("http", "text", service_seeds.http, services.http, (Said,), 300),
    Target("address", "text", service_seeds.addresses, services.address, (DamonError,), 300),
    Target("snapshot", "json", service_seeds.snapshots, services.snapshot_answer, _OURS, 300),
    Target("trace", "text", service_seeds.subscriptions, services.trace_request, (DamonError,), 600),
    Target("sysfs", "text", service_seeds.stores, services.sysfs, (DamonError,), 200),
]

TARGETS = {target.name: target for target in _TARGETS}
