/* SPDX-License-Identifier: GPL-2.0 */
/* What the files of lane_replay() share. */
#ifndef CMAOBS_LANE_PLAY_H
#define CMAOBS_LANE_PLAY_H

#include "private.h"

struct extent {
	uint64_t first, pages;
};

/* Has picked a run, is no hit, and waits for the mutex. */
struct missed {
	int64_t until, ask;
	uint64_t at, pages;
	unsigned int align;
};

struct play {
	const struct lane_demand *d;
	const struct lane_policy *p;
	struct lane_replayed *out;
	struct area area;
	struct extent *list; /* the newest is the last */
	uint64_t n, room;
	uint64_t listed; /* pages */
	uint64_t batch;
	uint64_t part; /* of the time */
	int64_t now;
	uint64_t next_try;
	int64_t time, free, usual; /* of the event; when the mutex is; ns with it */
	struct missed *waiting;    /* from first on, ascending */
	uint64_t first, n_waiting, room_waiting;
};

/* play.c */
bool put(struct play *y, uint64_t i, struct extent e);
uint64_t place(struct play *y, uint64_t pages, unsigned int align, uint64_t start);
int fetch(struct play *y, uint64_t at, uint64_t pages);
void flush(struct play *y, int64_t ask, uint64_t at, uint64_t pages);
uint64_t scan(struct play *y, uint64_t asked);
void reach(struct play *y);

#endif
