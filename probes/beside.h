/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions that leave pages frozen (Linux 7.0), beside cma_alloc and
 * cma_release: cmaobs/kernel/handlers.py.
 */

#ifdef ALLOC_FROZEN_FN
#define FRAME_HALVES 1 /* the other half of this allocation is running */

/*
 * The frame of the allocation that this one is the other half of, or none.
 * Linux 7.0 makes cma_alloc of cma_alloc_frozen, before any contig call; the
 * compiler may or may not leave that a call. Both ask for the same.
 */
static __always_inline struct cmaobs_frame *other_half(struct cmaobs_thread *t, __u64 cma,
						       __u64 count, __u64 at)
{
	struct cmaobs_frame *f = current_frame(t, at);

	if (f && f->kind == CMAOBS_ALLOC && !f->in_contig && !f->n_contig && f->cma == cma &&
	    f->count == count)
		return f;
	return 0;
}

ENTRY(alloc_frozen, ALLOC_FROZEN_FN)
{
	struct cmaobs_thread *t = enter();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = other_half(t, ARG(0), ARG(1), STACK);
	if (f) {
		f->touched |= TOUCHED;
		f->flags |= FRAME_HALVES;
	} else {
		begin(t, CMAOBS_ALLOC, ARG(0), 0, ARG(1), ARG(2), stack_of(ctx, CALLER), STACK,
		      AREA);
	}
	return 0;
}

RETURN(alloc_frozen, ALLOC_FROZEN_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = current_frame(t, STACK);
	if (f && f->flags & FRAME_HALVES)
		f->flags &= ~FRAME_HALVES;
	else
		allocated(t, RET(ALLOC_FROZEN_NARGS), STACK, AREA);
	return 0;
}
#endif

#ifdef RELEASE_FROZEN_FN
ENTRY(release_frozen, RELEASE_FROZEN_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_RELEASE, ARG(0), ARG(1), ARG(2), 0, stack_of(ctx, CALLER), STACK,
		      AREA);
	return 0;
}

RETURN(release_frozen, RELEASE_FROZEN_FN)
{
	struct cmaobs_thread *t = leave();

	if (t)
		released(t, RET(RELEASE_FROZEN_NARGS), STACK, AREA);
	return 0;
}
#endif
