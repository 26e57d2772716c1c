/* SPDX-License-Identifier: GPL-2.0-only */
/* What the parts of the plugin share: its arguments, what accesses note, and the thread that takes it. */
#ifndef VMTEST_TRUTH_H
#define VMTEST_TRUTH_H

#include "plugin.h"

#define PAGE_SHIFT 12
#define KERNEL (1ull << 63)
#define MAX_VCPUS 16
#define MAX_NODES 8
#define SLOTS 256 /* of a vCPU: pages whose frames it knows */

/* Bits of an access, and numbers of exact counts. */
enum kind { USER_READ, USER_WRITE, KERNEL_READ, KERNEL_WRITE, NR_KINDS };
#define WRITES (1 << USER_WRITE | 1 << KERNEL_WRITE)

struct slot {
	uint64_t page;
	uint32_t generation, frame;
};

/*
 * A user page keeps its frame as long as its vCPU does not enter the kernel: that is a generation. It begins with an
 * interval as well, so that each interval has its bit.
 */
struct vcpu {
	uint32_t generation, interval;
	struct slot slots[2][SLOTS]; /* of reads, of writes */
	uint32_t *counts; /* NR_KINDS of each frame; only this vCPU adds to them */
} __attribute__((aligned(64)));

/* The memory of a NUMA node, which QEMU calls `block`: frames from `first` on, which QEMU's addresses have at `at`. */
struct node {
	char block[48];
	uint64_t frames, first, at;
};

/* plugin.c: what was asked for. */
struct asked {
	unsigned int nr_vcpus, nr_nodes;
	uint64_t nr_frames, low, high, interval_ns, window_ns;
	bool exact;
	int out;
};
extern struct asked asked;

/* access.c: accesses are noted by frame. */
extern struct vcpu vcpus[MAX_VCPUS];
extern struct node nodes[MAX_NODES]; /* none where there is one only */
extern uint32_t interval_now;
extern uint8_t *now; /* a byte of each frame: bits of this interval */
int find_nodes(void);
void on_user_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused);
void on_kernel_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused);

/* windows.c: a thread takes what was noted, and writes it. */
int set_up_windows(void);
int start_windows(void);
void stop_windows(void);
/* Memory that is zero; NULL: there is none. */
void *take(size_t len);
/* The machine's time, for a vCPU's thread. The guest has just read its clock, so that QEMU's count is of now. */
uint64_t clock_of_vcpu(void);
/* A chunk is appended whole; what writes beside this process, to the same file, does so too. */
void put(const char *tag, const void *head, size_t head_len, const void *body, size_t body_len);

#endif
