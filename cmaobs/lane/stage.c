// SPDX-License-Identifier: GPL-2.0
/* From one stage of an operation to the next, and when each can be. */

#include <errno.h>

#include "private.h"

/* The contig call of the try whose calls begin there; the number of calls: it has none. */
static uint32_t contig_of(const struct op *op, uint32_t try_)
{
	while (try_ < op->n_calls && op->calls[try_].kind != CMAOBS_CONTIG)
		try_++;
	return try_;
}

static bool has_call(const struct op *op)
{
	return op->at.contig < op->n_calls;
}

/* When the stage can be at the earliest, */
static uint64_t earliest(const struct op *op)
{
	switch (op->at.stage) {
	case GIVE:
	case ASK:
		return op->calls[op->at.call].start_ns;
	case CLEAR:
		return op->calls[op->at.contig].end_ns;
	case FREE:
		return op->calls[0].end_ns;
	case EXIT:
		return op->n_calls ? op->calls[op->n_calls - 1].end_ns : op->r.start_ns;
	default:
		return op->at.try_ ? op->calls[op->at.try_ - 1].end_ns : op->r.start_ns;
	}
}

/* and by when it must have been. */
static uint64_t latest(const struct op *op)
{
	uint32_t next = op->at.try_;

	switch (op->at.stage) {
	case GIVE:
	case ASK:
		return op->calls[op->at.call].end_ns;
	case CLEAR:
		next = op->at.contig + 1;
		break;
	case FREE:
	case EXIT:
		next = op->n_calls;
		break;
	default:
		break;
	}
	return next < op->n_calls ? op->calls[next].start_ns : op->r.end_ns;
}

/* What depends on the stage only where there are calls between the stages. */
static void set_times(struct op *op)
{
	if (op->at.stage == OVER)
		return;
	if (op->deed == TRY)
		op->pfn = has_call(op) ? op->calls[op->at.contig].pfn : op->r.pfn;
	op->from = earliest(op);
	op->due = latest(op);
}

void move_to(struct op *op, struct progress at)
{
	op->at = at;
	if (op->n_calls)
		set_times(op);
}

/* What it says it did, and that it did nothing of it yet. */
void begin_op(const struct area *a, struct op *op)
{
	op->deed = deed_of(a, op);
	op->at = (struct progress){.contig = op->deed == TRY ? contig_of(op, 0) : 0};
	op->pfn = op->r.pfn;
	op->from = op->since = op->r.start_ns;
	op->due = op->until = op->r.end_ns;
	op->after = NULL;
	op->exempt = op->blurred = false;
	if (op->n_calls)
		set_times(op);
}

static enum stage begin_try(const struct op *op, uint32_t contig)
{
	return contig < op->n_calls || op->r.path == CMAOBS_PATH_HIT ? PICK : VAIN;
}

static enum stage first_stage(const struct op *op)
{
	switch (op->deed) {
	case TRY:
		return begin_try(op, op->at.contig);
	case DEFER:
		return LIST;
	case DIRECT:
		return FREE;
	case COUNT:
		return COUNTED;
	case SCAN:
		return SCANNED;
	default:
		return EXIT;
	}
}

/* To the next stage. */
void go_on(struct op *op)
{
	struct progress at = op->at;
	int64_t ret;

	switch (at.stage) {
	case ENTRY:
		at.stage = first_stage(op);
		break;
	case PICK:
		at.stage = has_call(op) ? TAKE : FETCH;
		break;
	case TAKE:
		at.call = at.try_;
		at.stage = at.call < at.contig ? GIVE : ASK;
		break;
	case GIVE:
		at.call++;
		at.stage = at.call < at.contig ? GIVE : ASK;
		break;
	case ASK:
		at.stage = op->calls[at.contig].ret ? CLEAR : EXIT;
		break;
	case CLEAR:
		ret = op->calls[at.contig].ret;
		at.try_ = at.contig + 1;
		at.contig = contig_of(op, at.try_);
		at.stage = ret == -EBUSY ? begin_try(op, at.contig) : EXIT;
		break;
	case EXIT:
		at.stage = OVER;
		break;
	default:
		at.stage = EXIT;
	}
	move_to(op, at);
}
