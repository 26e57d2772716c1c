// SPDX-License-Identifier: GPL-2.0-only
/* Accesses: the frame of an address, and the bits of this interval. */
#include "truth.h"

#include <stdio.h>

struct vcpu vcpus[MAX_VCPUS];
struct node nodes[MAX_NODES];
uint32_t interval_now = 1;
uint8_t *now;

/*
 * QEMU 7.2 gives for an address of memory the sum of its offset in its block, the block's place among all blocks, and
 * the block's place in the machine's memory. Of a single block, which is the first, that is the address.
 */
int find_nodes(void)
{
	uint64_t first = 0;

	for (unsigned int i = 0; i < asked.nr_nodes; i++) {
		struct RAMBlock *block = qemu_ram_block_by_name ? qemu_ram_block_by_name(nodes[i].block) : NULL;

		if (!block || !qemu_ram_get_offset) {
			fprintf(stderr, "truth: QEMU has no block %s\n", nodes[i].block);
			return -1;
		}
		nodes[i].first = first;
		nodes[i].at = (qemu_ram_get_offset(block) >> PAGE_SHIFT) + first;
		first += nodes[i].frames;
	}
	return 0;
}

static uint64_t frame_of_node(uint64_t frame)
{
	for (unsigned int i = 0; i < asked.nr_nodes; i++)
		if (frame - nodes[i].at < nodes[i].frames)
			return frame - nodes[i].at + nodes[i].first;
	return UINT32_MAX;
}

static uint32_t frame_of(qemu_plugin_meminfo_t info, uint64_t vaddr)
{
	const struct qemu_plugin_hwaddr *where = qemu_plugin_get_hwaddr(info, vaddr);
	uint64_t frame;

	if (!where || qemu_plugin_hwaddr_is_io(where))
		return UINT32_MAX;
	frame = qemu_plugin_hwaddr_phys_addr(where) >> PAGE_SHIFT;
	if (asked.nr_nodes)
		frame = frame_of_node(frame);
	return frame < asked.nr_frames ? (uint32_t)frame : UINT32_MAX;
}

static inline void note(struct vcpu *v, uint32_t frame, enum kind kind)
{
	if (frame == UINT32_MAX)
		return;
	if (asked.exact) {
		uint32_t *count = &v->counts[(size_t)frame * NR_KINDS + kind];

		__atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
	}
	if (!(__atomic_load_n(&now[frame], __ATOMIC_RELAXED) & 1 << kind))
		__atomic_fetch_or(&now[frame], 1 << kind, __ATOMIC_RELAXED);
}

void on_user_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused)
{
	enum kind kind = qemu_plugin_mem_is_store(info) ? USER_WRITE : USER_READ;
	struct vcpu *v = &vcpus[cpu];
	uint64_t page = vaddr >> PAGE_SHIFT;
	struct slot *slot = &v->slots[kind][page % SLOTS];
	uint32_t interval = __atomic_load_n(&interval_now, __ATOMIC_RELAXED);

	(void)unused;
	if (v->interval != interval) {
		v->interval = interval;
		v->generation++;
	}
	if (slot->page == page && slot->generation == v->generation) {
		if (asked.exact)
			note(v, slot->frame, kind);
		return;
	}
	slot->page = page;
	slot->generation = v->generation;
	slot->frame = vaddr >= asked.low && vaddr < asked.high ? frame_of(info, vaddr) : UINT32_MAX;
	note(v, slot->frame, kind);
}

void on_kernel_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused)
{
	(void)unused;
	vcpus[cpu].generation++;
	if (!(vaddr & KERNEL) && vaddr >= asked.low && vaddr < asked.high)
		note(&vcpus[cpu], frame_of(info, vaddr), qemu_plugin_mem_is_store(info) ? KERNEL_WRITE : KERNEL_READ);
}
