# SPDX-License-Identifier: GPL-2.0-only
"""Results: what each job of a run ended with, its evidence, and the forms they are told in.

``outcome`` and ``manifest`` are the records, ``evidence`` and ``symbols`` what is kept of a guest, ``live`` tells while
it happens, ``writers`` (JSON, JUnit XML, KTAP) and ``html`` afterwards, ``ktap`` reads what tests print.
"""
