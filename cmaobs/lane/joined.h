/* SPDX-License-Identifier: GPL-2.0 */
/* From records to operations with their calls, as cmaobs/history.py joins them. */
#ifndef CMAOBS_LANE_JOINED_H
#define CMAOBS_LANE_JOINED_H

#include "gather.h"

/* Calls that wait for their operation, or an operation that waits for calls. */
struct pending {
	uint32_t tid;
	uint64_t op_ns;
	bool ended; /* its record is there: */
	struct cmaobs_record r;
	uint64_t number; /* of ended ones, in the order of their first record */
	struct cmaobs_record *calls;
	uint64_t n_calls, room;
};

struct joining {
	struct pending *pending;
	uint64_t n, room, number;
	uint64_t held; /* calls */
};

/* The operation that became whole, or the call of none; NULL: neither did, or *status says why. */
struct done *join(struct joining *j, const struct cmaobs_record *r, int *status);
/* An operation that began before and whose calls did not come; NULL: there is none. */
struct done *next_settled(struct joining *j, uint64_t watermark, int *status);
/* Drops calls whose operation began before and did not come; of how many operations they were. */
uint64_t orphans(struct joining *j, uint64_t watermark);
void free_joining(struct joining *j);
void free_done(struct done *op);

#endif
