// SPDX-License-Identifier: GPL-2.0
/* Where an order of operations has got to: a stage further, and back. */

#include "order.h"

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

/* What stands before and behind an operation in line gets these neighbours. */
static void hook(struct search *s, const struct op *op, uint32_t behind, uint32_t before)
{
	if (op->prev == NONE)
		s->first = behind;
	else
		s->ops[op->prev].next = behind;
	if (op->next != NONE)
		s->ops[op->next].prev = before;
}

static void advance(struct search *s, uint32_t i)
{
	struct op *op = &s->ops[i];

	s->trail[s->n_trail++] = (struct step){op->at, i};
	go_on(op);
	if (op->at.stage == OVER)
		hook(s, op, op->next, op->prev);
}

static void retreat(struct search *s)
{
	const struct step *step = &s->trail[--s->n_trail];
	struct op *op = &s->ops[step->op];

	if (op->at.stage == OVER)
		hook(s, op, step->op, step->op);
	move_to(op, step->was);
}

/* By when the next stage, of any operation that is not over, must have been. */
static uint64_t bound_of(const struct search *s)
{
	uint64_t bound = UINT64_MAX;

	for (uint32_t i = s->first; i != NONE && s->ops[i].r.start_ns <= bound;
	     i = s->ops[i].next) {
		uint64_t by = s->ops[i].due;

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

			if (overlap(given->pfn, given->count, run->pfn, run->count))
				return false;
		}
	}
	return true;
}

/* Whether the next stage needs no place in the order: it can be as soon as the area allows it. */
static bool can_be(const struct search *s, const struct op *op)
{
	if (op->from > s->ranks[s->level].bound)
		return false;
	if (op->at.stage == GIVE)
		return true;
	if (op->at.stage == ASK)
		return op->calls[op->at.contig].ret || in_buddy(s, op);
	return looks(s->a, op);
}

/* Whatever may have looked at the area as it is now has; that lets others look later. */
void look(struct search *s)
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

/* A release is of pages that somebody has, not of such as are just being allocated. */
static bool owned(const struct search *s, const struct op *release)
{
	for (uint32_t i = s->first; i != NONE; i = s->ops[i].next) {
		const struct op *op = &s->ops[i];

		if (op->r.start_ns > s->ranks[s->level].bound)
			break;
		if (has_run(op) &&
		    overlap(first_page(s->a, release), release->r.count, first_page(s->a, op),
			    op->r.count))
			return false;
	}
	return true;
}

bool place_next(struct search *s, uint32_t i)
{
	struct rank *rank = &s->ranks[s->level];
	struct op *op = &s->ops[i];

	rank->tried = rank->op = i;
	rank->turn = turn(s, op);
	s->tries++;
	if ((op->at.stage == LIST || op->at.stage == FREE) && !owned(s, op))
		return false;
	if (!apply(s->a, op, rank))
		return false;
	rank->trail = s->n_trail;
	s->ranks[s->level + 1].lo = op->from > rank->lo ? op->from : rank->lo;
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

/* Behind the last place that took effect before the time. */
void back_to(struct search *s, uint64_t time)
{
	while (s->level && s->ranks[s->level - 1].bound >= time)
		displace(s);
}

/* To where nothing has looked. */
void go_back(struct search *s)
{
	while (s->n_trail)
		retreat(s);
}

/* By when the last place took effect. */
uint64_t last(const struct search *s)
{
	return s->level ? s->ranks[s->level - 1].bound : 0;
}
