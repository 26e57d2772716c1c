# SPDX-License-Identifier: GPL-2.0-only
"""Clients of a running ``damond``: ``damon status``, ``param``, ``modprobe``, ``rmmod``, ``lsmod``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from damon.cli import output
from damon.cli.arguments import duration
from damon.damond.client import PATIENCE_S, Client
from damon.damond.runtime import default_mount, socket_path
from damon.errors import InvalidInput

PARAM_EPILOG = """\
examples:
  damon param list damon_reclaim
  damon param get damon_reclaim.min_age
  damon param get damon_reclaim.min_age damon_reclaim.enabled
  damon param set damon_reclaim.enabled=Y
"""


def add(commands: Any) -> None:
    status = command(commands, "status", "what a running damond does", _status)
    status.add_argument("--json", action="store_true", help="one object, for machines")
    status.add_argument("--follow", action="store_true", help="record what it does in a directory, until Ctrl-C")
    status.add_argument("--out", type=Path, metavar="DIR", help="with --follow: a new directory for results")
    status.add_argument("--every", type=duration, metavar="S", help="with --follow: seconds between rows (default 1)")
    status.add_argument("--out-form", choices=("arrow", "jsonl"), help="of the tables (default: arrow, with pyarrow)")
    pid = command(commands, "pid", "process ids of a running damond's processes and workers, by name", _pid)
    pid.add_argument("names", metavar="NAME", nargs="+")
    lsmod = command(commands, "lsmod", "modules that a running damond has loaded", _lsmod)
    lsmod.add_argument("--json", action="store_true", help="one object, for machines")
    modprobe = command(
        commands, "modprobe", "load a module into a running damond, or set up one that is off", _modprobe
    )
    modprobe.add_argument("name", metavar="MODULE")
    modprobe.add_argument("words", nargs="*", metavar="param=value")
    rmmod = command(commands, "rmmod", "unload a module of a running damond", _rmmod)
    rmmod.add_argument("name", metavar="MODULE")
    param = command(commands, "param", "parameters of a running damond's modules", _param, PARAM_EPILOG)
    param.add_argument("what", choices=("get", "set", "list"))
    param.add_argument("names", metavar="MODULE[.PARAM[=VALUE]]", nargs="+", help="several of get: as PARAM=VALUE")
    param.add_argument("--json", action="store_true", help="of list: one object, for machines")


def command(commands: Any, name: str, text: str, function: Any, epilog: str = "") -> argparse.ArgumentParser:
    """A command of a running damond, with ``--mount`` and ``--timeout``."""
    made: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--mount", type=Path, metavar="DIR", help="the damond to ask (default: $DAMOND_MOUNT, or root's)")
    made.add_argument(
        "--timeout", type=duration, default=PATIENCE_S, metavar="S",
        help=f"wait for an answer so many seconds at most (default {PATIENCE_S:g})",
    )  # fmt: skip
    made.set_defaults(function=function)
    return made


def connect(arguments: argparse.Namespace) -> Client:
    """To the damond that ``--mount`` or the environment names."""
    return Client(socket_path(arguments.mount or default_mount()), arguments.timeout)


def _status(arguments: argparse.Namespace) -> int:
    if arguments.follow or arguments.out is not None or arguments.every is not None or arguments.out_form is not None:
        from damon.cli import follow

        follow.check(arguments)
        with connect(arguments) as client:
            return follow.follow(arguments, client)
    with connect(arguments) as client:
        status = client.call("status")
    if arguments.json:
        print(json.dumps(status))
        return 0
    virtual = "" if status["virtual_s"] is None else f", {status['virtual_s']:.1f} virtual seconds"
    late = f", {status['late_s']:.1f} s late" if status["late_s"] else ""
    print(f"damond {status['pid']} at {status['mount']}, machine {status['machine']}")
    print(f"up {status['uptime_s']:.1f} s{virtual}{late}")
    memory = status["memory"]
    print(f"free {output.size(memory['free_bytes'])} of {output.size(memory['total_bytes'])}")
    output.killed(status["killed"])
    if status["processes"]:
        output.table(("process", "pid"), [(one["name"], str(one["pid"])) for one in status["processes"]])
    output.table(("module", "state", "kdamond"), [_module_row(module) for module in status["modules"]])
    rows = [
        (
            str(kdamond["index"]), kdamond["state"], str(kdamond["pid"]), kdamond.get("operations", "-"),
            str(kdamond.get("regions", "-")), _schemes(kdamond.get("schemes", ())),
        )
        for kdamond in status["kdamonds"]
    ]  # fmt: skip
    if rows:
        output.table(("kdamond", "state", "pid", "operations", "regions", "schemes: tried, applied"), rows)
    return 0


def _pid(arguments: argparse.Namespace) -> int:
    """One a line; 1 when one of the names has none."""
    with connect(arguments) as client:
        answer = client.call("processes")
    code = 0
    for name in arguments.names:
        pids = [one["pid"] for one in answer["processes"] if one["name"] == name]
        for pid in pids:
            print(pid)
        if not pids:
            there = ", ".join(f"{one['name']} ({one['pid']})" for one in answer["processes"]) or "nothing"
            hint = "" if answer["simulated"] else "; the system's own processes: pidof NAME"
            print(f"damon: pid {name!r}: no such process; it has {there}{hint}", file=sys.stderr)
            code = 1
    return code


def _schemes(schemes: Any) -> str:
    sizes = (
        (scheme["action"], *(output.size(scheme[name]) for name in ("sz_tried", "sz_applied"))) for scheme in schemes
    )
    return "; ".join(f"{action} {tried}, {applied}" for action, tried, applied in sizes)


def _module_row(module: dict[str, Any]) -> tuple[str, str, str]:
    return module["name"], module["state"], str(module["kdamond_pid"])


def _lsmod(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        modules = client.call("lsmod")
    if arguments.json:
        print(json.dumps(modules))
    else:
        output.table(("module", "state", "kdamond"), [_module_row(module) for module in modules])
    return 0


def _modprobe(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        client.call("modprobe", module=arguments.name, words=arguments.words)
    return 0


def _rmmod(arguments: argparse.Namespace) -> int:
    with connect(arguments) as client:
        client.call("rmmod", module=arguments.name)
    return 0


def _param(arguments: argparse.Namespace) -> int:
    what, names = arguments.what, arguments.names
    if what != "get" and len(names) > 1:
        raise InvalidInput(f"param {what}: {names[1]!r}: only get takes several; {what} them one by one")
    if what == "list":
        return _list(arguments, names[0])
    wanted = [_split(what, name) for name in names]
    with connect(arguments) as client:
        if what == "set":
            module, parameter, value = wanted[0]
            client.call("param_set", module=module, parameter=parameter, value=value)
            return 0
        values = [client.call("param_get", module=module, parameter=parameter) for module, parameter, _ in wanted]
    for name, value in zip(names, values, strict=True):  # all of them, or none
        print(f"{name}={value}" if len(names) > 1 else value, end="")
    return 0


def _split(what: str, name: str) -> tuple[str, str, str]:
    """Module, parameter and value of a ``MODULE.PARAM[=VALUE]``."""
    module, dot, rest = name.partition(".")
    parameter, equals, value = rest.partition("=")
    if not (dot and parameter) or bool(equals) != (what == "set"):
        raise InvalidInput(f"param {what}: {name!r}: is not complete; give MODULE.PARAM{'=VALUE' * (what == 'set')}")
    return module, parameter, value


def _list(arguments: argparse.Namespace, module: str) -> int:
    with connect(arguments) as client:
        found = client.call("param_list", module=module)
    if arguments.json:
        print(json.dumps(found))
    else:
        rows = [(row["name"], row["value"], row["unit"], row["description"]) for row in found]
        output.table(("parameter", "value", "unit", "meaning"), rows)
    return 0
