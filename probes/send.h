/* SPDX-License-Identifier: GPL-2.0 */
/* What is told of an operation or call when it ends: its time in a histogram, and a record. */

#define NO_WAKEUP 1 /* BPF_RB_NO_WAKEUP: the reader polls, waking it would cost more */

/* Whether records are sent of an operation that began then; else it is counted. */
static __always_inline int sends(__u64 start_ns)
{
	struct cmaobs_config *c = VALUE_OF(config);
	struct cmaobs_losses *l;

	if (!SENDS)
		return 0;
	if (start_ns >= c->records_since)
		return 1;
	l = lost();
	if (l)
		add(&l->withheld, 1);
	return 0;
}

/*
 * The name of the current task. It is rarely another than the last time, which is
 * seen at half the price: the copy is what the helper makes of the name, without
 * what older kernels leave behind its end.
 */
#ifdef TASK_COMM
static __always_inline void put_comm(struct cmaobs_thread *t, struct cmaobs_record *r)
{
	void *task = (void *)bpf_get_current_task_btf();
	__u64 *comm = (__u64 *)r->comm;

	comm[0] = LOAD(task, TASK_COMM);
	comm[1] = LOAD(task, TASK_COMM + 8);
	if (comm[0] == t->comm[0] && comm[1] == t->comm[1])
		return;
	bpf_get_current_comm(&r->comm, sizeof(r->comm));
	t->comm[0] = comm[0];
	t->comm[1] = comm[1];
}
#else
#define put_comm(t, r) bpf_get_current_comm(&(r)->comm, sizeof((r)->comm))
#endif

/*
 * A record in the ring, with what all have in common; none where there is no
 * room. The caller sets the rest and submits it.
 */
static __always_inline struct cmaobs_record *record_of(struct cmaobs_thread *t,
						       struct cmaobs_frame *f)
{
	struct cmaobs_record *r = events.ringbuf_reserve(sizeof(*r));
	__u64 id;

	if (!r) {
		struct cmaobs_losses *l = lost();

		if (l)
			add(&l->ring_full, 1);
		return 0;
	}
	id = bpf_get_current_pid_tgid();
	r->tid = id;
	r->tgid = id >> 32;
	r->cpu = bpf_get_smp_processor_id();
	put_comm(t, r);
	r->op_ns = f->start_ns;
	r->lost = 0;
	r->area = f->area;
	r->align = f->align;
	r->depth = t->depth - 1;
	r->flags = t->flags;
	t->flags = r->flags & ~CMAOBS_STALE;
	return r;
}

static __always_inline void send_call(struct cmaobs_thread *t, struct cmaobs_frame *f, __u64 end_ns,
				      __u16 kind, __s64 ret)
{
	struct cmaobs_record *r = record_of(t, f);

	if (!r)
		return;
	r->start_ns = f->call_ns;
	r->end_ns = end_ns;
	r->pfn = f->call_pfn;
	r->count = f->call_count;
	r->ret = ret;
	r->defer_entry = 0;
	r->defer_exit = 0;
	r->batch = 0;
	r->free_pages = 0;
	r->n_contig = 0;
	r->n_free = 0;
	r->kind = kind;
	r->path = CMAOBS_PATH_NONE;
	r->flags &= CMAOBS_STALE;
	r->stack = 0;
	r->busy = kind == CMAOBS_CONTIG && ret ? f->busy : 0;
	events.ringbuf_submit(r, NO_WAKEUP);
}

/*
 * A call inside an operation has ended. n: the area's counters, where hist tells of such calls:
 * those of allocations, whose pfn is not known yet.
 */
static __always_inline void finish_call(struct cmaobs_thread *t, struct cmaobs_frame *f,
					struct cmaobs_counters *n, __u16 kind, __s64 ret,
					__u32 hist)
{
	__u64 end_ns = bpf_ktime_get_ns();

	if (n)
		measure(n, hist, end_ns - f->call_ns, &f->pfn);
	if (sends(f->start_ns))
		send_call(t, f, end_ns, kind, ret);
}

static __always_inline void send(struct cmaobs_thread *t, struct cmaobs_frame *f, __u64 end_ns,
				 __u16 kind, __u16 path, __s64 ret, int calls, __u64 defer_entry,
				 __u64 defer_exit, __u64 batch)
{
	struct cmaobs_record *r = record_of(t, f);

	if (!r)
		return;
	r->start_ns = f->start_ns;
	r->end_ns = end_ns;
	r->pfn = f->pfn;
	r->count = f->count;
	r->ret = ret;
	r->defer_entry = defer_entry;
	r->defer_exit = defer_exit;
	r->batch = batch;
	r->free_pages = calls ? f->free_pages : 0;
	r->n_contig = calls ? f->n_contig : 0;
	r->n_free = calls ? f->n_free : 0;
	r->kind = kind;
	r->path = path;
	if (kind == CMAOBS_RELEASE)
		r->flags |= f->flags;
	r->stack = STACKS ? f->stack : 0;
	r->busy = 0;
	events.ringbuf_submit(r, NO_WAKEUP);
}

/*
 * The operation has ended; returns when. n: its area's counters, hist: where its
 * time is counted, calls: 0 where it made none, area: as in IN_AREA().
 */
static __always_inline __u64 finish(struct cmaobs_thread *t, struct cmaobs_frame *f,
				    struct cmaobs_counters *n, __u16 kind, __u16 path, __s64 ret,
				    __u32 hist, int calls, void *area)
{
	__u64 end_ns, defer_entry = 0, defer_exit = 0, batch = 0;

	if (calls && f->touched)
		end_calls(t, f);
#ifdef CMA_DEFER_COUNT
	if (SENDS && f->area != 0xffff) {
		defer_entry = f->defer_entry;
		defer_exit = IN_AREA(area, f->cma, CMA_DEFER_COUNT);
		batch = IN_AREA(area, f->cma, CMA_BATCH);
	}
#endif
	/* and before its end */
	end_ns = bpf_ktime_get_ns();
	if (n)
		measure(n, hist, end_ns - f->start_ns, &f->call_ns);
	if (sends(f->start_ns))
		send(t, f, end_ns, kind, path, ret, calls, defer_entry, defer_exit, batch);
	FLIGHT(f->place, ended);
	if (calls && f->touched)
		forget_calls(f);
	t->depth--;
	return end_ns;
}
