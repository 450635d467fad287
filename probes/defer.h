/* SPDX-License-Identifier: GPL-2.0 */
/* What only a kernel with deferred freeing has: the shrinker and batch. */

#ifdef CMA_SHRINKER
/* The struct cma that a shrinker is of: it points there, or is a part of it. */
static __always_inline __u64 area_of(__u64 shrinker)
{
#ifdef SHRINKER_PRIVATE_DATA
	return read_u64(shrinker + SHRINKER_PRIVATE_DATA);
#else
	return shrinker - CMA_SHRINKER;
#endif
}
#endif

#ifdef COUNT_FN
ENTRY(count, COUNT_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_COUNT, area_of(PLAIN(t, ARG(0))), 0, 0, 0, stack_of(ctx, CALLER),
		      STACK, 0);
	return 0;
}

RETURN(count, COUNT_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_counters *n;
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = top(t, CMAOBS_COUNT, STACK);
	n = f ? counters_of(f) : 0;
	if (!n)
		return 0;
	add(&n->counts, 1);
	finish(t, f, n, CMAOBS_COUNT, CMAOBS_PATH_NONE, RET(COUNT_NARGS), CMAOBS_HISTS, 1, 0);
	done(t);
	return 0;
}
#endif

#ifdef SCAN_FN
ENTRY(scan, SCAN_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_SCAN, area_of(PLAIN(t, ARG(0))), 0,
		      read_u64(PLAIN(t, ARG(1)) + SC_NR_TO_SCAN), 0, stack_of(ctx, CALLER), STACK,
		      0);
	return 0;
}

RETURN(scan, SCAN_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_counters *n;
	struct cmaobs_frame *f;
	__s64 ret;

	if (!t)
		return 0;
	f = top(t, CMAOBS_SCAN, STACK);
	n = f ? counters_of(f) : 0;
	if (!n)
		return 0;
	ret = RET(SCAN_NARGS);
	add(&n->scans, 1);
	add(&n->scan_pages_asked, f->count);
	add(&n->scan_pages_freed, f->free_pages);
	if (ret == -1)
		add(&n->scans_stopped, 1);
	else
		add(&n->scan_pages_returned, ret);
	finish(t, f, n, CMAOBS_SCAN, CMAOBS_PATH_NONE, ret, CMAOBS_HIST_SCAN, 1, 0);
	done(t);
	return 0;
}
#endif

#ifdef BATCH_FN
ENTRY(batch, BATCH_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_BATCH, ARG(0), 0, ARG(1), 0, stack_of(ctx, CALLER), STACK, AREA);
	return 0;
}

RETURN(batch, BATCH_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_counters *n;
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = top(t, CMAOBS_BATCH, STACK);
	n = f ? counters_of(f) : 0;
	if (!n)
		return 0;
	add(&n->batch_writes, 1);
	add(&n->batch_pages_freed, f->free_pages);
	finish(t, f, n, CMAOBS_BATCH, CMAOBS_PATH_NONE, (__s32)RET(BATCH_NARGS), CMAOBS_HISTS, 1,
	       AREA);
	done(t);
	return 0;
}
#endif

#ifdef POLICY_FN
ENTRY(policy, POLICY_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_POLICY, ARG(0), 0, ARG(1) & 0xffffffff, 0, stack_of(ctx, CALLER),
		      STACK, AREA);
	return 0;
}

RETURN(policy, POLICY_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = top(t, CMAOBS_POLICY, STACK);
	if (f) {
		finish(t, f, 0, CMAOBS_POLICY, CMAOBS_PATH_NONE, (__s32)RET(POLICY_NARGS),
		       CMAOBS_HISTS, 1, AREA);
		done(t);
	}
	return 0;
}
#endif
