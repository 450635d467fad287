/* SPDX-License-Identifier: GPL-2.0 */
#ifndef CMAOBS_LANE_QUEUE_H
#define CMAOBS_LANE_QUEUE_H

#include "gather.h"

/* What waits until all that began before it is known: an operation, or runs at rest. */
struct item {
	uint64_t time, number;
	struct done *op;
	uint64_t *runs, n_runs;
	uint32_t area;
};

/* The first is the earliest; of those of one time the one that was pushed first. */
struct queue {
	struct item *heap;
	uint64_t n, room, number;
};

void push(struct queue *q, struct item item, int *status);
struct item pop(struct queue *q);
void free_queue(struct queue *q);

#endif
