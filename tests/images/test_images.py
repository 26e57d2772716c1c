# SPDX-License-Identifier: GPL-2.0-only
"""Recipes without building anything: fragments, cache, package lists, apt sources, scripts."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.waiting import until
from vmtest import cache, steps
from vmtest.errors import BuildFailed, InvalidInput, MachineLacks
from vmtest.images import aptsources, hostpkgs, kconfig, kernel_build, pydeps, rootfs_build, source, variants
from vmtest.progress import Progress

NEEDED = (
    *(
        "IDLE_PAGE_TRACKING",
        "PROC_PAGE_MONITOR",
        "MEMCG",
        "PSI",
        "ZRAM",
        "TRANSPARENT_HUGEPAGE",
        "NUMA",
        "MEMORY_HOTPLUG",
    ),
    *("DAMON", "DAMON_VADDR", "DAMON_PADDR", "DAMON_SYSFS", "DAMON_RECLAIM", "DAMON_LRU_SORT"),
    *("FUSE_FS", "OVERLAY_FS", "9P_FS", "SQUASHFS", "VIRTIO_BLK", "VIRTIO_NET", "FTRACE", "PERF_EVENTS"),
)


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_fragments_ask_for_what_the_project_needs_and_agree() -> None:
    options = kconfig.requested(kconfig.fragments())
    values: dict[str, str | None] = {}
    for option in options:
        assert values.setdefault(option.name, option.value) == option.value, f"{option.name}: two fragments disagree"
        assert option.value != "m", f"{option}: nothing is a module"
    for name in NEEDED:
        assert values[f"CONFIG_{name}"] == "y"
    assert values["CONFIG_DAMON_DBGFS_DEPRECATED"] is None
    assert values["CONFIG_PSI_DEFAULT_DISABLED"] is None


def test_every_line_of_a_fragment_is_understood() -> None:
    for path in kconfig.fragments():
        lines = path.read_text().splitlines()
        assert lines[0].startswith("# SPDX"), path
        settings = [line for line in lines if line.startswith(("CONFIG_", "# CONFIG_"))]
        assert len(kconfig.parse("\n".join(settings))) == len(settings), f"{path}: a line is repeated or malformed"


def test_dropped_options_are_named() -> None:
    wanted = [
        kconfig.Option("CONFIG_A", "y", "a.config"),
        kconfig.Option("CONFIG_B", "y", "a.config"),
        kconfig.Option("CONFIG_C", None, "b.config"),
        kconfig.Option("CONFIG_D", None, "b.config"),
        kconfig.Option("CONFIG_E", '"x"', "b.config"),
    ]
    final = 'CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=y\nCONFIG_E="x"\n'
    assert [str(option) for option in kconfig.dropped(wanted, final)] == ["CONFIG_B=y", "CONFIG_C not set"]


def test_kernel_key_changes_with_source_and_fragments(tmp_path: Path) -> None:
    fragment = tmp_path / "a.config"
    fragment.write_text("CONFIG_A=y\n")
    one = source.KernelSource("x", "x 1", None)
    keys = {
        kernel_build.key_of(one, kernel_build.Recipe((fragment,))),
        kernel_build.key_of(source.KernelSource("x", "x 2", None), kernel_build.Recipe((fragment,))),
    }
    fragment.write_text("CONFIG_A=n\n")
    keys.add(kernel_build.key_of(one, kernel_build.Recipe((fragment,))))
    assert len(keys) == 3


def test_content_key_keeps_parts_apart() -> None:
    assert cache.content_key({"a": "bc"}) != cache.content_key({"ab": "c"})
    assert cache.content_key({"a": "1", "b": "2"}) == cache.content_key({"b": b"2", "a": b"1"})


def test_tree_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"^kernel source: .*: has no Makefile"):
        source.from_tree(tmp_path)


def test_tree_identity_sees_an_edit(tmp_path: Path) -> None:
    for name in ("Makefile", "Kconfig", "scripts/kconfig/merge_config.sh", "mm/damon/core.c"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    before = source.from_tree(tmp_path).identity
    assert source.from_tree(tmp_path).identity == before
    (tmp_path / "mm/damon/core.c").write_text("y")
    os.utime(tmp_path / "mm/damon/core.c", ns=(1, 1))
    assert source.from_tree(tmp_path).identity != before
    (tmp_path / ".config").write_text("")
    with pytest.raises(InvalidInput, match="make mrproper"):
        source.from_tree(tmp_path)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "installed_version", lambda _name: None)
    with pytest.raises(MachineLacks, match=r"vmtest build kernel --package linux-source-0\.6$"):
        source.from_package("linux-source-0.6")
    with pytest.raises(
        MachineLacks, match="program: 'no-such-program': is not installed; install it with: apt-get install"
    ):
        hostpkgs.program("no-such-program")


def test_package_list() -> None:
    listed = hostpkgs.packages()
    assert "qemu-system-x86" in listed
    assert all(listed.values()), "each has its purpose"
    groups = {name: why for group in hostpkgs.GROUPS for name, why in hostpkgs.packages(group).items()}
    assert all(groups.values())
    assert not set(groups) & set(listed), "what only some guests need is not asked of everybody"
    assert set(hostpkgs.PROGRAMS.values()) <= {*listed, *groups, "util-linux"}


def test_failed_build_leaves_nothing_and_the_next_works() -> None:
    def fail(directory: Path, _progress: Progress) -> None:
        (directory / "half").write_text("x")
        raise BuildFailed("no")

    with pytest.raises(BuildFailed):
        cache.obtain("kind", "key", "label", fail, {})
    assert cache.lookup("kind", "key") is None
    left = [path.name for path in (cache.cache_root() / "kind").iterdir()]
    assert left == ["key.lock"]
    # What a builder that was killed leaves: a scratch directory, or a target without its manifest.
    (cache.cache_root() / "kind/.key.dead").mkdir()
    (cache.cache_root() / "kind/.gone.dead").mkdir()
    (cache.cache_root() / "kind/.busy.alive").mkdir()
    (cache.cache_root() / "kind/key").mkdir()
    with cache.locked(cache.cache_root() / "kind/busy.lock", Progress("")):
        directory = cache.obtain("kind", "key", "label", lambda path, _progress: (path / "whole").touch(), {"a": 1})
    assert (directory / "whole").exists()
    assert json.loads((directory / cache.MANIFEST).read_text())["a"] == 1
    assert not (cache.cache_root() / "kind/.key.dead").exists()
    assert not (cache.cache_root() / "kind/.gone.dead").exists()
    assert (cache.cache_root() / "kind/.busy.alive").exists(), "another builder is at work there"
    assert cache.obtain("kind", "key", "label", fail, {}) == directory, "not built twice"


def _build_slowly(counter: str) -> str:
    def build(directory: Path, _progress: Progress) -> None:
        with Path(counter).open("a") as stream:
            stream.write("x")
        # The other one has come as far as to wait for this one, or to think that it builds as well.
        until(lambda: Path(counter).with_suffix(".begun").read_text() == "xx")
        (directory / "whole").touch()

    with Path(counter).with_suffix(".begun").open("a") as stream:
        stream.write("x")
    return str(cache.obtain("kind", "both", "label", build, {}))


def test_two_builders_build_once(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    with multiprocessing.get_context("fork").Pool(2) as pool:
        first, second = pool.map(_build_slowly, [str(counter)] * 2)
    assert first == second
    assert counter.read_text() == "x"


def test_a_step_that_fails_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", "-j9 --jobserver-auth=3,4")
    check = 'test -z "$MAKEFLAGS" && test "$X" = 1'
    with Progress("thing") as progress:
        steps.run(["sh", "-c", check], tmp_path / "log", progress, "x", env={"X": "1"})
        with pytest.raises(BuildFailed, match=r"thing: step .*: ended with code 3; its last lines:\n(?s:.*)the reason"):
            steps.run(["sh", "-c", "echo the reason; exit 3"], tmp_path / "log", progress, "x")


def test_apt_sources_of_the_host(tmp_path: Path) -> None:
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (parts / "debian.sources").write_text(
        "Types: deb\n# a remark\nURIs: http://mirror.invalid/debian\nSuites: bookworm bookworm-updates\n"
        "\nTypes: deb\nURIs: http://mirror.invalid/security\nSuites: bookworm-security\nComponents: main\n"
        "\nTypes: deb\nURIs: http://tools.invalid\nSuites: tools-bookworm\nComponents: main\n"
        "\nTypes: deb\nURIs: http://mixed.invalid\nSuites: bookworm trixie\nComponents: main\n"
        "\nTypes: deb-src\nURIs: http://mirror.invalid/debian\nSuites: bookworm\nComponents: main\n"
        "\nEnabled: no\nTypes: deb\nURIs: http://off.invalid\nSuites: bookworm\nComponents: main\n"
    )
    text = aptsources.for_release("bookworm", tmp_path)
    assert text.count("URIs:") == 2
    assert "tools.invalid" not in text
    assert "off.invalid" not in text
    assert "deb-src" not in text
    assert aptsources.for_release("trixie", tmp_path) == ""


def test_apt_sources_in_the_old_form(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "# deb http://no.invalid bookworm main\ndeb [signed-by=/k] http://mirror.invalid/debian bookworm main\n"
        "deb http://mirror.invalid/security bookworm-security main\ndeb http://tools.invalid tools main\n"
    )
    lines = aptsources.for_release("bookworm", tmp_path).splitlines()
    assert len(lines) == 2


def test_image_requirements_are_the_projects_and_pytest() -> None:
    names = " ".join(pydeps.requirements())
    for name in ("msgspec", "pyyaml", "rich", "pytest"):
        assert name in names
    for name in ("paramiko", "pexpect", "mypy"):
        assert name not in names, "the harness's own needs stay on the host"


def test_image_key_changes_with_its_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rootfs_build.key()
    for path in rootfs_build.FILES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(rootfs_build, "FILES", tmp_path)
    assert rootfs_build.key() == before
    (tmp_path / "setup").write_text("#!/bin/sh\n")
    assert rootfs_build.key() != before


@pytest.mark.parametrize("name", [*rootfs_build.PROGRAMS, "hostroot"])
def test_guest_scripts_parse_and_call_only_what_is_linked(name: str) -> None:
    path = rootfs_build.FILES / name
    subprocess.run(["sh", "-n", str(path)], check=True)
    commands = {line.split()[0] for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")}
    for applet in ("mount", "mkdir", "tar", "mkswap", "hostname", "umount", "pivot_root", "sed"):
        assert applet not in commands or applet in rootfs_build.APPLETS


def test_an_interrupt_after_the_end_of_a_step(tmp_path: Path) -> None:
    """Its process was waited for: no group with its number is sent a signal."""

    class Interrupted(Progress):
        def update(self, note: str = "") -> None:
            raise KeyboardInterrupt

    child = steps._start(["true"], None, {})
    child.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "killpg", lambda *_: pytest.fail("a signal"))
        steps._kill(child)
    with pytest.raises(KeyboardInterrupt):
        steps.run(["sleep", "60"], tmp_path / "log", Interrupted("thing"), "note")


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"ELF?")
    with pytest.raises(InvalidInput, match="is not a squashfs image; build one with: vmtest build image"):
        rootfs_build.check_image(path)
    path.write_bytes(b"hsqs....")
    rootfs_build.check_image(path)


@pytest.mark.skipif(shutil.which("mksquashfs") is None, reason="needs mksquashfs: apt-get install squashfs-tools")
def test_an_image_that_cannot_be_read_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    for number in range(40):
        (tmp_path / f"root/{number}").write_bytes("".join(f"{number} {line}\n" for line in range(9000)).encode())
    archive, image, log = tmp_path / "root.tar", tmp_path / "root.squashfs", tmp_path / "log"
    with tarfile.open(archive, "w") as made:
        made.add(tmp_path / "root", "root")
    read: list[Path] = []
    with Progress("image") as progress:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rootfs_build, "_read_all", lambda what, *_: read.append(what))
            rootfs_build._squash(archive, image, log, progress)
        assert read == [image]
        rootfs_build._read_all(image, log, progress)
        data = bytearray(image.read_bytes())
        data[200:800] = b"\xff" * 600  # behind the superblock and its options: the first files' data
        image.write_bytes(data)
        with pytest.raises(BuildFailed, match=r"image: step 'unsquashfs .*': ended with code 1"):
            rootfs_build._read_all(image, log, progress)


def test_a_name_stands_for_the_first_kernel_whose_source_can_be_had(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a download while a source is on the machine; what takes its place is reported."""
    here, fetched = {"linux-source-6.12"}, set[str]()

    def from_package(package: str, *, suite: str = "", fetch: bool = False) -> source.KernelSource:
        if package not in here | (fetched if fetch else set()):
            raise MachineLacks(f"package: {package}: gone")
        here.add(package)
        return source.KernelSource(package, f"{package} 1", None)

    monkeypatch.setattr(source, "from_package", from_package)
    known = variants.variant("page-idle")
    assert known.chosen().name == "page-idle-6.12"
    assert capsys.readouterr().err == ""
    assert known.chosen(fetch=True).name == "page-idle-6.12"
    said = capsys.readouterr().err
    assert (
        said
        == "vmtest: NOTICE: kernel page-idle: not page-idle-7.3, but page-idle-6.12: package: linux-source-7.3: gone\n"
    )
    fetched.add("linux-source-7.3")
    assert known.chosen().name == "page-idle-6.12"
    assert known.chosen(fetch=True).name == "page-idle-7.3"
    assert known.chosen().name == "page-idle-7.3"
    assert known.tree().name == "linux-source-7.3"
    assert variants.variant("page-idle-no-damon").recipe() == variants.variant("page-idle-7.3-no-damon").recipe()
    here.clear()
    with pytest.raises(MachineLacks, match=r"linux-source-6\.12: gone"):
        known.find()


def test_variants() -> None:
    known = variants.variants()
    assert variants.DEFAULT in known
    recipe = known["page-idle-no-damon"].recipe()
    assert recipe.base == kernel_build.shipped() == known["page-idle"].recipe()
    assert recipe.text() == "# CONFIG_DAMON is not set\n"
    assert {path.name for path in recipe.base.fragments} - {path.name for path in recipe.fragments} == {
        "32-damon.config"
    }
    tree = source.KernelSource("x", "x 1", None)
    assert kernel_build.key_of(tree, recipe) != kernel_build.key_of(tree, recipe.base)
    with pytest.raises(InvalidInput, match="page-idle, page-idle-no-damon"):
        variants.variant("page-busy")


def test_a_new_cache_is_its_owners_only(tmp_path: Path) -> None:
    old = os.umask(0o002)
    try:
        root = cache.cache_root()
    finally:
        os.umask(old)
    assert root == tmp_path / "cache/pydamon"
    assert root.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_others_can_fill_is_refused(tmp_path: Path) -> None:
    root = cache.cache_root()
    for mode in (0o777, 0o770, 0o702):
        root.chmod(mode)
        with pytest.raises(MachineLacks, match=rf"{root}: may be written by others \(mode {mode:04o}\); look at what"):
            cache.cache_root()
    root.chmod(0o755)
    assert cache.cache_root() == root
    root.rmdir()
    root.touch()
    with pytest.raises(MachineLacks, match="is not a directory"):
        cache.cache_root()


@pytest.mark.skipif(os.getuid() != 0, reason="gives files to another user")
@pytest.mark.parametrize("kind", ["directory", "link", "directory behind a link"])
def test_a_cache_of_another_user_is_refused(kind: str, tmp_path: Path) -> None:
    root = cache.cache_root()
    if kind != "directory":
        root.rename(tmp_path / "real")
        root.symlink_to(tmp_path / "real")
        assert cache.cache_root() == root, "a link of one's own to a directory of one's own"
    os.chown(tmp_path / "real" if kind == "directory behind a link" else root, 54321, -1, follow_symlinks=False)
    with pytest.raises(MachineLacks, match="belongs to user 54321, not to 0, who runs this; set XDG_CACHE_HOME"):
        cache.cache_root()
