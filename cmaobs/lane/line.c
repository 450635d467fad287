// SPDX-License-Identifier: GPL-2.0
/*
 * Operations that wait, by start. They come by their ends, so that one of a task that was
 * interrupted comes behind thousands that began later: their places are moved, not they.
 */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#define ROOM 4096 /* operations of an area that there is always room for */

/* Those that wait get the first places. False: no memory, nothing is moved. */
static bool move_up(struct area *a)
{
	uint64_t n = a->tail - a->head;
	struct op *moved = NULL;

	if (n) {
		moved = malloc(n * sizeof(*moved));
		if (!moved)
			return false;
		for (uint64_t i = 0; i < n; i++)
			moved[i] = *in_line(a, i);
		memcpy(a->ops, moved, n * sizeof(*moved));
		free(moved);
	}
	for (uint64_t i = 0; i < n; i++)
		a->line[i] = i;
	a->head = 0;
	a->tail = n;
	return true;
}

static bool set_room(struct area *a, uint64_t room)
{
	uint32_t *line = realloc(a->line, room * sizeof(*line));
	struct op *ops;

	if (!line)
		return false;
	a->line = line;
	if (a->room > room)
		a->room = room;
	ops = realloc(a->ops, room * sizeof(*ops));
	if (!ops)
		return false;
	a->ops = ops;
	a->room = room;
	return true;
}

static bool make_room(struct area *a)
{
	if (a->tail < a->room || (a->head > a->room / 2 && move_up(a)))
		return true;
	return set_room(a, a->room ? 2 * a->room : 256);
}

/* Behind what began before it. */
static uint64_t place_of(const struct area *a, uint64_t start_ns)
{
	uint64_t low = 0, high = a->tail - a->head;

	if (low == high || in_line(a, high - 1)->r.start_ns <= start_ns)
		return a->tail;
	while (low < high) {
		uint64_t mid = low + (high - low) / 2;

		if (in_line(a, mid)->r.start_ns <= start_ns)
			low = mid + 1;
		else
			high = mid;
	}
	return a->head + low;
}

struct op *stand_in_line(struct area *a, const struct cmaobs_record *r)
{
	struct op *op;
	uint64_t at;

	if (!make_room(a))
		return NULL;
	at = place_of(a, r->start_ns);
	if (at < a->tail)
		memmove(&a->line[at + 1], &a->line[at], (a->tail - at) * sizeof(*a->line));
	a->line[at] = a->tail;
	op = &a->ops[a->tail++];
	op->r = *r;
	op->calls = NULL;
	op->n_calls = 0;
	op->begun = false;
	return op;
}

/*
 * Once some have gone, of so many. What a burst of operations needed is given back step by step,
 * when it is over for a while.
 */
void close_up(struct area *a, uint64_t used)
{
	if (a->head >= a->tail - a->head && !move_up(a))
		return;
	if (used > a->room / 8)
		a->calm = 0;
	if (a->room <= ROOM || ++a->calm < CALM)
		return;
	a->calm = 0;
	if (a->tail <= a->room / 2)
		set_room(a, a->room / 2);
}
