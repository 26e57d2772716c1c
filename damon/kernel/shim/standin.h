/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What mm/damon/{core,modules-common,reclaim,lru_sort,stat}.c of a kernel tree need of the rest of the kernel, in user
 * space. No header of the C library is included here: its names clash with the kernel's.
 * damon.h and list.h are the tree's own; what happens is in runtime.c, behind the functions of shim.h.
 */
#ifndef PYDAMON_KERNEL_H
#define PYDAMON_KERNEL_H

#include <stdarg.h>
#include <stddef.h>

#include "shim.h"
/* Each needs those before it. */
/* clang-format off */
#include "standin/base.h"
#include "standin/errors.h"
#include "standin/strings.h"
#include "standin/threads.h"
#include "standin/mm.h"
#include "standin/modules.h"
/* clang-format on */

#endif
