// SPDX-License-Identifier: GPL-2.0
/* Releases of the same pages that overlap in time, and what no one order tells of them. */

#include "private.h"

/* The pieces that came of a release that was listed before. */
static void blur_pieces(struct area *a, const struct op *op)
{
	uint64_t at = first_page(a, op);

	for (uint64_t i = 0; op->at.stage >= EXIT && i < a->n_pieces; i++) {
		struct lane_piece *p = &a->pieces[i];

		if (!overlap(p->first, p->pages, at, op->r.count))
			continue;
		p->id = 0;
		if (p->since > op->since)
			p->since = op->since;
		if (p->until < op->until)
			p->until = op->until;
	}
}

static void widen(struct area *a, struct op *op, uint64_t since, uint64_t until)
{
	op->blurred = true;
	if (op->since > since)
		op->since = since;
	if (op->until < until)
		op->until = until;
	blur_pieces(a, op);
}

/* Where two releases of a page overlap, which of them made which extents is not certain. */
void blur(struct area *a, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct op *one = in_line(a, i);

		for (uint32_t j = i + 1; one->deed == DEFER && j < n; j++) {
			struct op *other = in_line(a, j);

			if (other->r.start_ns > one->r.end_ns)
				break;
			if (other->deed != DEFER ||
			    !overlap(one->r.pfn, one->r.count, other->r.pfn, other->r.count))
				continue;
			widen(a, one, other->since, other->until);
			widen(a, other, one->since, one->until);
		}
	}
}
