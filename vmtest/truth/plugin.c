// SPDX-License-Identifier: GPL-2.0-only
/*
 * Truth: which page frames an emulated guest accesses through user addresses, by interval and window of time.
 *
 * -plugin plugin.so,out=FILE,frames=N,vcpus=N,interval=NS,window=NS[,count=on][,low=HEX,high=HEX][,node=BLOCK:N]...
 *
 * Each access sets a bit of its frame in `now`. A thread takes these bytes every interval and adds them to the counts
 * of the window, which it writes to FILE (docs/reference/truth-files.md). Nothing is instrumented before the guest
 * executes the mark START, so a guest boots at full speed.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mark.h"
#include "truth.h"

#define EXPORT __attribute__((visibility("default")))

EXPORT int qemu_plugin_version = 1;

struct asked asked = { .high = KERNEL, .interval_ns = 5000000, .window_ns = 100000000, .out = -1 };
static qemu_plugin_id_t self;

static void on_exit_of_qemu(qemu_plugin_id_t id, void *unused)
{
	(void)id;
	(void)unused;
	stop_windows();
}

static void instrument(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);

static void begin(qemu_plugin_id_t id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, instrument);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	if (start_windows()) {
		fprintf(stderr, "truth: there is no thread to write windows\n");
		_exit(1);
	}
}

/* The guest has executed a mark. */
static void on_mark(unsigned int cpu, void *payload)
{
	static bool begun;
	struct {
		uint64_t at;
		uint32_t mark, cpu;
	} mark = { clock_of_vcpu(), (uint32_t)(uintptr_t)payload, cpu };

	if (!begun && find_nodes())
		_exit(1);
	put("MARK", &mark, sizeof(mark), NULL, 0);
	if (mark.mark == MARK_START && !__atomic_exchange_n(&begun, true, __ATOMIC_ACQ_REL))
		qemu_plugin_reset(self, begin);
	else if (mark.mark == MARK_STOP)
		stop_windows();
}

/* The payload of a mark that begins with this instruction, or 0. */
static uint32_t mark_at(const struct qemu_plugin_tb *tb, size_t number)
{
	static const uint8_t magic[] = MARK_MAGIC;
	struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, number);
	const uint8_t *next;
	uint32_t payload;

	if (qemu_plugin_insn_size(insn) != sizeof(magic) || memcmp(qemu_plugin_insn_data(insn), magic, sizeof(magic)) ||
	    number + 1 >= qemu_plugin_tb_n_insns(tb))
		return 0;
	insn = qemu_plugin_tb_get_insn(tb, number + 1);
	next = qemu_plugin_insn_data(insn);
	if (qemu_plugin_insn_size(insn) != sizeof(magic) || memcmp(next, magic, 3))
		return 0;
	memcpy(&payload, next + 3, sizeof(payload));
	return payload;
}

static void look_for_mark(struct qemu_plugin_tb *tb, size_t number)
{
	uint32_t payload = mark_at(tb, number);

	if (payload)
		qemu_plugin_register_vcpu_insn_exec_cb(qemu_plugin_tb_get_insn(tb, number), on_mark,
						       QEMU_PLUGIN_CB_NO_REGS, (void *)(uintptr_t)payload);
}

static void wait_for_start(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++)
		look_for_mark(tb, i);
}

static void instrument(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	(void)id;
	for (size_t i = 0; i < qemu_plugin_tb_n_insns(tb); i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		bool kernel = qemu_plugin_insn_vaddr(insn) & KERNEL;

		/* Of callbacks for reads or writes only, QEMU 7.2 calls the wrong ones. */
		qemu_plugin_register_vcpu_mem_cb(insn, kernel ? on_kernel_access : on_user_access,
						 QEMU_PLUGIN_CB_NO_REGS, QEMU_PLUGIN_MEM_RW, NULL);
		look_for_mark(tb, i);
	}
}

/* BLOCK:FRAMES */
static int read_node(const char *value)
{
	int length = 0;

	if (asked.nr_nodes == MAX_NODES || sscanf(value, "%40[a-z0-9]:%n", nodes[asked.nr_nodes].block, &length) != 1 ||
	    !length)
		return -1;
	nodes[asked.nr_nodes++].frames = strtoull(value + length, NULL, 10);
	return 0;
}

static int read_arguments(int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		if (!value)
			return -1;
		*value++ = 0;
		if (!strcmp(argv[i], "out"))
			asked.out = open(value, O_WRONLY | O_APPEND | O_CLOEXEC);
		else if (!strcmp(argv[i], "frames"))
			asked.nr_frames = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "vcpus"))
			asked.nr_vcpus = (unsigned int)strtoul(value, NULL, 10);
		else if (!strcmp(argv[i], "interval"))
			asked.interval_ns = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "window"))
			asked.window_ns = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "count"))
			asked.exact = !strcmp(value, "on");
		else if (!strcmp(argv[i], "low"))
			asked.low = strtoull(value, NULL, 16);
		else if (!strcmp(argv[i], "high"))
			asked.high = strtoull(value, NULL, 16);
		else if (strcmp(argv[i], "node") || read_node(value))
			return -1;
	}
	return asked.out < 0 || !asked.nr_frames || asked.nr_frames >= UINT32_MAX || !asked.nr_vcpus ||
			       asked.nr_vcpus > MAX_VCPUS || !asked.interval_ns ?
		       -1 :
		       0;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	self = id;
	if (!info->system_emulation || read_arguments(argc, argv)) {
		fprintf(stderr, "truth: its arguments are wrong\n");
		return -1;
	}
	now = take(asked.nr_frames + 8);
	for (unsigned int i = 0; i < asked.nr_vcpus; i++) {
		vcpus[i].counts = take(asked.nr_frames * NR_KINDS * sizeof(uint32_t));
		if (!vcpus[i].counts)
			return -1;
	}
	if (!now || set_up_windows())
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, wait_for_start);
	return 0;
}
