# SPDX-License-Identifier: GPL-2.0-only
"""A guest that lacks something: ``damon run --linux`` says what, in one line, with exit code 3; nothing is left."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.vm.job import PROJECT, PYTHON, damon_run
from vmtest import Guest

pytestmark = [pytest.mark.guest(memory="512M", snapshot=True)]

PAGEOUT = damon_run(["damon_reclaim"], duration=2)
FILE_ONLY = damon_run(["damon_reclaim", "skip_anon=Y"], duration=2)
AS_NOBODY = [PYTHON, "-c", "import subprocess, sys; sys.exit(subprocess.run(sys.argv[1:], user=65534).returncode)"]
#: The kernel's directory covered by an empty one, in a namespace of its own: as without CONFIG_IDLE_PAGE_TRACKING.
COVER = "mount -t tmpfs none /sys/kernel/mm/page_idle"
WITHOUT_PAGE_IDLE = ["unshare", "-m", "sh", "-c", f"{COVER} && {shlex.join(FILE_ONLY)}"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (PAGEOUT, ("swap",)),
        ([*AS_NOBODY, *FILE_ONLY], ("root",)),
        (WITHOUT_PAGE_IDLE, ("page_idle", "CONFIG_IDLE_PAGE_TRACKING")),
    ],
    ids=["no swap", "not root", "no page_idle"],
)
def test_what_is_missing_ends_with_3(shared_guest: Guest, words: list[str], named: tuple[str, ...]) -> None:
    shared_guest.run(["rm", "-f", "/tmp/run.json"]).check()
    result = shared_guest.run(words)
    assert result.returncode == 3, result.errors
    assert result.errors.count("\n") == 1
    assert all(word in result.errors for word in named), result.errors
    assert shared_guest.run(["test", "-e", "/tmp/run.json"]).returncode == 1


def test_file_pages_need_no_swap(shared_guest: Guest) -> None:
    assert shared_guest.run(FILE_ONLY).check().errors == ""


def test_what_the_guest_can_do(shared_guest: Guest) -> None:
    """The guest's memory can be monitored, and it has no swap; nothing of it boots guests."""
    wanted = ["simulate", "serve", "exec", "page_idle", "pagemap", "system_ram", "process_madvise", "undisturbed"]
    doctor = [PYTHON, "-m", "damon.cli.main", "doctor", "--json", "--require"]
    result = shared_guest.run([*doctor, ",".join(wanted)], env={"PYTHONPATH": PROJECT})
    assert (result.returncode, result.errors) == (0, "")
    there = {check["name"]: check["ok"] for check in json.loads(result.text)["checks"]}
    assert (there["swap"], there["guests"]) == (False, False)
    assert shared_guest.run([*doctor, "swap"], env={"PYTHONPATH": PROJECT}).returncode == 3


def test_another_user_of_the_idle_bitmap_is_named(shared_guest: Guest) -> None:
    script = f"exec 3</sys/kernel/mm/page_idle/bitmap; {shlex.join(FILE_ONLY)}; exit $?"
    result = shared_guest.run(["sh", "-c", script]).check()
    assert result.errors.count("\n") == 1
    assert "(sh), which has the idle bitmap open" in result.errors


def test_no_module_is_compiled_in_the_guest(shared_guest: Guest) -> None:
    """All byte code comes from the host. A guest that compiles the modules itself takes twice as long to start."""
    shared_guest.run([*damon_run(["damon_reclaim"], duration=0)[:5], "--help"]).check()
    compiled = f"find {PROJECT} -name '*.pyc' -newer /run/vmtest/settings"
    assert shared_guest.run(compiled).check().text == ""


def test_conditions_on_real_memory(shared_guest: Guest) -> None:
    """``--require``: what is not met is a line and exit code 4; what only a simulated machine has is refused."""
    result = shared_guest.run([*FILE_ONLY, "--require", "refaults_per_s<1e9,cpu_s<1e9,free>1T"])
    assert result.returncode == 4
    assert result.errors.startswith("damon: --require: free>1T: is ")
    assert result.errors.count("\n") == 1
    found = json.loads(shared_guest.run(["cat", "/tmp/run.json"]).text)["require"]
    assert [one["met"] for one in found] == [True, True, False]
    refused = shared_guest.run([*FILE_ONLY, "--require", "regret<3"])
    assert (refused.returncode, refused.errors.count("\n")) == (2, 1)
    assert refused.errors.startswith("damon: --require: regret: is known on the simulated machine only")
