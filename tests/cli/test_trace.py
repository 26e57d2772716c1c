# SPDX-License-Identifier: GPL-2.0-only
"""``damon trace`` beside a stream of events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from damon.core import Damon
from damon.core.events import ESZ
from damon.core.trace import damos_trace_esz
from damon.damond.runtime import trace_socket_path
from damon.model.context import DamonCtx
from damon.model.scheme import Damos
from damon.trace.server import TraceServer
from tests.cli.conftest import Damon as Command
from tests.fakes import FakeMachine
from tests.waiting import until


def _context(damon: Damon) -> DamonCtx:
    ctx = damon.new_ctx()
    ctx.schemes.append(Damos())
    return ctx


@pytest.mark.parametrize("json_form", [False, True])
def test_events_until_ctrl_c(tmp_path: Path, json_form: bool) -> None:
    damon = Damon(FakeMachine())
    ctx = _context(damon)
    command = [sys.executable, "-m", "damon.cli.main", "trace", "-e", "damos_esz", *(["--json"] if json_form else [])]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd()), "DAMON_TRACE_SOCKET": str(tmp_path / "s")}
    with TraceServer(damon.trace, tmp_path / "s"):
        process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        until(lambda: damon.trace.enabled(ESZ))
        ctx.schemes[0].quota.esz = 4096
        damos_trace_esz(ctx, ctx.schemes[0])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    if json_form:
        event = json.loads(out)
        assert (event["event"], event["esz"], event["comm"]) == ("damos_esz", 4096, "MainThread")
    else:
        assert " ".join(out.split()) == "MainThread 0 [000] 0.000000: damon:damos_esz: ctx_idx=0 scheme_idx=0 esz=4096"


def test_without_a_stream_one_line_has_the_remedy(
    damon: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAMON_TRACE_SOCKET", raising=False)
    outcome = damon(["trace", "--mount", str(tmp_path / "x")])
    assert outcome.code == 2
    assert outcome.err.startswith(f"damon: trace events: '{trace_socket_path(tmp_path / 'x')}': No such file")
    assert "; start damond" in outcome.err
    outcome = damon(["trace", "--socket", str(tmp_path / "nothing")])
    assert (outcome.code, outcome.out) == (2, "")
    assert f"trace events: '{tmp_path}/nothing': No such file or directory; start damond" in outcome.err
