// SPDX-License-Identifier: GPL-2.0
/* What the stages of operations do to an area, the rules for it, and how to take it back. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#define EMPTY (-2) /* SHRINK_EMPTY and SHRINK_STOP, as they are recorded */
#define STOP (-1)

/* R7: the run that a try behind the first would pick now, or NOWHERE. */
uint64_t picked_later(const struct area *a, const struct op *op)
{
	const struct cmaobs_record *r = &op->r;
	uint64_t start = op->calls[op->at.try_ - 1].pfn - a->base + (1ULL << r->align);

	return start < a->pages ? lowest_from(a, start, r->count, r->align) : NOWHERE;
}

/* Whether the area is now as the stage has found it, of those between entry and exit. */
bool looks(struct area *a, const struct op *op)
{
	switch (op->at.stage) {
	case VAIN:
		return picked_next(a, op) == NOWHERE;
	case COUNTED:
		return op->r.ret == (a->listed ? (int64_t)a->listed : EMPTY);
	case SCANNED:
		if (op->r.count < a->batch)
			return op->r.ret == STOP;
		return !op->r.ret && (!op->r.count || !a->listed);
	default:
		return false;
	}
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

/* R5: a hit. */
static bool fetch(struct area *a, const struct op *op, struct rank *rank)
{
	uint64_t at = first_page(a, op), n = op->r.count;
	struct lane_piece was, *p = holder(a, at, n);

	if (!p)
		return false;
	rank->was = was = *p;
	remove_piece(a, p);
	put_back(a, was, was.first, at - was.first, op->r.end_ns);
	put_back(a, was, at + n, was.first + was.pages - at - n, op->r.end_ns);
	return true;
}

static void unfetch(struct area *a, const struct op *op, const struct rank *rank)
{
	uint64_t at = first_page(a, op), n = op->r.count;
	uint64_t end = rank->was.first + rank->was.pages;

	if (end > at + n)
		remove_piece(a, holder(a, at + n, end - at - n));
	if (at > rank->was.first)
		remove_piece(a, holder(a, rank->was.first, at - rank->was.first));
	insert_piece(a, rank->was);
}

/* R6: a miss. The try's calls before the last one free every extent, each once. */
static bool take(struct area *a, const struct op *op, struct rank *rank)
{
	const struct cmaobs_record *calls = op->calls + op->at.try_;
	uint64_t n = op->at.contig - op->at.try_;

	if (n != a->n_pieces || holder(a, first_page(a, op), op->r.count))
		return false;
	for (uint64_t i = 0; i < n; i++) {
		struct lane_piece *p = holder(a, calls[i].pfn - a->base, calls[i].count);

		if (!p || p->pages != calls[i].count)
			return false;
		for (uint64_t j = 0; j < i; j++)
			if (calls[j].pfn == calls[i].pfn)
				return false;
	}
	rank->n_taken = n;
	if (!n)
		return true;
	rank->taken = malloc(n * sizeof(*rank->taken));
	if (!rank->taken)
		return false;
	memcpy(rank->taken, a->pieces, n * sizeof(*rank->taken));
	a->n_pieces = a->listed = 0;
	return true;
}

static void untake(struct area *a, struct rank *rank)
{
	for (uint64_t i = 0; i < rank->n_taken; i++)
		insert_piece(a, rank->taken[i]);
	free(rank->taken);
	rank->taken = NULL;
}

/* R2: a deferred release. */
static bool list(struct area *a, const struct op *op)
{
	uint64_t at = first_page(a, op), n = op->r.count;

	if (!all_set(a, at, n) || listed(a, at, n))
		return false;
	mark(a, at, n, false);
	return insert_piece(a,
			    (struct lane_piece){at, n, op->blurred ? 0 : a->next_id++, op->since,
						op->until});
}

/* Let the operation's stage take effect now, if the rules have it so. */
bool apply(struct area *a, struct op *op, struct rank *rank)
{
	uint64_t at = first_page(a, op), n = op->r.count;

	rank->taken = NULL;
	switch (op->at.stage) {
	case PICK:
		if (picked_next(a, op) != at)
			return false;
		mark(a, at, n, true);
		return true;
	case FETCH:
		return fetch(a, op, rank);
	case TAKE:
		return take(a, op, rank);
	case CLEAR:
		mark(a, at, n, false);
		return true;
	case LIST:
		return list(a, op);
	case FREE:
		if (!all_set(a, at, n))
			return false;
		mark(a, at, n, false);
		return true;
	default:
		return false;
	}
}

void take_back(struct area *a, struct op *op, struct rank *rank)
{
	uint64_t at = first_page(a, op), n = op->r.count;

	switch (op->at.stage) {
	case PICK:
		return mark(a, at, n, false);
	case FETCH:
		return unfetch(a, op, rank);
	case TAKE:
		return untake(a, rank);
	case LIST:
		remove_piece(a, holder(a, at, n));
		return mark(a, at, n, true);
	case CLEAR:
	case FREE:
		return mark(a, at, n, true);
	default:
		return;
	}
}
