// SPDX-License-Identifier: GPL-2.0
/* What one operation did, the rules for it, and how to take it back. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

static bool granted_by_contig(struct op *op)
{
	const struct cmaobs_record *last = op->n_calls ? &op->calls[op->n_calls - 1] : NULL;

	if (op->r.n_contig != 1 || last->kind != CMAOBS_CONTIG || last->ret ||
	    last->pfn != op->r.pfn || last->count != op->r.count)
		return false;
	op->hi = op->calls[0].start_ns;
	for (uint32_t i = 0; i + 1 < op->n_calls; i++)
		if (op->calls[i].kind != CMAOBS_FREE || !op->calls[i].count ||
		    op->calls[i].end_ns > last->start_ns)
			return false;
	return true;
}

static enum deed deed_of_release(const struct area *a, struct op *op)
{
	const struct cmaobs_record *r = &op->r;
	bool mine = r->pfn >= a->base && r->pfn - a->base < a->pages;

	if (r->path == CMAOBS_PATH_REJECTED)
		return mine || r->ret || op->n_calls ? UNKNOWN : REJECT;
	if (!mine || r->count > a->pages - op->at || !r->count || r->ret != 1)
		return UNKNOWN;
	if (!op->n_calls)
		return a->batch && r->path == CMAOBS_PATH_DEFERRED ? DEFER : UNKNOWN;
	if (a->batch || op->n_calls != 1 || op->calls->kind != CMAOBS_FREE ||
	    op->calls->pfn != r->pfn || op->calls->count != r->count)
		return UNKNOWN;
	op->lo = op->calls->end_ns;
	return DIRECT;
}

/* What the operation says it did, where this file knows the like of it. */
enum deed deed_of(const struct area *a, struct op *op)
{
	const struct cmaobs_record *r = &op->r;

	op->lo = r->start_ns;
	op->hi = r->end_ns;
	op->at = r->pfn - a->base;
	if (op->n_calls != (uint64_t)r->n_contig + r->n_free || r->batch != a->batch)
		return UNKNOWN;
	switch (r->kind) {
	case CMAOBS_ALLOC:
		if (r->path == CMAOBS_PATH_CONTIG)
			return granted_by_contig(op) ? CONTIG : UNKNOWN;
		/* the kernel may or may not count one of more than there is: not ours */
		if (op->n_calls || !r->count || r->count > a->pages)
			return UNKNOWN;
		return r->path == CMAOBS_PATH_HIT ? HIT : IN_VAIN;
	case CMAOBS_RELEASE:
		return deed_of_release(a, op);
	case CMAOBS_COUNT:
		return !op->n_calls && r->ret ? COUNT : UNKNOWN;
	}
	return UNKNOWN;
}

static void put_back(struct area *a, struct lane_piece piece, uint64_t first, uint64_t pages,
		     uint64_t now)
{
	if (!pages)
		return;
	piece.first = first;
	piece.pages = pages;
	if (piece.until < now)
		piece.until = now;
	insert_piece(a, piece);
}

/* R6: the calls before the last one free every extent, each once. */
static bool flush(struct area *a, struct op *op, struct rank *rank)
{
	uint64_t n = op->n_calls - 1;

	if (n != a->n_pieces)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		const struct cmaobs_record *call = &op->calls[i];
		struct lane_piece *p = holder(a, call->pfn - a->base, call->count);

		if (!p || p->pages != call->count)
			return false;
		for (uint64_t j = 0; j < i; j++)
			if (op->calls[j].pfn == call->pfn)
				return false;
	}
	if (!n)
		return true;
	rank->flushed = malloc(n * sizeof(*rank->flushed));
	if (!rank->flushed)
		return false;
	memcpy(rank->flushed, a->pieces, n * sizeof(*rank->flushed));
	rank->n_flushed = n;
	a->n_pieces = a->listed = 0;
	return true;
}

/* Let the operation take effect now, if the rules have it so. */
bool apply(struct area *a, struct op *op, struct rank *rank)
{
	uint64_t n = op->r.count;
	struct lane_piece *p, was;

	rank->listed = a->listed;
	rank->flushed = NULL;
	rank->n_flushed = 0;
	switch (op->deed) {
	case HIT:
		p = holder(a, op->at, n);
		if (!p || lowest(a, n, op->r.align) != op->at)
			return false;
		rank->was = was = *p;
		remove_piece(a, p);
		put_back(a, was, was.first, op->at - was.first, op->hi);
		put_back(a, was, op->at + n, was.first + was.pages - op->at - n, op->hi);
		mark(a, op->at, n, true);
		return true;
	case CONTIG:
		if (lowest(a, n, op->r.align) != op->at || holder(a, op->at, n) ||
		    !flush(a, op, rank))
			return false;
		mark(a, op->at, n, true);
		return true;
	case IN_VAIN:
		return lowest(a, n, op->r.align) == NOWHERE;
	case DEFER:
		if (!all_set(a, op->at, n))
			return false;
		mark(a, op->at, n, false);
		return insert_piece(a,
				    (struct lane_piece){op->at, n, a->next_id++, op->r.start_ns,
							op->r.end_ns});
	case DIRECT:
		if (!all_set(a, op->at, n))
			return false;
		mark(a, op->at, n, false);
		return true;
	case COUNT:
		return op->r.ret == (a->listed ? (int64_t)a->listed : -2);
	default:
		return op->deed == REJECT;
	}
}

void take_back(struct area *a, struct op *op, struct rank *rank)
{
	uint64_t n = op->r.count, end;

	switch (op->deed) {
	case HIT:
		mark(a, op->at, n, false);
		end = rank->was.first + rank->was.pages;
		if (end > op->at + n)
			remove_piece(a, holder(a, op->at + n, end - op->at - n));
		if (op->at > rank->was.first)
			remove_piece(a, holder(a, rank->was.first, op->at - rank->was.first));
		insert_piece(a, rank->was);
		break;
	case CONTIG:
		mark(a, op->at, n, false);
		for (uint64_t i = 0; i < rank->n_flushed; i++)
			insert_piece(a, rank->flushed[i]);
		free(rank->flushed);
		break;
	case DEFER:
		remove_piece(a, holder(a, op->at, n));
		mark(a, op->at, n, true);
		break;
	case DIRECT:
		mark(a, op->at, n, true);
		break;
	default:
		break;
	}
}
