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
#include "thread.h"
#include "attach.h"
#include "phases.h"

ENTRY(cma_alloc, ALLOC_FN)
{
	struct cmaobs_thread *t = enter();

	if (t) {
		TAKE_3(t);
		begin(t, CMAOBS_ALLOC, RAW(t, 0), 0, RAW(t, 1), RAW(t, 2),
		      stack_of(ctx));
	}
	return 0;
}

/* An allocation returns: the page is in RAW(t, 0). */
static inline __attribute__((always_inline))
void allocated(struct cmaobs_thread *t)
{
	struct cmaobs_frame *f = top(t, CMAOBS_ALLOC);
	struct cmaobs_counters *n = f ? counters_of(f->area) : 0;
	__u32 hist = CMAOBS_HIST_ALLOC_FAILED;
	__u16 path = CMAOBS_PATH_FAILED;
	__s64 ret = 0;
	__u32 tries;
	__u64 page;

	if (!n)
		return;

	page = RAW(t, 0);
	if (page && f->n_contig && !f->contig_ret) {
		path = CMAOBS_PATH_CONTIG;
		hist = CMAOBS_HIST_ALLOC_CONTIG;
		add(&n->allocs_contig, 1);
		add(&n->alloc_pages_contig, f->count);
	} else if (page) {
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
	/* a hit frees at most the rest of its own extent: not a flush */
	if (f->n_free && (path != CMAOBS_PATH_HIT || f->n_contig)) {
		add(&n->flushes, 1);
		add(&n->flushed_extents, f->n_free);
		add(&n->flushed_pages, f->free_pages);
	}
	tries = f->n_contig + (path == CMAOBS_PATH_HIT);
	if (tries > 1) {
		add(&n->allocs_retried, 1);
		add(&n->alloc_retries, tries - 1);
	}
	f->pfn = page ? pfn_of(page) : 0;
	PHASES_END(f, path, finish(t, f, path, ret, hist));
}

RETURN(cma_alloc, ALLOC_FN)
{
	struct cmaobs_thread *t = leave();

	if (t) {
		TAKE_RET(t, ALLOC_NARGS);
		allocated(t);
	}
	return 0;
}

#ifdef ALLOC_ORDER_FN
/* A folio's page is its first one. An order of 0 is refused untried, as a count of 0 is. */
ENTRY(alloc_order, ALLOC_ORDER_FN)
{
	struct cmaobs_thread *t = enter();
	__u64 order;

	if (t) {
		TAKE_2(t);
		order = RAW(t, 1) & 63;
		begin(t, CMAOBS_ALLOC, RAW(t, 0), 0, order ? 1ULL << order : 0,
		      order, stack_of(ctx));
	}
	return 0;
}

RETURN(alloc_order, ALLOC_ORDER_FN)
{
	struct cmaobs_thread *t = leave();

	if (t) {
		TAKE_RET(t, ALLOC_ORDER_NARGS);
		allocated(t);
	}
	return 0;
}
#endif

ENTRY(contig, CONTIG_FN)
{
	struct cmaobs_thread *t = follow();
	struct cmaobs_frame *f;

	if (!t)
		return 0;
	TAKE_2(t);
	f = current_frame(t);
	/* other callers of the function are not CMA */
	if (!f || f->kind != CMAOBS_ALLOC || f->in_contig)
		return 0;
	f->in_contig = 1;
	f->busy = 0;
	f->call_pfn = RAW(t, 0);
	f->call_count = RAW(t, 1) - RAW(t, 0);
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
	TAKE_RET(t, CONTIG_NARGS);
	f = current_frame(t);
	if (!f || !f->in_contig)
		return 0;
	ret = (__s32)RAW(t, 0);
	f->in_contig = 0;
	f->contig_ret = ret;
	f->n_contig++;
	n = counters_of(f->area);
	if (n) {
		if (!ret)
			add(&n->contig_ok, 1);
		else if (ret == -16)
			add(&n->contig_ebusy, 1);
		else
			add(&n->contig_error, 1);
	}
	send_call(t, f, CMAOBS_CONTIG, ret, CMAOBS_HIST_CONTIG);
	return 0;
}

#ifdef WITH_BUSY_PAGE
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
	TAKE_STACK_AT(t, ctx);
	f = current_frame(t);
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
	TAKE_2(t);
	f = current_frame(t);
	/* alloc_contig_range frees what it took beyond the range: no flush */
	if (!f || f->in_contig)
		return 0;
	f->in_free = 1;
	f->call_pfn = RAW(t, 0);
	f->call_count = RAW(t, 1) & COUNT_MASK;
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
	TAKE_STACK(t);
	f = current_frame(t);
	if (!f || !f->in_free)
		return 0;
	PHASE_END(f, CMAOBS_PHASE_FLUSHING);
	f->in_free = 0;
	f->n_free++;
	f->free_pages += f->call_count;
	send_call(t, f, CMAOBS_FREE, 0, CMAOBS_HISTS);
	return 0;
}

int thread_exit(struct bpf_raw_tracepoint_args *ctx)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_thread *t = threads.lookup(&tid);

	if (t) {
		drop_frames(t);
		threads.delete(&tid);
		PHASES_FORGET(tid);
	}
	return 0;
}

#include "release.h"
#include "beside.h"
#include "inside.h"
#ifdef CMA_DEFER_COUNT
#include "defer.h"
#endif
#include "snapshot.h"
