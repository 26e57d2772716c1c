# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest kconfig``: what a kernel's configuration is good for."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..images import features, kconfig, variants
from ..terminal import tell

EXAMPLES = """examples:
  vmtest kconfig /boot/config-$(uname -r)                  # every feature, and what is missing for it
  vmtest kconfig .config --feature page_idle --feature zram
  vmtest kconfig --kernel page-idle-no-damon --feature damon
  vmtest kconfig .config --feature damon-kunit --fragment >>extra.config
  vmtest kconfig --feature damon-kunit                     # what it needs, without a configuration
  vmtest kconfig .config --shipped                         # what kernels that are built here have, and it has not

exit codes: 0 all that was asked for is there (without --feature: what a guest needs to boot), 1 something is missing,
2 invalid input.
"""


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    to = commands.add_parser(
        "kconfig",
        help="which options a feature needs, and which a kernel lacks",
        description="Reports which features a kernel configuration has the options for, and which options are missing.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    to.add_argument("config", nargs="?", type=Path, metavar="CONFIG", help=".config, /boot/config-*, config.gz")
    to.add_argument("--kernel", metavar="NAME|BZIMAGE", help="a variant's configuration, or the one beside an image")
    to.add_argument("--feature", action="append", default=[], metavar="NAME", help="only this one; may be repeated")
    to.add_argument(
        "--shipped", action="store_true", help="hold it against the fragments that guest kernels are built with"
    )
    form = to.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs")
    form.add_argument("--fragment", action="store_true", help="the missing options as a configuration fragment")
    to.set_defaults(call=_kconfig)


def _kconfig(options: argparse.Namespace) -> int:
    chosen = [features.feature(name) for name in options.feature] or list(features.features().values())
    path = _config(options)
    if options.shipped:
        return _shipped(options, path)
    config = features.read(path) if path else None
    if config is None and not options.feature:
        for one in chosen:
            tell(f"{one.name}: {one.about}")
        return 0
    lacks = {one.name: one.missing(config) if config is not None else list(one.needs) for one in chosen}
    if options.json:
        tell(json.dumps([_plain(one, config, lacks[one.name]) for one in chosen], indent=1))
    elif options.fragment:
        lines = dict.fromkeys(need.line for needs in lacks.values() for need in needs)
        tell("".join(f"{line}\n" for line in lines), end="")
    elif config is None:
        for one in chosen:
            tell(f"{one.name} ({one.about}) needs:")
            tell("".join(f"  {need}\n" for need in one.needs), end="")
    else:
        _table(chosen, lacks)
    if config is None:
        return 0
    return 1 if any(lacks[one.name] for one in chosen if options.feature or one.name == "boot") else 0


def _shipped(options: argparse.Namespace, path: Path | None) -> int:
    if path is None or options.feature or options.json:
        raise InvalidInput("--shipped: takes a configuration, and neither --feature nor --json; leave those out")
    text = features.text_of(path)
    wanted = kconfig.requested(kconfig.fragments(arch=features.arch_of(kconfig.parse(text))))
    missing = kconfig.not_honoured(wanted, text)
    for option in missing:
        tell(option.line if options.fragment else f"missing: {option} ({option.fragment})")
    return 1 if missing else 0


def _config(options: argparse.Namespace) -> Path | None:
    if options.config and options.kernel:
        raise InvalidInput("CONFIG, --kernel: exclude each other; give one")
    if not options.kernel:
        given: Path | None = options.config
        return given
    if options.kernel in variants.variants():
        built = variants.variant(options.kernel).find()
        if built is None:
            raise InvalidInput(
                f"kernel: {options.kernel!r}: is not built yet; run: vmtest build kernel {options.kernel}"
            )
        return built.config
    image = Path(options.kernel)
    if not image.exists():
        variants.variant(options.kernel)  # refuses it, and lists those that exist
    path = features.beside(image)
    if path is None:
        raise InvalidInput(f"kernel: {options.kernel!r}: has no configuration beside it; give CONFIG")
    return path


def _plain(one: features.Feature, config: object, lacks: list[features.Need]) -> dict[str, object]:
    found: dict[str, object] = {"feature": one.name, "about": one.about, "needs": [str(need) for need in one.needs]}
    if config is not None:
        found |= {"there": not lacks, "missing": [str(need) for need in lacks]}
    return found


def _table(chosen: list[features.Feature], lacks: dict[str, list[features.Need]]) -> None:
    width = max(len(one.name) for one in chosen)
    for one in chosen:
        missing = lacks[one.name]
        what = "missing: " + ", ".join(str(need) for need in missing) if missing else one.about
        tell(f"{one.name:{width}}  {'no ' if missing else 'yes'}  {what}")
