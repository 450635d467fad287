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

void link_all(struct search *s, uint32_t n)
{
	uint32_t last_one = NONE;

	s->first = NONE;
	for (uint32_t i = 0; i < n; i++) {
		struct op *op = &s->ops[i];

		if (op->at.stage == OVER)
			continue;
		op->prev = last_one;
		op->next = NONE;
		if (last_one == NONE)
			s->first = i;
		else
			s->ops[last_one].next = i;
		last_one = i;
	}
}

static void advance(struct search *s, uint32_t i)
{
	struct op *op = &s->ops[i];

	s->trail[s->n_trail++] = (struct step){op->at, i};
	go_on(op);
	if (op->at.stage != OVER)
		return;
	if (op->prev == NONE)
		s->first = op->next;
	else
		s->ops[op->prev].next = op->next;
	if (op->next != NONE)
		s->ops[op->next].prev = op->prev;
}

static void retreat(struct search *s)
{
	const struct step *step = &s->trail[--s->n_trail];
	struct op *op = &s->ops[step->op];

	if (op->at.stage == OVER) {
		if (op->prev == NONE)
			s->first = step->op;
		else
			s->ops[op->prev].next = step->op;
		if (op->next != NONE)
			s->ops[op->next].prev = step->op;
	}
	op->at = step->was;
}

/* By when the next stage, of any operation that is not over, must have been. */
static uint64_t bound_of(const struct search *s)
{
	uint64_t bound = UINT64_MAX;

	for (uint32_t i = s->first; i != NONE && s->ops[i].r.start_ns <= bound;
	     i = s->ops[i].next) {
		uint64_t by = due(&s->ops[i]);

		if (by < bound)
			bound = by;
	}
	return bound;
}

/* Whether none of the run's pages are on their way to the buddy. */
static bool in_buddy(const struct search *s, const struct op *op)
{
	const struct cmaobs_record *run = &op->calls[op->at.contig];

	for (uint32_t i = s->first; i != NONE; i = s->ops[i].next) {
		const struct op *other = &s->ops[i];

		if (other->r.start_ns > s->ranks[s->level].bound)
			break;
		for (uint32_t c = other->at.call; other->at.stage == GIVE && c < other->at.contig;
		     c++) {
			const struct cmaobs_record *given = &other->calls[c];

			if (given->pfn < run->pfn + run->count &&
			    run->pfn < given->pfn + given->count)
				return false;
		}
	}
	return true;
}

/* Whether the next stage needs no place in the order: it can be as soon as the area allows it. */
static bool can_be(const struct search *s, const struct op *op)
{
	if (from(op) > s->ranks[s->level].bound)
		return false;
	if (op->at.stage == GIVE)
		return true;
	if (op->at.stage == ASK)
		return op->calls[op->at.contig].ret || in_buddy(s, op);
	return looks(s->a, op);
}

/* Whatever may have looked at the area as it is now has; that lets others look later. */
static void look(struct search *s)
{
	struct rank *rank = &s->ranks[s->level];
	bool more;

	rank->tried = NONE;
	do {
		uint32_t next;

		more = false;
		rank->bound = bound_of(s);
		for (uint32_t i = s->first; i != NONE; i = next) {
			struct op *op = &s->ops[i];

			if (op->r.start_ns > rank->bound)
				break;
			next = op->next;
			while (can_be(s, op)) {
				advance(s, i);
				more = true;
			}
		}
	} while (more);
}

/* The first that began before the last change, and has not seen what was before it. */
static uint32_t late(const struct search *s)
{
	uint64_t since = s->ranks[s->level].lo;

	for (uint32_t i = s->first; i != NONE && s->ops[i].r.start_ns < since; i = s->ops[i].next)
		if (s->ops[i].at.stage == ENTRY && !s->ops[i].exempt)
			return i;
	return NONE;
}

/*
 * By what those that could be next are tried. Most do what they do as soon as they can; what has
 * not done it soon was interrupted, and may be anywhere until it is due.
 */
static uint64_t turn(const struct op *op, uint64_t now)
{
	uint64_t since = from(op);

	return now < since + SOON_NS ? since : due(op) | 1ULL << 63;
}

/* Whether another was found to need the operation's run before it does. */
static bool waits(const struct search *s, const struct op *op)
{
	return op->after != NONE && op->at.stage == PICK && s->ops[op->after].at.stage <= PICK;
}

/* The next to try at this place. */
static uint32_t candidate(const struct search *s)
{
	const struct rank *rank = &s->ranks[s->level];
	uint64_t least = UINT64_MAX;
	uint32_t best = NONE;

	for (uint32_t i = s->first; i != NONE && s->ops[i].r.start_ns <= rank->bound;
	     i = s->ops[i].next) {
		const struct op *op = &s->ops[i];
		uint64_t by;

		if (!changes(op) || from(op) > rank->bound || waits(s, op))
			continue;
		by = turn(op, rank->lo);
		if (rank->tried != NONE &&
		    (by < rank->turn || (by == rank->turn && i <= rank->tried)))
			continue;
		if (best == NONE || by < least) {
			best = i;
			least = by;
		}
	}
	return best;
}

/* A release is of pages that somebody has, not of such as are just being allocated. */
static bool owned(const struct search *s, const struct op *release)
{
	uint64_t at = release->r.pfn, n = release->r.count;

	for (uint32_t i = s->first; i != NONE; i = s->ops[i].next) {
		const struct op *op = &s->ops[i];
		uint64_t other;

		if (op->r.start_ns > s->ranks[s->level].bound)
			break;
		if (!has_run(op))
			continue;
		other = s->a->base + first_page(s->a, op);
		if (at < other + op->r.count && other < at + n)
			return false;
	}
	return true;
}

bool place_next(struct search *s, uint32_t i)
{
	struct rank *rank = &s->ranks[s->level];
	struct op *op = &s->ops[i];

	rank->tried = rank->op = i;
	rank->turn = turn(op, rank->lo);
	s->tries++;
	if ((op->at.stage == LIST || op->at.stage == FREE) && !owned(s, op))
		return false;
	if (!apply(s->a, op, rank))
		return false;
	rank->trail = s->n_trail;
	s->ranks[s->level + 1].lo = from(op) > rank->lo ? from(op) : rank->lo;
	advance(s, i);
	s->level++;
	look(s);
	return true;
}

void displace(struct search *s)
{
	struct rank *rank = &s->ranks[--s->level];

	while (s->n_trail > rank->trail)
		retreat(s);
	take_back(s->a, &s->ops[rank->op], rank);
}

static bool share(const struct search *s, const struct op *one, const struct op *other)
{
	uint64_t a = first_page(s->a, one), b = first_page(s->a, other);

	return a < b + other->r.count && b < a + one->r.count;
}

/*
 * Back to where an operation picked a run too early: one that is due now has had the same pages, and
 * the other cannot have given them back by then. False: there is none such.
 */
static bool unpick(struct search *s)
{
	uint64_t bound = s->ranks[s->level].bound;

	for (uint32_t i = s->first; i != NONE && s->ops[i].r.start_ns <= bound;
	     i = s->ops[i].next) {
		struct op *op = &s->ops[i];

		if (op->at.stage != PICK || due(op) != bound)
			continue;
		for (uint32_t j = s->first; j != NONE && s->ops[j].r.start_ns <= bound;
		     j = s->ops[j].next) {
			struct op *other = &s->ops[j];

			if (!has_run(other) || other->r.end_ns <= bound || !share(s, op, other))
				continue;
			while (s->level && other->at.stage > PICK)
				displace(s);
			other->after = i;
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
	s->late = NONE;
}

/*
 * An operation looks right after its start, but for an interrupt between the two: orders in which
 * it does so are tried first.
 */
static void be_late(struct search *s, uint32_t i)
{
	if (s->late == NONE) {
		s->late = i;
		s->base = s->level > BACK ? s->level - BACK : 0;
	}
	displace(s);
}

/* There is none: go on from there with orders in which it looked late. */
static void excuse(struct search *s)
{
	while (s->level > s->base)
		displace(s);
	s->ops[s->late].exempt = true;
	s->ranks[s->level].tried = NONE;
	s->late = NONE;
	s->tries = 0;
}

/* False: no order was found. */
bool arrange(struct search *s, uint64_t limit, uint64_t effort)
{
	s->ranks[0].lo = 0;
	look(s);
	while (s->first != NONE && s->ranks[s->level].bound < limit) {
		uint32_t i = candidate(s);

		if (!effort-- || s->tries >= HOLD)
			return false;
		if (s->late != NONE &&
		    (s->tries > PATIENCE || (i == NONE && s->level <= s->base))) {
			excuse(s);
		} else if (i != NONE) {
			if (!place_next(s, i))
				continue;
			i = late(s);
			if (i == NONE)
				further(s);
			else
				be_late(s, i);
		} else if (s->level) {
			if (!unpick(s))
				displace(s);
		} else {
			return false;
		}
	}
	return true;
}

/* Behind the last place that took effect before the time. */
void back_to(struct search *s, uint64_t time)
{
	while (s->level && s->ranks[s->level - 1].bound >= time)
		displace(s);
}

/* By when the last place took effect. */
uint64_t last(const struct search *s)
{
	return s->level ? s->ranks[s->level - 1].bound : 0;
}
