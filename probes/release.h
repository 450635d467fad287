/* SPDX-License-Identifier: GPL-2.0 */
/* Releases: cma_release, and its trace event, which must fire however the pages went (R2). */

ENTRY(cma_release, RELEASE_FN)
{
	struct cmaobs_thread *t = enter();

	if (t) {
		TAKE_3(t);
		begin(t, CMAOBS_RELEASE, RAW(t, 0), pfn_of(RAW(t, 1)),
		      RAW(t, 2) & COUNT_MASK, 0, stack_of(ctx));
	}
	return 0;
}

#define FRAME_EVENT 4	/* of a release: its trace event fired */

int release_event(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;

	if (!t || t->depth > CMAOBS_DEPTH)
		return 0;
	f = frame_at(t, t->depth - 1);
	if (f->kind == CMAOBS_RELEASE)
		f->flags |= FRAME_EVENT;
	return 0;
}

/*
 * Whether the event of a release that succeeded is missing. One in an interrupt
 * is not asked: it may come while this CPU runs the event's program for the
 * release around it, and the kernel then skips the program.
 */
static inline __attribute__((always_inline))
int is_silent(struct cmaobs_thread *t, struct cmaobs_frame *f)
{
	struct cmaobs_config *c = armed_config();

	return c && c->events && t->depth == 1 && !(f->flags & FRAME_EVENT);
}

/* A release returns: whether the pages were the area's is in RAW(t, 0). */
static inline __attribute__((always_inline))
void released(struct cmaobs_thread *t)
{
	struct cmaobs_frame *f = top(t, CMAOBS_RELEASE);
	struct cmaobs_counters *n = f ? counters_of(f->area) : 0;
	__u32 hist = CMAOBS_HISTS;
	__u16 path = CMAOBS_PATH_REJECTED;
	__u64 ret;

	if (!n)
		return;

	ret = RAW(t, 0) & 0xff;
	if (ret && is_silent(t, f))
		f->flags |= CMAOBS_SILENT;
	if (!ret) {
		add(&n->releases_rejected, 1);
	} else if (f->n_free) {
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
	finish(t, f, path, ret, hist);
}

RETURN(cma_release, RELEASE_FN)
{
	struct cmaobs_thread *t = leave();

	if (t) {
		TAKE_RET(t, RELEASE_NARGS);
		released(t);
	}
	return 0;
}
