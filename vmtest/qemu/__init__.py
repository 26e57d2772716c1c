# SPDX-License-Identifier: GPL-2.0-only
"""The virtual machine: QEMU's command line, its monitor and console, snapshots, memory hot-plug and dumps."""
