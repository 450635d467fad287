// SPDX-License-Identifier: GPL-2.0
/* What is made of an order: how much of it is settled, and whether snapshots agree with it. */

#include <stdlib.h>

#include "order.h"

#define HIT_CHANGES 2    /* stages that change the area: of a hit, */
#define TRY_CHANGES 3ULL /* of a try that asked alloc_contig_range(); */
#define LOOKS 3          /* and of any operation, those that do not */
#define EFFORT 64        /* stages tried, by stage */
#define MARGIN 1024      /* places that are not settled with those before them */
#define KEPT 4096        /* operations that there is always room for */

struct scratch {
	struct rank *ranks;
	struct step *trail;
	uint64_t room_ranks, room_trail;
	uint32_t calm; /* sweeps since it was needed */
};

static void drop_room(struct scratch *s)
{
	free(s->ranks);
	free(s->trail);
	*s = (struct scratch){0};
}

struct scratch *new_scratch(void)
{
	return calloc(1, sizeof(struct scratch));
}

void free_scratch(struct scratch *s)
{
	if (s)
		drop_room(s);
	free(s);
}

/* What a burst needed is given back when it is over for a while. */
void relax(struct scratch *s)
{
	if (s->room_ranks > HIT_CHANGES * KEPT && ++s->calm >= CALM)
		drop_room(s);
}

static bool make_room(struct scratch *s, uint64_t ranks, uint64_t trail)
{
	if (ranks <= s->room_ranks && trail <= s->room_trail)
		return true;
	drop_room(s);
	s->ranks = malloc(ranks * sizeof(*s->ranks));
	s->trail = malloc(trail * sizeof(*s->trail));
	if (!s->ranks || !s->trail) {
		drop_room(s);
		return false;
	}
	s->room_ranks = ranks;
	s->room_trail = trail;
	return true;
}

/*
 * What each says it did, how many places in the order that takes, and how many stages there are.
 * False: one is of a kind that is not known here.
 */
static bool prepare(struct search *s, uint32_t n, uint64_t *changes, uint64_t *stages)
{
	for (uint32_t i = 0; i < n; i++) {
		struct op *op = in_line(s->a, i);

		op->after = NULL;
		if (!op->begun)
			begin_op(s->a, op);
		if (op->deed == UNKNOWN)
			return false;
		s->vain = s->vain || op->r.path == CMAOBS_PATH_FAILED;
		*changes += op->deed == TRY ? HIT_CHANGES + TRY_CHANGES * op->r.n_contig : 1;
		*stages += LOOKS + op->n_calls;
	}
	*stages += *changes;
	return true;
}

/*
 * How much of the order is settled, where it ends before the operations do: no place that might
 * be another in the light of what comes, and none inside of a glance that goes on.
 */
static void settle(struct search *s)
{
	struct area *a = s->a;

	for (uint64_t i = 0; i < MARGIN && s->level; i++)
		displace(s);
	for (uint32_t i = 0; i < a->n_glances; i++)
		if (a->glances[i].start_ns <= last(s) && a->glances[i].end_ns > last(s))
			back_to(s, a->glances[i].start_ns);
}

/* How many glances began by that time; they agree with the order, else negative. */
static int compare(struct search *s, uint32_t n, uint64_t time)
{
	const struct area *a = s->a;
	uint64_t level = s->level;
	bool agree = true;
	int done = 0;

	if (!a->n_glances || a->glances[0].start_ns > time)
		return 0;
	back_to(s, a->glances[0].start_ns);
	for (;;) {
		for (; done < (int)a->n_glances && a->glances[done].start_ns <= time &&
		     a->glances[done].start_ns <= s->ranks[s->level].bound;
		     done++)
			agree = agree && agrees(a, &a->glances[done], n);
		if (s->level == level)
			return agree ? done : -1;
		place_next(s, s->ranks[s->level].op, s->ranks[s->level].turn);
	}
}

static void start_again(struct search *s)
{
	back_to(s, 0);
	go_back(s);
	s->furthest = s->tries = 0;
	s->late = NULL;
}

/*
 * Whether the operations have a lawful order up to limit: all that began before is there; or all of
 * them, which end by end. The area is then as it was behind the part of the order that is settled,
 * and so are the operations; else it is as before. Returns how many glances agree with that, or -1
 * where there is no such order.
 */
int explain(struct scratch *scratch, struct area *a, uint32_t n, uint64_t limit, uint64_t end)
{
	struct search s = {.a = a};
	uint64_t changes = 0, stages = 0;
	int glances = -1;
	bool found = false;

	if (!prepare(&s, n, &changes, &stages))
		return -1;
	if (!make_room(scratch, changes + 1, stages))
		return -1;
	if (n > 1)
		blur(a, n);
	s.ranks = scratch->ranks;
	s.trail = scratch->trail;
	for (; s.way < WAYS && !found; s.way++) {
		link_all(&s, n);
		found = arrange(&s, limit, EFFORT * changes + 1024);
		if (!found)
			start_again(&s);
	}
	if (found) {
		if (s.first)
			settle(&s);
		glances = compare(&s, n, s.first ? last(&s) : end);
	}
	if (glances < 0)
		start_again(&s);
	for (uint64_t i = 0; i < s.level; i++)
		free(s.ranks[i].taken);
	if (n > KEPT)
		scratch->calm = 0;
	return glances;
}
