# SPDX-License-Identifier: GPL-2.0-only
"""The C helpers under AddressSanitizer and UBSan, with the random operations of the tests."""
