/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stack of operations in flight on a thread, and what is sent of them.
 *
 * Operations nest: an allocation reclaims, the shrinker of a driver releases.
 * A return that the kernel did not deliver (kretprobe maxactive, recursion)
 * leaves a frame behind. It is recognised by its place on the thread's stack
 * when the next operation comes by, counted, and dropped.
 */

/* A stack pointer further off belongs to another stack (interrupts). */
#define STACK_SPAN 32768
/* Between the stack pointer at entry and the one at return. */
#define RETURN_SLACK 64

#define PF_KTHREAD 0x00200000	/* include/linux/sched.h */

/* enum cmaobs_flag: what the current thread is. */
static inline __attribute__((always_inline)) __u16 thread_kind(void)
{
#ifdef TASK_FLAGS
	__u32 flags;

	if (!bpf_probe_read_kernel(&flags, sizeof(flags),
				   (void *)(bpf_get_current_task() + TASK_FLAGS)))
		return flags & PF_KTHREAD ? CMAOBS_KTHREAD : CMAOBS_PROCESS;
#endif
	return 0;
}

/* The compiler would drop a mask that it knows to be idle: the verifier needs it. */
static inline __attribute__((always_inline))
struct cmaobs_frame *frame_at(struct cmaobs_thread *t, __u64 depth)
{
	asm volatile("%0 &= 3" : "+r"(depth));
	return &t->frames[depth];
}

static inline __attribute__((always_inline)) void ended(__u32 area)
{
	struct cmaobs_flight *a = flight.lookup(&area);

	if (a)
		add(&a->ended, 1);
}

static inline __attribute__((always_inline)) void drop_frame(struct cmaobs_thread *t)
{
	struct cmaobs_losses *l = lost();

	if (l)
		add(&l->stale_entries, 1);
	if (t->depth <= CMAOBS_DEPTH)
		ended(frame_at(t, t->depth - 1)->area);
	t->stale = 1;
	t->depth--;
}

static inline __attribute__((always_inline)) void drop_frames(struct cmaobs_thread *t)
{
	for (int i = 0; i < CMAOBS_DEPTH; i++)
		if (t->depth)
			drop_frame(t);
}

/* Frames below the stack pointer are of calls that have returned. */
static inline __attribute__((always_inline))
void drop_stale(struct cmaobs_thread *t, __u64 sp)
{
	for (int i = 0; i < CMAOBS_DEPTH; i++) {
		__u64 below;

		if (!t->depth || t->depth > CMAOBS_DEPTH)
			return;
		below = sp - frame_at(t, t->depth - 1)->sp;
		if (below >= STACK_SPAN)
			return;
		drop_frame(t);
	}
}

/* The thread of an operation that begins; made if it is new. */
static inline __attribute__((always_inline)) struct cmaobs_thread *enter(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_thread *t, *empty;
	struct cmaobs_losses *l;
	int zero = 0;

	if (!armed_config())
		return 0;
	t = threads.lookup(&tid);
	if (t)
		return t;
	empty = empty_thread.lookup(&zero);
	if (empty)
		threads.update(&tid, empty);
	t = threads.lookup(&tid);
	l = lost();
	if (!t && l)
		add(&l->threads_full, 1);
	return t;
}

/* The thread of an operation that ends. */
static inline __attribute__((always_inline)) struct cmaobs_thread *leave(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_thread *t;
	struct cmaobs_losses *l;

	if (!armed_config())
		return 0;
	t = threads.lookup(&tid);
	if (t && t->depth)
		return t;
	l = lost();
	if (l)
		add(&l->orphan_returns, 1);
	return 0;
}

/* The thread of a call, if it is inside an operation. */
static inline __attribute__((always_inline)) struct cmaobs_thread *follow(void)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_thread *t = threads.lookup(&tid);

	return t && t->depth ? t : 0;
}

static inline __attribute__((always_inline))
struct cmaobs_frame *current_frame(struct cmaobs_thread *t)
{
	drop_stale(t, *(volatile __u64 *)&t->raw[4]);
	if (!t->depth || t->depth > CMAOBS_DEPTH)
		return 0;
	return frame_at(t, t->depth - 1);
}

static inline __attribute__((always_inline))
void begin(struct cmaobs_thread *t, __u8 kind, __u64 cma, __u64 pfn,
	   __u64 count, __u8 align, __u32 stack)
{
	struct cmaobs_config *c = armed_config();
	struct cmaobs_losses *l = lost();
	__u64 sp = *(volatile __u64 *)&t->raw[4];
	struct cmaobs_flight *a;
	struct cmaobs_frame *f;
	__u32 area;

	if (!c || !l)
		return;
	drop_stale(t, sp);
	if (t->depth >= CMAOBS_DEPTH) {
		/* counted in depth, so that the returns still pair */
		add(&l->too_deep, 1);
		t->depth++;
		return;
	}

	area = (cma - c->cma_areas) / CMA_SIZE;
	if (cma < c->cma_areas || area >= c->area_count) {
		add(&l->unknown_area, cma != 0);
		area = 0xffff;
	}
	a = flight.lookup(&area);
	if (a)
		add(&a->begun, 1);

	f = frame_at(t, t->depth);
	f->sp = sp;
	f->cma = cma;
	f->pfn = pfn;
	f->count = count;
	f->call_ns = 0;
	f->free_pages = 0;
	f->contig_ret = 0;
	f->n_contig = 0;
	f->n_free = 0;
	f->area = area;
	f->kind = kind;
	f->align = align;
	f->stack = stack;
	f->in_contig = 0;
	f->in_free = 0;
	f->busy = 0;
	f->flags = 0;
	/* what is read must lie in the interval: after its beginning */
	f->start_ns = bpf_ktime_get_ns();
#ifdef CMA_DEFER_COUNT
	f->defer_entry = area == 0xffff ? 0 : read_u64(cma + CMA_DEFER_COUNT);
#endif
	t->depth++;
}

/* The frame of the operation that returns, or none: its entry was missed. */
static inline __attribute__((always_inline))
struct cmaobs_frame *top(struct cmaobs_thread *t, __u8 kind)
{
	__u64 sp = *(volatile __u64 *)&t->raw[4];
	struct cmaobs_losses *l = lost();
	struct cmaobs_frame *f;

	if (t->depth > CMAOBS_DEPTH) {
		t->depth--;
		return 0;
	}
	drop_stale(t, sp - RETURN_SLACK);
	if (t->depth && t->depth <= CMAOBS_DEPTH) {
		f = frame_at(t, t->depth - 1);
		if (f->kind == kind && f->sp - (sp - RETURN_SLACK) <= RETURN_SLACK)
			return f;
	}
	if (l)
		add(&l->orphan_returns, 1);
	return 0;
}

static inline __attribute__((always_inline))
void send(struct cmaobs_thread *t, struct cmaobs_frame *f,
	  const struct cmaobs_record *values)
{
	struct cmaobs_config *c = armed_config();
	struct cmaobs_losses *l = lost();
	__u64 id = bpf_get_current_pid_tgid();
	struct cmaobs_record *r;

	if (!c || !l || !c->send)
		return;
	r = events.ringbuf_reserve(sizeof(*r));
	if (!r) {
		add(&l->ring_full, 1);
		return;
	}
	__builtin_memcpy(r, values, sizeof(*r));
	r->op_ns = f->start_ns;
	r->tid = id;
	r->tgid = id >> 32;
	r->cpu = bpf_get_smp_processor_id();
	r->area = f->area;
	r->align = f->align;
	r->depth = t->depth - 1;
	r->flags = values->flags | (t->stale ? CMAOBS_STALE : 0);
	r->lost = l->ring_full;
	t->stale = 0;
	bpf_get_current_comm(&r->comm, sizeof(r->comm));
	/* the reader polls: waking it for each record would cost more */
	events.ringbuf_submit(r, 1 /* BPF_RB_NO_WAKEUP */);
	add(&l->sent, 1);
}

static inline __attribute__((always_inline))
void send_call(struct cmaobs_thread *t, struct cmaobs_frame *f, __u16 kind,
	       __s64 ret, __u32 hist)
{
	struct cmaobs_record r = {
		.start_ns = f->call_ns,
		.end_ns = bpf_ktime_get_ns(),
		.pfn = f->call_pfn,
		.count = f->call_count,
		.ret = ret,
		.kind = kind,
		.busy = kind == CMAOBS_CONTIG && ret ? f->busy : 0,
	};

	if (hist < CMAOBS_HISTS && f->area != 0xffff)
		measure(f->area, hist, r.end_ns - r.start_ns);
	send(t, f, &r);
}

/* Sends the operation's record; returns when it ended. */
static inline __attribute__((always_inline))
__u64 finish(struct cmaobs_thread *t, struct cmaobs_frame *f, __u16 path,
	    __s64 ret, __u32 hist)
{
	struct cmaobs_record r = {
		.start_ns = f->start_ns,
		.pfn = f->pfn,
		.count = f->count,
		.ret = ret,
		.defer_entry = f->defer_entry,
		.free_pages = f->free_pages,
		.n_contig = f->n_contig,
		.n_free = f->n_free,
		.kind = f->kind,
		.path = path,
		.flags = thread_kind() | (f->flags & CMAOBS_SILENT),
		.stack = f->stack,
	};

#ifdef CMA_DEFER_COUNT
	if (f->area != 0xffff) {
		r.defer_exit = read_u64(f->cma + CMA_DEFER_COUNT);
		r.batch = read_u64(f->cma + CMA_BATCH);
	}
#endif
	/* and before its end */
	r.end_ns = bpf_ktime_get_ns();
	if (hist < CMAOBS_HISTS)
		measure(f->area, hist, r.end_ns - r.start_ns);
	send(t, f, &r);
	ended(f->area);
	t->depth--;
	return r.end_ns;
}
