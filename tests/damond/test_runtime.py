# SPDX-License-Identifier: GPL-2.0-only
"""Whatever another user has prepared on the way to the runtime directory is refused, and nothing of it is touched."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from damon.damond.instance import Instance, programs_directory
from damon.damond.owner import Owner
from damon.damond.placeholder import Placeholders
from damon.damond.runtime import open_directory, runtime_path, socket_path
from damon.errors import InvalidInput
from tests.damond import users
from tests.refusals import refused

two_users = pytest.mark.skipif(bool(users.PROBLEM), reason=users.PROBLEM)
PATH = "/tmp/damond-12345"
MOUNT = f"{PATH}/damond/sys"
#: The victim's file; what would be executed leaves a trace.
SCENE = """
victim sh -c 'echo precious >/tmp/file; chmod 600 /tmp/file'
printf '#!/bin/sh\\ntouch /tmp/executed\\n' >/tmp/program; chmod 755 /tmp/program
"""
CHECK = """
[ "$(cat /tmp/file)" = precious ] || echo "the file was overwritten"
[ ! -e /tmp/executed ] || echo "the program was executed"
"""


def _key(monkeypatch: pytest.MonkeyPatch, mount: str) -> str:
    monkeypatch.setenv("RUNTIME_DIRECTORY", "/nonexistent/x")
    return runtime_path(Path(mount), "").name


PREPARED = {
    "a directory of another user": ("other mkdir -p -m 777 PATH/damond; chmod 777 PATH", "EPERM", PATH),
    "its directory in ours": (
        "victim mkdir -m 777 PATH; other mkdir -m 777 PATH/damond; chmod 700 PATH", "EPERM", f"{PATH}/damond",
    ),
    "a link to a directory": ("other mkdir -m 777 /tmp/d; other ln -s /tmp/d PATH", "ELOOP", PATH),
    "a link to a directory of ours": (
        "victim mkdir -m 700 /tmp/d; victim mkdir -m 700 PATH; victim ln -s /tmp/d PATH/damond",
        "ELOOP", f"{PATH}/damond",
    ),
    "others may write": ("victim mkdir -m 700 PATH; victim mkdir -m 777 PATH/damond", "EPERM", f"{PATH}/damond"),
    "others may read": ("victim mkdir -m 755 PATH", "EPERM", PATH),
    "no directory": ("other touch PATH", "ENOTDIR", PATH),
    "the lock is a link": (
        "other mkdir -p -m 777 PATH/damond; chmod 777 PATH; other ln -s /tmp/file PATH/damond/KEY.lock", "EPERM", PATH,
    ),
    "the lock is a link in a directory of ours": (
        "victim mkdir -p -m 700 PATH/damond; chmod 700 PATH; ln -s /tmp/file PATH/damond/KEY.lock", "ELOOP", "KEY.lock",
    ),
    "the lock is a hard link": (
        "victim mkdir -p -m 700 PATH/damond; chmod 700 PATH; ln /tmp/file PATH/damond/KEY.lock", "EPERM", "KEY.lock",
    ),
    "a prepared program": (
        "other mkdir -p -m 777 PATH/damond/KEY.d PATH/damond/KEY.run-1/processes; chmod 777 PATH;"
        "for name in KEY.d KEY.run-1/processes; do other cp /tmp/program PATH/damond/$name/main; done", "EPERM", PATH,
    ),
}  # fmt: skip


@two_users
@pytest.mark.parametrize("what", PREPARED)
def test_what_another_user_prepared_is_refused(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    script, number, named = (word.replace("KEY", _key(monkeypatch, MOUNT)) for word in PREPARED[what])
    done = users.run(f"{SCENE}{script.replace('PATH', PATH)}\nvictim $damond || echo code $?\n{CHECK}")
    assert done.stdout == "code 2\n", done
    assert done.stderr.count("\n") == 1, done
    assert named in done.stderr
    assert f"({number})" in done.stderr
    assert ";" in done.stderr  # and names a remedy


@two_users
@pytest.mark.parametrize(
    ("setting", "prepare", "named"),
    [
        ("XDG_RUNTIME_DIR=/tmp/xdg", "other mkdir -m 777 /tmp/xdg", "/tmp/xdg"),
        ("XDG_RUNTIME_DIR=/tmp/xdg", "victim mkdir -m 750 /tmp/xdg", "/tmp/xdg"),
        ("RUNTIME_DIRECTORY=/tmp/run", "other mkdir -m 700 /tmp/run", "/tmp/run"),
        ("RUNTIME_DIRECTORY=/tmp/run", "victim mkdir -m 770 /tmp/run", "/tmp/run"),
        ("RUNTIME_DIRECTORY=/tmp/o/run", "other mkdir -m 777 /tmp/o; victim mkdir -m 700 /tmp/o/run", "/tmp/o"),
        ("DAMOND_MOUNT=/tmp/m", "other mkdir -m 777 /tmp/m", "/tmp/m"),
        ("DAMOND_MOUNT=/tmp/m", "victim mkdir -m 777 /tmp/m", "/tmp/m"),
        ("DAMOND_MOUNT=/tmp/m", "victim mkdir /tmp/d; other ln -s /tmp/d /tmp/m", "/tmp/m"),
        ("DAMOND_MOUNT=/tmp/o/m", "other mkdir -m 777 /tmp/o", "/tmp/o"),
    ],
)
def test_places_that_are_given_are_looked_at_too(setting: str, prepare: str, named: str) -> None:
    done = users.run(f"{prepare}\nvictim {setting} $damond || echo code $?")
    assert done.stdout == "code 2\n", done
    assert done.stderr.count("\n") == 1, done
    assert f": {named}: " in done.stderr, done


@two_users
def test_a_client_does_not_speak_with_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not connect: requests and answers would be that user's."""
    key = _key(monkeypatch, MOUNT)
    listen = (
        f"import socket; s = socket.socket(socket.AF_UNIX); s.bind('{PATH}/damond/{key}.socket'); s.listen(); "
        "s.setblocking(False); input()\ntry: s.accept()\nexcept BlockingIOError: print('no client')"
    )
    done = users.run(
        f"other mkdir -p -m 777 {PATH}/damond; chmod 777 {PATH}; mkfifo -m 666 /tmp/fifo\n"
        f'other $python -c "{listen}" </tmp/fifo & exec 9>/tmp/fifo\n'
        f"while [ ! -e {PATH}/damond/{key}.socket ]; do sleep 0.01; done; chmod 777 {PATH}/damond/{key}.socket\n"
        "for words in status lsmod trace 'record --damond'; do victim $damon $words || echo code $?; done\n"
        "echo >&9; wait"
    )
    assert done.stdout == "code 2\n" * 4 + "no client\n", done
    assert done.stderr.count(f": {PATH}: belongs to user 65534") == 4, done


@two_users
def test_two_users_serve_beside_each_other() -> None:
    """Each with nothing but what is found in /tmp: what was made is their own."""
    done = users.run(
        "$victim $damond 2>/tmp/log.1 & one=$!; $other $damond 2>/tmp/log.2 & two=$!\n"
        "serves $one /tmp/log.1; serves $two /tmp/log.2\n"
        "stat -c '%a %u' /tmp/damond-12345 /tmp/damond-12345/damond /tmp/damond-12345/damond/*.run-*\n"
        "victim $damon param get damon_reclaim.min_age; other cat /tmp/damond-12345/damond/sys/module || true\n"
        "kill $one $two; wait; find /tmp/damond-* -type f -o -name '*.run-*'\n"
    )
    assert done.stdout == "700 12345\n" * 3 + "120000000\n", done
    assert "Permission denied" in done.stderr


def test_what_is_executed_is_made_for_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    mount = tmp_path / "sys"
    seen: set[Path] = set()
    for _ in range(3):
        instance = Instance(mount)
        assert programs_directory(mount) == instance.programs
        assert instance.programs.stat().st_mode & 0o777 == 0o700
        assert list(instance.programs.iterdir()) == []
        seen.add(instance.programs)
        left = instance.programs.with_name(instance.programs.name + "-killed")
        left.mkdir()
        (left / "kdamond.0").symlink_to("/bin/true")
        instance.close()
        assert list((tmp_path / "run").iterdir()) == []
    assert len(seen) == 3


def test_what_a_killed_one_left_to_execute_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    first = Instance(tmp_path / "sys")
    os.close(first._lock)  # as the kernel does for who was killed
    (first.programs / "main").symlink_to("/bin/true")
    second = Instance(tmp_path / "sys")
    assert not first.programs.exists()
    second.close()


def test_a_process_name_leads_nowhere_else(tmp_path: Path) -> None:
    placeholders = Placeholders(tmp_path / "processes")
    for name in ("../x", "..", ".", "/bin/true"):
        with pytest.raises(InvalidInput):
            placeholders.show(name)
    assert list(tmp_path.iterdir()) == [tmp_path / "processes"]
    placeholders.close()


def test_links_on_the_way(tmp_path: Path) -> None:
    """Those of our own lead on, in a directory that is ours alone; the place itself is none."""
    (tmp_path / "real/run").mkdir(parents=True, mode=0o700)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")

    def use(name: str, private: bool = False) -> None:
        path = tmp_path / name
        os.close(open_directory("place", path, path if private else None, "use another one"))

    use("link/run")
    use("link/run", private=True)
    use("link/../real/run")
    with refused(errno.ELOOP) as caught:
        use("link")
    assert str(tmp_path / "link") in str(caught.value)
    with refused(errno.ELOOP):
        use("loop/run")
    with pytest.raises(FileNotFoundError):
        use("link/missing")


def test_sockets_are_looked_for_in_safe_places_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(run))
    assert socket_path(tmp_path / "sys").parent == run  # nothing there yet: no other user can serve it
    run.mkdir()
    run.chmod(0o770)
    with refused(errno.EPERM) as caught:
        socket_path(tmp_path / "sys")
    assert "0770" in str(caught.value)


def test_owners() -> None:
    own = Owner.ourselves()
    assert Owner.parse(str(own)) == own
    assert not own.dead()
    assert Owner(own.pid, str(int(own.start) + 1), own.namespace).dead()  # its number is another's now
    assert not Owner(own.pid, str(int(own.start) + 1), "1").dead()  # of another namespace nothing is known
    for text in ("", "12", "1-2-x", "1-2-3-4", "-1-2-3"):
        assert Owner.parse(text) is None
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    start = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[19]
    assert Owner(child, start, own.namespace).dead()  # a zombie
    os.waitpid(child, 0)
    assert Owner(child, start, own.namespace).dead()
