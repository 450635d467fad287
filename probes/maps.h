/* SPDX-License-Identifier: GPL-2.0 */
/* The maps, and how they are reached. */

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* The value of a map of one, without a call: BPF_PSEUDO_MAP_VALUE, by cmaobs/kernel/compiler.py. */
#define VALUE_OF(map)                                                \
	({                                                           \
		void *value = (void *)bpf_pseudo_fd(2, VALUE_##map); \
		__builtin_assume(value != 0);                        \
		value;                                               \
	})
#define MMAPABLE 1024 /* BPF_F_MMAPABLE */

/* Compiled in where records are wanted: who only counts pays for nothing else. */
#ifdef WITH_RECORDS
#define SENDS 1
#else
#define SENDS 0
#endif

/*
 * THREAD_SLOTS times struct cmaobs_thread (slots.h), but as bytes: bcc compiles
 * code for each element of any other array, which nobody calls.
 */
struct cmaobs_slots {
	char bytes[SLOTS_BYTES];
};

/* A power of two above MAX_AREAS: the last is of operations on no known area. */
struct cmaobs_flights {
	struct cmaobs_flight area[FLIGHTS];
};

BPF_RINGBUF_OUTPUT(events, 1); /* the loader says how many pages, and how many threads */
BPF_ARRAY(config, struct cmaobs_config, 1);
BPF_F_TABLE("array", int, struct cmaobs_slots, slots, 1, MMAPABLE);
BPF_HASH(threads, __u32, struct cmaobs_thread, 1);
BPF_ARRAY(empty_thread, struct cmaobs_thread, 1);
/* one more: operations on no known area are counted where nobody looks */
BPF_PERCPU_ARRAY(counted, struct cmaobs_counted, MAX_AREAS + 1);
BPF_PERCPU_ARRAY(losses, struct cmaobs_losses, 1);
BPF_ARRAY(flight, struct cmaobs_flights, 1);
BPF_ARRAY(snap, struct cmaobs_snap, 1);
#ifdef WITH_PHASES
BPF_HASH(phasing, __u32, struct cmaobs_phasing, 4096); /* allocations that run, by thread */
BPF_PERCPU_ARRAY(phase_latencies, struct cmaobs_latency, MAX_AREAS * 8);
BPF_PERCPU_ARRAY(moved, struct cmaobs_moved, MAX_AREAS + 1);
#endif
#ifdef WITH_STACKS
BPF_TABLE("stacktrace", int, struct cmaobs_stack, stacks, CMAOBS_STACKS);
BPF_HASH(callers, __u32, __u64, CMAOBS_CALLERS); /* return addresses, by a hash of them */
#endif

/* Atomic although the maps are per CPU: an interrupt may count as well. */
static __always_inline void add(__u64 *to, __u64 n)
{
	__sync_fetch_and_add(to, n);
}

static __always_inline struct cmaobs_losses *lost(void)
{
	int zero = 0;

	return losses.lookup(&zero);
}

#ifdef WITH_STACKS
#define STACKS 1

/*
 * A number for the caller, shifted to its place; 0 where it was not kept, for
 * the same reasons as below.
 */
static __always_inline __u32 caller_of(__u64 caller)
{
	__u32 slot = (caller * 0x9e3779b97f4a7c15ULL) >> (64 - CMAOBS_CALLER_BITS);
	__u64 *kept = callers.lookup(&slot);

	if (!kept) {
		callers.insert(&slot, &caller);
		kept = callers.lookup(&slot);
	}
	return kept && *kept == caller ? (slot + 1) << CMAOBS_CALLER_SHIFT : 0;
}

/*
 * The slot of the current kernel stack, plus 1, with the number of the caller
 * where that is told apart; 0 where it was not kept.
 * Without BPF_F_REUSE_STACKID a slot keeps its first stack for good, and two
 * stacks that want the same slot are an error, not a mix-up.
 */
static __always_inline __u32 stack_of(void *ctx, __u64 caller)
{
	__u32 above = 0;
	struct cmaobs_config *c = VALUE_OF(config);
	struct cmaobs_losses *l = lost();
	int id;

	if (c->stacks_withheld) {
		if (l)
			add(&l->stacks_withheld, 1);
		return 0;
	}
	id = stacks.get_stackid(ctx, 0);
	if (caller)
		above = caller_of(caller);
	if (id >= 0 && (above || !caller))
		return above | (id + 1);
	if (l)
		add(&l->stacks_failed, 1);
	return 0;
}
#else
#define STACKS 0
#define stack_of(ctx, caller) 0
#endif

static __always_inline struct cmaobs_counters *counters_of(struct cmaobs_frame *f)
{
	struct cmaobs_counted *found = counted.lookup(&f->place);

	return found ? &found->counters : 0;
}

/* Counts an operation as begun or ended. */
#define FLIGHT(place, side)                                                              \
	do {                                                                             \
		struct cmaobs_flights *all = VALUE_OF(flight);                           \
		__u64 at = (place);                                                      \
                                                                                         \
		/* for the verifier: the compiler would drop what it knows to be idle */ \
		asm volatile("%0 &= %1" : "+r"(at) : "i"(FLIGHTS - 1));                  \
		add(&all->area[at].side, 1);                                             \
	} while (0)

/* Of a page that a record tells of. */
static __always_inline __u64 pfn_of(__u64 page)
{
	struct cmaobs_config *c = VALUE_OF(config);

	return SENDS && c->vmemmap ? (page - c->vmemmap) / PAGE_STRUCT_SIZE : 0;
}

static __always_inline __u64 read_u64(__u64 address)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* The slot of a latency between 2^octave and twice that: two bits behind the highest tell. */
#define SLOT(ns, octave)                           \
	(((ns) >> ((octave) - CMAOBS_SLOT_BITS)) + \
	 ((octave) - CMAOBS_SLOT_FIRST - 1) * (1 << CMAOBS_SLOT_BITS) + 1)

/* One step of a search for the highest bit; the barrier keeps it one branch. */
#define HALVE(v, octave, bits)                      \
	do {                                        \
		if ((v) >> (bits)) {                \
			asm volatile("" : "+r"(v)); \
			(octave) += (bits);         \
			(v) >>= (bits);             \
		}                                   \
	} while (0)

/* The slot of a latency: 4 linear slots to each power of two from 2^7 ns. */
static __always_inline __u64 slot_of(__u64 ns)
{
	__u64 octave = 15;
	__u64 v = ns >> 15;

	if (v) {
		HALVE(v, octave, 32);
		HALVE(v, octave, 16);
		HALVE(v, octave, 8);
		HALVE(v, octave, 4);
		HALVE(v, octave, 2);
		HALVE(v, octave, 1);
		return SLOT(ns, octave);
	}
	/* below 33 us, as hits and releases are, in few steps */
	if (ns >> 11) {
		if (ns >> 13)
			return ns >> 14 ? SLOT(ns, 14) : SLOT(ns, 13);
		return ns >> 12 ? SLOT(ns, 12) : SLOT(ns, 11);
	}
	if (ns >> 9)
		return ns >> 10 ? SLOT(ns, 10) : SLOT(ns, 9);
	if (ns >> 8)
		return SLOT(ns, 8);
	return ns >> 7 ? SLOT(ns, 7) : 0;
}

/* spare: 8 bytes of a map that nobody needs meanwhile. */
static __always_inline void measure_in(struct cmaobs_latency *l, __u64 ns, __u64 *spare)
{
	__u64 slot;

	if (!l)
		return;
	/* read back, so that the verifier does not follow each way there to the end */
	*(volatile __u64 *)spare = slot_of(ns);
	slot = *(volatile __u64 *)spare;
	/*
	 * As an instruction that compares with a constant: of others the
	 * verifier of 6.1 does not see where they can only go one way.
	 */
	asm volatile("if %0 > %1 goto +1; goto +1; %0 = %1" : "+r"(slot) : "i"(CMAOBS_SLOTS - 1));
	add(&l->sum_ns, ns);
	add(&l->slots[slot], 1);
}

/* n: what counters_of() found. */
static __always_inline void measure(struct cmaobs_counters *n, __u64 hist, __u64 ns, __u64 *spare)
{
	struct cmaobs_counted *to = (struct cmaobs_counted *)n;

	if (hist < CMAOBS_HISTS)
		measure_in(&to->latencies[hist], ns, spare);
}
