# SPDX-License-Identifier: GPL-2.0-only
"""Kernel sources: what a directory, a package's file and a Debian package give, and which package is taken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from damon import apt, cache
from damon.apt import archive
from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.kernel import packages
from damon.kernel.source import open_source
from tests.apt.repository import Repository, build_source, needs_apt
from tests.files import lay


def _tree(numbers: str = "7 3 4", extra: str = "", core: str = "int core;\n") -> dict[str, str]:
    version, level, sub = numbers.split()
    head = f"# comment\nVERSION = {version}\nPATCHLEVEL = {level}\nSUBLEVEL = {sub}\nEXTRAVERSION ={extra}\nNAME = X\n"
    return {
        "Makefile": f"{head}VERSIONS = 1\n",
        "mm/damon/core.c": core,
        "mm/damon/tests/core-kunit.h": "int test;\n",
        "include/linux/damon.h": "int damon;\n",
        "include/linux/list.h": "int list;\n",
        "include/trace/events/damon.h": "int trace;\n",
        "lib/sort.c": "int sort;\n",
        "lib/deeper/not.c": "int not;\n",
        "samples/damon/prcl.c": "int prcl;\n",
        "tools/testing/selftests/damon/a.sh": "true\n",
        "fs/not.c": "int not;\n",
    }


@pytest.mark.parametrize(
    ("numbers", "extra", "version"), [("7 3 4", "", "7.3.4"), ("7 4 0", " -rc2", "7.4.0-rc2"), ("6 12 0", "", "6.12.0")]
)
def test_a_directory(numbers: str, extra: str, version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = lay(tmp_path / "linux", _tree(numbers, extra))
    source = open_source(str(tree))
    assert (source.path, source.version, source.origin, source.note) == (tree, version, str(tree), None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert open_source("~/linux") == open_source("linux") == open_source("./linux") == source


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("mm/damon/core.c", True),
        ("mm/damon/new.h", True),
        ("samples/damon/prcl.c", True),
        ("include/linux/list.h", True),
        ("include/trace/events/damon.h", True),
        ("include/linux/damon.h", True),
        ("mm/damon/tests/core-kunit.h", False),
        ("mm/damon/core.o", False),
        ("Makefile", False),
        ("fs/not.c", False),
    ],
)
def test_the_hash_is_of_what_damon_depends_on(path: str, counts: bool, tmp_path: Path) -> None:
    tree = lay(tmp_path / "a", _tree())
    before = open_source(str(tree)).sha256
    assert open_source(str(shutil.copytree(tree, tmp_path / "b"))).sha256 == before
    with (tree / path).open("a") as stream:
        stream.write("\n")
    assert (open_source(str(tree)).sha256 != before) == counts


def test_content_that_moves_to_another_file_is_another_hash(tmp_path: Path) -> None:
    one = lay(tmp_path / "a", {**_tree(), "mm/damon/a.c": "ab", "mm/damon/b.c": ""})
    other = lay(tmp_path / "b", {**_tree(), "mm/damon/a.c": "a", "mm/damon/b.c": "b"})
    assert open_source(str(one)).sha256 != open_source(str(other)).sha256


@pytest.mark.parametrize("gone", ["mm/damon", "include/linux/damon.h", "include/trace/events/damon.h", "Makefile"])
def test_a_directory_without_damon_is_refused(gone: str, tmp_path: Path) -> None:
    tree = lay(tmp_path / "linux", _tree())
    path = tree / gone
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    with pytest.raises(InvalidInput, match=rf"^kernel source: '{tree}': it has no {gone}.*; give the") as caught:
        open_source(str(tree))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("", "names neither"),
        ("nonesuch", "names neither"),
        ("linux-source-", "names neither"),
        ("linux-source-7", "names neither"),
        ("7.3=a b", "names neither"),
        ("linux-headers-7.3", "names neither"),
        ("/nonesuch", "does not exist"),
        ("~/nonesuch", "does not exist"),
        ("~nonesuch/linux", "home"),
        ("a.deb", "does not exist"),
        ("a\0b", "names neither"),
        ("x" * 5000, "too long"),
        ("/etc/passwd", "is not a package of kernel sources"),
    ],
)
def test_what_names_nothing_is_refused_in_a_line(spec: str, why: str) -> None:
    with pytest.raises(InvalidInput, match=why) as caught:
        open_source(spec)
    assert str(caught.value).startswith("kernel source: ")
    assert "give a kernel tree's directory" in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_makefile_that_is_none(tmp_path: Path) -> None:
    tree = lay(tmp_path, {**_tree(), "Makefile": "all:\n\ttrue\n"})
    with pytest.raises(InvalidInput, match="its Makefile has no VERSION"):
        open_source(str(tree))


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("7.3", packages.Wanted("7.3")),
        ("linux-source-6.12", packages.Wanted("6.12")),
        ("7.3.4", packages.Wanted("7.3", "7.3.4")),
        ("linux-source-7.3=7.3.4-1~bpo13+1", packages.Wanted("7.3", "", "7.3.4-1~bpo13+1")),
        ("linux-source-7.3 7.3.4-1~bpo13+1", packages.Wanted("7.3", "", "7.3.4-1~bpo13+1")),
        ("7.3rc1", None),
        ("linux", None),
    ],
)
def test_how_a_package_is_asked_for(spec: str, wanted: packages.Wanted | None) -> None:
    assert packages.parse(spec) == wanted


@pytest.mark.parametrize(
    ("spec", "version", "met"),
    [
        ("7.3", "7.3~rc7-1~exp1", True),
        ("7.3.4", "7.3.4-1~bpo13+1", True),
        ("7.3.4", "7.3.40-1", False),
        ("7.3.4", "7.3.4.1-1", False),
        ("7.3=7.3.4-1", "7.3.4-1", True),
        ("7.3=7.3.4-1", "7.3.4-2", False),
    ],
)
def test_what_meets_it(spec: str, version: str, met: bool) -> None:
    wanted = packages.parse(spec)
    assert wanted is not None
    assert wanted.met_by("linux-source-7.3", version) == met
    assert not wanted.met_by("linux-source-7.4", version)


@pytest.mark.parametrize(
    ("spec", "taken"),
    [
        ("7.4", "7.3.4-1"),
        ("7.3", "7.3.4-1"),
        ("7.3.2", "7.3.4-1"),
        ("7.3=7.3~rc7-1", "7.3~rc7-1"),
        ("7.1", "7.2.13-1"),
        ("7.0", "6.19.2-1"),
        ("6.10", "6.12.107-1"),
        ("5.10", "6.1.176-1"),
        ("9.9", "7.3.4-1"),
    ],
)
def test_the_nearest(spec: str, taken: str) -> None:
    """A major version has twenty minor ones: 7.0 comes after 6.19."""
    have = ("7.3.4-1", "7.3~rc7-1", "7.2.13-1", "6.19.2-1", "6.12.107-1", "6.1.176-1")
    names = [f"linux-source-{'.'.join(version.split('-')[0].split('~')[0].split('.')[:2])}" for version in have]
    offers = [apt.Offer(name, version, "sid") for name, version in zip(names, have, strict=True)]
    wanted = packages.parse(spec)
    assert wanted is not None
    assert packages.nearest(wanted, offers).version == taken


@pytest.fixture
def mirror(mirror: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Has 7.2 in sid and two versions of 7.3 elsewhere; nothing is installed."""
    mirror.publish("sid", [build_source(tmp_path, "7.2", "7.2.13-1", _tree("7 2 13"))])
    mirror.publish("experimental", [build_source(tmp_path, "7.3", "7.3~rc7-1", _tree("7 3 0", "-rc7"))])
    mirror.publish("bookworm", [build_source(tmp_path, "7.3", "7.3.4-1~bpo13+1", _tree("7 3 4", core="int newer;\n"))])
    monkeypatch.setattr(packages, "INSTALLED", tmp_path / "usr-src")
    return mirror


@needs_apt
def test_a_package_of_any_suite(mirror: Repository, tmp_path: Path) -> None:
    source = open_source("7.3")
    assert (source.version, source.origin, source.note) == ("7.3.4", "linux-source-7.3 7.3.4-1~bpo13+1", None)
    assert source.sha256 == open_source(str(lay(tmp_path / "a", _tree("7 3 4", core="int newer;\n")))).sha256
    unpacked = {str(path.relative_to(source.path)) for path in source.path.rglob("*") if path.is_file()}
    assert unpacked == set(_tree()) - {"fs/not.c", "lib/deeper/not.c"}
    mirror.root.rename(tmp_path / "gone")
    assert open_source("linux-source-7.3") == open_source("7.3.4") == source, "without a mirror"
    assert open_source(source.origin) == source


@needs_apt
def test_the_wanted_version_is_gone(mirror: Repository) -> None:
    for spec, name in (("7.4", "7.4"), ("7.3.5", "7.3.5"), ("7.3=7.3.5-1", "7.3=7.3.5-1")):
        source = open_source(spec)
        took = "took linux-source-7.3 7.3.4-1~bpo13+1 of bookworm"
        assert source.note == f"linux-source-{name} is not to be had: {took}"
        assert source.version == "7.3.4"
    assert open_source("7.3").note is None, "the note is of what was asked, not of the package"


@needs_apt
def test_an_exact_version(mirror: Repository) -> None:
    source = open_source("linux-source-7.3=7.3~rc7-1")
    assert (source.version, source.note) == ("7.3.0-rc7", None)
    assert source.sha256 != open_source("7.3.4").sha256


@needs_apt
def test_an_installed_package_comes_first(mirror: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = open_source("7.3")
    monkeypatch.setattr(apt, "installed_version", lambda name: "7.3.9-1")
    assert open_source("7.3") == fetched, "installed, without its archive"
    packages.INSTALLED.mkdir()
    build_source(tmp_path, "7.3", "7.3.9-1", _tree("7 3 9"))
    (tmp_path / "7.3.9-1.tar.xz").rename(packages.INSTALLED / "linux-source-7.3.tar.xz")
    assert open_source("7.3").origin == "linux-source-7.3 7.3.9-1"
    assert open_source("7.3.4") == fetched, "one that was not asked for"


@needs_apt
def test_a_packages_file(mirror: Repository, tmp_path: Path) -> None:
    deb = build_source(tmp_path, "7.5", "7.5.1-1", _tree("7 5 1"))
    source = open_source(str(deb))
    assert (source.version, source.origin) == ("7.5.1", "linux-source-7.5 7.5.1-1")
    deb.unlink()
    assert open_source("7.5") == source, "it is in the cache"


@needs_apt
def test_a_package_without_damon_is_refused_and_not_kept(mirror: Repository, tmp_path: Path) -> None:
    files = {path: text for path, text in _tree("5 10 1").items() if not path.startswith("mm/")}
    deb = build_source(tmp_path, "5.10", "5.10.1-1", files)
    with pytest.raises(InvalidInput, match=r"has no mm/damon; give a kernel of 5\.15") as caught:
        open_source(str(deb))
    assert "\n" not in str(caught.value)
    assert [path.name for path in (cache.cache_root() / packages.KIND).iterdir() if path.is_dir()] == []


@needs_apt
def test_an_interrupted_unpacking_leaves_nothing(
    mirror: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(packages, "_extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_source("7.2")
    assert packages.cached() == []
    mirror.root.rename(tmp_path / "gone")
    assert open_source("7.2").version == "7.2.13", "the package that was downloaded is there"


@needs_apt
def test_without_a_mirror_the_error_lists_what_is_at_hand(mirror: Repository, tmp_path: Path) -> None:
    open_source("7.2")
    mirror.root.rename(tmp_path / "gone")
    shutil.rmtree(cache.cache_root() / "apt")
    with pytest.raises(MissingCapability, match=r"^kernel source: linux-source-7\.3: neither installed nor") as caught:
        open_source("7.3")
    assert str(caught.value).endswith("in the cache: linux-source-7.2=7.2.13-1")


def test_the_real_mirror() -> None:
    """The one test that asks it: lists only, in the cache that stays."""
    try:
        offers = apt.offers(packages.PREFIX)
    except DamonError as error:
        pytest.skip(f"SKIPPED, the host's mirror does not answer: {error}")
    except MissingCapability as error:
        pytest.skip(f"SKIPPED, the host's mirror does not answer: {error}")
    assert [one for one in offers if packages.parse(f"{one.name}={one.version}")]
    assert (cache.cache_root() / archive.KIND).parent.is_dir()
