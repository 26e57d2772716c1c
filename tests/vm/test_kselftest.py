# SPDX-License-Identifier: GPL-2.0-only
"""A collection of selftests in real guests: each way to end, one that takes the guest down among them."""

from __future__ import annotations

from pathlib import Path

from vmtest.config import GuestConfig
from vmtest.kselftest import collection, execute, forms
from vmtest.results import ktap
from vmtest.results.outcome import Run

TESTS = {
    "good.sh": "#!/bin/bash\necho fine; [ $(pwd) = /tmp/kselftest/ways ]\n",
    "bad.sh": "#!/bin/sh\necho what went wrong >&2\nexit 3\n",
    "skip.sh": "#!/bin/sh\necho no such device\nexit 4\n",
    "nested.py": "#!/usr/bin/env python3\nprint('KTAP version 1\\n1..2\\nok 1 first\\nnot ok 2 second')\n",
    "slow.sh": "#!/bin/sh\necho begun\nsleep 100 & sleep 100\n",
    "crash.sh": "#!/bin/sh\necho c >/proc/sysrq-trigger\nsleep 100\n",
    "ruby.rb": "#!/usr/bin/ruby\nexit\n",
    "after.sh": "#!/bin/sh\nexit 0\n",
}


def test_each_way_to_end(tmp_path: Path) -> None:
    directory = tmp_path / "built/ways"
    directory.mkdir(parents=True)
    for name, text in TESTS.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    (directory.parent / collection.LIST).write_text("".join(f"ways:{name}\n" for name in TESTS))
    found = collection.read(directory.parent, "ways")
    (tmp_path / "out").mkdir()
    config = GuestConfig(memory="256M", cpus=1)
    runner = execute.Runner(found, config, "page-idle", timeout=20, directory=tmp_path / "out")
    outcomes = runner.run(found.tests, lambda outcome: print(outcome.test, outcome.verdict, outcome.line))
    assert {one.test: one.verdict for one in outcomes} == {
        "good.sh": "pass",
        "bad.sh": "fail",
        "skip.sh": "skip",
        "nested.py": "fail",
        "slow.sh": "command-timeout",
        "crash.sh": "panic",
        "ruby.rb": "skip",
        "after.sh": "pass",
    }
    by_name = {one.test: one for one in outcomes}
    assert "what went wrong" in by_name["bad.sh"].excerpt
    assert by_name["skip.sh"].message == "no such device"
    assert [(one.name, one.status) for one in by_name["nested.py"].subtests] == [("first", "pass"), ("second", "fail")]
    assert (tmp_path / "out/slow.sh/stdout").read_text() == "begun\n"
    assert "sysrq triggered crash" in by_name["crash.sh"].excerpt
    assert "/usr/bin/ruby" in by_name["ruby.rb"].message
    run = Run(suite="kselftest ways", started="", seconds=1.0, versions={}, outcomes=outcomes)
    assert run.exit_code == 125
    read = ktap.parse(forms.text(run, "ktap"))
    assert read.problems == []
    assert len(read.failed) == 4
