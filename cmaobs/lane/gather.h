/* SPDX-License-Identifier: GPL-2.0 */
/* What gather.c, holding.c and table.c share. */
#ifndef CMAOBS_LANE_GATHER_H
#define CMAOBS_LANE_GATHER_H

#include "private.h"

#define NOT_MINE 1
#define NO_MEMORY (-1)

/* In the order of cmaobs/whatif/quick.py. */
enum left_out { IMPOSSIBLE, NO_RETURN, NO_RECORD, ALIGNED, ELSEWHERE, BACKWARDS, N_LEFT_OUT };
enum area_left_out {
	REJECTED,
	NOT_ITS_OWN,
	NOT_SEEN,
	GRANTED_AGAIN,
	RELEASED_AT_REST,
	ALLOCATED_AT_REST
};

/* An operation with its calls, by their ends. */
struct done {
	struct cmaobs_record r;
	struct cmaobs_record *calls;
	uint64_t n_calls;
};

/* From a key of two words to a value that is 0 at first. */
struct map {
	struct slot {
		uint64_t key[2], value;
		bool used;
	} *slots;
	uint64_t n, room;
};

/* Pages that belong to an ask, from its page offset on. */
struct held {
	int64_t ask, offset, pages, since;
};

struct usual {
	unsigned __int128 ns;
	uint64_t holds;
};

struct holding {
	struct lane_asked out;
	struct area area;    /* its bitmap only */
	struct held *held;   /* by first page; pages 0: none begins there */
	struct usual *usual; /* how long pages were held, by their number; 0: any */
	uint64_t busy_until, contig_until;
	uint64_t since_idle; /* operations */
	bool idle;
	struct map tids, callers;
	int *status; /* of the gathering: the first trouble */
};

/* table.c: what does not fit sets *status. */
void *more_room(void *at, uint64_t *room, uint64_t first, size_t size, int *status); /* or NULL */
void append(struct lane_column *c, int64_t value, int *status);
void append_byte(struct lane_bytes *c, uint8_t value, int *status);
uint64_t *look_up(struct map *m, uint64_t one, uint64_t other, int *status); /* NULL: no memory */
/* Whether a sum stays within 63 bits; else NOT_MINE. */
void grow(int64_t *sum, uint64_t more, int *status);

/* rows.c: of the demand that is gathered. */
void event(struct holding *h, uint64_t time, uint8_t kind, int64_t ask_, int64_t a, int64_t b,
	   uint32_t tid);
int64_t add_ask(struct holding *h, uint64_t pages, uint8_t path, uint64_t ns, uint64_t pfn,
		bool idle, uint64_t alone);
void count_caller(struct holding *h, const struct cmaobs_record *r);
void note_calls(struct holding *h, int64_t number, const struct done *op);
void come_later(struct holding *h, int64_t number, const struct cmaobs_record *r);

/* holding.c: the methods of the same names of cmaobs/whatif/holding.py. */
int new_holding(struct holding *h, uint64_t base, uint64_t pages, int *status);
void free_holding(struct holding *h);
bool holds(const struct holding *h, const struct cmaobs_record *r);
void passes(struct holding *h, const struct cmaobs_record *r);
void ask(struct holding *h, uint64_t time, const struct done *op);
void give(struct holding *h, uint64_t time, const struct cmaobs_record *r);
void measure(struct holding *h, const struct done *op);
void other(struct holding *h, uint64_t time, int kind, const struct cmaobs_record *r);
void begin(struct holding *h, uint64_t time, const uint64_t *runs, uint64_t n);
void rest(struct holding *h, uint64_t time, const uint64_t *runs, uint64_t n);

#endif
