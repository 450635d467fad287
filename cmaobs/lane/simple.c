// SPDX-License-Identifier: GPL-2.0
/*
 * What most operations are: a hit or a deferred release, by itself or overlapping with one other.
 * What one of these does can then be taken as done at one instant.
 */

#include "private.h"

/* Pages that it adds to the list; 0: it is none of these. */
static int64_t adds(const struct area *a, struct op *op)
{
	if (op->n_calls)
		return 0;
	begin_op(a, op);
	if (op->deed == DEFER)
		return op->r.count;
	return op->deed == TRY && op->r.path == CMAOBS_PATH_HIT ? -(int64_t)op->r.count : 0;
}

static bool does(struct area *a, struct op *op, enum stage stage, struct rank *rank)
{
	op->at.stage = stage;
	return apply(a, op, rank);
}

static void undoes(struct area *a, struct op *op, enum stage stage, struct rank *rank)
{
	op->at.stage = stage;
	take_back(a, op, rank);
}

/* False: the rules do not have it so, and nothing is changed. */
static bool act(struct area *a, struct op *op, struct rank *rank)
{
	if (op->deed == DEFER)
		return does(a, op, LIST, rank);
	if (!does(a, op, PICK, rank))
		return false;
	if (does(a, op, FETCH, rank))
		return true;
	undoes(a, op, PICK, rank);
	return false;
}

static void take_act_back(struct area *a, struct op *op, struct rank *rank)
{
	if (op->deed == DEFER) {
		undoes(a, op, LIST, rank);
		return;
	}
	undoes(a, op, FETCH, rank);
	undoes(a, op, PICK, rank);
}

/* False: it is not lawful, or none of these; nothing is changed then. */
bool explain_one(struct area *a, struct op *op)
{
	int64_t by = adds(a, op);
	struct rank rank;

	return by && op->r.defer_entry == a->listed && op->r.defer_exit == a->listed + by &&
		act(a, op, &rank);
}

/*
 * One after the other. Each may have read defer_count before the other did what it does, and again
 * after it. What is just being allocated is not released, though.
 */
static bool in_turn(struct area *a, struct op *one, int64_t by, struct op *other, int64_t other_by)
{
	uint64_t before = a->listed, between = before + by, after = between + other_by;
	const struct cmaobs_record *r = &one->r, *q = &other->r;
	struct rank rank, unused;

	if (r->defer_entry != before || (q->defer_entry != before && q->defer_entry != between) ||
	    q->defer_exit != after || (r->defer_exit != after && r->defer_exit != between) ||
	    (one->deed == TRY && overlap(r->pfn, r->count, q->pfn, q->count)) ||
	    !act(a, one, &rank))
		return false;
	if (act(a, other, &unused))
		return true;
	take_act_back(a, one, &rank);
	return false;
}

/* The same of two that overlap in time. */
bool explain_two(struct area *a, struct op *one, struct op *other)
{
	int64_t by = adds(a, one), other_by = adds(a, other);

	return by && other_by &&
		(in_turn(a, one, by, other, other_by) || in_turn(a, other, other_by, one, by));
}
