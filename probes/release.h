/* SPDX-License-Identifier: GPL-2.0 */
/* Releases: cma_release, and its trace event, which must fire however the pages went (R2). */

ENTRY(cma_release, RELEASE_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_RELEASE, ARG(0), ARG(1), ARG(2) & COUNT_MASK, 0,
		      stack_of(ctx, CALLER), STACK, AREA);
	return 0;
}

#if defined(WITH_RELEASE_EVENT) && defined(WITH_RECORDS)
/* cma:cma_release */
int release_event(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_thread *t = known();

	if (t && t->depth == 1 && t->frames[0].kind == CMAOBS_RELEASE)
		t->frames[0].flags = 0;
	return 0;
}
#endif

/* A release returns that made calls, or was none. */
static __always_inline void released_by_calls(struct cmaobs_thread *t, struct cmaobs_frame *f,
					      struct cmaobs_counters *n, __u8 ret, void *area)
{
	__u32 hist = CMAOBS_HISTS;
	__u16 path = CMAOBS_PATH_REJECTED;

	if (!ret) {
		f->flags = 0;
		add(&n->releases_rejected, 1);
	} else if (f->n_free || f->in_free) {
		path = CMAOBS_PATH_DIRECT;
		hist = CMAOBS_HIST_RELEASE_DIRECT;
		add(&n->releases_direct, 1);
		add(&n->release_pages_direct, f->count);
	} else {
		path = CMAOBS_PATH_DEFERRED;
		hist = CMAOBS_HIST_RELEASE_DEFERRED;
		add(&n->releases_deferred, 1);
		add(&n->release_pages_deferred, f->count);
	}
	finish(t, f, n, CMAOBS_RELEASE, path, ret, hist, 1, area);
}

/* A release returns; ret: whether the pages were the area's. at: STACK. */
static __always_inline void released(struct cmaobs_thread *t, __u8 ret, __u64 at, void *area)
{
	struct cmaobs_frame *f = top(t, CMAOBS_RELEASE, at);
	struct cmaobs_counters *n = f ? counters_of(f) : 0;

	if (!n)
		return;

	if (ret && !f->touched) {
		add(&n->releases_deferred, 1);
		add(&n->release_pages_deferred, f->count);
		finish(t, f, n, CMAOBS_RELEASE, CMAOBS_PATH_DEFERRED, 1,
		       CMAOBS_HIST_RELEASE_DEFERRED, 0, area);
	} else {
		released_by_calls(t, f, n, ret, area);
	}
	done(t);
}

RETURN(cma_release, RELEASE_FN)
{
	struct cmaobs_thread *t = leave();

	if (t)
		released(t, RET(RELEASE_NARGS), STACK, AREA);
	return 0;
}
