# SPDX-License-Identifier: GPL-2.0-only
"""Runs of damon in guests: the one package that uses vmtest, which itself does not depend on DAMON.

``engine.py`` is what a person writes for one (it needs no vmtest), ``machine.py`` the guest that resembles a workload's
machine, ``staging.py`` what it has of this package, ``job.py`` one run in it, ``result.py`` what is believed of it.
"""
