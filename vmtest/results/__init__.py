# SPDX-License-Identifier: GPL-2.0-only
"""Results: what each job of a run ended with, its evidence, and the forms of reports.

``outcome`` and ``manifest`` are the records, ``evidence`` and ``symbols`` what is kept of a guest, ``live`` shows
progress, ``writers`` (JSON, JUnit XML, KTAP) and ``html`` make the reports, ``ktap`` reads what tests print.
"""
