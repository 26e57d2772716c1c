// SPDX-License-Identifier: GPL-2.0-only
/*
 * Marks: two instructions that do nothing, `nopl MAGIC(%rax); nopl PAYLOAD(%rax)`, by which a program in the guest
 * tells the plugin that it is here now. The guest's time of each mark gives the guest's time of every window.
 */
#ifndef VMTEST_TRUTH_MARK_H
#define VMTEST_TRUTH_MARK_H

#define MARK_MAGIC { 0x0f, 0x1f, 0x80, 0x54, 0x52, 0x55, 0x54 }
#define MARK_START 0xffff0001u /* instrument and record from now on */
#define MARK_STOP 0xffff0002u  /* record no more */

#endif
