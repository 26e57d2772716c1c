# SPDX-License-Identifier: GPL-2.0-only
"""What a manifest from elsewhere may choose of this host: nothing, unless the user allows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.vmtest.suite_fakes import job, outcome
from vmtest import cache, cli
from vmtest.images import rootfs_build
from vmtest.results import manifest, trust
from vmtest.results.job import FileRef, Job
from vmtest.suite import command


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """A job whose kernel and image are in the cache, as those of a run without a kernel of one's own are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = {}
    for name, kind in (("kernel", "kernel"), ("rootfs", "rootfs"), ("vmlinux", "kernel"), ("kernel_config", "kernel")):
        path = cache.cache_root() / kind / "0123" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        files[name] = manifest.file_ref(path)
    return msgspec.structs.replace(job(tmp_path), **files)


def _written(made: Job, directory: Path) -> Path:
    directory.mkdir(exist_ok=True)
    manifest.write(manifest.Manifest(job=made, outcome=outcome("t", "pass")), directory)
    return directory


CHOICES: list[tuple[dict[str, Any], str]] = [
    ({"kernel": FileRef("/boot/vmlinuz", "0" * 64)}, "kernel '/boot/vmlinuz'"),
    ({"rootfs": FileRef("/srv/image", "0" * 64)}, "rootfs '/srv/image'"),
    ({"vmlinux": FileRef("/home/me/key", "0" * 64)}, "vmlinux '/home/me/key'"),
    ({"kernel_config": FileRef("/etc/shadow", "0" * 64)}, "kernel_config '/etc/shadow'"),
    ({"trees": (("/home/me", "/opt/t"),)}, "tree '/home/me'"),
    ({"machine_args": {"qemu_args": ["-chardev", "file,id=x,path=/etc/x"]}}, "qemu_args ['-chardev'"),
    ({"machine_args": {"root": "host"}}, "root 'host'"),
    ({"machine_args": {"shares": [["/home/me", "/mnt"]]}}, "shares [['/home/me'"),
    ({"machine_args": {"something_new": "x"}}, "something_new 'x'"),
]


@pytest.mark.parametrize(("fields", "words"), CHOICES, ids=[words.split()[0] for _, words in CHOICES])
def test_a_manifest_chooses_nothing_of_this_host_without_trust(
    fields: dict[str, Any], words: str, plain: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _written(msgspec.structs.replace(plain, **fields), tmp_path / "foreign")
    assert cli.main(["rerun", str(place), "--results", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert f"it chooses of this host: {words}" in said
    assert said.endswith("give --trust\n")
    assert not (tmp_path / "out").exists(), "nothing was started"


def test_all_choices_are_listed_at_once(plain: Job) -> None:
    made = msgspec.structs.replace(
        plain, trees=(("/a", "/t"), ("/b", "/u")), machine_args={"root": "/c", "qemu_args": ["-S"]}
    )
    assert trust.choices(made) == ["tree '/a'", "tree '/b'", "root '/c'", "qemu_args ['-S']"]


def test_what_stays_in_the_guest_needs_no_trust(plain: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"memory": "512M", "cpus": 1, "numa": 2, "swap": "zram:64M", "thp": "never", "qemu_args": [], "root": None}
    made = msgspec.structs.replace(plain, machine_args=values, append="quiet", env={"A": "1"}, workload="w", cwd="/")
    assert trust.choices(made) == []
    performed: list[Job] = []
    monkeypatch.setattr(rootfs_build, "check_image", lambda *_: None)

    def perform(_name: str, jobs: list[Job], *_: object) -> int:
        performed.extend(jobs)
        raise InterruptedError

    monkeypatch.setattr(command, "perform_all", perform)
    with pytest.raises(InterruptedError):
        command.rerun(_written(made, tmp_path / "m"), results=tmp_path / "out")
    trees = msgspec.structs.replace(made, trees=((str(tmp_path), "/t"),))
    with pytest.raises(InterruptedError):
        command.rerun(_written(trees, tmp_path / "n"), results=tmp_path / "out", trust=True)
    assert performed == [made, trees]


def test_what_is_given_by_hand_is_not_the_manifests_choice(plain: Job) -> None:
    made = msgspec.structs.replace(
        plain, kernel=FileRef("/k", "0"), vmlinux=FileRef("/v", "0"), rootfs=FileRef("/r", "0")
    )
    assert len(trust.choices(made)) == 3
    assert trust.choices(made, kernel=False, rootfs=False) == []


def test_a_link_in_the_cache_is_where_it_leads(plain: Job, tmp_path: Path) -> None:
    link = cache.cache_root() / "kernel/0123/link"
    link.symlink_to(tmp_path / "bzImage")
    made = msgspec.structs.replace(plain, kernel=FileRef(str(link), "0" * 64))
    assert trust.choices(made) == [f"kernel {str(link)!r}"]
    up = str(cache.cache_root() / "kernel/../../../bzImage")
    assert trust.choices(msgspec.structs.replace(plain, kernel=FileRef(up, "0"))) == [f"kernel {up!r}"]


@pytest.mark.parametrize("name", ["../../evil", "", "a/b", "x" * 200, "\x1b[2J", ".", "..", "a\0"])
@pytest.mark.parametrize("field", ["suite", "kernel_name", "test_name"])
def test_names_that_are_no_names_are_refused_even_with_trust(
    name: str, field: str, plain: Job, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = _written(msgspec.structs.replace(plain, **{field: name}), tmp_path / "foreign")
    assert cli.main(["rerun", str(place), "--trust"]) == 2
    assert "is none of a suite's" in capsys.readouterr().err
