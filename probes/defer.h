/* SPDX-License-Identifier: GPL-2.0 */
/* What only a kernel with deferred freeing has: the shrinker and batch. */

#ifdef CMA_SHRINKER
/* The struct cma that a shrinker is of: it points there, or is a part of it. */
static inline __attribute__((always_inline)) __u64 area_of(__u64 shrinker)
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

	if (t) {
		TAKE_1(t);
		begin(t, CMAOBS_COUNT, area_of(RAW(t, 0)), 0, 0, 0,
		      stack_of(ctx));
	}
	return 0;
}

RETURN(count, COUNT_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_counters *n;
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	TAKE_RET(t, COUNT_NARGS);
	f = top(t, CMAOBS_COUNT);
	n = f ? counters_of(f->area) : 0;
	if (!n)
		return 0;
	add(&n->counts, 1);
	finish(t, f, CMAOBS_PATH_NONE, RAW(t, 0), CMAOBS_HISTS);
	return 0;
}
#endif

#ifdef SCAN_FN
ENTRY(scan, SCAN_FN)
{
	struct cmaobs_thread *t = enter();

	if (t) {
		TAKE_2(t);
		begin(t, CMAOBS_SCAN, area_of(RAW(t, 0)), 0,
		      read_u64(RAW(t, 1) + SC_NR_TO_SCAN), 0, stack_of(ctx));
	}
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
	TAKE_RET(t, SCAN_NARGS);
	f = top(t, CMAOBS_SCAN);
	n = f ? counters_of(f->area) : 0;
	if (!n)
		return 0;
	ret = RAW(t, 0);
	add(&n->scans, 1);
	add(&n->scan_pages_asked, f->count);
	add(&n->scan_pages_freed, f->free_pages);
	if (ret == -1)
		add(&n->scans_stopped, 1);
	else
		add(&n->scan_pages_returned, ret);
	finish(t, f, CMAOBS_PATH_NONE, ret, CMAOBS_HIST_SCAN);
	return 0;
}
#endif

#ifdef BATCH_FN
ENTRY(batch, BATCH_FN)
{
	struct cmaobs_thread *t = enter();

	if (t) {
		TAKE_2(t);
		begin(t, CMAOBS_BATCH, RAW(t, 0), 0, RAW(t, 1), 0,
		      stack_of(ctx));
	}
	return 0;
}

RETURN(batch, BATCH_FN)
{
	struct cmaobs_thread *t = leave();
	struct cmaobs_counters *n;
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	TAKE_RET(t, BATCH_NARGS);
	f = top(t, CMAOBS_BATCH);
	n = f ? counters_of(f->area) : 0;
	if (!n)
		return 0;
	add(&n->batch_writes, 1);
	add(&n->batch_pages_freed, f->free_pages);
	finish(t, f, CMAOBS_PATH_NONE, (__s32)RAW(t, 0), CMAOBS_HISTS);
	return 0;
}
#endif
