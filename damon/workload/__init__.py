# SPDX-License-Identifier: GPL-2.0-only
"""The workload file: one description of a program's memory accesses, run by the simulator and by ``damon-workload``.

``model.py`` is the parsed workload (standard library only), ``load.py`` reads and validates YAML and masim's text,
``runner.py`` performs the accesses for real with the native program.
"""
