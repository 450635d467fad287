// SPDX-License-Identifier: GPL-2.0
/* Operations in the order in which they took effect: cmaobs/whatif/gather.py says it in Python. */

#include <stdlib.h>
#include <string.h>

#include "joined.h"
#include "queue.h"

#define FAR (1ULL << 62)
#define MOST_ALIGNED 20

struct lane_gathering {
	struct holding *holdings;
	uint32_t n_areas;
	int status;
	struct joining joining;
	struct queue queue;
	uint64_t watermark;
	struct map counted; /* threads whose last count found pages */
	uint64_t left_out[N_LEFT_OUT];
};

struct lane_gathering *lane_gathering_new(uint32_t areas)
{
	struct lane_gathering *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->n_areas = areas;
	g->holdings = calloc(areas ? areas : 1, sizeof(*g->holdings));
	if (g->holdings)
		return g;
	free(g);
	return NULL;
}

void lane_gathering_free(struct lane_gathering *g)
{
	for (uint32_t i = 0; i < g->n_areas; i++)
		free_holding(&g->holdings[i]);
	free_queue(&g->queue);
	free_joining(&g->joining);
	free(g->counted.slots);
	free(g->holdings);
	free(g);
}

int lane_gathering_define(struct lane_gathering *g, uint32_t index, uint64_t base, uint64_t pages)
{
	return new_holding(&g->holdings[index], base, pages, &g->status);
}

/* What cmaobs/sanity.py says of a record. */
static bool possible(const struct lane_gathering *g, const struct cmaobs_record *r)
{
	bool granted = r->kind == CMAOBS_ALLOC &&
		(r->path == CMAOBS_PATH_HIT || r->path == CMAOBS_PATH_CONTIG);

	if (!fits(r))
		return false;
	if (r->area == NO_AREA)
		return true;
	if (r->area >= g->n_areas || !g->holdings[r->area].held)
		return false;
	return (!granted && r->kind != CMAOBS_CONTIG) ||
		inside(&g->holdings[r->area].area, r->pfn, r->count);
}

/* An operation with its calls, or a call of none. */
static void take(struct lane_gathering *g, struct done *op)
{
	const struct cmaobs_record *r = &op->r;

	if (r->area == NO_AREA)
		g->left_out[ELSEWHERE]++;
	else if (r->align > MOST_ALIGNED)
		g->left_out[ALIGNED]++;
	else if (r->kind < CMAOBS_CONTIG)
		return push(&g->queue,
			    (struct item){.time = r->start_ns, .op = op, .area = r->area},
			    &g->status);
	free_done(op);
}

/* By when an allocation had picked its run. */
static uint64_t latest(const struct done *op)
{
	uint64_t least = op->n_calls ? UINT64_MAX : op->r.end_ns;

	for (uint64_t i = 0; i < op->n_calls; i++)
		if (op->calls[i].start_ns < least)
			least = op->calls[i].start_ns;
	return least;
}

static void release(struct holding *h, uint64_t time, const struct done *op)
{
	if (op->r.path == CMAOBS_PATH_REJECTED || !op->r.ret) {
		h->out.left_out[REJECTED]++;
	} else if (!inside(&h->area, op->r.pfn, op->r.count)) {
		h->out.left_out[NOT_ITS_OWN]++;
	} else {
		give(h, time, &op->r);
		measure(h, op);
	}
}

static void happen(struct lane_gathering *g, struct holding *h, uint64_t time,
		   const struct done *op)
{
	const struct cmaobs_record *r = &op->r;
	uint64_t *counted;

	passes(h, r);
	switch (r->kind) {
	case CMAOBS_ALLOC:
		return ask(h, time, op);
	case CMAOBS_RELEASE:
		return release(h, time, op);
	case CMAOBS_BATCH:
		if (!r->ret)
			other(h, time, EVENT_BATCH, r);
		return;
	case CMAOBS_POLICY:
		return;
	}
	counted = look_up(&g->counted, r->tid, 0, &g->status);
	if (r->kind == CMAOBS_COUNT) {
		if (counted)
			*counted = r->ret > 0;
		other(h, time, EVENT_REACH, r);
	} else if (counted && !*counted) {
		other(h, time, EVENT_SCAN, r);
	}
}

static void drain(struct lane_gathering *g, uint64_t until)
{
	while (g->queue.n && g->queue.heap[0].time < until && !g->status) {
		struct item item = pop(&g->queue);
		struct holding *h = &g->holdings[item.area];

		if (!item.op) {
			rest(h, item.time, item.runs, item.n_runs);
			free(item.runs);
			continue;
		}
		if (item.op->r.kind == CMAOBS_ALLOC && item.time < latest(item.op) &&
		    holds(h, &item.op->r)) {
			item.time = latest(item.op);
			push(&g->queue, item, &g->status);
			continue;
		}
		happen(g, h, item.time, item.op);
		free_done(item.op);
	}
}

/* Takes what became whole, and what will not. */
static void settle(struct lane_gathering *g, uint64_t watermark)
{
	struct done *op;

	while ((op = next_settled(&g->joining, watermark, &g->status)))
		take(g, op);
	g->left_out[NO_RECORD] += orphans(&g->joining, watermark);
}

int lane_gathering_feed(struct lane_gathering *g, const void *records, uint64_t count,
			uint64_t watermark_ns)
{
	const struct cmaobs_record *r = records;

	for (uint64_t i = 0; i < count && !g->status; i++) {
		struct done *op;

		if (!possible(g, &r[i])) {
			g->left_out[IMPOSSIBLE]++;
			continue;
		}
		g->left_out[NO_RETURN] += (r[i].flags & CMAOBS_STALE) != 0;
		op = join(&g->joining, &r[i], &g->status);
		if (op)
			take(g, op);
	}
	settle(g, watermark_ns);
	g->left_out[BACKWARDS] += watermark_ns && watermark_ns < g->watermark;
	if (watermark_ns > g->watermark)
		g->watermark = watermark_ns;
	drain(g, g->watermark);
	return g->status;
}

int lane_gathering_begin(struct lane_gathering *g, uint32_t index, uint64_t time_ns,
			 const uint64_t *runs, uint64_t n_runs)
{
	begin(&g->holdings[index], time_ns, runs, n_runs);
	return g->status;
}

int lane_gathering_rest(struct lane_gathering *g, uint32_t index, uint64_t time_ns,
			const uint64_t *runs, uint64_t n_runs)
{
	struct item item = {.time = time_ns, .n_runs = n_runs, .area = index};

	item.runs = malloc((n_runs ? n_runs : 1) * 2 * sizeof(*runs));
	if (!item.runs)
		return g->status = NO_MEMORY;
	memcpy(item.runs, runs, n_runs * 2 * sizeof(*runs));
	push(&g->queue, item, &g->status);
	return g->status;
}

int lane_gathering_end(struct lane_gathering *g)
{
	settle(g, FAR);
	drain(g, FAR);
	return g->status;
}

const struct lane_asked *lane_gathering_asked(struct lane_gathering *g, uint32_t index)
{
	return &g->holdings[index].out;
}

const uint64_t *lane_gathering_left_out(struct lane_gathering *g)
{
	return g->left_out;
}
