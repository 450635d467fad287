// SPDX-License-Identifier: GPL-2.0
/* The rows of a demand, as cmaobs/whatif/demand.py has them. */

#include <errno.h>
#include <string.h>

#include "gather.h"

void event(struct holding *h, uint64_t time, uint8_t kind, int64_t ask_, int64_t a, int64_t b,
	   uint32_t tid)
{
	struct lane_asked *o = &h->out;

	append(&o->times, time, h->status);
	append_byte(&o->kinds, kind, h->status);
	append(&o->asks, ask_, h->status);
	append(&o->a, a, h->status);
	append(&o->b, b, h->status);
	append(&o->tids, tid, h->status);
}

int64_t add_ask(struct holding *h, uint64_t pages, uint8_t path, uint64_t ns, uint64_t pfn,
		bool idle, uint64_t alone)
{
	struct lane_asked *o = &h->out;

	append_byte(&o->idle, idle, h->status);
	append(&o->pages, pages, h->status);
	append_byte(&o->paths, path, h->status);
	append(&o->durations, ns, h->status);
	append(&o->pfns, pfn, h->status);
	append(&o->alone, alone, h->status);
	return o->pages.n - 1;
}

void count_caller(struct holding *h, const struct cmaobs_record *r)
{
	struct lane_column *c = &h->out.callers;
	uint64_t comm[2], *row;

	memcpy(comm, r->comm, sizeof(comm));
	row = look_up(&h->callers, comm[0], comm[1], h->status);
	if (!row)
		return;
	if (!*row) {
		append(c, comm[0], h->status);
		append(c, comm[1], h->status);
		for (int i = 0; i < 4; i++)
			append(c, 0, h->status);
		if (*h->status)
			return;
		*row = c->n / 6;
	}
	int64_t *sums = &c->at[6 * (*row - 1) + 2];

	grow(&sums[0], 1, h->status);
	grow(&sums[1], r->count, h->status);
	grow(&sums[2], r->path == CMAOBS_PATH_FAILED, h->status);
	grow(&sums[3], r->end_ns - r->start_ns, h->status);
}

/* What is known of the calls inside an allocation. */
void note_calls(struct holding *h, int64_t number, const struct done *op)
{
	struct lane_asked *o = &h->out;
	bool vain = false;
	int64_t freeing = 0;

	for (uint64_t i = 0; i < op->n_calls; i++) {
		const struct cmaobs_record *call = &op->calls[i];

		if (call->kind == CMAOBS_FREE) {
			grow(&freeing, call->end_ns - call->start_ns, h->status);
			continue;
		}
		o->contig++;
		o->busy += call->ret == -EBUSY;
		vain |= call->ret != 0;
	}
	for (uint64_t i = 0; vain && i < op->n_calls; i++) {
		if (op->calls[i].kind != CMAOBS_CONTIG)
			continue;
		append(&o->tries, number, h->status);
		append(&o->tries, op->calls[i].pfn, h->status);
		append(&o->tries, op->calls[i].ret, h->status);
	}
	if (freeing) {
		append(&o->freeing, number, h->status);
		append(&o->freeing, freeing, h->status);
	}
}

/* What failed is taken to be given back after the usual time. */
void come_later(struct holding *h, int64_t number, const struct cmaobs_record *r)
{
	const struct usual *usual = &h->usual[r->count <= h->area.pages ? r->count : 0];
	int64_t at = r->end_ns;

	if (!usual->holds)
		usual = &h->usual[0];
	if (!r->count || !usual->holds)
		return;
	grow(&at, usual->ns / usual->holds, h->status);
	append(&h->out.later, at, h->status);
	append(&h->out.later, number, h->status);
	append(&h->out.later, r->count, h->status);
}
