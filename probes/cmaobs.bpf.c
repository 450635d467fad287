// SPDX-License-Identifier: GPL-2.0
/*
 * The probes: entry and return of the CMA functions, counted by area and path
 * in maps, and sent one record an operation.
 *
 * The bodies do not know how they are attached. CMAOBS_FENTRY selects
 * fentry/fexit, else kprobe/kretprobe: attach.h turns both into the same
 * entry and return handlers. Struct offsets come from the kernel's BTF as
 * CMA_* and friends on the command line (cmaobs/kernel/plan.py).
 */
#include <uapi/linux/ptrace.h>
#include <linux/types.h>
#include "wire.h"
#include "maps.h"
#include "attach.h"
#include "slots.h"
#include "thread.h"
#include "send.h"
#include "phases.h"

ENTRY(cma_alloc, ALLOC_FN)
{
	struct cmaobs_thread *t = enter();

	if (t)
		begin(t, CMAOBS_ALLOC, ARG(0), 0, ARG(1), ARG(2), stack_of(ctx, CALLER), STACK,
		      AREA);
	return 0;
}

/* What an allocation did beyond taking pages from one place. */
static __always_inline void count_detours(struct cmaobs_counters *n, struct cmaobs_frame *f,
					  __u16 path)
{
	__u32 tries = f->n_contig + (path == CMAOBS_PATH_HIT);

	/* a hit frees at most the rest of its own extent: not a flush */
	if (f->n_free && (path != CMAOBS_PATH_HIT || f->n_contig)) {
		add(&n->flushes, 1);
		add(&n->flushed_extents, f->n_free);
		add(&n->flushed_pages, f->free_pages);
	}
	if (tries > 1) {
		add(&n->allocs_retried, 1);
		add(&n->alloc_retries, tries - 1);
	}
}

/* An allocation returns, whatever it did. */
static __always_inline void allocated_by_calls(struct cmaobs_thread *t, struct cmaobs_frame *f,
					       struct cmaobs_counters *n, int granted, void *area)
{
	__u32 hist = CMAOBS_HIST_ALLOC_FAILED;
	__u16 path = CMAOBS_PATH_FAILED;
	__s64 ret = 0;

	if (granted && (f->in_contig || (f->n_contig && !f->contig_ret))) {
		path = CMAOBS_PATH_CONTIG;
		hist = CMAOBS_HIST_ALLOC_CONTIG;
		add(&n->allocs_contig, 1);
		add(&n->alloc_pages_contig, f->count);
	} else if (granted) {
		path = CMAOBS_PATH_HIT;
		hist = CMAOBS_HIST_ALLOC_HIT;
		add(&n->allocs_hit, 1);
		add(&n->alloc_pages_hit, f->count);
	} else {
		/* mm/cma.c: -ENOMEM where no run of clear bits was tried */
		ret = f->n_contig ? f->contig_ret : -12;
		if (ret == -12)
			add(&n->allocs_enomem, 1);
		else if (ret == -16)
			add(&n->allocs_ebusy, 1);
		else if (ret == -4)
			add(&n->allocs_eintr, 1);
		else
			add(&n->allocs_other, 1);
		add(&n->alloc_pages_failed, f->count);
	}
	if (f->n_free || f->n_contig)
		count_detours(n, f, path);
	PHASES_END(f, path, finish(t, f, n, CMAOBS_ALLOC, path, ret, hist, 1, area));
}

/* An allocation returns, with a page or none. at: STACK. */
static __always_inline void allocated(struct cmaobs_thread *t, __u64 page, __u64 at, void *area)
{
	struct cmaobs_frame *f = top(t, CMAOBS_ALLOC, at);
	struct cmaobs_counters *n = f ? counters_of(f) : 0;

	if (!n)
		return;
	if (SENDS)
		f->pfn = page ? pfn_of(KEEP(f->pfn, page)) : 0;
	/* a hit, which has to be quick where it is followed no further */
	if (!PHASES && page && !f->touched) {
		add(&n->allocs_hit, 1);
		add(&n->alloc_pages_hit, f->count);
		finish(t, f, n, CMAOBS_ALLOC, CMAOBS_PATH_HIT, 0, CMAOBS_HIST_ALLOC_HIT, 0, area);
	} else {
		allocated_by_calls(t, f, n, page != 0, area);
	}
	done(t);
}

RETURN(cma_alloc, ALLOC_FN)
{
	struct cmaobs_thread *t = leave();

	if (t)
		allocated(t, RET(ALLOC_NARGS), STACK, AREA);
	return 0;
}

#ifdef ALLOC_ORDER_FN
/* A folio's page is its first one. An order of 0 is refused untried, as a count of 0 is. */
ENTRY(alloc_order, ALLOC_ORDER_FN)
{
	struct cmaobs_thread *t = enter();
	__u64 order;

	if (t) {
		order = ARG(1) & 63;
		begin(t, CMAOBS_ALLOC, ARG(0), 0, order ? 1ULL << order : 0, order,
		      stack_of(ctx, CALLER), STACK, AREA);
	}
	return 0;
}

RETURN(alloc_order, ALLOC_ORDER_FN)
{
	struct cmaobs_thread *t = leave();

	if (t)
		allocated(t, RET(ALLOC_ORDER_NARGS), STACK, AREA);
	return 0;
}
#endif

ENTRY(contig, CONTIG_FN)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = current_frame(t, STACK);
	/* other callers of the function are not CMA */
	if (!f || f->kind != CMAOBS_ALLOC)
		return 0;
	if (f->in_contig)
		miss_return(f);
	f->touched |= TOUCHED;
	f->in_contig = 1;
	f->busy = 0;
	f->call_pfn = ARG(0);
	f->call_count = ARG(1) - ARG(0);
	f->call_ns = bpf_ktime_get_ns();
	return 0;
}

RETURN(contig, CONTIG_FN)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_counters *n;
	struct cmaobs_frame *f;
	__s32 ret;

	if (!t)
		return 0;
	f = current_frame(t, STACK);
	if (!f || f->kind != CMAOBS_ALLOC)
		return 0;
	ret = (__s32)RET(CONTIG_NARGS);
	f->contig_ret = ret;
	f->n_contig++;
	if (!f->in_contig) {
		miss_entry(f);
		return 0;
	}
	f->in_contig = 0;
	n = counters_of(f);
	if (n) {
		if (!ret)
			add(&n->contig_ok, 1);
		else if (ret == -16)
			add(&n->contig_ebusy, 1);
		else
			add(&n->contig_error, 1);
	}
	finish_call(t, f, n, CMAOBS_CONTIG, ret, CMAOBS_HIST_CONTIG);
	return 0;
}

#if defined(WITH_BUSY_PAGE) && defined(WITH_RECORDS)
/*
 * page_isolation:test_pages_isolated(start_pfn, end_pfn, fin_pfn), in the kernels of
 * cmaobs/kernel/handlers.py: all below fin_pfn is free and isolated.
 */
int busy_page(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;
	__u64 before;

	if (!t)
		return 0;
	f = current_frame(t, THROUGH(t->raw, ctx));
	if (!f || !f->in_contig)
		return 0;
	before = ctx->args[2] - f->call_pfn;
	f->busy = ctx->args[2] < ctx->args[1] && before < f->call_count ? before + 1 : 0;
	return 0;
}
#endif

ENTRY(free, FREE_FN)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = current_frame(t, STACK);
	if (!f)
		return 0;
	/* alloc_contig_range frees what it took beyond the range: no flush */
	if (f->in_contig) {
		PHASE_BEGIN(f, CMAOBS_PHASE_ISOLATING);
		return 0;
	}
	if (f->in_free)
		miss_return(f);
	f->touched |= TOUCHED;
	f->in_free = 1;
	f->call_pfn = ARG(0);
	f->call_count = ARG(1) & COUNT_MASK;
	f->call_ns = bpf_ktime_get_ns();
	PHASE_BEGIN(f, CMAOBS_PHASE_FLUSHING);
	return 0;
}

RETURN(free, FREE_FN)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	f = current_frame(t, STACK);
	if (!f)
		return 0;
	if (f->in_contig) {
		PHASE_END(f, CMAOBS_PHASE_ISOLATING);
		return 0;
	}
	f->n_free++;
	if (!f->in_free) {
		miss_entry(f);
		return 0;
	}
	PHASE_END(f, CMAOBS_PHASE_FLUSHING);
	f->in_free = 0;
	f->free_pages += f->call_count;
	finish_call(t, f, 0, CMAOBS_FREE, 0, CMAOBS_HISTS);
	return 0;
}

int thread_exit(struct bpf_raw_tracepoint_args *ctx)
{
	forget();
	PHASES_FORGET(bpf_get_current_pid_tgid());
	return 0;
}

#include "release.h"
#include "beside.h"
#include "inside.h"
#ifdef CMA_DEFER_COUNT
#include "defer.h"
#endif
#include "snapshot.h"
