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
#define CALM 8 /* sweeps after which room is given back */
#define NOWHERE UINT64_MAX

/* Kinds of events, as cmaobs/whatif/demand.py numbers them. */
enum { EVENT_ASK, EVENT_GIVE, EVENT_SCAN, EVENT_REACH, EVENT_BATCH };

enum deed { UNKNOWN, TRY, DEFER, DIRECT, REJECT, COUNT, SCAN };

/*
 * What an operation does next; each at one instant. An allocation that picked a run fetches it; or
 * takes all extents off the list, gives each to the buddy, and asks it for the run, which it then
 * has, or clears the bits of and may go on to the next try. A scan has found nothing to free.
 */
enum stage {
	ENTRY,
	PICK,
	VAIN,
	FETCH,
	TAKE,
	GIVE,
	ASK,
	CLEAR,
	LIST,
	FREE,
	COUNTED,
	SCANNED,
	EXIT,
	OVER
};

/* Where an operation is: calls of a try are [try_, contig], the next of them to be made is call. */
struct progress {
	uint32_t try_, contig, call;
	enum stage stage;
};

/* An operation with its calls. */
struct op {
	struct cmaobs_record r;
	struct cmaobs_record *calls;
	struct op *next, *prev; /* of those that are not over, by start */
	struct op *after;       /* one that must pick its run before */
	struct progress at;
	uint64_t pfn;  /* first of the run that its try picks, or that it releases */
	uint64_t from; /* when its stage can be at the earliest, */
	uint64_t due;  /* and by when it must have been */
	uint64_t since, until;
	uint32_t n_calls;
	enum deed deed;
	bool begun;   /* in a part of the order that is settled */
	bool exempt;  /* may have read defer_count long after its start */
	bool blurred; /* another releases the same pages meanwhile */
};

/* A place in the order, and what is needed to take its step back. */
struct rank {
	struct op *op;
	struct op *tried;      /* the operation tried last */
	uint64_t turn;         /* and its turn */
	struct lane_piece was; /* the piece that a hit was taken from */
	struct lane_piece *taken;
	uint64_t n_taken;
	uint64_t trail; /* progress noted before */
	uint64_t lo;    /* the places before it took effect then or later, */
	uint64_t bound; /* and it by then */
};

struct scratch;

/* A snapshot that is not compared yet. */
struct glance {
	uint64_t start_ns, end_ns;
	uint64_t listed; /* NOWHERE: not read */
	uint64_t *bitmap;
};

/* An operation that is explained. */
struct kept {
	struct cmaobs_record r;
	struct cmaobs_record *calls;
	uint32_t n_calls;
};

/* Where the lowest free run is, until the bits change. */
struct sought {
	uint64_t pages, at;
	unsigned int align;
	bool known;
};

struct area {
	uint64_t base, pages;
	uint64_t *bitmap;
	uint64_t low;              /* bits below are set */
	struct sought sought;      /* last */
	struct lane_piece *pieces; /* by place */
	uint64_t n_pieces, room_pieces;
	uint64_t listed; /* pages in pieces */
	uint64_t next_id;
	uint64_t batch;
	struct op *ops; /* as they came: [0, tail) */
	uint32_t *line; /* places of those that wait, by start: [head, tail) */
	bool midway;    /* the state is not one between two clusters: some of them have begun */
	bool begun;     /* and some may be said to have, from then */
	uint64_t head, tail, room;
	uint32_t calm;          /* sweeps since the room was needed */
	struct glance *glances; /* by time */
	uint32_t n_glances;
	struct kept recent[RECENT];
	uint64_t n_recent;
	struct cmaobs_counters counters;
};

struct lane {
	struct area *areas;
	uint32_t n_areas;
	uint32_t most;               /* operations that are put in order together */
	struct cmaobs_record *calls; /* of operations that have not ended */
	uint64_t n_calls, room_calls;
	uint64_t watermark, first_ns, elsewhere;
	struct scratch *scratch;
};

/* Whether two runs of pages have some in common. */
static inline bool overlap(uint64_t one, uint64_t pages, uint64_t other, uint64_t others)
{
	return one < other + others && other < one + pages;
}

/* Whether the pages are the area's. */
static inline bool inside(const struct area *a, uint64_t pfn, uint64_t pages)
{
	return pfn >= a->base && pages <= a->pages && pfn - a->base <= a->pages - pages;
}

/* join.c: whether a record's kind, times and sizes can be. */
bool fits(const struct cmaobs_record *r);

/* line.c */
struct op *stand_in_line(struct area *a, const struct cmaobs_record *r);
void close_up(struct area *a, uint64_t used);

static inline struct op *in_line(const struct area *a, uint64_t i)
{
	return &a->ops[a->line[a->head + i]];
}

#include "bits.h"

/* state.c */
uint64_t find_lowest(struct area *a, uint64_t pages, unsigned int align);
uint64_t lowest_from(const struct area *a, uint64_t at, uint64_t pages, unsigned int align);
bool listed(const struct area *a, uint64_t first, uint64_t pages);
struct lane_piece *holder(struct area *a, uint64_t first, uint64_t pages);
bool insert_piece(struct area *a, struct lane_piece piece);
void remove_piece(struct area *a, struct lane_piece *piece);

/* R4: first page of the lowest aligned run of clear bits, or NOWHERE. */
static inline uint64_t lowest(struct area *a, uint64_t pages, unsigned int align)
{
	const struct sought *sought = &a->sought;

	if (sought->known && sought->pages == pages && sought->align == align)
		return sought->at;
	return find_lowest(a, pages, align);
}

/* deed.c */
enum deed deed_of(const struct area *a, const struct op *op);

/* stage.c */
void begin_op(const struct area *a, struct op *op);
void go_on(struct op *op);
void move_to(struct op *op, struct progress at);

/* Of what the operation picks or releases, in pages of the area. */
static inline uint64_t first_page(const struct area *a, const struct op *op)
{
	return op->pfn - a->base;
}

/* Whether the stage has a place in the order, since others can tell whether they come behind it. */
static inline bool changes(const struct op *op)
{
	const unsigned int those = 1 << PICK | 1 << FETCH | 1 << TAKE | 1 << CLEAR | 1 << LIST |
		1 << FREE;

	return those >> op->at.stage & 1;
}

/* Whether the operation is an allocation that has picked a run, and not lost it again. */
static inline bool has_run(const struct op *op)
{
	const unsigned int those = 1 << FETCH | 1 << TAKE | 1 << GIVE | 1 << ASK | 1 << CLEAR;

	if (op->deed != TRY)
		return false;
	if (op->at.stage == EXIT)
		return op->r.path != CMAOBS_PATH_FAILED;
	return those >> op->at.stage & 1;
}

/* effect.c */
bool looks(struct area *a, const struct op *op);
uint64_t picked_later(const struct area *a, const struct op *op);

/* R4, R7: the run that the try would pick now, or NOWHERE. */
static inline uint64_t picked_next(struct area *a, const struct op *op)
{
	return op->at.try_ ? picked_later(a, op) : lowest(a, op->r.count, op->r.align);
}

bool apply(struct area *a, struct op *op, struct rank *rank);
void take_back(struct area *a, struct op *op, struct rank *rank);

/* simple.c */
bool explain_one(struct area *a, struct op *op);
bool explain_two(struct area *a, struct op *one, struct op *other);

/* blur.c */
void blur(struct area *a, uint32_t n);

/* glance.c */
bool agrees(const struct area *a, const struct glance *g, uint32_t n);
void drop_glances(struct area *a, uint32_t n);

/* explain.c */
struct scratch *new_scratch(void);
void free_scratch(struct scratch *scratch);
void relax(struct scratch *scratch);
int explain(struct scratch *scratch, struct area *a, uint32_t n, uint64_t limit, uint64_t end);

#endif
