// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>

#include "joined.h"
#include "queue.h"

static bool before(const struct item *one, const struct item *other)
{
	return one->time < other->time || (one->time == other->time && one->number < other->number);
}

void push(struct queue *q, struct item item, int *status)
{
	uint64_t i = q->n;

	if (q->n == q->room) {
		uint64_t room = q->room ? 2 * q->room : 256;
		void *more = realloc(q->heap, room * sizeof(*q->heap));

		if (!more) {
			*status = NO_MEMORY;
			free_done(item.op);
			free(item.runs);
			return;
		}
		q->heap = more;
		q->room = room;
	}
	item.number = ++q->number;
	q->n++;
	for (; i && before(&item, &q->heap[(i - 1) / 2]); i = (i - 1) / 2)
		q->heap[i] = q->heap[(i - 1) / 2];
	q->heap[i] = item;
}

struct item pop(struct queue *q)
{
	struct item first = q->heap[0], last = q->heap[--q->n];
	uint64_t i = 0, child;

	while ((child = 2 * i + 1) < q->n) {
		if (child + 1 < q->n && before(&q->heap[child + 1], &q->heap[child]))
			child++;
		if (before(&last, &q->heap[child]))
			break;
		q->heap[i] = q->heap[child];
		i = child;
	}
	q->heap[i] = last;
	return first;
}

void free_queue(struct queue *q)
{
	for (uint64_t i = 0; i < q->n; i++) {
		free_done(q->heap[i].op);
		free(q->heap[i].runs);
	}
	free(q->heap);
}
