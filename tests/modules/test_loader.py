# SPDX-License-Identifier: GPL-2.0-only
"""Finding, loading, unloading; the boot command line."""

from __future__ import annotations

import errno
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import DamonError
from damon.modules.cmdline import parse_cmdline, split_assignment, split_words
from damon.modules.loader import Loader, find_module, find_modules
from damon.modules.module import Module
from damon.modules.params import Value
from tests.fakes import FakeMachine
from tests.files import lay
from tests.modules.loaded import new_loader
from tests.refusals import refused

SAMPLES = {f"damon_sample_{name}" for name in ("mtier", "prcl", "wsse")}
SHIPPED = {"damon_reclaim", "damon_lru_sort", "damon_stat", *SAMPLES}
MINE = """\
from damon.modules.module import Module
from damon.modules.params import Parameters, Parameter, ParamSpec
from .declared import SPEC

class Mine(Module):
    name, description = {name!r}, 'my own'
    log = []

    def __init__(self, damon):
        super().__init__(damon)
        self.parameters = Parameters([Parameter(SPEC)])

    @classmethod
    def specs(cls): return [SPEC]

    def init(self):
        self.log.append('init')
        if self.parameters['knob'].value == 13:
            raise OSError(12, 'no luck')

    def exit(self): self.log.append('exit')

MODULE = Mine
"""
DECLARED = "from damon.modules.params import ParamSpec\nSPEC = ParamSpec('knob', 'ulong', 3, 'a knob')\n"


def _write(parent: Path, directory: str, text: str) -> Path:
    return lay(parent / directory, {"__init__.py": text, "declared.py": DECLARED})


def test_modules_are_found_by_any_spelling() -> None:
    assert set(find_modules()) == SHIPPED
    assert find_module("damon-lru-sort") is find_module("lru_sort") is find_module("damon_lru_sort")
    with pytest.raises(DamonError, match="did you mean damon_reclaim"):
        find_module("damon_reclam")
    with pytest.raises(DamonError, match="known: damon_lru_sort, damon_reclaim, damon_sample_mtier, "):
        find_module("zswap")


def test_a_directory_of_modules_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path / "a", "mine", MINE.format(name="mine"))
    _write(tmp_path / "b", "mine", MINE.format(name="another"))
    (tmp_path / "a" / "no-module").mkdir()
    _write(tmp_path / "a", "helpers", "")
    monkeypatch.setenv("DAMON_MODULES_PATH", f"{tmp_path}/a:{tmp_path}/b")
    assert set(find_modules()) == {*SHIPPED, "mine", "another"}
    assert find_module("mine") is find_module("mine") is find_module(f"{tmp_path}/a/mine")
    _, _, loader = new_loader()
    module = loader.prepare("mine", ["knob=4"])
    loader.load(module)
    assert module.parameters["knob"].value == 4
    assert list(loader.loaded) == ["mine"]


def test_directories_of_modules_that_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAMON_MODULES_PATH", str(tmp_path / "nowhere"))
    with pytest.raises(DamonError, match="nowhere"):
        find_modules()
    for directory, text, message in (
        ("broken", "import nothing_of_that_name", "broken.*cannot be imported: ModuleNotFoundError"),
        ("bad_syntax", "def (", "bad_syntax.*cannot be imported: SyntaxError"),
        ("not_one", "MODULE = 7", "not_one.*not a subclass"),
        ("taken", MINE.format(name="damon_reclaim"), "damon_reclaim.*taken"),
    ):
        _write(tmp_path / directory, directory, text)
        monkeypatch.setenv("DAMON_MODULES_PATH", str(tmp_path / directory))
        for _ in range(2):
            with pytest.raises(DamonError, match=message) as caught:
                find_modules()
            assert "\n" not in str(caught.value)
    monkeypatch.delenv("DAMON_MODULES_PATH")
    with pytest.raises(DamonError, match="is not a module"):
        find_module(f"{tmp_path}/nowhere/mine")


def test_load_and_unload(tmp_path: Path) -> None:
    _, damon, loader = new_loader()
    loader.load(loader.prepare("reclaim", ["enabled=Y"]))
    with pytest.raises(DamonError, match=r"^module: damon_reclaim: is loaded already"):
        loader.load(loader.prepare("damon_reclaim"))
    with pytest.raises(DamonError, match="did you mean damon_reclaim"):
        loader.unload("damon_reclain")
    assert (list(loader.loaded), damon.nr_running_ctxs) == (["damon_reclaim"], 1)
    loader.unload("reclaim")
    assert (list(loader.loaded), damon.nr_running_ctxs) == ([], 0)


def test_a_module_whose_init_fails_is_not_loaded(tmp_path: Path) -> None:
    kind = find_module(str(_write(tmp_path, "unlucky", MINE.format(name="unlucky"))))
    _, _, loader = new_loader()
    with pytest.raises(OSError, match="no luck"):
        loader.load(loader.prepare(kind, ["knob=13"]))
    assert not loader.loaded
    assert vars(kind)["log"] == ["init", "exit"]


def test_the_last_loaded_is_unloaded_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, _, loader = new_loader()
    order: list[str] = []
    for name in ("one", "two"):
        module = loader.prepare(str(_write(tmp_path, name, MINE.format(name=name))))
        monkeypatch.setattr(module, "exit", partial(order.append, name))
        loader.load(module)
    loader.unload_all()
    assert order == ["two", "one"]


def test_boot_command_line() -> None:
    line = 'quiet damon-reclaim.enabled=Y root=/dev/sda1 damon_lru_sort.commit_inputs "damon_reclaim.min-age=3000000"'
    assert parse_cmdline(line) == {
        "damon_reclaim": ["enabled=Y", "min-age=3000000"], "damon_lru_sort": ["commit_inputs"],
    }  # fmt: skip
    _, _, loader = new_loader()
    module = loader.prepare(
        "damon_reclaim", ["min-age=3000000", "kdamond_pid=5", "skip_anon", "quota_sz=1", "quota_sz=2"]
    )
    values = module.parameters.values_by_name()
    assert (values["min_age"], values["kdamond_pid"], values["skip_anon"], values["quota_sz"]) == (3000000, -1, True, 2)
    with pytest.raises(DamonError, match="did you mean min_age"):
        loader.prepare("damon_reclaim", ["min_aeg=1"])


@pytest.mark.parametrize(
    ("line", "words"),
    [("", []), ("  a\tb\n", ["a", "b"]), ('a="x y" b', ['a="x y"', "b"]), ('"a=x y" b', ["a=x y", "b"]),
     ("a='x y'", ["a='x", "y'"]), ("a -- b", ["a"]), ("a=\\n", ["a=\\n"]), ('a=x" "y', ['a=x" "y'])],
)  # fmt: skip
def test_words_as_the_kernel_splits_them(line: str, words: list[str]) -> None:
    assert split_words(line) == words


def test_quotes_around_a_value_come_off() -> None:
    assert split_assignment('a="x=y z"') == ("a", "x=y z")
    assert split_assignment("a") == ("a", None)
    assert split_assignment("a=") == ("a", "")


@pytest.mark.parametrize(
    ("line", "message"),
    [('damon_reclaim.enabled="Y', "quotation"),
     ("damon_reclaim_enabled=Y", "^command line word: 'damon_reclaim_enabled=Y': has no dot"),
     ("damon-reclaim", "^command line word: 'damon-reclaim': has no dot")],
)  # fmt: skip
def test_command_lines_refused(line: str, message: str) -> None:
    with pytest.raises(DamonError, match=message) as caught:
        parse_cmdline(line)
    assert caught.value.errno == errno.EINVAL


NAME = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)


@given(st.lists(st.tuples(NAME, NAME, st.text(st.characters(exclude_characters='"\0'), max_size=8)), max_size=5))
def test_any_quoted_value_comes_through(parameters: list[tuple[str, str, str]]) -> None:
    line = " ".join(f'{module}.{name}="{value}"' for module, name, value in parameters)
    expected: dict[str, list[str]] = {}
    for module, name, value in parameters:
        expected.setdefault(module, []).append(f"{name}={value}")
    assert parse_cmdline(line) == expected


def _off() -> tuple[FakeMachine, Loader, Module]:
    machine, _, loader = new_loader()
    module = loader.prepare("damon_reclaim", ["enabled=N"])
    loader.load(module)
    return machine, loader, module


def _values(module: Module) -> dict[str, Value]:
    return module.parameters.values_by_name()


def test_a_loaded_module_takes_parameters_over() -> None:
    _, loader, module = _off()
    module.parameters["quota_ms"].store("77")
    loader.reconfigure(module, [])
    loader.reconfigure(module, ["enabled=Y", "min-age=5", "commit_inputs=N"])  # enabled is stored last
    assert module.running
    assert [module.parameters[name].value for name in ("min_age", "quota_ms", "enabled")] == [5, 77, True]
    loader.reconfigure(module, ["enabled", "min_age=5"])  # as it is: nothing to do
    with pytest.raises(DamonError, match=r"^damon_reclaim\.min_age: .*; damon param set damon_reclaim\.min_age") as e:
        loader.reconfigure(module, ["enabled=N", "min_age=6"])
    assert e.value.errno == errno.EBUSY
    assert module.running
    loader.reconfigure(module, ["enabled=N"])
    assert not module.running
    loader.reconfigure(module, ["enabled=N", "min_age=6"])
    assert module.parameters["min_age"].value == 6


@pytest.mark.parametrize(
    ("words", "number"),
    [
        (["min_age=5", "quota_ms=x"], errno.EINVAL),
        (["min_age=5", "nonsense=1"], errno.EINVAL),
        (["min_age=5", "quota_ms=99999999999999999999"], errno.ERANGE),
        (["min_age=5", "enabled=Y", "min_nr_regions=2"], errno.EINVAL),  # found when it would start
        (["min_age=5", "quota_ms"], errno.EINVAL),
        (["min_age=5", "commit_inputs=Y"], errno.EINVAL),
    ],
)
def test_refused_parameters_change_nothing(words: list[str], number: int) -> None:
    _, loader, module = _off()
    before = _values(module)
    with pytest.raises(DamonError) as caught:
        loader.reconfigure(module, words)
    assert caught.value.errno == number
    assert _values(module) == before
    assert not module.running


def test_a_start_that_fails_changes_nothing() -> None:
    _, loader, module = _off()
    other = loader.prepare("damon_stat", ["enabled=Y"])
    loader.load(other)
    before = _values(module)
    with refused(errno.EBUSY):
        loader.reconfigure(module, ["min_age=5", "enabled=Y"])
    assert _values(module) == before
    assert other.running
    loader.unload_all()
