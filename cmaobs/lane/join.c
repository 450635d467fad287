// SPDX-License-Identifier: GPL-2.0
/* From records to operations: what is in order is kept, by area and start. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "private.h"

#define CALLS_MAX (1 << 20)
#define PAGES_MAX (1ULL << 52)
#define HELD_MAX 500000 /* operations of an area, */
#define LOOSE_MAX 65536 /* and calls without one, that may wait */

static bool is_call(const struct cmaobs_record *r)
{
	return r->kind == CMAOBS_CONTIG || r->kind == CMAOBS_FREE;
}

bool fits(const struct cmaobs_record *r)
{
	bool kind = (r->kind >= CMAOBS_ALLOC && r->kind <= CMAOBS_POLICY) || is_call(r);

	return kind && r->path <= CMAOBS_PATH_REJECTED && r->op_ns <= r->start_ns &&
		r->start_ns <= r->end_ns && !(r->end_ns >> 63) && r->count <= PAGES_MAX &&
		r->align <= 63 && (uint64_t)r->n_contig + r->n_free <= CALLS_MAX;
}

/* What cmaobs/sanity.py says of a record, and what only history.py can tell. */
static bool in_order(const struct lane *lane, const struct cmaobs_record *r)
{
	const struct area *a;
	bool granted = r->kind == CMAOBS_ALLOC &&
		(r->path == CMAOBS_PATH_HIT || r->path == CMAOBS_PATH_CONTIG);

	if (!fits(r) || r->flags & (CMAOBS_STALE | CMAOBS_SILENT) || r->start_ns < lane->watermark)
		return false;
	if (is_call(r) && !r->op_ns)
		return false;
	if (r->area == NO_AREA)
		return true;
	if (r->area >= lane->n_areas)
		return false;
	a = &lane->areas[r->area];
	return (!granted && r->kind != CMAOBS_CONTIG) || inside(a, r->pfn, r->count);
}

static void count_failure(struct cmaobs_counters *c, int64_t ret)
{
	switch (ret) {
	case -ENOMEM:
		c->allocs_enomem++;
		break;
	case -EBUSY:
		c->allocs_ebusy++;
		break;
	case -EINTR:
		c->allocs_eintr++;
		break;
	default:
		c->allocs_other++;
	}
}

static void count_alloc(struct cmaobs_counters *c, const struct cmaobs_record *r)
{
	uint32_t tries = r->n_contig + (r->path == CMAOBS_PATH_HIT);

	if (tries > 1) {
		c->allocs_retried++;
		c->alloc_retries += tries - 1;
	}
	if (r->path == CMAOBS_PATH_FAILED) {
		count_failure(c, r->ret);
		c->alloc_pages_failed += r->count;
	} else if (r->path == CMAOBS_PATH_HIT) {
		c->allocs_hit++;
		c->alloc_pages_hit += r->count;
	} else {
		c->allocs_contig++;
		c->alloc_pages_contig += r->count;
	}
	if (r->n_free) {
		c->flushes++;
		c->flushed_extents += r->n_free;
		c->flushed_pages += r->free_pages;
	}
}

/* As cmaobs/tally.py counts. */
static void count(struct cmaobs_counters *c, const struct cmaobs_record *r)
{
	switch (r->kind) {
	case CMAOBS_ALLOC:
		count_alloc(c, r);
		break;
	case CMAOBS_RELEASE:
		if (r->path == CMAOBS_PATH_DEFERRED) {
			c->releases_deferred++;
			c->release_pages_deferred += r->count;
		} else if (r->path == CMAOBS_PATH_DIRECT) {
			c->releases_direct++;
			c->release_pages_direct += r->count;
		} else {
			c->releases_rejected++;
		}
		break;
	case CMAOBS_CONTIG:
		if (!r->ret)
			c->contig_ok++;
		else if (r->ret == -EBUSY)
			c->contig_ebusy++;
		else
			c->contig_error++;
		break;
	case CMAOBS_SCAN:
		c->scans++;
		c->scan_pages_asked += r->count;
		c->scan_pages_freed += r->free_pages;
		if (r->ret == -1)
			c->scans_stopped++;
		else
			c->scan_pages_returned += r->ret;
		break;
	case CMAOBS_COUNT:
		c->counts++;
		break;
	case CMAOBS_BATCH:
		c->batch_writes++;
		c->batch_pages_freed += r->free_pages;
		break;
	}
}

static int by_end(const void *one, const void *other)
{
	const struct cmaobs_record *a = one, *b = other;

	return a->end_ns < b->end_ns ? -1 : a->end_ns > b->end_ns;
}

/* Give the operation those calls that are its own. */
static int claim(struct lane *lane, struct op *op)
{
	uint64_t wanted = (uint64_t)op->r.n_contig + op->r.n_free, kept = 0;

	if (wanted > lane->n_calls)
		wanted = lane->n_calls;
	if (!wanted)
		return 0;
	op->calls = malloc(wanted * sizeof(*op->calls));
	if (!op->calls)
		return -1;
	for (uint64_t i = 0; i < lane->n_calls; i++) {
		const struct cmaobs_record *call = &lane->calls[i];

		if (call->tid == op->r.tid && call->op_ns == op->r.start_ns && op->n_calls < wanted)
			op->calls[op->n_calls++] = *call;
		else
			lane->calls[kept++] = *call;
	}
	lane->n_calls = kept;
	qsort(op->calls, op->n_calls, sizeof(*op->calls), by_end);
	return 0;
}

static int add_call(struct lane *lane, const struct cmaobs_record *r)
{
	if (lane->n_calls == lane->room_calls) {
		uint64_t room = lane->room_calls ? 2 * lane->room_calls : 64;
		void *more = realloc(lane->calls, room * sizeof(*lane->calls));

		if (!more)
			return -1;
		lane->calls = more;
		lane->room_calls = room;
	}
	lane->calls[lane->n_calls++] = *r;
	return 0;
}

static int add_op(struct lane *lane, struct area *a, const struct cmaobs_record *r)
{
	struct op *op = stand_in_line(a, r);

	if (!op)
		return -1;
	if (!lane->first_ns)
		lane->first_ns = r->start_ns;
	return claim(lane, op);
}

static bool full(const struct lane *lane)
{
	for (uint32_t i = 0; i < lane->n_areas; i++)
		if (lane->areas[i].tail - lane->areas[i].head > HELD_MAX)
			return true;
	return lane->n_calls > LOOSE_MAX;
}

int lane_feed(struct lane *lane, const void *records, uint64_t n)
{
	const struct cmaobs_record *r = records;
	bool fine = !full(lane);

	for (uint64_t i = 0; i < n && fine; i++)
		fine = in_order(lane, &r[i]);
	if (!fine)
		return 1;
	for (uint64_t i = 0; i < n; i++) {
		struct area *a = r[i].area < lane->n_areas ? &lane->areas[r[i].area] : NULL;

		if (a)
			count(&a->counters, &r[i]);
		if (is_call(&r[i])) {
			if (add_call(lane, &r[i]))
				return -1;
		} else if (!a) {
			lane->elsewhere++;
		} else if (add_op(lane, a, &r[i])) {
			return -1;
		}
	}
	return 0;
}
