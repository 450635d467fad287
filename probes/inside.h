/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Handlers of phases: begin and end of what alloc_contig_range() calls, and of waiting for the mutex
 * around it.
 */
#ifdef WITH_PHASES

/* The allocation that the current thread is in, at a place of its stack. */
static __always_inline struct cmaobs_frame *allocating(void *at)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = current_frame(t, THROUGH(t->raw, at));
	return f && f->kind == CMAOBS_ALLOC ? f : 0;
}

static __always_inline struct cmaobs_frame *in_contig(void *at)
{
	struct cmaobs_frame *f = allocating(at);

	return f && f->in_contig ? f : 0;
}

#define PHASE(name, fn, phase)                                     \
	ENTRY(name, fn)                                            \
	{                                                          \
		struct cmaobs_frame *f = in_contig((void *)STACK); \
                                                                   \
		if (f)                                             \
			phase_begin(f, phase);                     \
		return 0;                                          \
	}                                                          \
	RETURN(name, fn)                                           \
	{                                                          \
		struct cmaobs_frame *f = in_contig((void *)STACK); \
                                                                   \
		if (f)                                             \
			phase_end(f, phase);                       \
		return 0;                                          \
	}

/* cmaobs/kernel/handlers.py has the functions. */
#ifdef ISOLATE_FN
PHASE(isolate, ISOLATE_FN, CMAOBS_PHASE_ISOLATING)
#endif
#ifdef UNDO_FN
PHASE(undo, UNDO_FN, CMAOBS_PHASE_ISOLATING)
#endif
#ifdef ISOLATE_PAGES_FN
PHASE(isolate_pages, ISOLATE_PAGES_FN, CMAOBS_PHASE_ISOLATING)
#endif
#ifdef ISOLATE_FREE_FN
PHASE(isolate_free, ISOLATE_FREE_FN, CMAOBS_PHASE_ISOLATING)
#endif
#ifdef DRAIN_LRU_FN
PHASE(drain_lru, DRAIN_LRU_FN, CMAOBS_PHASE_DRAINING)
#endif
#ifdef DRAIN_PAGES_FN
PHASE(drain_pages, DRAIN_PAGES_FN, CMAOBS_PHASE_DRAINING)
#endif
#ifdef TEST_FN
PHASE(test, TEST_FN, CMAOBS_PHASE_TESTING)
#endif

#ifdef RECLAIM_FN
ENTRY(reclaim, RECLAIM_FN)
{
	struct cmaobs_frame *f = in_contig((void *)STACK);

	if (f)
		phase_begin(f, CMAOBS_PHASE_RECLAIMING);
	return 0;
}

RETURN(reclaim, RECLAIM_FN)
{
	struct cmaobs_frame *f = in_contig((void *)STACK);
	struct cmaobs_phasing *p = f ? phase_end(f, CMAOBS_PHASE_RECLAIMING) : 0;

	if (p)
		p->reclaimed += (__u32)RET(RECLAIM_NARGS);
	return 0;
}
#endif

#ifdef WITH_MIGRATE_PAGES
/* migrate:mm_migrate_pages_start and mm_migrate_pages(succeeded, failed, ...) */
int migrate_start(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_frame *f = in_contig(ctx);

	if (f)
		phase_begin(f, CMAOBS_PHASE_MIGRATING);
	return 0;
}

int migrate_end(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_frame *f = in_contig(ctx);
	struct cmaobs_phasing *p = f ? phase_end(f, CMAOBS_PHASE_MIGRATING) : 0;

	if (p) {
		p->migrated += ctx->args[0];
		p->failed += ctx->args[1];
	}
	return 0;
}
#endif

#ifdef WITH_ISOLATED
/* compaction:mm_compaction_isolate_migratepages(start_pfn, end_pfn, nr_scanned, nr_taken) */
int isolated(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_frame *f = in_contig(ctx);
	struct cmaobs_phasing *p = f ? phasing_of(f) : 0;

	if (p)
		p->isolated += ctx->args[3];
	return 0;
}
#endif

#ifdef WITH_CONTENTION
/* lock:contention_begin(lock, flags) and contention_end(lock, ret), for CMA's own mutex. */
static __always_inline struct cmaobs_frame *waits(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_frame *f = allocating(ctx);
	struct cmaobs_config *c = VALUE_OF(config);
	__u64 mutex;

	if (!f || f->in_contig)
		return 0;
#ifdef CMA_MUTEX
	mutex = f->cma + CMA_MUTEX;
#else
	mutex = c->cma_mutex;
#endif
	return ctx->args[0] == mutex ? f : 0;
}

int wait_begin(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_frame *f = waits(ctx);

	if (f)
		phase_begin(f, CMAOBS_PHASE_WAITING);
	return 0;
}

int wait_end(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_frame *f = waits(ctx);

	if (f)
		phase_end(f, CMAOBS_PHASE_WAITING);
	return 0;
}
#endif

#endif
