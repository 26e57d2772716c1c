# SPDX-License-Identifier: GPL-2.0-only
"""The guest fixture with a stand-in for the guest: markers, loud skips, failures when a guest is required."""

from __future__ import annotations

import pytest

CONFTEST = """
import pytest
import vmtest.guest
from vmtest.errors import GuestLost, MachineLacks, Verdict

class Guest:
    lost = None
    command_line = ["qemu", "-kernel", "/nowhere/bzImage"]
    def __init__(self, config, artifacts=None, most_dumps=None):
        self.config = config
        self.artifacts = artifacts
    def start(self):
        if self.config.append == "lacks":
            raise MachineLacks("program 'qemu' is not installed; install it with: apt-get install qemu")
        if self.config.append == "breaks":
            self.lost = GuestLost(Verdict.OOPS, "while booting", "[0.1] the oops")
            raise self.lost
    def close(self):
        print("CLOSED")
    def run(self, command):
        self.lost = GuestLost(Verdict.PANIC, "it crashed", "[1.0] the console")
        raise self.lost

vmtest.guest.Guest = Guest
"""
MISSING = """
import pytest
pytestmark = pytest.mark.guest(append="lacks")
def test_one(guest): ...
def test_two(guest): ...
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("VMTEST_REQUIRED", raising=False)
    pytester.makeconftest(CONFTEST)
    pytester.makeini("[pytest]\nmarkers = guest\n")
    return pytester


def _run(inner: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    inner.makepyfile(test_it=text)
    plugins = ("-p", "vmtest.pytest_plugin", "-p", "no:xdist", "-p", "no:cacheprovider")
    return inner.runpytest_subprocess(*plugins, "-rA", *options)


def test_markers_of_a_module_make_one_guest(inner: pytest.Pytester) -> None:
    done = _run(
        inner,
        """
import pytest
pytestmark = pytest.mark.guest(memory="512M")
seen = []
@pytest.fixture(scope="module")
def guest_env():
    return {"A": "1"}
@pytest.mark.guest(swap="zram:64M")
def test_one(guest):
    seen.append(guest)
    assert guest.config.memory == "512M" and guest.config.swap == "zram:64M" and guest.config.env == {"A": "1"}
def test_two(guest):
    assert seen == [guest]
""",
    )
    done.assert_outcomes(passed=2)
    assert str(done.stdout).count("CLOSED") == 1


def test_more_guests_of_the_same_kind_close_with_their_test(inner: pytest.Pytester) -> None:
    done = _run(
        inner,
        """
import pytest
pytestmark = pytest.mark.guest(memory="512M")
def test_one(boot_guest):
    one, two = boot_guest(), boot_guest()
    assert one is not two and one.config.memory == two.config.memory == "512M"
@pytest.mark.guest(append="")
def test_two(boot_guest):
    pass
""",
    )
    done.assert_outcomes(passed=2)
    assert str(done.stdout).count("CLOSED") == 2


def test_skips_are_loud(inner: pytest.Pytester) -> None:
    done = _run(inner, MISSING)
    done.assert_outcomes(skipped=2)
    done.stdout.fnmatch_lines(
        ["*guest tests NOT RUN*", "2 test(s) skipped, no guest: program 'qemu' is not installed*"]
    )


def test_required_fails_instead(inner: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VMTEST_REQUIRED", "1")
    done = _run(inner, MISSING)
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["*no guest, and VMTEST_REQUIRED is set*"])


LOSES = """
seen = []
def test_one(guest):
    seen.append(guest)
    guest.run('x')
def test_two(guest):
    assert guest is not seen[0] and not guest.lost
    seen.append(guest)
def test_three(guest):
    assert guest is seen[1]
    assert False, "an ordinary failure"
"""


def test_a_lost_guest_is_no_failed_test_and_the_next_test_gets_another(inner: pytest.Pytester) -> None:
    done = _run(inner, LOSES, "--guest-artifacts", "kept")
    assert sorted(path.name for path in (inner.path / "kept").iterdir()) == ["test_it.py-1", "test_it.py-2"]
    done.stdout.fnmatch_lines(["*1 failed, 1 passed, 1 guest lost*"])
    done.stdout.fnmatch_lines(
        ["*guest lost in test_it.py::test_one*", "guest panic: it crashed", "*the console", "artifacts: *"]
    )
    assert done.outlines[-2] == "GUEST LOST test_it.py::test_one - guest panic: it crashed"
    assert done.ret == 1
    assert str(done.stdout).count("CLOSED") == 2


def test_a_guest_that_is_lost_while_booting(inner: pytest.Pytester) -> None:
    done = _run(inner, "import pytest\n@pytest.mark.guest(append='breaks')\ndef test_one(guest): ...\n")
    done.stdout.fnmatch_lines(["*guest oops: while booting", "*the oops", "artifacts: *", "*1 guest lost*"])
    assert done.ret == 1


def test_markers_that_disagree_are_an_error(inner: pytest.Pytester) -> None:
    done = _run(
        inner,
        """
import pytest
@pytest.mark.guest(memory="1G")
def test_one(guest): ...
@pytest.mark.guest(memory="2G")
def test_two(guest): ...
""",
    )
    done.assert_outcomes(errors=2)
    done.stdout.fnmatch_lines(["*memory='1G' and memory='2G' in one module*"])
