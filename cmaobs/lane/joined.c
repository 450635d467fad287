// SPDX-License-Identifier: GPL-2.0
#include <stdlib.h>
#include <string.h>

#include "joined.h"

#define PENDING_MOST 1024 /* as many operations as this are looked through for each record */
#define HELD_MOST 16384   /* calls */

void free_done(struct done *op)
{
	if (op)
		free(op->calls);
	free(op);
}

void free_joining(struct joining *j)
{
	for (uint64_t i = 0; i < j->n; i++)
		free(j->pending[i].calls);
	free(j->pending);
}

static struct done *done_of(const struct cmaobs_record *r, struct cmaobs_record *calls,
			    uint64_t n_calls, int *status)
{
	struct done *op = malloc(sizeof(*op));

	if (!op) {
		free(calls);
		*status = NO_MEMORY;
		return NULL;
	}
	*op = (struct done){*r, calls, n_calls};
	return op;
}

/* Its entry, which is made if it is missing. */
static struct pending *entry(struct joining *j, uint32_t tid, uint64_t op_ns, int *status)
{
	for (uint64_t i = j->n; i--;)
		if (j->pending[i].op_ns == op_ns && j->pending[i].tid == tid)
			return &j->pending[i];
	if (j->n == PENDING_MOST) {
		*status = NOT_MINE;
		return NULL;
	}
	if (j->n == j->room) {
		void *more = more_room(j->pending, &j->room, 16, sizeof(*j->pending), status);

		if (!more)
			return NULL;
		j->pending = more;
	}
	j->pending[j->n] = (struct pending){.tid = tid, .op_ns = op_ns};
	return &j->pending[j->n++];
}

static void leave(struct joining *j, struct pending *p)
{
	j->held -= p->n_calls;
	memmove(p, p + 1, (j->pending + --j->n - p) * sizeof(*p));
}

/* By their ends; those of the same end as they came. */
static void sort(struct cmaobs_record *calls, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++) {
		struct cmaobs_record call = calls[i];
		uint64_t at = i;

		for (; at && calls[at - 1].end_ns > call.end_ns; at--)
			calls[at] = calls[at - 1];
		calls[at] = call;
	}
}

static struct done *finish(struct joining *j, struct pending *p, int *status)
{
	struct done *op = done_of(&p->r, p->calls, p->n_calls, status);

	leave(j, p);
	if (op)
		sort(op->calls, op->n_calls);
	return op;
}

static bool add_call(struct joining *j, struct pending *p, const struct cmaobs_record *r,
		     int *status)
{
	if (j->held == HELD_MOST) {
		*status = NOT_MINE;
		return false;
	}
	if (p->n_calls == p->room) {
		void *more = more_room(p->calls, &p->room, 1, sizeof(*p->calls), status);

		if (!more)
			return false;
		p->calls = more;
	}
	p->calls[p->n_calls++] = *r;
	j->held++;
	return true;
}

struct done *join(struct joining *j, const struct cmaobs_record *r, int *status)
{
	bool call = r->kind == CMAOBS_CONTIG || r->kind == CMAOBS_FREE;
	struct pending *p;

	if (call ? !r->op_ns : !r->n_contig && !r->n_free)
		return done_of(r, NULL, 0, status);
	p = entry(j, r->tid, call ? r->op_ns : r->start_ns, status);
	if (!p)
		return NULL;
	if (!call) {
		if (!p->ended)
			p->number = ++j->number;
		p->ended = true;
		p->r = *r;
	} else if (!add_call(j, p, r, status)) {
		return NULL;
	}
	if (!p->ended || p->n_calls < (uint64_t)p->r.n_contig + p->r.n_free)
		return NULL;
	return finish(j, p, status);
}

struct done *next_settled(struct joining *j, uint64_t watermark, int *status)
{
	struct pending *first = NULL;

	for (uint64_t i = 0; i < j->n; i++) {
		struct pending *p = &j->pending[i];

		if (p->ended && p->r.start_ns < watermark && (!first || p->number < first->number))
			first = p;
	}
	return first ? finish(j, first, status) : NULL;
}

uint64_t orphans(struct joining *j, uint64_t watermark)
{
	uint64_t found = 0;

	for (uint64_t i = 0; i < j->n;) {
		struct pending *p = &j->pending[i];

		if (p->ended || p->op_ns >= watermark) {
			i++;
			continue;
		}
		free(p->calls);
		leave(j, p);
		found++;
	}
	return found;
}
