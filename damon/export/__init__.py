# SPDX-License-Identifier: GPL-2.0-only
"""A policy written with the library in the forms that others run: a shell script, damo's JSON, C for the kernel."""
