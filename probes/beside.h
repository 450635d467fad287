/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The functions that leave pages frozen (Linux 7.0), beside cma_alloc and
 * cma_release: cmaobs/kernel/handlers.py.
 */

#ifdef ALLOC_FROZEN_FN
#define FRAME_HALVES 1	/* the other half of this allocation is running */

/*
 * The frame of the allocation that this one is the other half of, or none.
 * Linux 7.0 makes cma_alloc of cma_alloc_frozen, before any contig call; the
 * compiler may or may not leave that a call. Both ask for the same.
 */
static inline __attribute__((always_inline))
struct cmaobs_frame *other_half(struct cmaobs_thread *t)
{
	struct cmaobs_frame *f = current_frame(t);

	if (f && f->kind == CMAOBS_ALLOC && !f->in_contig && !f->n_contig &&
	    f->cma == RAW(t, 0) && f->count == RAW(t, 1))
		return f;
	return 0;
}

ENTRY(alloc_frozen, ALLOC_FROZEN_FN)
{
	struct cmaobs_thread *t = enter();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	TAKE_3(t);
	f = other_half(t);
	if (f)
		f->flags |= FRAME_HALVES;
	else
		begin(t, CMAOBS_ALLOC, RAW(t, 0), 0, RAW(t, 1), RAW(t, 2),
		      stack_of(ctx));
	return 0;
}

RETURN(alloc_frozen, ALLOC_FROZEN_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	TAKE_RET(t, ALLOC_FROZEN_NARGS);
	f = current_frame(t);
	if (f && f->flags & FRAME_HALVES)
		f->flags &= ~FRAME_HALVES;
	else
		allocated(t);
	return 0;
}
#endif

#ifdef RELEASE_FROZEN_FN
ENTRY(release_frozen, RELEASE_FROZEN_FN)
{
	struct cmaobs_thread *t = enter();

	if (t) {
		TAKE_3(t);
		begin(t, CMAOBS_RELEASE, RAW(t, 0), pfn_of(RAW(t, 1)),
		      RAW(t, 2), 0, stack_of(ctx));
	}
	return 0;
}

RETURN(release_frozen, RELEASE_FROZEN_FN)
{
	struct cmaobs_thread *t = leave();

	if (t) {
		TAKE_RET(t, RELEASE_FROZEN_NARGS);
		released(t);
	}
	return 0;
}
#endif
