// SPDX-License-Identifier: GPL-2.0
/* Whose pages are whose, while a demand is gathered: cmaobs/whatif/holding.py says it in Python. */

#include <stdlib.h>

#include "gather.h"

#define IDLE_NS 2000000
#define WARM 2
#define FREES 4096 /* measured releases that are kept */
#define BEFORE (-1)
#define PAGES_MOST (1ULL << 26) /* of an area that is followed here: 256 GiB */

int new_holding(struct holding *h, uint64_t base, uint64_t pages, int *status)
{
	h->status = status;
	h->area.base = base;
	h->area.pages = pages;
	h->idle = true;
	if (!base || !pages || pages > PAGES_MOST)
		return *status = NOT_MINE;
	h->area.bitmap = calloc((pages + 63) / 64, sizeof(*h->area.bitmap));
	h->held = calloc(pages, sizeof(*h->held));
	h->usual = calloc(pages + 1, sizeof(*h->usual));
	if (!h->area.bitmap || !h->held || !h->usual)
		*status = NO_MEMORY;
	return *status;
}

void free_holding(struct holding *h)
{
	struct lane_asked *o = &h->out;
	void *all[] = {
		o->times.at,   o->asks.at,       o->a.at,         o->b.at,       o->tids.at,
		o->kinds.at,   o->pages.at,      o->durations.at, o->pfns.at,    o->alone.at,
		o->paths.at,   o->idle.at,       o->tries.at,     o->freeing.at, o->frees.at,
		o->later.at,   o->callers.at,    h->area.bitmap,  h->held,       h->usual,
		h->tids.slots, h->callers.slots,
	};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		free(all[i]);
}

static bool granted(const struct cmaobs_record *r)
{
	return r->path == CMAOBS_PATH_HIT || r->path == CMAOBS_PATH_CONTIG;
}

static bool any_set(const struct area *a, uint64_t first, uint64_t pages)
{
	return next_bit(a, first, first + pages, true) < first + pages;
}

/* pfn is the area's own where pages were granted: impossible() has looked. */
bool holds(const struct holding *h, const struct cmaobs_record *r)
{
	return granted(r) && any_set(&h->area, r->pfn - h->area.base, r->count);
}

void passes(struct holding *h, const struct cmaobs_record *r)
{
	struct lane_asked *o = &h->out;
	bool rested;

	o->operations++;
	rested = r->start_ns > h->busy_until && r->start_ns - h->busy_until > IDLE_NS;
	h->since_idle = rested ? 0 : h->since_idle + 1;
	h->idle = h->since_idle < WARM;
	o->overlapping += r->start_ns < h->busy_until;
	if (r->end_ns > h->busy_until)
		h->busy_until = r->end_ns;
	if (!o->start_ns)
		o->start_ns = r->start_ns;
	if (r->end_ns > o->end_ns)
		o->end_ns = r->end_ns;
}

static void hold(struct holding *h, uint64_t first, int64_t ask_, int64_t offset, uint64_t pages,
		 uint64_t since)
{
	h->held[first] = (struct held){ask_, offset, pages, since};
	mark(&h->area, first, pages, true);
}

/* Every holding that these pages are of gives back its part. */
static void part(struct holding *h, uint64_t time, uint64_t first, uint64_t pages, uint32_t tid)
{
	uint64_t at = first, end = first + pages;

	while ((at = next_bit(&h->area, at, end, true)) < end) {
		uint64_t from = at, to;
		struct held was;

		while (!h->held[from].pages)
			from--;
		was = h->held[from];
		to = from + was.pages < end ? from + was.pages : end;
		event(h, time, EVENT_GIVE, was.ask, was.offset + (int64_t)(at - from), to - at,
		      tid);
		h->held[from].pages = at - from;
		if (to < from + was.pages)
			h->held[to] = (struct held){was.ask, was.offset + (int64_t)(to - from),
						    was.pages - (int64_t)(to - from), was.since};
		at = to;
	}
	mark(&h->area, first, pages, false);
}

static uint64_t alone(struct holding *h, const struct cmaobs_record *r)
{
	uint64_t from = r->start_ns > h->contig_until ? r->start_ns : h->contig_until;

	if (r->path != CMAOBS_PATH_CONTIG)
		return 0;
	if (r->end_ns > h->contig_until)
		h->contig_until = r->end_ns;
	return r->end_ns > from ? r->end_ns - from : 0;
}

void ask(struct holding *h, uint64_t time, const struct done *op)
{
	const struct cmaobs_record *r = &op->r;
	uint64_t first = r->pfn - h->area.base, *seen = look_up(&h->tids, r->tid, 0, h->status);
	int64_t number;

	if (seen && !*seen) {
		*seen = 1;
		h->out.threads++;
	}
	count_caller(h, r);
	if (granted(r) && !r->count)
		*h->status = NOT_MINE;
	if (*h->status)
		return;
	if (holds(h, r)) {
		h->out.left_out[GRANTED_AGAIN]++;
		part(h, time, first, r->count, 0);
	}
	number = add_ask(h, r->count, r->path, r->end_ns - r->start_ns, granted(r) ? r->pfn : 0,
			 h->idle, alone(h, r));
	note_calls(h, number, op);
	event(h, time, EVENT_ASK, number, r->count, r->align, r->tid);
	if (granted(r))
		hold(h, first, number, 0, r->count, r->end_ns);
	else
		come_later(h, number, r);
}

void give(struct holding *h, uint64_t time, const struct cmaobs_record *r)
{
	uint64_t first = r->pfn - h->area.base, end = first + r->count, missing = 0;
	struct held *held = &h->held[first];

	if (!r->count) {
		*h->status = NOT_MINE;
		return;
	}
	if ((uint64_t)held->pages == r->count) {
		uint64_t sizes[] = {r->count, 0};

		event(h, time, EVENT_GIVE, held->ask, held->offset, r->count, r->tid);
		for (int i = 0; i < 2; i++) {
			struct usual *usual = &h->usual[sizes[i]];

			if (r->start_ns > (uint64_t)held->since)
				usual->ns += r->start_ns - held->since;
			usual->holds++;
		}
		held->pages = 0;
		mark(&h->area, first, r->count, false);
		return;
	}
	for (uint64_t at = first; (at = next_bit(&h->area, at, end, false)) < end; at++)
		missing++;
	h->out.left_out[NOT_SEEN] += missing;
	part(h, time, first, r->count, r->tid);
}

void measure(struct holding *h, const struct done *op)
{
	struct lane_column *frees = &h->out.frees;

	if (frees->n >= 2 * FREES)
		return;
	for (uint64_t i = 0; i < op->n_calls; i++) {
		if (op->calls[i].kind != CMAOBS_FREE)
			continue;
		append(frees, op->calls[i].count, h->status);
		append(frees, op->calls[i].end_ns - op->calls[i].start_ns, h->status);
	}
}

void other(struct holding *h, uint64_t time, int kind, const struct cmaobs_record *r)
{
	event(h, time, kind, 0, kind == EVENT_REACH ? 0 : r->count, 0, r->tid);
}

void begin(struct holding *h, uint64_t time, const uint64_t *runs, uint64_t n)
{
	h->out.start_ns = h->out.end_ns = time;
	for (uint64_t i = 0; i < n && !h->out.kinds.n; i++) {
		if (!runs[2 * i + 1])
			*h->status = NOT_MINE;
		else
			hold(h, runs[2 * i] - h->area.base, BEFORE, runs[2 * i], runs[2 * i + 1],
			     time);
	}
}

void rest(struct holding *h, uint64_t time, const uint64_t *runs, uint64_t n)
{
	struct area *a = &h->area, found = {.pages = a->pages};
	uint64_t at = 0, end;

	found.bitmap = calloc((a->pages + 63) / 64, sizeof(*found.bitmap));
	if (!found.bitmap) {
		*h->status = NO_MEMORY;
		return;
	}
	for (uint64_t i = 0; i < n; i++)
		mark(&found, runs[2 * i] - a->base, runs[2 * i + 1], true);
	while ((at = next_bit(a, at, a->pages, true)) < a->pages) {
		end = next_bit(a, at, a->pages, false);
		at = next_bit(&found, at, end, false);
		if (at == end)
			continue;
		end = next_bit(&found, at, end, true);
		h->out.left_out[RELEASED_AT_REST]++;
		part(h, time, at, end - at, 0);
		at = end;
	}
	for (at = 0; (at = next_bit(&found, at, a->pages, true)) < a->pages; at = end) {
		int64_t number;

		end = next_bit(&found, at, a->pages, false);
		at = next_bit(a, at, end, false);
		if (at == end)
			continue;
		end = next_bit(a, at, end, true);
		number = add_ask(h, end - at, CMAOBS_PATH_NONE, 0, a->base + at, false, 0);
		event(h, time, EVENT_ASK, number, end - at, 0, 0);
		hold(h, at, number, 0, end - at, time);
		h->out.left_out[ALLOCATED_AT_REST]++;
	}
	free(found.bitmap);
}
