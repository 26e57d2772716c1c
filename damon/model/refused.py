# SPDX-License-Identifier: GPL-2.0-only
"""Refusals of a context's start and of requests to its worker: one text each, whichever engine runs it."""

from __future__ import annotations

import errno

from damon.errors import DamonError, InvalidInput


def no_operations() -> InvalidInput:
    return InvalidInput("DamonCtx.ops: None: the context has no operations set; select one with select_ops()")


def runs_already() -> DamonError:
    return DamonError(errno.EBUSY, "context: running: it cannot be started twice; stop it first")


def not_running() -> DamonError:
    return DamonError(errno.ECANCELED, "context: not running: no worker can serve the request; start it first")


def ended_before() -> DamonError:
    return DamonError(errno.ECANCELED, "context: stopped: its worker ended before the request ran; start it again")


def walk_pending() -> DamonError:
    return DamonError(errno.EBUSY, "walk: pending: a context serves one walk at a time; wait for its end")


def walk_canceled() -> DamonError:
    return DamonError(
        errno.ECANCELED, "walk: canceled: no scheme is active, or the worker ended; walk while a scheme is active"
    )
