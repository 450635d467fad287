// SPDX-License-Identifier: GPL-2.0
/* Snapshots taken while operations were in flight: cmaobs/crosscheck/glance.py says it in Python. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#define GLANCES 32 /* of an area that may wait */

/* Sets of pages that operations have to do with; moved: to the list, or from it. */
struct busy {
	struct area touched, moved;
};

static uint64_t words(const struct area *a)
{
	return (a->pages + 63) / 64;
}

/* The part of the run that is the area's. */
static void add(const struct area *a, struct area *set, const struct cmaobs_record *run)
{
	if (run->count && inside(a, run->pfn, run->count))
		mark(set, run->pfn - a->base, run->count, true);
}

static void add_op(const struct area *a, struct busy *busy, const struct op *op)
{
	bool listed = op->r.path == CMAOBS_PATH_HIT || op->r.path == CMAOBS_PATH_DEFERRED;

	if (op->r.kind == CMAOBS_ALLOC || op->r.kind == CMAOBS_RELEASE) {
		add(a, &busy->touched, &op->r);
		if (listed)
			add(a, &busy->moved, &op->r);
	}
	for (uint32_t i = 0; i < op->n_calls; i++) {
		add(a, &busy->touched, &op->calls[i]);
		if (op->calls[i].kind == CMAOBS_FREE && op->r.kind == CMAOBS_ALLOC)
			add(a, &busy->moved, &op->calls[i]);
	}
}

static bool same_bits(const struct area *a, const struct glance *g, const struct area *touched)
{
	for (uint64_t i = 0; i < words(a); i++)
		if ((g->bitmap[i] ^ a->bitmap[i]) & ~touched->bitmap[i])
			return false;
	return true;
}

/* Of the pages that operations moved, some may be listed, and some not. */
static bool count_can_be(const struct area *a, const struct glance *g, const struct area *moved)
{
	uint64_t low = 0, most = 0;

	if (g->listed == NOWHERE)
		return true;
	for (uint64_t i = 0; i < a->n_pieces; i++) {
		uint64_t at = a->pieces[i].first, end = at + a->pieces[i].pages;

		while ((at = next_bit(moved, at, end, false)) < end) {
			uint64_t to = next_bit(moved, at, end, true);

			low += to - at;
			at = to;
		}
	}
	for (uint64_t i = 0; i < words(a); i++)
		most += __builtin_popcountll(moved->bitmap[i]);
	return g->listed >= low && g->listed - low <= most;
}

/*
 * Whether the snapshot agrees with the area as it was at its beginning, but for what those of the
 * first operations did to it that were in flight between then and its end.
 */
bool agrees(const struct area *a, const struct glance *g, uint32_t n)
{
	struct busy busy = {.touched = {.pages = a->pages}, .moved = {.pages = a->pages}};
	bool found = false;

	busy.touched.bitmap = calloc(words(a), sizeof(*a->bitmap));
	busy.moved.bitmap = calloc(words(a), sizeof(*a->bitmap));
	if (busy.touched.bitmap && busy.moved.bitmap) {
		for (uint32_t i = 0; i < n && in_line(a, i)->r.start_ns <= g->end_ns; i++)
			if (in_line(a, i)->r.end_ns >= g->start_ns)
				add_op(a, &busy, in_line(a, i));
		found = same_bits(a, g, &busy.touched) && count_can_be(a, g, &busy.moved);
	}
	free(busy.touched.bitmap);
	free(busy.moved.bitmap);
	return found;
}

void drop_glances(struct area *a, uint32_t n)
{
	if (!n)
		return;
	for (uint32_t i = 0; i < n; i++)
		free(a->glances[i].bitmap);
	a->n_glances -= n;
	memmove(a->glances, a->glances + n, a->n_glances * sizeof(*a->glances));
}

int lane_glance(struct lane *lane, uint32_t index, uint64_t start_ns, uint64_t end_ns,
		const uint64_t *bitmap, uint64_t listed)
{
	struct area *a = &lane->areas[index];
	struct glance g = {.start_ns = start_ns, .end_ns = end_ns, .listed = listed};

	if (a->n_glances && a->glances[a->n_glances - 1].end_ns >= start_ns)
		return 1;
	if (!a->glances)
		a->glances = calloc(GLANCES, sizeof(*a->glances));
	if (!a->glances || a->n_glances == GLANCES)
		return a->glances ? 1 : -1;
	g.bitmap = malloc(words(a) * sizeof(*bitmap));
	if (!g.bitmap)
		return -1;
	memcpy(g.bitmap, bitmap, words(a) * sizeof(*bitmap));
	a->glances[a->n_glances++] = g;
	return 0;
}

void lane_unglance(struct lane *lane, uint32_t index)
{
	struct area *a = &lane->areas[index];

	if (a->n_glances)
		drop_glances(a, a->n_glances);
}
