# SPDX-License-Identifier: GPL-2.0-only
"""Words on the command line: numbers of any length, durations with a unit, names that are nearly right."""

from __future__ import annotations

import argparse

import pytest

from damon.cli import arguments
from damon.errors import InvalidInput
from damon.modules.params import Parameter, ParamSpec, parse_value
from damon.units import as_plain, seconds, size
from damon.workload import runner
from tests.cli.conftest import Damon
from vmtest.cli import options
from vmtest.cli.main import main as vmtest

NINES = "9" * 5000


def _one_short_line(text: str) -> None:
    assert text.count("\n") == 1
    assert len(text) < 900


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--module", "reclaim", f"min_age={NINES}"],
        ["run", "--module", "reclaim", f"{NINES}=1"],
        ["run", "--module", NINES],
        ["run", "--cmdline", f"damon_reclaim.min_age={NINES}"],
        ["run", "--cmdline", f'damon_reclaim.min_age="{NINES}'],
        ["run", "--cmdline", f"damon_reclaim{NINES}"],
        ["run", "--module", "stat", "--seed", NINES],
        ["run", "--module", "stat", "--duration", NINES],
        ["record", "--pid", NINES],
        ["record", "--region", f"{NINES}-{NINES}"],
        ["record", "--sample-us", NINES],
        ["record", "--intervals-goal", "1", "2", "3", NINES],
        ["record", "--flush", NINES],
    ],
)
def test_numbers_of_five_thousand_digits(damon: Damon, small: str, words: list[str]) -> None:
    outcome = damon([words[0], "--sim", small, *words[1:]])
    assert (outcome.code, outcome.out) == (2, "")
    _one_short_line(outcome.err)


def test_and_in_the_other_commands(capsys: pytest.CaptureFixture[str], small: str) -> None:
    for words in (["--seed", NINES], ["--duration", NINES], ["--interval", NINES]):
        with pytest.raises(SystemExit) as end:
            runner.main([small, *words])
        assert end.value.code == 2
        _one_short_line(capsys.readouterr().err)
    with pytest.raises(SystemExit) as end:
        vmtest(["exec", "--timeout", NINES, "--", "true"])
    assert end.value.code == 2
    _one_short_line(capsys.readouterr().err)


@pytest.mark.parametrize("kind", ["ulong", "long", "int", "array of ulong"])
@pytest.mark.parametrize("text", [NINES, f"0x{'f' * 5000}", f"0{'7' * 5000}"])
def test_a_parameter_that_is_too_large_is_out_of_range(kind: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Parameter(ParamSpec("many", kind, 0, "", length=3)).parse(text)
    assert refused.value.errno == 34  # ERANGE, as kstrtoul() has it
    assert len(str(refused.value)) < 200
    assert parse_value(kind, "0" * 5000, 1) in (0, (0,))


@pytest.mark.parametrize(
    ("text", "value"),
    [("90", 90), ("500ms", 0.5), ("30s", 30), ("5min", 300), ("5m", 300), ("1h", 3600), ("2d", 172800), ("1.5h", 5400),
     ("1e9", 1e9), ("250 us", 0.00025)],
)  # fmt: skip
def test_durations(text: str, value: float) -> None:
    assert arguments.duration(text) == options.seconds(text) == value
    assert runner._seconds(text) == round(value * 1e6)


@pytest.mark.parametrize("text", ["", "h", "1 hour", "-1", "0", "0s", "nan", "inf", "1h30", "1e99", "1,5", "٣", NINES])
def test_what_is_no_duration(text: str) -> None:
    for parse in (arguments.duration, options.seconds, runner._seconds):
        with pytest.raises(argparse.ArgumentTypeError, match=r"duration above 0.*1h"):
            parse(text)


def test_quantities_in_the_unit_of_a_parameter() -> None:
    assert [seconds("1min"), size("1GiB"), size("4096"), size("2kB")] == [60, 1 << 30, 4096, 2048]
    assert (as_plain("5s", "us"), as_plain("5s", "ms"), as_plain("1h", "s")) == (5000000, 5000, 3600)
    assert (as_plain("128M", "bytes"), as_plain("128M", "us"), as_plain("5s", "per mille")) == (1 << 27, None, None)
    assert as_plain("1.0005ms", "us") is None


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        (
            "min_age=5s",
            "'5s': is not an unsigned integer; give decimal, 0x hexadecimal or 0 octal digits, in us: 5000000",
        ),
        ("quota_ms=1s", "digits, in ms: 1000"),
        ("quota_sz=128M", "digits, in bytes: 134217728"),
        ("min_age=5x", "octal digits (EINVAL)"),
        ("wmarks_high=5s", "octal digits (EINVAL)"),
    ],
)
def test_a_value_with_a_unit_is_refused_with_what_to_write(damon: Damon, small: str, word: str, hint: str) -> None:
    outcome = damon(["run", "--module", "reclaim", word, "--sim", small])
    assert outcome.code == 2
    name, _, value = word.partition("=")
    assert outcome.err.startswith(f"damon: damon_reclaim.{name}: {value!r}: ")
    assert hint in outcome.err


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["recrod"], "invalid choice: 'recrod'; did you mean record?"),
        (["zzz"], "choose from run, compare, accuracy, validate"),
        (["run", "--sim", "x", "--durtion", "5"], "unrecognized arguments: --durtion 5; did you mean --duration?"),
        (["run", "--sim", "x", "--zzz"], "unrecognized arguments: --zzz; see"),
        (["record", "--sim", "x", "--ops", "vadr"], "'vadr'; did you mean vaddr?"),
        (["record", "--sim", "x", "--otput=y"], "did you mean --output?"),
        (["modinfo", "reclam"], "did you mean"),
    ],
)
def test_did_you_mean(damon: Damon, words: list[str], hint: str) -> None:
    outcome = damon(words)
    assert (outcome.code, outcome.out) == (2, "")
    assert hint in outcome.err
    _one_short_line(outcome.err)


def test_did_you_mean_of_vmtest(capsys: pytest.CaptureFixture[str]) -> None:
    for words, hint in ((["kernel"], "did you mean kernels?"), (["exec", "--memry", "1G"], "did you mean --memory?")):
        with pytest.raises(SystemExit):
            vmtest(words)
        assert hint in capsys.readouterr().err
