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
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "mark.h"
#include "plugin.h"

#define EXPORT __attribute__((visibility("default")))
#define PAGE_SHIFT 12
#define KERNEL (1ull << 63)
#define MAX_VCPUS 16
#define MOST_SLEEP 250000 /* ns */
#define MAX_NODES 8
#define SLOTS 256 /* of a vCPU: pages whose frames it knows */

/* Bits of an access, and numbers of exact counts. */
enum kind { USER_READ, USER_WRITE, KERNEL_READ, KERNEL_WRITE, NR_KINDS };
#define WRITES (1 << USER_WRITE | 1 << KERNEL_WRITE)

EXPORT int qemu_plugin_version = 1;

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

/* Intervals of a window in which a frame was accessed, and how. */
struct tally {
	uint16_t touched, written, of[NR_KINDS];
};

struct row_block {
	uint64_t begin_ns, end_ns;
	uint32_t intervals, rows, width, packed;
};

static struct vcpu vcpus[MAX_VCPUS];
static unsigned int nr_vcpus;
static struct node nodes[MAX_NODES]; /* none where there is one only */
static unsigned int nr_nodes;
static uint64_t nr_frames, low, high = KERNEL;
static uint64_t interval_ns = 5000000, window_ns = 100000000;
static bool exact;
static uint32_t interval_now = 1;
static uint8_t *now; /* a byte of each frame: bits of this interval */
static struct tally *window; /* of each frame */
static uint32_t *before; /* of each frame and kind: exact counts up to the last window */
static unsigned char *buffer; /* rows of a window, and behind them the same compressed */
static size_t buffer_len;
static int out = -1;
static bool recording, stopping, failed;
static pthread_t collector;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static qemu_plugin_id_t self;

static uint64_t host_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* The machine's time. Not of a vCPU's thread: where instructions are counted, QEMU refuses that within a block. */
static uint64_t clock_ns(void)
{
	return qemu_clock_get_ns ? (uint64_t)qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) : host_ns();
}

static void *read_clock(void *time)
{
	*(uint64_t *)time = clock_ns();
	return NULL;
}

/* The same for a vCPU's thread. The guest has just read its clock, so that QEMU's count is of now. */
static uint64_t clock_of_vcpu(void)
{
	uint64_t time = 0;
	pthread_t reader;

	if (!pthread_create(&reader, NULL, read_clock, &time))
		pthread_join(reader, NULL);
	return time;
}

/* A chunk is appended whole; what writes beside this process, to the same file, does so too. */
static void put(const char *tag, const void *head, size_t head_len, const void *body, size_t body_len)
{
	struct {
		char tag[4];
		uint32_t len;
	} lead = { .len = (uint32_t)(head_len + body_len) };
	struct iovec parts[3] = { { &lead, sizeof(lead) }, { (void *)head, head_len }, { (void *)body, body_len } };
	ssize_t wanted = (ssize_t)(sizeof(lead) + head_len + body_len), done;

	memcpy(lead.tag, tag, 4);
	pthread_mutex_lock(&writing);
	done = failed ? wanted : writev(out, parts, 3);
	if (done != wanted) {
		fprintf(stderr, "truth: writing failed: %s\n", done < 0 ? strerror(errno) : "no space left");
		failed = true;
	}
	pthread_mutex_unlock(&writing);
}

/*
 * QEMU 7.2 gives for an address of memory the sum of its offset in its block, the block's place among all blocks, and
 * the block's place in the machine's memory. Of a single block, which is the first, that is the address.
 */
static int find_nodes(void)
{
	uint64_t first = 0;

	for (unsigned int i = 0; i < nr_nodes; i++) {
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
	for (unsigned int i = 0; i < nr_nodes; i++)
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
	if (nr_nodes)
		frame = frame_of_node(frame);
	return frame < nr_frames ? (uint32_t)frame : UINT32_MAX;
}

static inline void note(struct vcpu *v, uint32_t frame, enum kind kind)
{
	if (frame == UINT32_MAX)
		return;
	if (exact) {
		uint32_t *count = &v->counts[(size_t)frame * NR_KINDS + kind];

		__atomic_store_n(count, *count + 1, __ATOMIC_RELAXED);
	}
	if (!(__atomic_load_n(&now[frame], __ATOMIC_RELAXED) & 1 << kind))
		__atomic_fetch_or(&now[frame], 1 << kind, __ATOMIC_RELAXED);
}

static void on_user_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused)
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
		if (exact)
			note(v, slot->frame, kind);
		return;
	}
	slot->page = page;
	slot->generation = v->generation;
	slot->frame = vaddr >= low && vaddr < high ? frame_of(info, vaddr) : UINT32_MAX;
	note(v, slot->frame, kind);
}

static void on_kernel_access(unsigned int cpu, qemu_plugin_meminfo_t info, uint64_t vaddr, void *unused)
{
	(void)unused;
	vcpus[cpu].generation++;
	if (!(vaddr & KERNEL) && vaddr >= low && vaddr < high)
		note(&vcpus[cpu], frame_of(info, vaddr), qemu_plugin_mem_is_store(info) ? KERNEL_WRITE : KERNEL_READ);
}

/* The bits of an interval go to the window's counts. */
static void sweep(void)
{
	uint64_t *words = (uint64_t *)now;

	for (uint64_t i = 0; i < (nr_frames + 7) / 8; i++) {
		uint64_t bits;

		if (!__atomic_load_n(&words[i], __ATOMIC_RELAXED))
			continue;
		bits = __atomic_exchange_n(&words[i], 0, __ATOMIC_ACQ_REL);
		for (uint64_t frame = i * 8; bits; bits >>= 8, frame++) {
			struct tally *t = &window[frame];

			if (!(bits & 0xff))
				continue;
			t->touched++;
			t->written += !!(bits & WRITES);
			for (int kind = 0; kind < NR_KINDS; kind++)
				t->of[kind] += bits >> kind & 1;
		}
	}
}

static uint32_t total(uint64_t at)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < nr_vcpus; i++)
		sum += __atomic_load_n(&vcpus[i].counts[at], __ATOMIC_RELAXED);
	return sum;
}

/* Columns of the window's rows: frames, then counts; the window is empty then. `all`: look at frames without bits. */
static uint32_t take_rows(bool all)
{
	uint32_t *frames = (uint32_t *)buffer, rows = 0;
	unsigned char *to;

	for (uint64_t frame = 0; frame < nr_frames; frame++) {
		bool changed = window[frame].touched;

		for (int kind = 0; all && exact && !changed && kind < NR_KINDS; kind++)
			changed = total(frame * NR_KINDS + kind) != before[frame * NR_KINDS + kind];
		if (changed)
			frames[rows++] = (uint32_t)frame;
	}
	to = buffer + (size_t)rows * sizeof(*frames);
	for (int column = 0; column < 2 + NR_KINDS; column++) {
		for (uint32_t row = 0; row < rows; row++) {
			const uint16_t *counts = (const uint16_t *)&window[frames[row]];
			uint64_t at = (uint64_t)frames[row] * NR_KINDS + (unsigned int)column - 2;
			uint32_t sum;

			if (!exact || column < 2) {
				memcpy(to, &counts[column], 2);
				to += 2;
				continue;
			}
			sum = total(at);
			memcpy(to, &(uint32_t){ sum - before[at] }, 4);
			before[at] = sum;
			to += 4;
		}
	}
	for (uint32_t row = 0; row < rows; row++)
		memset(&window[frames[row]], 0, sizeof(*window));
	buffer_len = (size_t)(to - buffer);
	return rows;
}

static void write_window(uint64_t begin, uint64_t end, uint32_t intervals, bool all)
{
	struct row_block head = { begin, end, intervals, take_rows(all), exact ? 4 : 2, 0 };
	unsigned char *packed = buffer + buffer_len;
	unsigned long len = buffer_len + buffer_len / 100 + 64;

	if (compress2 && !compress2(packed, &len, buffer, buffer_len, 1)) {
		head.packed = 1;
		put("WIND", &head, sizeof(head), packed, len);
	} else {
		put("WIND", &head, sizeof(head), buffer, buffer_len);
	}
}

/* The machine's time may go faster or slower than the host's. */
static void sleep_until(uint64_t due)
{
	for (uint64_t at = clock_ns(); at < due && !__atomic_load_n(&stopping, __ATOMIC_ACQUIRE); at = clock_ns()) {
		uint64_t rest = due - at;
		struct timespec ts = { 0, (long)(rest < MOST_SLEEP ? rest : MOST_SLEEP) };

		nanosleep(&ts, NULL);
	}
}

static void *collect(void *unused)
{
	uint64_t begin = clock_ns(), due = begin, at = begin;
	uint32_t intervals = 0;
	bool stop;

	(void)unused;
	setpriority(PRIO_PROCESS, 0, -10); /* where it is allowed: a late interval is a longer one */
	do {
		due += interval_ns;
		at = clock_ns();
		if (due < at)
			due += (at - due) / interval_ns * interval_ns; /* late: fewer intervals */
		sleep_until(due);
		stop = __atomic_load_n(&stopping, __ATOMIC_ACQUIRE);
		__atomic_fetch_add(&interval_now, 1, __ATOMIC_RELEASE);
		at = clock_ns();
		sweep();
		intervals++;
		if (at - begin + interval_ns / 2 >= window_ns || stop) {
			write_window(begin, at, intervals, stop);
			begin = at;
			intervals = 0;
		}
	} while (!stop);
	put("DONE", &at, sizeof(at), NULL, 0);
	return NULL;
}

static void stop(void)
{
	if (!__atomic_load_n(&recording, __ATOMIC_ACQUIRE) || __atomic_exchange_n(&stopping, true, __ATOMIC_ACQ_REL))
		return;
	pthread_join(collector, NULL);
}

static void on_exit_of_qemu(qemu_plugin_id_t id, void *unused)
{
	(void)id;
	(void)unused;
	stop();
}

static void instrument(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);

static void begin(qemu_plugin_id_t id)
{
	qemu_plugin_register_vcpu_tb_trans_cb(id, instrument);
	qemu_plugin_register_atexit_cb(id, on_exit_of_qemu, NULL);
	__atomic_store_n(&recording, !pthread_create(&collector, NULL, collect, NULL), __ATOMIC_RELEASE);
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
		stop();
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

static void *take(size_t len)
{
	void *memory = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* BLOCK:FRAMES */
static int read_node(const char *value)
{
	int length = 0;

	if (nr_nodes == MAX_NODES || sscanf(value, "%40[a-z0-9]:%n", nodes[nr_nodes].block, &length) != 1 || !length)
		return -1;
	nodes[nr_nodes++].frames = strtoull(value + length, NULL, 10);
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
			out = open(value, O_WRONLY | O_APPEND | O_CLOEXEC);
		else if (!strcmp(argv[i], "frames"))
			nr_frames = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "vcpus"))
			nr_vcpus = (unsigned int)strtoul(value, NULL, 10);
		else if (!strcmp(argv[i], "interval"))
			interval_ns = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "window"))
			window_ns = strtoull(value, NULL, 10);
		else if (!strcmp(argv[i], "count"))
			exact = !strcmp(value, "on");
		else if (!strcmp(argv[i], "low"))
			low = strtoull(value, NULL, 16);
		else if (!strcmp(argv[i], "high"))
			high = strtoull(value, NULL, 16);
		else if (strcmp(argv[i], "node") || read_node(value))
			return -1;
	}
	return out < 0 || !nr_frames || nr_frames >= UINT32_MAX || !nr_vcpus || nr_vcpus > MAX_VCPUS || !interval_ns ?
		       -1 :
		       0;
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
	const size_t row = sizeof(uint32_t) + 2 * sizeof(uint16_t) + NR_KINDS * sizeof(uint32_t);

	self = id;
	if (!info->system_emulation || read_arguments(argc, argv)) {
		fprintf(stderr, "truth: its arguments are wrong\n");
		return -1;
	}
	now = take(nr_frames + 8);
	window = take((nr_frames + 8) * sizeof(*window));
	buffer = take(nr_frames * row * 2 + nr_frames + 4096);
	before = take(nr_frames * NR_KINDS * sizeof(*before));
	for (unsigned int i = 0; i < nr_vcpus; i++) {
		vcpus[i].counts = take(nr_frames * NR_KINDS * sizeof(uint32_t));
		if (!vcpus[i].counts)
			return -1;
	}
	if (!now || !window || !buffer || !before)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, wait_for_start);
	return 0;
}
