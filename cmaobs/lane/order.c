// SPDX-License-Identifier: GPL-2.0
/*
 * One lawful order of overlapping operations. Each goes through its stages: those that change the
 * area have a place in the order, those that only look are between two of these, where the area
 * was as they saw it. A place is as late as all that comes after it allows, which is the time that
 * lets most be before it: so whatever may have looked by then has.
 *
 * An order that is found proves the operations lawful, none found proves nothing.
 */

#include "order.h"

#define SOON_NS 50000
#define HOLD 4096    /* stages tried without getting further */
#define PATIENCE 256 /* of those, before an operation may have looked late */
#define BACK 32      /* places that are then tried again */

/* The first that began before the last change, and has not seen what was before it. */
static struct op *late(const struct search *s)
{
	uint64_t since = s->ranks[s->level].lo;

	for (struct op *op = s->first; op && op->r.start_ns < since; op = op->next)
		if (op->at.stage == ENTRY && !op->exempt)
			return op;
	return NULL;
}

/*
 * By what those that could be next are tried. First a run that is there to be picked, since it may
 * not be again. Most do what they do as soon as they can; what has not done it soon was interrupted,
 * and may be anywhere until it is due. Where that leads nowhere, other ways are tried.
 */
static uint64_t turn(const struct search *s, const struct op *op, uint64_t lo)
{
	if (op->at.stage == PICK && s->way != 3 && picked_next(s->a, op) == first_page(s->a, op))
		return s->way == 1 ? op->due : op->from;
	if (lo < op->from + SOON_NS && s->way != 2)
		return op->from | 1ULL << 62;
	return op->due | 1ULL << 63;
}

/* Whether another was found to need the operation's run before it does. */
static bool waits(const struct op *op)
{
	return op->after && op->at.stage == PICK && op->after->at.stage <= PICK;
}

/* The next to try at this place, and its turn. */
static struct op *candidate(const struct search *s, uint64_t *least)
{
	const struct rank *rank = &s->ranks[s->level];
	uint64_t bound = rank->bound, lo = rank->lo;
	struct op *best = NULL;

	for (struct op *op = s->first; op && op->r.start_ns <= bound; op = op->next) {
		uint64_t by;

		if (!changes(op) || op->from > bound || waits(op))
			continue;
		by = turn(s, op, lo);
		if (rank->tried && (by < rank->turn || (by == rank->turn && op <= rank->tried)))
			continue;
		if (!best || by < *least) {
			best = op;
			*least = by;
		}
	}
	return best;
}

/*
 * Back to where an operation picked a run too early: one that is to pick of the same pages must
 * have them before the other can have given them back. False: there is none such.
 */
static bool unpick(struct search *s)
{
	uint64_t bound = s->ranks[s->level].bound;

	for (struct op *op = s->first; op && op->r.start_ns <= bound; op = op->next) {
		if (op->at.stage != PICK)
			continue;
		for (struct op *other = s->first; other && other->r.start_ns <= bound;
		     other = other->next) {
			if (!has_run(other) || other->r.end_ns <= op->due ||
			    !overlap(op->pfn, op->r.count, other->pfn, other->r.count))
				continue;
			while (s->level && other->at.stage > PICK)
				displace(s);
			other->after = op;
			return other->at.stage <= PICK;
		}
	}
	return false;
}

static void further(struct search *s)
{
	if (s->level <= s->furthest)
		return;
	s->furthest = s->level;
	s->tries = 0;
	s->late = NULL;
}

/*
 * An operation looks right after its start, but for an interrupt between the two: orders in which
 * it does so are tried first.
 */
static void be_late(struct search *s, struct op *op)
{
	if (!s->late) {
		s->late = op;
		s->base = s->level > BACK ? s->level - BACK : 0;
	}
	displace(s);
}

/* There is none: go on from there with orders in which it looked late. */
static void excuse(struct search *s)
{
	while (s->level > s->base)
		displace(s);
	s->late->exempt = true;
	s->ranks[s->level].tried = NULL;
	s->late = NULL;
	s->tries = 0;
}

/* False: no order was found. */
bool arrange(struct search *s, uint64_t limit, uint64_t effort)
{
	s->ranks[0].lo = 0;
	s->ranks[0].tried = NULL;
	look(s);
	while (s->first && s->ranks[s->level].bound < limit) {
		uint64_t by = 0;
		struct op *op = candidate(s, &by);

		if (!effort-- || s->tries >= HOLD)
			return false;
		if (s->late && (s->tries > PATIENCE || (!op && s->level <= s->base))) {
			excuse(s);
		} else if (op) {
			if (!place_next(s, op, by))
				continue;
			op = late(s);
			if (op)
				be_late(s, op);
			else
				further(s);
		} else if (s->level) {
			if (!unpick(s))
				displace(s);
		} else {
			return false;
		}
	}
	return true;
}
