// SPDX-License-Identifier: GPL-2.0
/* The deferred list of a replay, and what each policy does with it. */

#include <stdlib.h>
#include <string.h>

#include "play.h"

#define SHRINK_BATCH 128

bool put(struct play *y, uint64_t i, struct extent e)
{
	if (y->n == y->room) {
		uint64_t room = y->room ? 2 * y->room : 64;
		void *more = realloc(y->list, room * sizeof(*y->list));

		if (!more)
			return false;
		y->list = more;
		y->room = room;
	}
	memmove(&y->list[i + 1], &y->list[i], (y->n - i) * sizeof(*y->list));
	y->list[i] = e;
	y->n++;
	return true;
}

static void drop(struct play *y, uint64_t i)
{
	y->n--;
	memmove(&y->list[i], &y->list[i + 1], (y->n - i) * sizeof(*y->list));
}

/* R4, or the lowest place inside an extent. */
uint64_t place(struct play *y, uint64_t pages, unsigned int align, uint64_t start)
{
	uint64_t best = NOWHERE;

	for (uint64_t i = 0; y->p->prefer_deferred && i < y->n; i++) {
		const struct extent *e = &y->list[i];
		uint64_t from = e->first > start ? e->first : start, at;

		if (e->pages < pages || from + pages > e->first + e->pages || from >= best)
			continue;
		at = lowest_from(&y->area, from, pages, align);
		if (at < best && at + pages <= e->first + e->pages)
			best = at;
	}
	if (best != NOWHERE)
		return best;
	return start ? lowest_from(&y->area, start, pages, align) : lowest(&y->area, pages, align);
}

/* R5: 1 a hit, 0 a miss, -1 no memory. What is left of the extent stays in its place. */
int fetch(struct play *y, uint64_t at, uint64_t pages)
{
	for (uint64_t i = 0; i < y->n; i++) {
		struct extent *e = &y->list[i];
		uint64_t head = at - e->first, tail;

		if (at < e->first || at + pages > e->first + e->pages)
			continue;
		tail = e->first + e->pages - at - pages;
		y->listed -= pages;
		if (head && tail) {
			e->pages = head;
			return put(y, i, (struct extent){at + pages, tail}) ? 1 : -1;
		}
		if (head) {
			e->pages = head;
		} else if (tail) {
			e->first = at + pages;
			e->pages = tail;
		} else {
			drop(y, i);
		}
		return 1;
	}
	return 0;
}

/* R6, or what overlaps the run only. */
void flush(struct play *y, int64_t ask, uint64_t at, uint64_t pages)
{
	uint64_t kept = 0, gone = 0, given = 0;

	for (uint64_t i = 0; i < y->n; i++) {
		struct extent e = y->list[i];

		if (y->p->flush_overlap && (e.first >= at + pages || e.first + e.pages <= at)) {
			y->list[kept++] = e;
		} else {
			gone++;
			given += e.pages;
		}
	}
	y->n = kept;
	y->listed -= given;
	y->out->flushed[ask] += given;
	y->out->extents[ask] += gone;
	y->out->flushes += gone > 0;
}

/* R9: pages given back. */
uint64_t scan(struct play *y, uint64_t asked)
{
	uint64_t left = asked, given;

	if (asked < y->batch) {
		y->out->stopped++;
		return 0;
	}
	while (left && y->n) {
		uint64_t i = y->p->oldest_first ? 0 : y->n - 1;
		struct extent *e = &y->list[i];

		if (e->pages > left) {
			e->first += left;
			e->pages -= left;
			left = 0;
		} else {
			left -= e->pages;
			drop(y, i);
		}
	}
	given = asked - left;
	y->listed -= given;
	y->out->scans += given > 0;
	y->out->scanned_pages += given;
	return given;
}

/* do_shrink_slab(): see cmaobs/whatif/shrink.py. */
void reach(struct play *y)
{
	uint64_t freeable = y->listed, left = freeable / 2;
	uint64_t size = y->batch ? y->batch : SHRINK_BATCH;

	while (left && (left >= size || left >= freeable)) {
		uint64_t asked = left < size ? left : size;

		if (!scan(y, asked))
			break;
		left -= asked;
	}
}
