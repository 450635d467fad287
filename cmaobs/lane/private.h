/* SPDX-License-Identifier: GPL-2.0 */
/* What the lane's files share. */
#ifndef CMAOBS_LANE_PRIVATE_H
#define CMAOBS_LANE_PRIVATE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "lane.h"
#include "wire.h"

#define NO_AREA 0xffff
#define RECENT 64
#define NOWHERE UINT64_MAX

enum deed { UNKNOWN, HIT, CONTIG, IN_VAIN, DEFER, DIRECT, REJECT, COUNT };

/* An operation with its calls. lo, hi: it took effect between them. */
struct op {
	struct cmaobs_record r;
	struct cmaobs_record *calls;
	uint64_t lo, hi;
	uint64_t at; /* first page */
	uint32_t n_calls;
	enum deed deed;
};

#define NONE UINT32_MAX
#define WAITING 32 /* operations placed that have not read defer_count at return */

/* A place in the order, and what is needed to take its operation back. */
struct rank {
	uint32_t op;           /* NONE: not placed yet */
	uint32_t tried;        /* the operation tried last; NONE: none */
	struct lane_piece was; /* the piece that a hit was taken from */
	struct lane_piece *flushed;
	uint64_t n_flushed;
	uint64_t listed; /* before */
	uint64_t hi, lo; /* it took effect by hi, and the next one not before lo */
	uint16_t waiting[WAITING];
	uint32_t n_waiting;
};

struct scratch;

struct area {
	uint64_t base, pages;
	uint64_t *bitmap;
	uint64_t low;              /* bits below are set */
	struct lane_piece *pieces; /* by place */
	uint64_t n_pieces, room_pieces;
	uint64_t listed; /* pages in pieces */
	uint64_t next_id;
	uint64_t batch;
	struct op *ops; /* by start, once they were sorted; in use: [head, tail) */
	bool unsorted;
	uint64_t head, tail, room;
	struct op recent[RECENT];
	uint64_t n_recent;
	struct cmaobs_counters counters;
};

struct lane {
	struct area *areas;
	uint32_t n_areas;
	struct cmaobs_record *calls; /* of operations that have not ended */
	uint64_t n_calls, room_calls;
	uint64_t watermark, first_ns, elsewhere;
	struct scratch *scratch;
};

/* join.c: whether a record's kind, times and sizes can be, and whether pages are an area's. */
bool fits(const struct cmaobs_record *r);
bool inside(const struct area *a, uint64_t pfn, uint64_t pages);
/* Operations that wait are moved to the beginning of the room for them. */
void to_front(struct area *a);

/* state.c */
uint64_t next_bit(const struct area *a, uint64_t at, uint64_t end, bool set);
uint64_t lowest(struct area *a, uint64_t pages, unsigned int align);
uint64_t lowest_from(const struct area *a, uint64_t at, uint64_t pages, unsigned int align);
bool all_set(const struct area *a, uint64_t first, uint64_t pages);
void mark(struct area *a, uint64_t first, uint64_t pages, bool set);
struct lane_piece *holder(struct area *a, uint64_t first, uint64_t pages);
bool insert_piece(struct area *a, struct lane_piece piece);
void remove_piece(struct area *a, struct lane_piece *piece);

/* deed.c */
enum deed deed_of(const struct area *a, struct op *op);
bool apply(struct area *a, struct op *op, struct rank *rank);
void take_back(struct area *a, struct op *op, struct rank *rank);

/* order.c */
struct scratch *new_scratch(void);
bool explain(struct scratch *scratch, struct area *a, struct op *ops, uint64_t n);

#endif
