/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The stack of operations in flight on a thread.
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

/* The compiler would drop a mask that it knows to be idle: the verifier needs it. */
static __always_inline struct cmaobs_frame *frame_at(struct cmaobs_thread *t, __u64 depth)
{
	struct cmaobs_frame *f;

	asm volatile("%0 &= 3" : "+r"(depth));
	f = &t->frames[depth];
	/* a register of its own, not to be computed again for each member */
	asm volatile("" : "+r"(f));
	__builtin_assume(f != 0);
	return f;
}

/* In a frame's touched. */
#define TOUCHED 1     /* a call was made inside */
#define CALL_MISSED 2 /* an end of one was not seen: what it did is not known */

/*
 * What calls inside leave in a frame is cleared when it ends, if there were any:
 * one that begins has none of it without a store.
 */
static __always_inline void forget_calls(struct cmaobs_frame *f)
{
	f->free_pages = 0;
	f->contig_ret = 0;
	f->n_contig = 0;
	f->n_free = 0;
	f->in_contig = 0;
	f->in_free = 0;
	f->flags = 0;
	f->touched = 0;
}

static __always_inline void drop_frame(struct cmaobs_thread *t)
{
	struct cmaobs_losses *l = lost();
	struct cmaobs_frame *f;

	if (l)
		add(&l->stale_entries, 1);
	/* operations nested too deep have no frame; they are inside those that have */
	if (t->depth > CMAOBS_DEPTH)
		t->depth = CMAOBS_DEPTH;
	t->depth--;
	f = frame_at(t, t->depth);
	FLIGHT(f->place, ended);
	forget_calls(f);
	t->flags |= CMAOBS_STALE;
}

static __always_inline void drop_frames(struct cmaobs_thread *t)
{
	for (int i = 0; i < CMAOBS_DEPTH; i++)
		if (t->depth)
			drop_frame(t);
}

/* Frames below the stack pointer are of calls that have returned. */
static __always_inline void drop_stale(struct cmaobs_thread *t, __u64 sp)
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
static __always_inline struct cmaobs_thread *enter(void)
{
	struct cmaobs_thread *t = known();

	return t ? t : follow_new();
}

/* A return whose entry was not seen. */
static __always_inline void orphan(void)
{
	struct cmaobs_config *c = VALUE_OF(config);
	struct cmaobs_losses *l = lost();

	if (l && c->armed)
		add(&l->orphan_returns, 1);
}

/* A call inside whose entry was seen, and its return was not. */
static __always_inline void miss_return(struct cmaobs_frame *f)
{
	struct cmaobs_losses *l = lost();

	if (l)
		add(&l->stale_entries, 1);
	f->touched |= CALL_MISSED;
}

/* The other way round. */
static __always_inline void miss_entry(struct cmaobs_frame *f)
{
	orphan();
	f->touched |= CALL_MISSED;
}

/* The operation ends: so have its calls. */
static __always_inline void end_calls(struct cmaobs_thread *t, struct cmaobs_frame *f)
{
	if (f->in_contig || f->in_free)
		miss_return(f);
	if (f->touched & CALL_MISSED)
		t->flags |= CMAOBS_STALE;
}

/* The thread of an operation that ends. */
static __always_inline struct cmaobs_thread *leave(void)
{
	struct cmaobs_thread *t = known();

	if (!t)
		orphan();
	return t;
}

/* The thread of a call, if it is inside an operation. */
static __always_inline struct cmaobs_thread *follow(void)
{
	struct cmaobs_thread *t = known();

	return t && t->depth ? t : 0;
}

/* The thread ends. */
static __always_inline void forget(void)
{
	struct cmaobs_thread *t = known();

	if (!t)
		return;
	drop_frames(t);
	give_up();
}

/* at: STACK, or the context of a program that has it on the same stack. */
static __always_inline struct cmaobs_frame *current_frame(struct cmaobs_thread *t, __u64 at)
{
	drop_stale(t, PLAIN(t, at));
	if (!t->depth || t->depth > CMAOBS_DEPTH)
		return 0;
	return frame_at(t, t->depth - 1);
}

/* The frame of an operation inside of others; none if there are too many. */
static __always_inline struct cmaobs_frame *inner_frame(struct cmaobs_thread *t, __u64 at)
{
	struct cmaobs_losses *l;

	drop_stale(t, PLAIN(t, at));
	if (t->depth < CMAOBS_DEPTH)
		return frame_at(t, t->depth);
	/* counted in depth, so that the returns still pair */
	l = lost();
	if (l)
		add(&l->too_deep, 1);
	t->depth++;
	return 0;
}

/*
 * Where an area is in cma_areas[]. The difference of addresses is divided exactly,
 * by the inverse modulo 2^64 of the odd part of the size: where that is no whole
 * number, what comes out is far beyond all areas.
 */
static __always_inline __u64 index_of(__u64 cma)
{
	struct cmaobs_config *c = VALUE_OF(config);

	return ((cma - c->cma_areas) >> CMA_SIZE_SHIFT) * CMA_SIZE_INVERSE;
}

/* at: STACK; area: as in IN_AREA(). */
static __always_inline void begin(struct cmaobs_thread *t, __u8 kind, __u64 cma, __u64 page,
				  __u64 count, __u8 align, __u32 stack, __u64 at, void *area)
{
	struct cmaobs_config *c = VALUE_OF(config);
	/*
	 * One in an interrupt is not asked for its event: it may come while this CPU
	 * runs the event's program for the release around it, which the kernel skips.
	 */
	__u16 flags = SENDS && kind == CMAOBS_RELEASE ? c->silent : 0;
	struct cmaobs_frame *f = &t->frames[0];
	struct cmaobs_losses *l;
	__u64 place, index;

	if (t->depth) {
		f = inner_frame(t, at);
		if (!f)
			return;
		flags = 0;
	}
	cma = KEEP(f->cma, cma);
	place = index = index_of(cma);
	if (index >= c->area_count) {
		/* set with the count: before, all operations come here */
		if (!c->armed)
			return;
		l = lost();
		if (l)
			add(&l->unknown_area, cma != 0);
		index = 0xffff;
		place = MAX_AREAS;
	}
	FLIGHT(place, begun);

	f->sp = at;
	f->count = count;
	f->place = place;
	f->area = index;
	f->kind = kind;
	if (SENDS) {
		f->pfn = page ? pfn_of(KEEP(f->pfn, page)) : 0;
		f->align = align;
		if (STACKS)
			f->stack = stack;
		f->flags = flags;
	}
	/* what is read must lie in the interval: after its beginning */
	f->start_ns = bpf_ktime_get_ns();
#ifdef CMA_DEFER_COUNT
	if (SENDS)
		f->defer_entry = place < MAX_AREAS ? IN_AREA(area, cma, CMA_DEFER_COUNT) : 0;
#endif
	t->depth++;
}

/*
 * Whether it is the frame of an operation of that kind whose function returns.
 * The programs at both ends of a function find its arguments in one place.
 */
static __always_inline int returns(struct cmaobs_frame *f, __u8 kind, __u64 at)
{
#ifdef CMAOBS_FENTRY
	return f->kind == kind && f->sp == at;
#else
	return f->kind == kind && f->sp - (at - RETURN_SLACK) <= RETURN_SLACK;
#endif
}

/* The same where operations nest, or a return was missed. */
static __always_inline struct cmaobs_frame *inner_top(struct cmaobs_thread *t, __u8 kind, __u64 at)
{
	struct cmaobs_frame *f;

	if (t->depth > CMAOBS_DEPTH) {
		t->depth--;
		return 0;
	}
	f = frame_at(t, t->depth - 1);
	if (t->depth && returns(f, kind, at))
		return f;
	drop_stale(t, PLAIN(t, at) - RETURN_SLACK);
	f = frame_at(t, t->depth - 1);
	if (t->depth && returns(f, kind, at))
		return f;
	orphan();
	return 0;
}

/* The frame of the operation that returns, or none: its entry was missed. */
static __always_inline struct cmaobs_frame *top(struct cmaobs_thread *t, __u8 kind, __u64 at)
{
	struct cmaobs_frame *f = &t->frames[0];

	if (t->depth == 1 && returns(f, kind, at))
		return f;
	return inner_top(t, kind, at);
}
