// SPDX-License-Identifier: GPL-2.0
/* The lane's life, and what goes back out. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#ifndef LANE_DIGEST
#define LANE_DIGEST ""
#endif

const char *lane_digest(void)
{
	return LANE_DIGEST;
}

struct lane *lane_new(uint32_t areas, uint32_t most)
{
	struct lane *lane = calloc(1, sizeof(*lane));

	if (!lane)
		return NULL;
	lane->n_areas = areas;
	lane->most = most;
	lane->areas = calloc(areas ? areas : 1, sizeof(*lane->areas));
	lane->scratch = new_scratch();
	if (lane->areas && lane->scratch)
		return lane;
	lane_free(lane);
	return NULL;
}

void lane_free(struct lane *lane)
{
	for (uint32_t i = 0; lane->areas && i < lane->n_areas; i++) {
		struct area *a = &lane->areas[i];

		for (uint64_t j = 0; j < a->tail - a->head; j++)
			free(in_line(a, j)->calls);
		for (uint64_t j = 0; j < RECENT; j++)
			free(a->recent[j].calls);
		drop_glances(a, a->n_glances);
		free(a->glances);
		free(a->ops);
		free(a->line);
		free(a->pieces);
		free(a->bitmap);
	}
	free(lane->areas);
	free(lane->calls);
	free_scratch(lane->scratch);
	free(lane);
}

int lane_define(struct lane *lane, uint32_t index, uint64_t base, uint64_t pages)
{
	struct area *a = &lane->areas[index];

	a->base = base;
	a->pages = pages;
	a->next_id = 1;
	a->bitmap = calloc((pages + 63) / 64, sizeof(*a->bitmap));
	return a->bitmap ? 0 : -1;
}

const void *lane_counters(struct lane *lane, uint32_t index)
{
	return &lane->areas[index].counters;
}

uint64_t lane_elsewhere(struct lane *lane)
{
	return lane->elsewhere;
}

uint64_t lane_first_ns(struct lane *lane)
{
	return lane->first_ns;
}

void lane_passed(struct lane *lane, uint64_t watermark_ns)
{
	if (lane->watermark < watermark_ns)
		lane->watermark = watermark_ns;
}

uint64_t lane_waiting(struct lane *lane, uint32_t index)
{
	return lane->areas[index].tail - lane->areas[index].head;
}

uint64_t lane_begun(struct lane *lane, uint32_t index, uint64_t until_ns)
{
	const struct area *a = &lane->areas[index];
	uint64_t n = 0;

	while (a->head + n < a->tail && in_line(a, n)->r.start_ns <= until_ns)
		n++;
	return n;
}

uint64_t lane_next_ns(struct lane *lane, uint32_t index)
{
	const struct area *a = &lane->areas[index];

	return a->head < a->tail ? in_line(a, 0)->r.start_ns : UINT64_MAX;
}

uint64_t lane_size(struct lane *lane, uint32_t index, uint64_t operations)
{
	const struct area *a = &lane->areas[index];
	uint64_t records = 0;

	for (uint64_t i = 0; i < operations && a->head + i < a->tail; i++)
		records += in_line(a, i)->n_calls + 1;
	return records;
}

static struct cmaobs_record *write_op(struct cmaobs_record *out, const struct cmaobs_record *r,
				      const struct cmaobs_record *calls, uint64_t n_calls)
{
	if (n_calls)
		memcpy(out, calls, n_calls * sizeof(*out));
	out[n_calls] = *r;
	return out + n_calls + 1;
}

uint64_t lane_take(struct lane *lane, uint32_t index, uint64_t operations, void *out, uint64_t room)
{
	struct area *a = &lane->areas[index];
	struct cmaobs_record *at = out;
	uint64_t records = lane_size(lane, index, operations);

	if (records > room)
		return 0;
	for (uint64_t i = 0; i < operations && a->head < a->tail; i++, a->head++) {
		struct op *op = in_line(a, 0);

		at = write_op(at, &op->r, op->calls, op->n_calls);
		free(op->calls);
	}
	return records;
}

uint64_t lane_drop(struct lane *lane, uint32_t index, uint64_t operations)
{
	struct area *a = &lane->areas[index];
	uint64_t end = 0;

	for (; operations && a->head < a->tail; operations--, a->head++) {
		struct op *op = in_line(a, 0);

		if (op->r.end_ns > end)
			end = op->r.end_ns;
		free(op->calls);
	}
	return end;
}

uint64_t lane_n_calls(struct lane *lane)
{
	return lane->n_calls;
}

void lane_calls(struct lane *lane, void *out)
{
	if (lane->n_calls)
		memcpy(out, lane->calls, lane->n_calls * sizeof(*lane->calls));
	lane->n_calls = 0;
}

uint64_t lane_recent(struct lane *lane, uint32_t index, void *out, uint64_t room)
{
	const struct area *a = &lane->areas[index];
	uint64_t n = a->n_recent < RECENT ? a->n_recent : RECENT;
	struct cmaobs_record *begin = out, *at = out;

	for (uint64_t i = a->n_recent - n; i < a->n_recent; i++) {
		const struct kept *op = &a->recent[i % RECENT];

		if ((uint64_t)(at - begin) + op->n_calls + 1 > room)
			break;
		at = write_op(at, &op->r, op->calls, op->n_calls);
	}
	return at - begin;
}

/* The layout is kernel/bpf/ringbuf.c's: a header of 8 bytes before each record. */
uint64_t lane_gather(const uint8_t *ring, uint64_t bytes, void *out, uint64_t *used)
{
	const uint64_t stride = 8 + (sizeof(struct cmaobs_record) + 7) / 8 * 8;
	struct cmaobs_record *at = out;
	uint64_t i = 0;

	for (; i + stride <= bytes; i += stride) {
		uint32_t header = __atomic_load_n((const uint32_t *)(ring + i), __ATOMIC_ACQUIRE);

		if (header & 1U << 31) /* BPF_RINGBUF_BUSY_BIT */
			break;
		if (!(header & 1U << 30)) /* BPF_RINGBUF_DISCARD_BIT */
			memcpy(at++, ring + i + 8, sizeof(*at));
	}
	*used = i;
	return at - (struct cmaobs_record *)out;
}
