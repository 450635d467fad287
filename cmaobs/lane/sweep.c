// SPDX-License-Identifier: GPL-2.0
/* From cluster to cluster, as far as operations are there. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#define WAIT_NS 1000000000ULL /* for the end of a cluster */
#define FEW 1000 /* operations of one that are judged one by one where it does not end by then */

static void keep(struct area *a, const struct op *op)
{
	struct kept *place = &a->recent[a->n_recent++ % RECENT];

	free(place->calls);
	place->r = op->r;
	place->calls = op->calls;
	place->n_calls = op->n_calls;
}

static void credit(const struct op *op, struct lane_result *result)
{
	const struct cmaobs_record *r = &op->r;

	result->explained++;
	if (r->kind == CMAOBS_ALLOC)
		*(r->path == CMAOBS_PATH_FAILED ? &result->refused : &result->granted) += r->count;
	if (r->end_ns > result->last_ns)
		result->last_ns = r->end_ns;
}

/*
 * Of the first operations, those that are over go, and the others have begun; so have those that
 * ended at that time or later, since they may have done it behind what is yet to come. How many
 * went.
 */
static uint64_t consume(struct area *a, uint64_t n, uint64_t time, struct lane_result *result)
{
	uint64_t left = n;
	bool open = false;

	for (uint64_t i = 0; i < n; i++) {
		struct op *op = in_line(a, i);

		op->begun = op->at.stage != OVER || op->r.end_ns >= time;
		open = open || op->begun;
		if (op->begun)
			continue;
		credit(op, result);
		if (n - i <= RECENT)
			keep(a, op);
		else
			free(op->calls);
	}
	for (uint64_t i = n; open && i--;)
		if (in_line(a, i)->begun && i != --left)
			a->line[a->head + left] = a->line[a->head + i];
	if (n > 1)
		result->crowded += left;
	a->head += left;
	return left;
}

/*
 * How many of the first operations overlap, directly or through others, or through a glance;
 * *end: when all ended.
 */
static uint64_t chain(const struct area *a, uint64_t *end)
{
	uint64_t left = a->tail - a->head, n = 0;
	uint32_t glances = 0;
	bool more = true;

	*end = in_line(a, 0)->r.start_ns;
	while (more) {
		more = false;
		for (; n < left && in_line(a, n)->r.start_ns <= *end; n++, more = true)
			if (in_line(a, n)->r.end_ns > *end)
				*end = in_line(a, n)->r.end_ns;
		for (; glances < a->n_glances && a->glances[glances].start_ns <= *end;
		     glances++, more = true)
			if (a->glances[glances].end_ns > *end)
				*end = a->glances[glances].end_ns;
	}
	return n;
}

/* Glances while nothing was in flight. False: one of them differs. */
static bool glance_alone(struct area *a, uint64_t until_ns, struct lane_result *result)
{
	if (a->head < a->tail && in_line(a, 0)->r.start_ns < until_ns)
		until_ns = in_line(a, 0)->r.start_ns;
	while (a->n_glances && a->glances[0].end_ns < until_ns) {
		if (!agrees(a, a->glances, 0))
			return false;
		drop_glances(a, 1);
		result->glanced++;
	}
	return true;
}

/*
 * Explain the first operations, which overlap: all, or where they are too many, or go on for too
 * long, part of them. False: no order was found.
 */
static bool explain_first(struct lane *lane, struct area *a, uint64_t n, uint64_t limit,
			  uint64_t end, struct lane_result *result)
{
	bool part = n > lane->most;
	uint64_t time;
	int glances;

	if (part && limit > in_line(a, lane->most)->r.start_ns)
		limit = in_line(a, lane->most)->r.start_ns;
	glances = explain(lane->scratch, a, part ? lane->most : n, limit, end);
	if (glances < 0)
		return false;
	drop_glances(a, glances);
	result->glanced += glances;
	a->midway = limit != UINT64_MAX;
	a->begun = a->begun || a->midway;
	time = a->n_glances && a->glances[0].start_ns < limit ? a->glances[0].start_ns : limit;
	return consume(a, part ? lane->most : n, time, result) || !part;
}

/* How many of the first operations overlap, where that is at most two; 0: it is not. */
static unsigned int few(const struct area *a, uint64_t until_ns)
{
	uint64_t left = a->tail - a->head, end = in_line(a, 0)->r.end_ns;
	unsigned int n = 1;

	if (left > 1 && in_line(a, 1)->r.start_ns <= end) {
		if (in_line(a, 1)->r.end_ns > end)
			end = in_line(a, 1)->r.end_ns;
		n = 2;
		if (left > 2 && in_line(a, 2)->r.start_ns <= end)
			return 0;
	}
	return end < until_ns && (!a->n_glances || a->glances[0].start_ns > end) ? n : 0;
}

/* Explain the first operations, as long as no more than two overlap. */
static void run_simple(struct area *a, uint64_t until_ns, struct lane_result *result)
{
	uint64_t gone = 0;

	while (a->head < a->tail && !a->midway) {
		unsigned int n = few(a, until_ns);

		if (!n)
			break;
		if (n == 1 ? !explain_one(a, in_line(a, 0))
			   : !explain_two(a, in_line(a, 0), in_line(a, 1)))
			break;
		for (unsigned int i = 0; i < n; i++)
			credit(in_line(a, i), result);
		if (n > 1)
			result->crowded += n;
		a->head += n;
		gone += n;
	}
	for (uint64_t i = a->head - (gone < RECENT ? gone : RECENT); i < a->head; i++)
		keep(a, &a->ops[a->line[i]]);
}

/* Put the operations in order as far as that goes. */
static void run(struct lane *lane, struct area *a, uint64_t until_ns, int known,
		struct lane_result *result)
{
	a->midway = a->midway && known;
	for (;;) {
		uint64_t end, n, limit = UINT64_MAX;
		bool open, old;

		if (!glance_alone(a, until_ns, result)) {
			result->differs = 1;
			return;
		}
		if (known)
			run_simple(a, until_ns, result);
		if (a->head == a->tail)
			return;
		n = chain(a, &end);
		open = end >= until_ns;
		old = in_line(a, 0)->r.start_ns + WAIT_NS < until_ns;
		if (open && n < lane->most && !(old && (a->midway || n > FEW)))
			return;
		if (open)
			limit = until_ns;
		if (!known || !explain_first(lane, a, n, limit, end, result)) {
			result->stuck = n;
			return;
		}
		if (open && n <= lane->most)
			return;
	}
}

void lane_run(struct lane *lane, uint32_t index, uint64_t until_ns, int known,
	      struct lane_result *result)
{
	struct area *a = &lane->areas[index];
	uint64_t used = a->tail - a->head;

	memset(result, 0, sizeof(*result));
	run(lane, a, until_ns, known, result);
	result->midway = a->midway;
	close_up(a, used);
	relax(lane->scratch);
}
