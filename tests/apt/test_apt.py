# SPDX-License-Identifier: GPL-2.0-only
"""Debian packages of any suite: signatures and dates, what is kept, and that the host's own apt is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from damon import apt, cache
from damon.apt import archive, host
from damon.errors import BuildFailed, InvalidInput, MissingCapability
from damon.progress import Progress

from .repository import Repository, build_deb, configure, needs_apt, new_keys, state_of_the_host, take_as_host

ROOT = Path(__file__).parents[2]


@pytest.fixture
def repository(mirror: Repository, tmp_path: Path) -> Repository:
    """The host's mirror: three versions of one package in two suites."""
    debs = {version: build_deb(tmp_path, "thing", version, {"usr/a": version.encode()}) for version in "139"}
    mirror.publish("bookworm", [debs["1"], debs["3"]])
    mirror.publish("sid", [debs["3"], debs["9"], build_deb(tmp_path, "thing-more", "1:2-1", {"usr/a": b"x"})])
    return mirror


@needs_apt
def test_the_newest_of_all_suites_is_taken_and_kept(repository: Repository) -> None:
    before = state_of_the_host()
    found = {(one.name, one.version): one.suite for one in apt.offers("thing")}
    assert set(found) == {("thing", "9"), ("thing", "3"), ("thing", "1"), ("thing-more", "1:2-1")}
    package = apt.fetch_package("thing")
    assert (package.version, package.note, package.deb.name) == ("9", "", "thing_9_all.deb")
    assert apt.fetch_package("thing-more").version == "1:2-1"
    assert apt.fetch_package("thing", "3").version == "3"
    assert [one.version for one in apt.cached("thing-")] == ["1:2-1"]
    repository.root.rename(repository.root.with_name("gone"))
    assert apt.fetch_package("thing") == package, "without a mirror"
    assert [path.name for path in package.deb.parent.iterdir() if path.suffix == ".log"] == []
    assert state_of_the_host() == before


@needs_apt
def test_what_the_mirror_does_not_have_is_named_with_what_it_has(repository: Repository) -> None:
    with pytest.raises(
        MissingCapability, match=r"package: 'thing=5': no suite .* has it; take version 9 of sid, 3 of \w+, 1 "
    ):
        apt.fetch_package("thing", "5")
    repository.root.rename(repository.root.with_name("gone"))
    with pytest.raises(MissingCapability, match=r"the mirror copy:.* has none, .* apt reports: .*; check the net"):
        apt.fetch_package("other")


@needs_apt
def test_a_suite_may_be_asked_for(repository: Repository, tmp_path: Path) -> None:
    assert apt.fetch_package("thing").version == "9"
    repository.publish("own-suite", [build_deb(tmp_path, "thing", "4", {"usr/a": b"4"})])
    assert apt.fetch_package("thing", suite="bookworm").version == "3"
    package = apt.fetch_package("thing", suite="own-suite")
    assert (package.version, package.suite) == ("4", "own-suite")
    repository.root.rename(repository.root.with_name("gone"))
    assert apt.fetch_package("thing", suite="own-suite") == package
    repository.root.with_name("gone").rename(repository.root)
    with pytest.raises(MissingCapability, match=r"^package: 'thing-more': suite bookworm of .* does not have it"):
        apt.fetch_package("thing-more", suite="bookworm")
    with pytest.raises(InvalidInput, match=r"^suite: 'a b': is not the name of one"):
        apt.fetch_package("thing-more", suite="a b")


@needs_apt
def test_a_list_that_another_key_signed_is_refused(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_keys(tmp_path) as others:
        take_as_host(monkeypatch, configure(tmp_path, repository.root, others.public))
        with pytest.raises(MissingCapability, match=r"apt reports: .*(signature|NO_PUBKEY|not signed|public key)"):
            apt.fetch_package("thing")
    assert apt.cached("") == []


@needs_apt
@pytest.mark.parametrize("allow", ["Acquire::AllowInsecureRepositories", "APT::Get::AllowUnauthenticated"])
def test_a_host_that_allows_unsigned_lists_changes_nothing(
    allow: str, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suite in ("bookworm", "sid"):
        directory = repository.root / "dists" / suite
        text = (directory / "InRelease").read_text().partition("\n\n")[2].partition("-----BEGIN PGP SIGNATURE")[0]
        (directory / "Release").write_text(text)
        (directory / "InRelease").unlink()
    take_as_host(monkeypatch, tmp_path / "etc-apt", {allow: "true"})
    with pytest.raises(MissingCapability, match=r"apt reports: .*not signed"):
        apt.fetch_package("thing")


@needs_apt
def test_a_package_that_differs_from_the_list_leaves_nothing(repository: Repository) -> None:
    offer = next(one for one in apt.offers("thing") if one.version == "9")
    deb = repository.root / "pool/thing_9_all.deb"
    data = deb.read_bytes()
    deb.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(BuildFailed, match=r"Hash Sum mismatch"):
        apt.download(offer)
    assert apt.cached("thing") == []
    assert [path.name for path in (cache.cache_root() / archive.KIND).iterdir()] == ["thing_9.lock"]
    deb.write_bytes(data)
    assert apt.download(offer).deb.read_bytes() == data


@needs_apt
def test_an_expired_list_is_taken_only_where_the_host_takes_such(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    debs = sorted((repository.root / "pool").glob("thing_*.deb"))
    for suite in ("bookworm", "sid"):
        repository.publish(suite, debs, dated=-86400 * 9, valid_days=7)
    with pytest.raises(MissingCapability, match=r"apt reports: .*expired"):
        apt.fetch_package("thing")
    take_as_host(monkeypatch, tmp_path / "etc-apt", {"Acquire::Check-Valid-Until": "false"})
    package = apt.fetch_package("thing")
    assert "expired on" in package.note
    assert package.note.endswith("accepted, as this host's apt has Acquire::Check-Valid-Until false")
    assert apt.cached("thing") == [package], "it is still said of what is in the cache"


@needs_apt
def test_nothing_of_the_hosts_configuration_is_run(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that are to be run after an update would find the host's state, and could change it."""
    with Progress("") as progress, archive._session(progress, "") as session:
        words = ["apt-config", "dump"]
        env = {**os.environ, **session._env}
        dump = subprocess.run(words, capture_output=True, text=True, env=env, check=True).stdout
    assert "Invoke" not in dump
    for name in ("Dir::State", "Dir::Cache", "Dir::State::lists"):
        assert f'{name} "{cache.cache_root()}' in dump
    assert list((cache.cache_root() / "apt").glob("run.*")) == []


@needs_apt
@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user; as one that is not root, all others show it")
def test_no_root_is_needed(repository: Repository, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    code = f"""
from functools import partial
from pathlib import Path
from damon import apt
from damon.apt import host
host.mirror = partial(host.mirror, Path({str(tmp_path / "etc-apt")!r}), (), "bookworm")
print(apt.fetch_package("thing").version)
"""
    own = tmp_path / "own"
    own.mkdir()
    os.chown(own, 65534, 65534)
    for directory in (repository.keys.public.parent, tmp_path, *tmp_path.parents):
        if directory.is_relative_to(tmp_path_factory.getbasetemp().parent.parent):
            directory.chmod(directory.stat().st_mode | 0o055)
    words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", sys.executable, "-c", code]
    env = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(own), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, capture_output=True, text=True, env=env, cwd=own, check=False)
    assert (done.returncode, done.stdout) == (0, "9\n"), done.stderr


@needs_apt
def test_what_a_killed_session_left_is_removed(repository: Repository) -> None:
    left = cache.cache_root() / "apt/run.dead"
    (left / "archives").mkdir(parents=True)
    apt.offers("thing")
    assert not left.exists()


LINES = {
    "deb http://one/debian bookworm main contrib # c": ("http://one/debian", "KEYS"),
    "deb [arch=amd64 signed-by=/k.gpg,/l.gpg] http://one bookworm main": ("http://one", "/k.gpg /l.gpg"),
    "deb http://third/party bookworm main\ndeb [signed-by=/debian-archive.gpg] http://one sid main": (
        "http://one",
        "/debian-archive.gpg",
    ),
    "deb [signed-by=/microsoft.gpg] http://third bookworm main\ndeb http://one stable main": ("http://one", "KEYS"),
    "deb-src http://s bookworm main\n#deb http://c bookworm main\ndeb http://one testing main": ("http://one", "KEYS"),
}


@pytest.mark.parametrize("text", LINES)
def test_the_hosts_mirror(text: str, tmp_path: Path) -> None:
    (tmp_path / "keyring.gpg").touch()
    (tmp_path / "sources.list").write_text(text + "\n")
    found = host.mirror(tmp_path, (tmp_path / "keyring.gpg",), "bookworm")
    uri, keys = LINES[text]
    assert (found.uri, found.signed_by) == (uri, keys.replace("KEYS", str(tmp_path / "keyring.gpg")))


def test_a_key_in_the_entry_itself_stays_whole(tmp_path: Path) -> None:
    key = "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEAAAA\n -----END PGP PUBLIC KEY BLOCK-----"
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    stanza = (
        f"Types: deb deb-src\nURIs: http://one\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By:{key}\n"
    )
    (parts / "a.sources").write_text(f"Enabled: no\n{stanza}\n{stanza}")
    found = host.mirror(tmp_path, (), "bookworm")
    assert (found.signed_by, found.suites) == (key, ("bookworm", "bookworm-updates"))


@pytest.mark.parametrize("text", ["", "deb http://x bookworm contrib", "deb http://x bookworm-pgdg main"])
def test_a_host_without_an_entry_of_debian_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(text)
    with pytest.raises(MissingCapability, match=r"apt sources: .*: none is of Debian's main component; add one"):
        host.mirror(tmp_path, (), "bookworm")


def test_a_host_without_debians_keys_is_named(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text("deb [trusted=yes] http://one bookworm main\n")
    with pytest.raises(MissingCapability, match=r"apt keys: .*install it with: apt-get install debian-archive-keyring"):
        host.mirror(tmp_path, (tmp_path / "none.gpg",), "bookworm")


def test_of_the_hosts_options_only_network_and_dates_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "apt-config"
    lines = (
        'Acquire::http::Proxy "http://p:1";',
        'Acquire::https::Verify-Peer "true";',
        'Acquire::http "";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::AllowInsecureRepositories "1";',
        'APT::Get::AllowUnauthenticated "1";',
        'APT::Update::Post-Invoke:: "touch /tmp/x";',
        'Acquire::httpx "1";',
        'Dir::Etc::parts "/etc/apt/apt.conf.d";',
    )
    fake.write_text("#!/bin/sh\ncat <<'E'\n" + "\n".join(lines) + "\nE\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert host.options() == {
        "Acquire::http::Proxy": "http://p:1",
        "Acquire::https::Verify-Peer": "true",
        "Acquire::Check-Valid-Until": "false",
    }
