// SPDX-License-Identifier: GPL-2.0
/* Snapshots taken while operations were in flight: each bit was read at some time, as was the count. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#define GLANCES 8 /* of an area that may wait */

static uint64_t words(const struct area *a)
{
	return (a->pages + 63) / 64;
}

static void drop(struct glance *g)
{
	free(g->bitmap);
	free(g->left);
}

/* Whether all was seen as it was read. */
static bool seen(const struct area *a, const struct glance *g)
{
	for (uint64_t i = 0; i < words(a); i++)
		if (g->left[i])
			return false;
	return !g->count_left;
}

void glance_begin(const struct area *a, struct glance *g)
{
	memset(g->left, 0xff, words(a) * sizeof(*g->left));
	if (a->pages % 64)
		g->left[words(a) - 1] = (1ULL << a->pages % 64) - 1;
	g->count_left = g->listed != NOWHERE;
}

/* The area is as it is now for a while between the beginning and the end of the snapshot. */
void glance_see(const struct area *a, struct glance *g)
{
	for (uint64_t i = 0; i < words(a); i++)
		g->left[i] &= g->bitmap[i] ^ a->bitmap[i];
	g->count_left = g->count_left && g->listed != a->listed;
}

/* Of the first n: whether all that they read was there to be read. */
bool glances_agree(const struct area *a, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (!seen(a, &a->glances[i]))
			return false;
	return true;
}

void drop_glances(struct area *a, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		drop(&a->glances[i]);
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
	g.left = malloc(words(a) * sizeof(*bitmap));
	if (!g.bitmap || !g.left) {
		drop(&g);
		return -1;
	}
	memcpy(g.bitmap, bitmap, words(a) * sizeof(*bitmap));
	a->glances[a->n_glances++] = g;
	return 0;
}

void lane_unglance(struct lane *lane, uint32_t index)
{
	struct area *a = &lane->areas[index];

	drop_glances(a, a->n_glances);
}
