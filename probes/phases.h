/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the time of an allocation goes. Phases nest, and time is the innermost's: isolating a
 * pageblock may migrate, migrating may drain.
 */
#ifdef WITH_PHASES
#define PHASES 1

/* The phases of the allocation, made if it has none yet. */
static __always_inline struct cmaobs_phasing *phasing_of(struct cmaobs_frame *f)
{
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_config *c = VALUE_OF(config);
	struct cmaobs_phasing empty = {}, *p;

	if (f->kind != CMAOBS_ALLOC || f->area == 0xffff || f->start_ns < c->phases_since)
		return 0;
	p = phasing.lookup(&tid);
	if (p && p->op_ns == f->start_ns)
		return p;
	empty.op_ns = f->start_ns;
	phasing.update(&tid, &empty);
	return phasing.lookup(&tid);
}

/* Time up to now is the innermost phase's. */
static __always_inline void phase_turn(struct cmaobs_phasing *p)
{
	__u64 now = bpf_ktime_get_ns();
	__u64 at = (p->nested & 15) - 1;

	if (p->nested) {
		asm volatile("%0 &= 7" : "+r"(at));
		p->ns[at] += now - p->since_ns;
	}
	p->since_ns = now;
}

static __always_inline void phase_begin(struct cmaobs_frame *f, __u64 phase)
{
	struct cmaobs_phasing *p = phasing_of(f);

	/* a mutex that is spun on and then slept on begins twice */
	if (!p || (phase == CMAOBS_PHASE_WAITING && (p->nested & 15) == phase + 1))
		return;
	phase_turn(p);
	p->nested = p->nested << 4 | (phase + 1);
}

static __always_inline struct cmaobs_phasing *phase_end(struct cmaobs_frame *f, __u64 phase)
{
	struct cmaobs_phasing *p = phasing_of(f);

	if (!p)
		return 0;
	phase_turn(p);
	if ((p->nested & 15) == phase + 1)
		p->nested >>= 4;
	else
		p->missed = 1;
	return p;
}

static __always_inline void measure_phase(struct cmaobs_phasing *p, __u32 area, __u32 phase,
					  __u64 ns)
{
	__u32 key = area * CMAOBS_PHASES + phase;

	if (ns)
		measure_in(phase_latencies.lookup(&key), ns, &p->since_ns);
}

static __always_inline void send_phased(struct cmaobs_frame *f, struct cmaobs_phasing *p,
					__u16 path, __u64 end_ns)
{
	__u64 id = bpf_get_current_pid_tgid();
	struct cmaobs_phased *r;

	if (!SENDS)
		return;
	r = events.ringbuf_reserve(sizeof(*r));
	if (!r) {
		struct cmaobs_losses *l = lost();

		if (l)
			add(&l->ring_full, 1);
		return;
	}
	r->start_ns = f->start_ns;
	r->end_ns = end_ns;
	r->op_ns = f->start_ns;
	r->waiting_ns = p->ns[CMAOBS_PHASE_WAITING];
	r->flushing_ns = p->ns[CMAOBS_PHASE_FLUSHING];
	r->isolating_ns = p->ns[CMAOBS_PHASE_ISOLATING];
	r->draining_ns = p->ns[CMAOBS_PHASE_DRAINING];
	r->reclaiming_ns = p->ns[CMAOBS_PHASE_RECLAIMING];
	r->migrating_ns = p->ns[CMAOBS_PHASE_MIGRATING];
	r->testing_ns = p->ns[CMAOBS_PHASE_TESTING];
	r->tid = id;
	r->tgid = id >> 32;
	r->isolated = p->isolated;
	r->migrated = p->migrated;
	r->lost = 0;
	r->kind = CMAOBS_PHASED;
	r->path = path;
	r->area = f->area;
	r->cpu = bpf_get_smp_processor_id();
	r->missed = p->missed;
	bpf_get_current_comm(&r->comm, sizeof(r->comm));
	r->failed = p->failed;
	r->reclaimed = p->reclaimed;
	events.ringbuf_submit(r, 1 /* BPF_RB_NO_WAKEUP */);
}

/* The allocation has ended. */
static __always_inline void phases_end(struct cmaobs_frame *f, __u16 path, __u64 end_ns)
{
	__u32 tid = bpf_get_current_pid_tgid(), area = f->area;
	struct cmaobs_phasing *p = phasing.lookup(&tid);
	struct cmaobs_moved *m = moved.lookup(&area);
	struct cmaobs_config *c = VALUE_OF(config);
	struct cmaobs_losses *l = lost();
	__u64 sum = 0, whole = end_ns - f->start_ns;

	if (f->start_ns < c->phases_since) {
		if (l)
			add(&l->phases_withheld, 1);
		phasing.delete(&tid);
		return;
	}
	if (!p || p->op_ns != f->start_ns)
		return;
	p->missed |= p->nested != 0;
#pragma unroll
	for (int i = 0; i < CMAOBS_PHASE_UNEXPLAINED; i++) {
		sum += p->ns[i];
		measure_phase(p, area, i, p->ns[i]);
	}
	measure_phase(p, area, CMAOBS_PHASE_UNEXPLAINED, whole > sum ? whole - sum : 0);
	if (m) {
		add(&m->isolated, p->isolated);
		add(&m->migrated, p->migrated);
		add(&m->failed, p->failed);
		add(&m->reclaimed, p->reclaimed);
		add(&m->missed, p->missed);
	}
	send_phased(f, p, path, end_ns);
	phasing.delete(&tid);
}

static __always_inline void phases_forget(__u32 tid)
{
	phasing.delete(&tid);
}

#define PHASE_BEGIN(f, phase) phase_begin(f, phase)
#define PHASE_END(f, phase) phase_end(f, phase)
#define PHASES_END(f, path, end_ns) phases_end(f, path, end_ns)
#define PHASES_FORGET(tid) phases_forget(tid)
#else
#define PHASES 0
#define PHASE_BEGIN(f, phase)
#define PHASE_END(f, phase) ((void)0)
#define PHASES_END(f, path, end_ns) end_ns
#define PHASES_FORGET(tid)
#endif
