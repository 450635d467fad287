/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the probes hand to user space: the only definition of it.
 *
 * probes/cmaobs.bpf.c includes this file and cmaobs/wire.py parses it, so it
 * keeps to structs of fixed-size members without padding, and to enums.
 * A change of meaning or layout raises CMAOBS_WIRE_VERSION.
 */
#ifndef CMAOBS_WIRE_H
#define CMAOBS_WIRE_H

enum {
	CMAOBS_WIRE_VERSION = 5,
	CMAOBS_COMM_LEN = 16,
	CMAOBS_DEPTH = 4,           /* operations nested on one thread */
	CMAOBS_SLOT_BITS = 2,       /* 4 slots to an octave: 25 % wide at most */
	CMAOBS_SLOT_FIRST = 7,      /* slot 0: below 2^7 ns */
	CMAOBS_SLOTS = 120,         /* the last slot takes all above: 1.5 * 2^36 ns */
	CMAOBS_SNAP_WORDS = 4096,   /* bitmap words in one snapshot call */
	CMAOBS_SNAP_EXTENTS = 1024, /* extents in one snapshot call */
	CMAOBS_STACK_FRAMES = 32,   /* innermost return addresses of a stack */
	CMAOBS_STACKS = 16384,      /* slots of the stack map */
	CMAOBS_CALLER_BITS = 12,    /* of a caller's number, less 1 */
	CMAOBS_CALLERS = 1 << CMAOBS_CALLER_BITS,
	CMAOBS_CALLER_SHIFT = 16,    /* in the number of a stack */
	CMAOBS_RUNNING_FRAMES = 127, /* of a thread that runs; the kernel's own default limit */
	CMAOBS_PHASES = 8,           /* enum cmaobs_phase */
};

/* Operations, and the calls inside them. */
enum cmaobs_kind {
	CMAOBS_ALLOC = 1,   /* cma_alloc */
	CMAOBS_RELEASE = 2, /* cma_release */
	CMAOBS_SCAN = 3,    /* cma_defer_free_scan */
	CMAOBS_COUNT = 4,   /* cma_defer_free_count */
	CMAOBS_BATCH = 5,   /* cma_defer_set_batch */
	CMAOBS_POLICY = 6,  /* cma_defer_set_policy */
	CMAOBS_CONTIG = 16, /* alloc_contig_range inside an allocation */
	CMAOBS_FREE = 17,   /* free_contig_range, not from inside a contig call */
	CMAOBS_PHASED = 18, /* struct cmaobs_phased: where the time of an allocation went */
};

/* Where an allocation is, by what runs in it; what is called from another is its own. */
enum cmaobs_phase {
	CMAOBS_PHASE_WAITING = 0, /* for the mutex of CMA, as lock:contention_begin and _end tell */
	CMAOBS_PHASE_FLUSHING = 1,    /* free_contig_range of deferred pages */
	CMAOBS_PHASE_ISOLATING = 2,   /* pageblocks and pages, and undoing it */
	CMAOBS_PHASE_DRAINING = 3,    /* lru_cache_disable, __drain_all_pages */
	CMAOBS_PHASE_RECLAIMING = 4,  /* reclaim_clean_pages_from_list */
	CMAOBS_PHASE_MIGRATING = 5,   /* migrate_pages */
	CMAOBS_PHASE_TESTING = 6,     /* test_pages_isolated */
	CMAOBS_PHASE_UNEXPLAINED = 7, /* the whole without these */
};

enum cmaobs_path {
	CMAOBS_PATH_NONE = 0,
	CMAOBS_PATH_HIT = 1,      /* allocation: pages from the deferred list */
	CMAOBS_PATH_CONTIG = 2,   /* allocation: pages from the buddy */
	CMAOBS_PATH_FAILED = 3,   /* allocation: NULL */
	CMAOBS_PATH_DEFERRED = 4, /* release: no free_contig_range inside */
	CMAOBS_PATH_DIRECT = 5,   /* release: free_contig_range inside */
	CMAOBS_PATH_REJECTED = 6, /* release: returned false */
};

enum cmaobs_flag {
	CMAOBS_STALE = 1,    /* not seen: an end of a call inside, or the return of one before */
	CMAOBS_SILENT = 2,   /* release: its trace event did not fire, where that is looked for */
	CMAOBS_PROCESS = 8,  /* the thread is of a process; set on operations, not on calls */
	CMAOBS_KTHREAD = 16, /* it is a kernel thread; neither: this kernel does not tell */
};

/*
 * One record an operation or call, sent at its return; calls come before the
 * operation that they belong to. Times are CLOCK_MONOTONIC, in ns.
 */
struct cmaobs_record {
	__u64 start_ns;
	__u64 end_ns;
	__u64 op_ns;       /* start_ns of the operation; 0: a call outside any */
	__u64 pfn;         /* alloc: granted, 0 if none; release, calls: first page */
	__u64 count;       /* pages asked for; scan: nr_to_scan; batch, policy: new value */
	__s64 ret;         /* 0 or -errno; release: 0 or 1; scan, count: as returned */
	__u64 defer_entry; /* defer_count as read at entry and at return, */
	__u64 defer_exit;  /* without the lock; 0 on a kernel without the field */
	__u64 batch;       /* batch as read at return */
	__u64 free_pages;  /* pages given to free_contig_range inside */
	__u32 tid;
	__u32 tgid;
	__u32 n_contig; /* calls inside: as many records belong to it */
	__u32 n_free;
	__u32 lost; /* 0; up to version 4: records this CPU could not send so far */
	__u16 kind;
	__u16 path;
	__u16 area; /* index in cma_areas[]; 0xffff: not known */
	__u16 cpu;
	__u8 align;
	__u8 depth; /* operations around this one on the thread */
	__u16 flags;
	char comm[16];
	__u32 stack; /* number of the kernel stack at entry; 0: none */
	__u32 busy; /* failed contig call: pages before the first that stayed, plus 1; 0: not told */
};

/*
 * The phases of one allocation, sent after its record; as long as that, with area, kind and lost in
 * the same places. Only where phases are asked for, and only of allocations that had any.
 */
struct cmaobs_phased {
	__u64 start_ns; /* of the allocation, */
	__u64 end_ns;   /* as its record has them */
	__u64 op_ns;
	__u64 waiting_ns;
	__u64 flushing_ns;
	__u64 isolating_ns;
	__u64 draining_ns;
	__u64 reclaiming_ns;
	__u64 migrating_ns;
	__u64 testing_ns;
	__u32 tid;
	__u32 tgid;
	__u32 isolated; /* pages taken off their lists, to be moved */
	__u32 migrated; /* of them: moved away, */
	__u32 lost;     /* as in struct cmaobs_record */
	__u16 kind;
	__u16 path; /* of the allocation */
	__u16 area;
	__u16 cpu;
	__u32 missed; /* 1: an end was not seen; its time is in the phase around it */
	char comm[16];
	__u32 failed;    /* not moved; a page counts again when it is tried again */
	__u32 reclaimed; /* clean page cache, dropped instead */
};

/* Of one area's allocations, where phases are asked for; kept per CPU. */
struct cmaobs_moved {
	__u64 isolated;
	__u64 migrated;
	__u64 failed;
	__u64 reclaimed;
	__u64 missed; /* allocations of which an end was not seen */
};

/* Exact counts of one area; kept per CPU, to be summed. */
struct cmaobs_counters {
	__u64 allocs_hit;
	__u64 allocs_contig;
	__u64 allocs_enomem; /* failed, by errno */
	__u64 allocs_ebusy;
	__u64 allocs_eintr;
	__u64 allocs_other;
	__u64 alloc_pages_hit; /* granted */
	__u64 alloc_pages_contig;
	__u64 alloc_pages_failed; /* asked for in vain */
	__u64 allocs_retried;     /* that tried more than one place */
	__u64 alloc_retries;      /* places tried beyond the first */
	__u64 contig_ok;          /* contig calls inside allocations */
	__u64 contig_ebusy;
	__u64 contig_error;
	__u64 flushes; /* allocations that flushed */
	__u64 flushed_extents;
	__u64 flushed_pages;
	__u64 releases_deferred;
	__u64 releases_direct;
	__u64 releases_rejected;
	__u64 release_pages_deferred;
	__u64 release_pages_direct;
	__u64 scans;
	__u64 scans_stopped; /* returned SHRINK_STOP */
	__u64 scan_pages_asked;
	__u64 scan_pages_returned; /* sum of the return values */
	__u64 scan_pages_freed;    /* seen in free_contig_range */
	__u64 counts;              /* shrinker count calls */
	__u64 batch_writes;
	__u64 batch_pages_freed;
};

/* Operations on one area over all CPUs: at rest when both are equal. */
struct cmaobs_flight {
	__u64 begun;
	__u64 ended;
};

enum cmaobs_hist {
	CMAOBS_HIST_ALLOC_HIT = 0,
	CMAOBS_HIST_ALLOC_CONTIG = 1,
	CMAOBS_HIST_ALLOC_FAILED = 2,
	CMAOBS_HIST_CONTIG = 3,
	CMAOBS_HIST_RELEASE_DEFERRED = 4,
	CMAOBS_HIST_RELEASE_DIRECT = 5,
	CMAOBS_HIST_SCAN = 6,
	CMAOBS_HISTS = 7,
};

/* Latencies of one area and kind. */
struct cmaobs_latency {
	__u64 sum_ns;
	__u64 slots[120];
};

/* Both of one area, in one place. */
struct cmaobs_counted {
	struct cmaobs_counters counters;
	struct cmaobs_latency latencies[7];
};

/* What the observer itself lost; kept per CPU. */
struct cmaobs_losses {
	__u64 ring_full;       /* records not sent */
	__u64 orphan_returns;  /* return seen, entry not */
	__u64 stale_entries;   /* entry seen, return not */
	__u64 too_deep;        /* nested more than CMAOBS_DEPTH */
	__u64 threads_full;    /* no room to follow a thread */
	__u64 unknown_area;    /* cma pointer outside cma_areas[] */
	__u64 withheld;        /* records not sent, as user space wanted */
	__u64 stacks_failed;   /* stacks not kept: no loss, the record has none */
	__u64 stacks_withheld; /* not taken, as user space wanted: no loss either */
	__u64 phases_withheld; /* allocations whose phases were not followed: the same */
};

/*
 * Addresses, which change from boot to boot; set before probes are armed. And what may be
 * withheld at any time, where it is compiled in: nothing of an operation is sent or followed
 * that began before a time (CLOCK_MONOTONIC, ns), so that it is all of it or nothing.
 */
struct cmaobs_config {
	__u64 cma_areas; /* &cma_areas[0] */
	__u64 vmemmap;   /* struct page of pfn 0 */
	__u64 cma_mutex; /* &cma_mutex, 0 where areas have their own, or it is not known */
	__u64 records_since;
	__u64 phases_since;
	__u32 area_count;
	__u32 armed;           /* 0: probes do nothing */
	__u32 silent;          /* flags of a release until its trace event fires */
	__u32 stacks_withheld; /* 1: none is taken */
};

/* One operation in flight. */
struct cmaobs_frame {
	__u64 start_ns;
	__u64 sp; /* stack pointer at entry; with fentry where its arguments lie */
	__u64 cma;
	__u64 pfn;
	__u64 count;
	__u64 defer_entry;
	__u64 call_ns; /* of the call inside that is running */
	__u64 call_pfn;
	__u64 call_count;
	__u64 free_pages;
	__s16 contig_ret; /* of the last contig call */
	__u16 touched;    /* calls have come: what tells of them is not 0 any more */
	__u32 n_contig;
	__u32 n_free;
	__u16 area;
	__u8 kind;
	__u8 align;
	__u8 in_contig;
	__u8 in_free;
	__u16 flags;
	__u32 stack;
	__u32 busy;  /* as in the record, of the contig call that is running */
	__u32 place; /* where the area is counted: as area, or behind all where not known */
};

/* Operations in flight on one thread, the outermost first. */
struct cmaobs_thread {
	__u64 depth;
	__u64 task;    /* its struct task_struct, where it has a slot */
	__u64 claims;  /* of a slot: threads that have it or try to */
	__u64 leaving; /* it ends: followed until its operation is over */
	__u32 tid;
	__u16 flags; /* enum cmaobs_flag: whose it is; stale since the last record */
	__u16 unused0;
	__u64 comm[2]; /* its name when it was last read, filled up with 0 */
	__u64 raw;     /* an argument on its way to a plain number */
	/* 512 bytes in all: a slot is found by a shift */
	struct cmaobs_frame frames[4];
};

/* Phases of the allocation that runs on a thread. */
struct cmaobs_phasing {
	__u64 op_ns;
	__u64 since_ns; /* the innermost phase, or the time outside any, since then */
	__u64 nested;   /* phases that are open, plus 1, 4 bits each, innermost lowest */
	__u64 ns[8];
	__u32 isolated;
	__u32 migrated;
	__u32 failed;
	__u32 reclaimed;
	__u32 missed;
	__u32 unused;
};

/* A kernel stack, innermost first, ended by 0. */
struct cmaobs_stack {
	__u64 ip[32];
};

/* A snapshot call's cursor and result. */
struct cmaobs_extent {
	__u64 pfn;
	__u64 count;
};

struct cmaobs_snap {
	__u64 begun[2]; /* before, after */
	__u64 ended[2];
	__u64 defer_count[2];
	__u64 batch;
	__u64 shrinker_batch;
	__u64 policy; /* enum cma_defer_policy, where there is one */
	__u64 pages_succeeded;
	__u64 pages_failed;
	__u64 start_ns;
	__u64 end_ns;
	__u64 next;    /* list node to go on from; 0: list walked to its end */
	__u32 fault;   /* 1: a read failed or a link was wrong */
	__u32 extents; /* in use below */
	struct cmaobs_extent extent[1024];
	__u64 bitmap[4096];
};

#endif
