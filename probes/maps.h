/* SPDX-License-Identifier: GPL-2.0 */
/* The maps, and how they are reached. */

BPF_RINGBUF_OUTPUT(events, 1);	/* the loader says how many pages, and how many threads */
BPF_ARRAY(config, struct cmaobs_config, 1);
BPF_HASH(threads, __u32, struct cmaobs_thread, 1);
BPF_ARRAY(empty_thread, struct cmaobs_thread, 1);
/* one more: operations on no known area are counted where nobody looks */
BPF_PERCPU_ARRAY(counters, struct cmaobs_counters, MAX_AREAS + 1);
BPF_PERCPU_ARRAY(latencies, struct cmaobs_latency, MAX_AREAS * 7);
BPF_PERCPU_ARRAY(losses, struct cmaobs_losses, 1);
BPF_ARRAY(flight, struct cmaobs_flight, MAX_AREAS);
BPF_ARRAY(snap, struct cmaobs_snap, 1);
#ifdef WITH_PHASES
BPF_HASH(phasing, __u32, struct cmaobs_phasing, 4096);	/* allocations that run, by thread */
BPF_PERCPU_ARRAY(phase_latencies, struct cmaobs_latency, MAX_AREAS * 8);
BPF_PERCPU_ARRAY(moved, struct cmaobs_moved, MAX_AREAS + 1);
#endif
#ifdef WITH_STACKS
BPF_TABLE("stacktrace", int, struct cmaobs_stack, stacks, CMAOBS_STACKS);
#endif

/* Atomic although the maps are per CPU: an interrupt may count as well. */
static inline __attribute__((always_inline)) void add(__u64 *to, __u64 n)
{
	__sync_fetch_and_add(to, n);
}

static inline __attribute__((always_inline)) struct cmaobs_losses *lost(void)
{
	int zero = 0;

	return losses.lookup(&zero);
}

#ifdef WITH_STACKS
/*
 * The slot of the current kernel stack, plus 1; 0 where it was not kept.
 * Without BPF_F_REUSE_STACKID a slot keeps its first stack for good, and two
 * stacks that want the same slot are an error, not a mix-up.
 */
static inline __attribute__((always_inline)) __u32 stack_of(void *ctx)
{
	int id = stacks.get_stackid(ctx, 0);
	struct cmaobs_losses *l = lost();

	if (id >= 0)
		return id + 1;
	if (l)
		add(&l->stacks_failed, 1);
	return 0;
}
#else
#define stack_of(ctx) 0
#endif

static inline __attribute__((always_inline))
struct cmaobs_counters *counters_of(__u32 area)
{
	if (area > MAX_AREAS)
		area = MAX_AREAS;
	return counters.lookup(&area);
}

static inline __attribute__((always_inline))
struct cmaobs_config *armed_config(void)
{
	int zero = 0;
	struct cmaobs_config *c = config.lookup(&zero);

	return c && c->armed ? c : 0;
}

static inline __attribute__((always_inline)) __u64 pfn_of(__u64 page)
{
	struct cmaobs_config *c = armed_config();

	return c && c->vmemmap ? (page - c->vmemmap) / PAGE_STRUCT_SIZE : 0;
}

static inline __attribute__((always_inline)) __u64 read_u64(__u64 address)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (void *)address);
	return value;
}

/* The slot of a latency: 4 linear slots to each power of two from 2^7 ns. */
static inline __attribute__((always_inline)) __u64 slot_of(__u64 ns)
{
	__u64 v = ns;
	__u64 octave = 0;

	if (ns < (1ULL << CMAOBS_SLOT_FIRST))
		return 0;
	if (v >> 32) {
		octave += 32;
		v >>= 32;
	}
	if (v >> 16) {
		octave += 16;
		v >>= 16;
	}
	if (v >> 8) {
		octave += 8;
		v >>= 8;
	}
	if (v >> 4) {
		octave += 4;
		v >>= 4;
	}
	if (v >> 2) {
		octave += 2;
		v >>= 2;
	}
	octave += v >> 1;
	return 1 + ((octave - CMAOBS_SLOT_FIRST) << CMAOBS_SLOT_BITS) +
	       ((ns >> (octave - CMAOBS_SLOT_BITS)) & ((1 << CMAOBS_SLOT_BITS) - 1));
}

static inline __attribute__((always_inline))
void measure_in(struct cmaobs_latency *l, __u64 ns)
{
	__u64 slot = slot_of(ns);

	/* the compiler must not bound a copy of it: the verifier looks here */
	asm volatile("" : "+r"(slot));
	if (slot >= CMAOBS_SLOTS)
		slot = CMAOBS_SLOTS - 1;
	if (l) {
		add(&l->sum_ns, ns);
		add(&l->slots[slot], 1);
	}
}

static inline __attribute__((always_inline))
void measure(__u32 area, __u32 hist, __u64 ns)
{
	__u32 key = area * CMAOBS_HISTS + hist;

	measure_in(latencies.lookup(&key), ns);
}
