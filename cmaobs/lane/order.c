// SPDX-License-Identifier: GPL-2.0
/*
 * One lawful order of a cluster: every operation takes effect at one instant,
 * between lo and hi, and the rules hold at each. What is searched is less than
 * the rules allow, since an operation has several instants: an order that is
 * found proves the cluster lawful, none found proves nothing.
 */

#include <stdlib.h>
#include <string.h>

#include "private.h"

#define CLUSTER 4096 /* operations of a cluster that are put in order */

struct scratch {
	struct rank ranks[CLUSTER + 1];
	uint8_t used[CLUSTER];
};

struct scratch *new_scratch(void)
{
	return malloc(sizeof(struct scratch));
}

/*
 * defer_count as read at entry: the list as it was at some instant between
 * the operations that had ended by then and this one.
 */
static bool entry_fits(const struct rank *ranks, uint32_t level, const struct op *op)
{
	for (uint32_t i = level;; i--) {
		if (ranks[i].listed == op->r.defer_entry)
			return true;
		if (!i || ranks[i - 1].hi < op->r.start_ns)
			return false;
	}
}

/* Whether it read defer_count at return as it is now, until the next takes effect by latest. */
static bool reads(const struct op *op, struct rank *rank, uint64_t listed, uint64_t latest)
{
	uint64_t from = op->n_calls ? op->calls[op->n_calls - 1].end_ns : op->r.start_ns;

	if (op->r.defer_exit != listed || from > latest)
		return false;
	if (rank->hi > op->r.end_ns)
		rank->hi = op->r.end_ns;
	if (rank->lo < from)
		rank->lo = from;
	return true;
}

/* And as read at return: the list at an instant before whatever began later. */
static bool exits_fit(const struct op *ops, struct rank *rank, const struct rank *before,
		      uint32_t placed, uint64_t listed, uint64_t latest)
{
	uint64_t lo = ops[placed].lo;
	uint32_t n = 0;

	if (before && lo < before->lo)
		lo = before->lo;
	rank->lo = lo;
	rank->hi = ops[placed].hi;
	for (uint32_t i = 0; before && i < before->n_waiting; i++) {
		const struct op *op = &ops[before->waiting[i]];

		if (lo > op->r.end_ns)
			return false;
		if (!reads(op, rank, listed, latest))
			rank->waiting[n++] = before->waiting[i];
	}
	if (!reads(&ops[placed], rank, listed, latest)) {
		if (n == WAITING)
			return false;
		rank->waiting[n++] = placed;
	}
	rank->n_waiting = n;
	return true;
}

/* By when the next must have taken effect, of those that are not used. */
static uint64_t latest_of(const struct op *ops, uint32_t n, uint32_t first, const uint8_t *used)
{
	uint64_t latest = UINT64_MAX;

	for (uint32_t i = first; i < n && ops[i].r.start_ns <= latest; i++)
		if (!used[i] && ops[i].hi < latest)
			latest = ops[i].hi;
	return latest;
}

/* The next to try at this place: by hi, of those that nothing must come before. */
static uint32_t candidate(const struct op *ops, uint32_t n, uint32_t first, const uint8_t *used,
			  uint32_t tried)
{
	uint64_t latest = latest_of(ops, n, first, used);
	uint64_t after = tried == NONE ? 0 : ops[tried].hi;
	uint32_t best = NONE;

	for (uint32_t i = first; i < n && ops[i].r.start_ns <= latest; i++) {
		if (used[i] || ops[i].lo > latest)
			continue;
		if (tried != NONE && (ops[i].hi < after || (ops[i].hi == after && i <= tried)))
			continue;
		if (best == NONE || ops[i].hi < ops[best].hi)
			best = i;
	}
	return best;
}

/* Pages flushed are in the buddy only after their call: no other contig call on them before. */
static bool flushes_apart(const struct op *ops, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		for (uint32_t c = 0; ops[i].deed == CONTIG && c + 1 < ops[i].n_calls; c++) {
			const struct cmaobs_record *freed = &ops[i].calls[c];

			for (uint32_t j = 0; j < n; j++) {
				if (j == i || ops[j].deed != CONTIG ||
				    ops[j].r.pfn >= freed->pfn + freed->count ||
				    freed->pfn >= ops[j].r.pfn + ops[j].r.count)
					continue;
				if (ops[j].calls[ops[j].n_calls - 1].start_ns <= freed->end_ns)
					return false;
			}
		}
	return true;
}

/* Where two releases of a page overlap, which of them made which extents is not certain. */
static void blur(struct area *a, const struct op *ops, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = i + 1; j < n && ops[j].r.start_ns <= ops[i].r.end_ns; j++) {
			uint64_t one = ops[i].at, one_end = one + ops[i].r.count;
			uint64_t other = ops[j].at, other_end = other + ops[j].r.count;
			uint64_t from = one < other ? one : other;
			uint64_t to = one_end > other_end ? one_end : other_end;

			if (ops[i].deed != DEFER || ops[j].deed != DEFER || one >= other_end ||
			    other >= one_end)
				continue;
			for (uint64_t p = 0; p < a->n_pieces; p++) {
				struct lane_piece *piece = &a->pieces[p];

				if (piece->first >= to || from >= piece->first + piece->pages)
					continue;
				piece->id = 0;
				if (piece->since > ops[i].r.start_ns)
					piece->since = ops[i].r.start_ns;
				if (piece->until < ops[j].r.end_ns)
					piece->until = ops[j].r.end_ns;
			}
		}
	}
}

/*
 * Whether the cluster has a lawful order; the state is then the one after it,
 * else as before. ops by start, n at most CLUSTER.
 */
static bool arrange(struct scratch *scratch, struct area *a, struct op *ops, uint32_t n)
{
	struct rank *ranks = scratch->ranks;
	uint8_t *used = scratch->used;
	uint32_t level = 0, first = 0;
	uint64_t budget = 64 * n + 1024;

	memset(used, 0, n);
	ranks[0].tried = NONE;
	for (;;) {
		struct rank *rank = &ranks[level];
		uint32_t next = level < n ? candidate(ops, n, first, used, rank->tried) : NONE;

		if (level == n && !ranks[n - 1].n_waiting)
			break;
		if (next == NONE || !budget) {
			if (!level)
				return false;
			rank = &ranks[--level];
			take_back(a, &ops[rank->op], rank);
			used[rank->op] = 0;
			if (rank->op < first)
				first = rank->op;
			continue;
		}
		budget--;
		rank->tried = next;
		rank->op = next;
		if (!apply(a, &ops[next], rank))
			continue;
		used[next] = 1;
		if (!entry_fits(ranks, level, &ops[next]) ||
		    !exits_fit(ops, rank, level ? rank - 1 : NULL, next, a->listed,
			       latest_of(ops, n, first, used))) {
			take_back(a, &ops[next], rank);
			used[next] = 0;
			continue;
		}
		while (first < n && used[first])
			first++;
		ranks[++level].tried = NONE;
	}
	for (uint32_t i = 0; i < n; i++)
		free(ranks[i].flushed);
	return true;
}

bool explain(struct scratch *scratch, struct area *a, struct op *ops, uint64_t n)
{
	if (n > CLUSTER)
		return false;
	for (uint64_t i = 0; i < n; i++) {
		ops[i].deed = deed_of(a, &ops[i]);
		if (ops[i].deed == UNKNOWN)
			return false;
	}
	if (n > 1 && !flushes_apart(ops, n))
		return false;
	if (!arrange(scratch, a, ops, n))
		return false;
	if (n > 1)
		blur(a, ops, n);
	return true;
}
