# SPDX-License-Identifier: GPL-2.0-only
"""Suites: a YAML file of kernels, machines, workloads and tests becomes jobs, and jobs become outcomes.

``load`` reads and checks a file, ``expand`` makes the matrix, ``kernels`` finds what boots, ``job`` performs one guest,
``pool`` many of them within what the host has, ``command`` is ``vmtest run`` from file to exit code.
"""
