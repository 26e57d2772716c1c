// SPDX-License-Identifier: GPL-2.0-only
/*
 * Free frames as the kernel's page allocator has them (mm/page_alloc.c): the processor's list, whose newest frame is
 * used first, before lists of free blocks by size, of which the smallest that will do is split. There is one processor,
 * and one node. Frames that areas are to get are in neither: they stay free runs, which are used last.
 */
#include "sim.h"

#define NONE UINT32_MAX
#define BATCH_SCALE 5 /* CONFIG_PCP_BATCH_SCALE_MAX */
#define SECOND 1000000000ll
#define HIGHEST (SIM_NR_ORDER - 1)

static uint64_t limited(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* The page frame number of a frame, minus the frame. */
static int64_t offset(const struct sim_machine *m, uint64_t frame)
{
	for (uint64_t k = 0; k < m->nr_res; k++)
		if (frame - m->res[k].frame < m->res[k].nr)
			return (int64_t)(m->res[k].pfn - m->res[k].frame);
	return 0;
}

static void unlink_block(struct sim_buddy *b, uint32_t frame)
{
	int order = b->order[frame] - 1;
	uint32_t next = b->next[frame], prev = b->prev[frame];

	*(prev == NONE ? &b->head[order] : &b->next[prev]) = next;
	*(next == NONE ? &b->tail[order] : &b->prev[next]) = prev;
	b->order[frame] = 0;
}

static void link_block(struct sim_buddy *b, uint32_t frame, int order, int at_tail)
{
	uint32_t other = at_tail ? b->tail[order] : b->head[order];

	b->order[frame] = (uint8_t)(order + 1);
	b->next[frame] = at_tail ? NONE : other;
	b->prev[frame] = at_tail ? other : NONE;
	if (other != NONE)
		*(at_tail ? &b->next[other] : &b->prev[other]) = frame;
	*(at_tail ? &b->tail[order] : &b->head[order]) = frame;
	if (other == NONE)
		*(at_tail ? &b->head[order] : &b->tail[order]) = frame;
}

/* The first frame of the block with which this one is a block of the next order; NONE: there is no such memory. */
static uint32_t buddy_of(const struct sim_machine *m, uint32_t frame, int order, int64_t off)
{
	int64_t other = (((int64_t)frame + off) ^ (1ll << order)) - off;

	/* Where System RAM has a hole, frames of other numbers follow. */
	if (other < 0 || other >= (int64_t)m->buddy->nr_frames || offset(m, (uint64_t)other) != off)
		return NONE;
	return (uint32_t)other;
}

static int is_free(const struct sim_buddy *b, uint32_t frame, int order)
{
	return frame != NONE && b->order[frame] == order + 1;
}

/* The next order's buddy is free as well: this block waits at the tail, as it is likely to grow. */
static int merge_likely(const struct sim_machine *m, uint32_t frame, int order, int64_t off)
{
	uint32_t other = buddy_of(m, frame, order, off), both = frame < other ? frame : other;

	return order < HIGHEST - 1 && other != NONE && is_free(m->buddy, buddy_of(m, both, order + 1, off), order + 1);
}

static void free_block(struct sim_machine *m, uint32_t frame, int order)
{
	struct sim_buddy *b = m->buddy;
	int64_t off = offset(m, frame);

	for (; order < HIGHEST; order++) {
		uint32_t other = buddy_of(m, frame, order, off);

		if (!is_free(b, other, order))
			break;
		unlink_block(b, other);
		frame = frame < other ? frame : other;
	}
	link_block(b, frame, order, merge_likely(m, frame, order, off));
}

/* The first part of a free block, of a lower order; the rest stays free, in blocks. */
static void split(struct sim_buddy *b, uint32_t frame, int order, int wanted)
{
	while (order-- > wanted)
		link_block(b, frame + (1u << order), order, 0);
}

/* The largest block that free frames can begin with. */
static int largest(int64_t pfn, uint64_t nr)
{
	int order = HIGHEST;

	while (order && ((pfn & ((1ll << order) - 1)) || nr < 1ull << order))
		order--;
	return order;
}

/* The first free block of at least this order, cut to it; NONE: there is none. */
static uint32_t take_block(struct sim_machine *m, int wanted)
{
	struct sim_buddy *b = m->buddy;
	struct sim_node *n = &m->node[0];
	struct sim_free *last;

	for (int order = wanted; order <= HIGHEST; order++) {
		uint32_t frame = b->head[order];

		if (frame != NONE) {
			unlink_block(b, frame);
			split(b, frame, order, wanted);
			return frame;
		}
	}
	if (wanted || !n->nr_free_runs)
		return NONE;
	last = &m->free[0][n->nr_free_runs - 1];
	n->nr_free_runs -= last->nr == 1;
	last->nr--;
	return (uint32_t)last->frame++;
}

static void push(struct sim_buddy *b, uint32_t frame)
{
	b->last = (b->last + 1) % b->nr_pcp_max;
	b->pcp[b->last] = frame;
	b->nr_pcp++;
}

/* The oldest frames of the processor's list become blocks. */
static void free_oldest(struct sim_machine *m, uint64_t nr)
{
	struct sim_buddy *b = m->buddy;

	for (; nr && b->nr_pcp; nr--, b->nr_pcp--)
		free_block(m, b->pcp[(b->last + b->nr_pcp_max + 1 - b->nr_pcp) % b->nr_pcp_max], 0);
}

/* Once a second the processor's list becomes shorter again (decay_pcp_high). */
static void decay(struct sim_machine *m)
{
	struct sim_buddy *b = m->buddy;

	for (; b->now - b->decayed >= SECOND; b->decayed += SECOND) {
		uint64_t most = b->batch << BATCH_SCALE, left = b->nr_pcp > most ? b->nr_pcp - most : 0;

		if (b->high > b->high_min) {
			uint64_t less = b->high - (b->high >> 3);

			b->high = limited(less > left ? less : left, b->high_min, b->high_max);
		}
		if (b->nr_pcp > b->high)
			free_oldest(m, b->nr_pcp - b->high);
	}
}

/* The processor's list is empty: the more often in a row, the more frames it gets (nr_pcp_alloc). */
static void refill(struct sim_machine *m)
{
	struct sim_buddy *b = m->buddy;
	uint64_t nr = b->batch << b->alloc_factor, most, got = 0;

	b->high = limited(b->high + b->batch, b->high_min, b->high_max);
	most = limited(b->high - b->batch, b->batch, b->nr_pcp_max - 1);
	b->alloc_factor += nr < most && b->alloc_factor < BATCH_SCALE;
	nr = nr < most ? nr : most;
	/* The first one is the newest: the ring is filled from there backwards. */
	while (got < nr) {
		uint32_t frame = take_block(m, 0);

		if (frame == NONE)
			break;
		b->pcp[(b->last + nr - got) % b->nr_pcp_max] = frame;
		got++;
	}
	for (uint64_t i = 0; got < nr && i < got; i++) /* memory has ended: close the gap */
		b->pcp[(b->last + 1 + i) % b->nr_pcp_max] = b->pcp[(b->last + 1 + nr - got + i) % b->nr_pcp_max];
	b->last = (b->last + got) % b->nr_pcp_max;
	b->nr_pcp = got;
}

/* The caller knows that a frame is free. */
uint64_t sim_buddy_alloc(struct sim_machine *m)
{
	struct sim_buddy *b = m->buddy;
	uint32_t frame;

	decay(m);
	b->free_count >>= 1;
	if (!b->nr_pcp)
		refill(m);
	frame = b->pcp[b->last];
	b->last = (b->last + b->nr_pcp_max - 1) % b->nr_pcp_max;
	b->nr_pcp--;
	return frame;
}

/* Frames in one piece, whose first page frame number is a multiple of their number; 0: there is no such piece. */
int sim_buddy_alloc_block(struct sim_machine *m, int order, uint64_t *frame)
{
	uint32_t found = take_block(m, order);

	*frame = found;
	return found != NONE;
}

/* The longer frames are freed in a row, the more of the oldest become blocks at once (nr_pcp_free, nr_pcp_high). */
void sim_buddy_free(struct sim_machine *m, uint64_t frame)
{
	struct sim_buddy *b = m->buddy;
	uint64_t high;

	decay(m);
	push(b, (uint32_t)frame);
	b->alloc_factor >>= 1;
	b->free_count += b->free_count < b->batch << BATCH_SCALE;
	high = b->high;
	if (b->nr_pcp < high)
		return;
	if (high < b->free_count + b->batch)
		b->high = limited(b->free_count + b->batch, b->high_min, b->high_max);
	free_oldest(m, limited(b->free_count, b->batch, high - b->batch));
}

/* A frame that was in a run is the next one that sim_buddy_alloc() gives. */
void sim_buddy_push(struct sim_machine *m, uint64_t frame)
{
	push(m->buddy, (uint32_t)frame);
}

/* Before any frame is used: frames that are free, in blocks that are as large as can be. */
EXPORT void sim_buddy_add(struct sim_machine *m, uint64_t frame, uint64_t nr)
{
	while (nr) {
		int order = largest((int64_t)frame + offset(m, frame), nr);

		link_block(m->buddy, (uint32_t)frame, order, 1);
		frame += 1ull << order;
		nr -= 1ull << order;
	}
}

/* All lists are empty, and their lengths as the kernel sets them for one zone (zone_batchsize, zone_highsize). */
EXPORT void sim_buddy_begin(struct sim_machine *m)
{
	struct sim_buddy *b = m->buddy;
	uint64_t batch = m->node[0].total >> 10, up = 1;

	for (int order = 0; order < SIM_NR_ORDER; order++)
		b->head[order] = b->tail[order] = NONE;
	batch = (batch < (1 << 20) / 4096 ? batch : (1 << 20) / 4096) / 4;
	for (batch += batch / 2; 2 * up <= batch; up *= 2)
		;
	b->batch = up > 1 ? up - 1 : 1;
	b->high_min = m->node[0].wmark_low > 4 * b->batch ? m->node[0].wmark_low : 4 * b->batch;
	b->high_max = limited(m->node[0].total / 8, b->high_min, b->nr_frames);
	b->high = b->high_min;
}
