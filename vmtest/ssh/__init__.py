# SPDX-License-Identifier: GPL-2.0-only
"""The way into a guest: the seed disk with its keys, the SSH connection, commands and files."""
