// SPDX-License-Identifier: GPL-2.0
/* What most operations are where tasks take turns: a hit or a deferred release by itself. */

#include "private.h"

static bool does(struct area *a, struct op *op, enum stage stage, struct rank *rank)
{
	op->at.stage = stage;
	return apply(a, op, rank);
}

/* The same as its stages one after the other. False: it is none of these, and nothing is changed. */
bool explain_alone(struct area *a, struct op *op)
{
	const struct cmaobs_record *r = &op->r;
	struct rank rank;

	if (op->n_calls || r->defer_entry != a->listed)
		return false;
	begin_op(a, op);
	if (op->deed == DEFER)
		return r->defer_exit == a->listed + r->count && does(a, op, LIST, &rank);
	if (op->deed != TRY || r->path != CMAOBS_PATH_HIT ||
	    r->defer_exit + r->count != a->listed || !does(a, op, PICK, &rank))
		return false;
	if (does(a, op, FETCH, &rank))
		return true;
	op->at.stage = PICK;
	take_back(a, op, &rank);
	return false;
}
