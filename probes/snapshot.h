/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reading an area from the kernel: run by user space through
 * BPF_PROG_TEST_RUN, not attached to anything.
 *
 * Nothing is locked. The counts of begun and ended operations are read before
 * and after, so that user space knows whether anything could have changed
 * meanwhile; every walk is bounded and goes on in the next call.
 */

static __always_inline void read_flight(struct cmaobs_snap *s, __u64 area, int after)
{
	struct cmaobs_flights *all = VALUE_OF(flight);

	asm volatile("" : "+r"(area));
	if (area < MAX_AREAS) {
		s->begun[after] = *(volatile __u64 *)&all->area[area].begun;
		s->ended[after] = *(volatile __u64 *)&all->area[area].ended;
	}
}

#ifdef CMA_DEFER_COUNT
static __always_inline void read_extents(struct cmaobs_snap *s, __u64 cma, __u64 node)
{
	__u64 head = cma + CMA_DEFER_FREE;
	__u64 area[EXTENT_SIZE / 8];

	if (!node)
		node = read_u64(head);
	for (int i = 0; i < CMAOBS_SNAP_EXTENTS; i++) {
		if (node == head) {
			s->next = 0;
			return;
		}
		if (bpf_probe_read_kernel(area, sizeof(area), (void *)(node - EXTENT_LIST))) {
			s->fault = 1;
			return;
		}
		s->extent[i].pfn = area[EXTENT_PFN / 8];
		s->extent[i].count = area[EXTENT_COUNT / 8];
		s->extents = i + 1;
		node = area[EXTENT_LIST / 8];
	}
	s->next = node == head ? 0 : node;
}
#endif

/*
 * args: area index, struct cma, first bitmap word, list node or 0, and which of
 * the area's ranges: up to 6.14 the struct cma itself
 */
int snapshot(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 index = ctx->args[0];
	__u64 cma = ctx->args[1];
	__u64 word = ctx->args[2];
	__u64 node = ctx->args[3];
	__u64 range = ctx->args[4];
	struct cmaobs_snap *s;
	__u64 words, bitmap;
	int zero = 0;

	s = snap.lookup(&zero);
	if (!s)
		return 0;
	s->start_ns = bpf_ktime_get_ns();
	s->fault = 0;
	s->extents = 0;
	s->next = 0;
	read_flight(s, index, 0);

	words = ((read_u64(range + RANGE_COUNT) >> (read_u64(cma + CMA_ORDER) & 0xffffffff)) + 63) /
		64;
	bitmap = read_u64(range + RANGE_BITMAP);
	words = words > word ? words - word : 0;
	if (words > CMAOBS_SNAP_WORDS)
		words = CMAOBS_SNAP_WORDS;
	if (words && bpf_probe_read_kernel(s->bitmap, words * 8, (void *)(bitmap + word * 8)))
		s->fault = 1;
#ifdef CMA_DEFER_COUNT
	s->defer_count[0] = read_u64(cma + CMA_DEFER_COUNT);
	read_extents(s, cma, node);
	s->defer_count[1] = read_u64(cma + CMA_DEFER_COUNT);
	s->batch = read_u64(cma + CMA_BATCH);
#endif
#ifdef CMA_POLICY
	s->policy = read_u64(cma + CMA_POLICY) & 0xffffffff;
#endif
#ifdef CMA_SHRINKER_BATCH
	s->shrinker_batch = read_u64(cma + CMA_SHRINKER_BATCH);
#elif defined(SHRINKER_BATCH)
	s->shrinker_batch = read_u64(read_u64(cma + CMA_SHRINKER) + SHRINKER_BATCH);
#endif
#ifdef CMA_SUCCEEDED
	s->pages_succeeded = read_u64(cma + CMA_SUCCEEDED);
	s->pages_failed = read_u64(cma + CMA_FAILED);
#endif
	read_flight(s, index, 1);
	s->end_ns = bpf_ktime_get_ns();
	return 0;
}

/* args: address, bytes. The result is in snap's bitmap. */
int peek(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 address = ctx->args[0];
	__u64 bytes = ctx->args[1];
	struct cmaobs_snap *s;
	int zero = 0;

	s = snap.lookup(&zero);
	if (!s)
		return 0;
	if (bytes > sizeof(s->bitmap))
		bytes = sizeof(s->bitmap);
	s->fault = bytes && bpf_probe_read_kernel(s->bitmap, bytes, (void *)address) ? 1 : 0;
	return 0;
}

/*
 * The thread that runs on this CPU, and its kernel stack: run on each CPU.
 * The result is in snap's bitmap: thread, bytes of the stack, the stack.
 */
int running(struct bpf_raw_tracepoint_args *ctx)
{
	struct cmaobs_snap *s;
	int zero = 0;

	s = snap.lookup(&zero);
	if (!s)
		return 0;
	s->bitmap[0] = bpf_get_current_pid_tgid() & 0xffffffff;
	s->bitmap[1] = bpf_get_stack(ctx, &s->bitmap[2], CMAOBS_RUNNING_FRAMES * 8, 0);
	return 0;
}
