// SPDX-License-Identifier: GPL-2.0
/* What an operation says it did, where the lane knows the like of it. */

#include <errno.h>

#include "private.h"

/* Each try: free what was on the list, then ask for the run; after -EBUSY there may be another. */
static bool tries(const struct area *a, const struct op *op)
{
	const struct cmaobs_record *r = &op->r;
	uint64_t since = r->start_ns;
	int64_t last = -EBUSY;
	bool asked = true;

	for (uint32_t i = 0; i < op->n_calls; i++) {
		const struct cmaobs_record *call = &op->calls[i];

		if (last != -EBUSY || !call->count || call->start_ns < since ||
		    !inside(a, call->pfn, call->count))
			return false;
		since = call->end_ns;
		asked = call->kind == CMAOBS_CONTIG;
		if (!asked)
			continue;
		last = call->ret;
		if (call->count != r->count || (!last && call->pfn != r->pfn))
			return false;
	}
	if (!asked || (!last) != (r->path == CMAOBS_PATH_CONTIG) || since > r->end_ns)
		return false;
	return last == -EBUSY || r->path != CMAOBS_PATH_HIT;
}

static enum deed deed_of_release(const struct area *a, const struct op *op)
{
	const struct cmaobs_record *r = &op->r;
	bool mine = r->pfn >= a->base && r->pfn - a->base < a->pages;

	if (r->path == CMAOBS_PATH_REJECTED)
		return mine || r->ret || op->n_calls ? UNKNOWN : REJECT;
	if (!r->count || !inside(a, r->pfn, r->count) || r->ret != 1)
		return UNKNOWN;
	if (!op->n_calls)
		return a->batch && r->path == CMAOBS_PATH_DEFERRED ? DEFER : UNKNOWN;
	if (a->batch || op->n_calls != 1 || op->calls->kind != CMAOBS_FREE ||
	    op->calls->pfn != r->pfn || op->calls->count != r->count ||
	    op->calls->start_ns < r->start_ns || op->calls->end_ns > r->end_ns)
		return UNKNOWN;
	return DIRECT;
}

enum deed deed_of(const struct area *a, const struct op *op)
{
	const struct cmaobs_record *r = &op->r;

	if (op->n_calls != (uint64_t)r->n_contig + r->n_free || r->batch != a->batch)
		return UNKNOWN;
	switch (r->kind) {
	case CMAOBS_ALLOC:
		/* the kernel may or may not count one of more than there is: not ours */
		return r->count && r->count <= a->pages && tries(a, op) ? TRY : UNKNOWN;
	case CMAOBS_RELEASE:
		return deed_of_release(a, op);
	case CMAOBS_COUNT:
		return !op->n_calls && r->ret ? COUNT : UNKNOWN;
	case CMAOBS_SCAN:
		return !op->n_calls && !r->free_pages ? SCAN : UNKNOWN;
	}
	return UNKNOWN;
}
