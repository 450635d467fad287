// SPDX-License-Identifier: GPL-2.0
/* What asks took under other rules. cmaobs/whatif/latency.py says the same in Python. */

#include <math.h>

#include "private.h"

#define BINS 2048

/* The order that holds the pages. */
static unsigned int order_of(uint64_t pages)
{
	return pages > 1 ? 64 - __builtin_clzll(pages - 1) : 0;
}

static uint32_t bin_of(double ns, uint32_t parts)
{
	uint32_t bin = log2(ns > 1.0 ? ns : 1.0) * parts;

	return bin < BINS ? bin : BINS - 1;
}

void lane_stretches(const struct lane_took *took, struct lane_stretch *out)
{
	uint64_t next = 0;

	for (uint64_t i = 0; i < took->n; i++) {
		struct lane_stretch *stretch = &out[i * took->stretches / took->n];
		uint8_t was = took->was[i], path = took->path[i];
		int64_t ns = took->durations[i];
		double flush = 0.0;
		unsigned int hit;

		while (next < took->n_freeing && took->freeing[2 * next] < (int64_t)i)
			next++;
		if (next < took->n_freeing && took->freeing[2 * next] == (int64_t)i)
			ns -= took->freeing[2 * next + 1];
		if (was == CMAOBS_PATH_NONE ||
		    (path != CMAOBS_PATH_HIT && path != CMAOBS_PATH_CONTIG))
			continue;
		hit = path - CMAOBS_PATH_HIT;
		if (took->extents[i])
			flush = took->extent_ns * took->extents[i] +
				took->page_ns * took->flushed[i];
		if (path == was) {
			stretch->own[hit][bin_of(ns + flush, took->parts)]++;
		} else {
			unsigned int order = order_of(took->pages[i]), idle = took->idle[i] != 0;

			stretch->needs[hit][order][idle]++;
			stretch->flush_ns[hit][order][idle] += llrint(flush);
		}
	}
}
