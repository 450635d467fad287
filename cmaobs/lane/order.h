/* SPDX-License-Identifier: GPL-2.0 */
/* The search for an order of overlapping operations. */
#ifndef CMAOBS_LANE_ORDER_H
#define CMAOBS_LANE_ORDER_H

#include "private.h"

/* What is undone when a stage is taken back. */
struct step {
	struct progress was;
	struct op *op;
};

#define WAYS 4

struct search {
	struct area *a;
	struct op *first; /* operation that is not over */
	unsigned int way; /* of WAYS, see turn() */
	bool vain;        /* some of the operations found no run */
	struct rank *ranks;
	uint64_t level, furthest, tries;
	struct step *trail;
	uint64_t n_trail;
	struct op *late; /* the first that had not looked when it should have */
	uint64_t base;   /* the level from which its being late is tried */
};

/* places.c */
void link_all(struct search *s, uint32_t n);
void look(struct search *s);
bool place_next(struct search *s, struct op *op, uint64_t turn);
void displace(struct search *s);
void go_back(struct search *s);
void back_to(struct search *s, uint64_t time);
uint64_t last(const struct search *s);

/* order.c */
bool arrange(struct search *s, uint64_t limit, uint64_t effort);

#endif
