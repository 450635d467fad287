// SPDX-License-Identifier: GPL-2.0
/* Where an order of operations has got to: a stage further, and back. */

#include "order.h"

void link_all(struct search *s, uint32_t n)
{
	struct op *before = NULL;

	s->first = NULL;
	for (uint32_t i = 0; i < n; i++) {
		struct op *op = in_line(s->a, i);

		if (op->at.stage == OVER)
			continue;
		op->prev = before;
		op->next = NULL;
		if (before)
			before->next = op;
		else
			s->first = op;
		before = op;
	}
}

/* What stands before and behind an operation in line gets these neighbours. */
static void hook(struct search *s, const struct op *op, struct op *behind, struct op *before)
{
	if (op->prev)
		op->prev->next = behind;
	else
		s->first = behind;
	if (op->next)
		op->next->prev = before;
}

static void advance(struct search *s, struct op *op)
{
	s->trail[s->n_trail++] = (struct step){op->at, op};
	if (op->n_calls || op->at.stage <= PICK)
		go_on(op);
	else
		op->at.stage = op->at.stage < EXIT ? EXIT : OVER;
	if (op->at.stage == OVER)
		hook(s, op, op->next, op->prev);
}

static void retreat(struct search *s)
{
	const struct step *step = &s->trail[--s->n_trail];
	struct op *op = step->op;

	if (op->at.stage == OVER)
		hook(s, op, op, op);
	move_to(op, step->was);
}

/* Whether none of the run's pages are on their way to the buddy. */
static bool in_buddy(const struct search *s, const struct op *op)
{
	const struct cmaobs_record *run = &op->calls[op->at.contig];
	uint64_t bound = s->ranks[s->level].bound;

	for (const struct op *other = s->first; other && other->r.start_ns <= bound;
	     other = other->next) {
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
	if (changes(op) || op->from > s->ranks[s->level].bound)
		return false;
	switch (op->at.stage) {
	case ENTRY:
		return op->r.defer_entry == s->a->listed;
	case EXIT:
		return op->r.defer_exit == s->a->listed;
	case GIVE:
		return true;
	case ASK:
		return op->calls[op->at.contig].ret || in_buddy(s, op);
	default:
		return looks(s->a, op);
	}
}

/*
 * Whatever may have looked at the area as it is now has; that lets others look later. By when the
 * next stage of any operation must have been only grows with the places in the order.
 */
void look(struct search *s)
{
	struct rank *rank = &s->ranks[s->level];
	uint64_t bound = s->level ? rank[-1].bound : 0;
	bool given;

	do {
		struct op *next;

		rank->bound = bound;
		bound = UINT64_MAX;
		given = false;
		for (struct op *op = s->first; op && op->r.start_ns <= bound; op = next) {
			next = op->next;
			while (can_be(s, op)) {
				given = given || op->at.stage == GIVE;
				advance(s, op);
			}
			if (op->at.stage != OVER && op->due < bound)
				bound = op->due;
		}
	} while (bound > rank->bound || given);
}

/* A release is of pages that somebody has, not of such as are just being allocated. */
static bool owned(const struct search *s, const struct op *release)
{
	uint64_t bound = s->ranks[s->level].bound;

	for (const struct op *op = s->first; op && op->r.start_ns <= bound; op = op->next)
		if (has_run(op) && overlap(release->pfn, release->r.count, op->pfn, op->r.count))
			return false;
	return true;
}

bool place_next(struct search *s, struct op *op, uint64_t turn)
{
	struct rank *rank = &s->ranks[s->level];
	bool unseen; /* only who finds no run has seen the bits */

	rank->tried = rank->op = op;
	rank->turn = turn;
	s->tries++;
	if ((op->at.stage == LIST || op->at.stage == FREE) && !owned(s, op))
		return false;
	if (!apply(s->a, op, rank))
		return false;
	unseen = op->at.stage == PICK && !op->n_calls && !s->vain;
	rank->trail = s->n_trail;
	s->ranks[s->level + 1].lo = op->from > rank->lo ? op->from : rank->lo;
	rank[1].tried = NULL;
	advance(s, op);
	s->level++;
	if (unseen)
		rank[1].bound = rank->bound;
	else
		look(s);
	return true;
}

void displace(struct search *s)
{
	struct rank *rank = &s->ranks[--s->level];

	while (s->n_trail > rank->trail)
		retreat(s);
	take_back(s->a, rank->op, rank);
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
