# SPDX-License-Identifier: GPL-2.0-only
"""The data of DAMON, what ``include/linux/damon.h`` is in the kernel: plain records, no behaviour beyond themselves.

Every room above may read and write them: attributes, regions, targets, schemes, contexts.
Regions and folios are rows of native arrays that the C helper works on; the rest are dataclasses.
"""
