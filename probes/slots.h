/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where struct cmaobs_thread of a thread is kept.
 *
 * A thread keeps its place from its first operation to its end: a slot, found
 * by its task_struct without a call, or where another thread has that slot an
 * element of a hash, which costs ten times as much.
 */

#define PF_EXITING 0x00000004 /* include/linux/sched.h */
#define PF_KTHREAD 0x00200000
#define THREAD_SHIFT 9 /* of the bytes of struct cmaobs_thread */

static __always_inline struct cmaobs_thread *slot_at(__u64 task)
{
	void *all = VALUE_OF(slots);
	/* spread: 2^32 by the golden ratio; what is above 2^32 tells the slot */
	__u64 at = task * 0x61c88647 >> (32 - THREAD_SHIFT);

	_Static_assert(sizeof(struct cmaobs_thread) == 1 << THREAD_SHIFT,
		       "a slot is found by a shift");
	asm volatile("%0 &= %1" : "+r"(at) : "i"((THREAD_SLOTS - 1) << THREAD_SHIFT));
	return all + at;
}

static __always_inline int has_slot(struct cmaobs_thread *t, __u64 task)
{
	return *(volatile __u64 *)&t->task == task;
}

/* The current thread, if it had an operation before. */
static __always_inline struct cmaobs_thread *known(void)
{
	__u64 task = bpf_get_current_task();
	struct cmaobs_thread *t = slot_at(task);
	__u32 tid;

	__builtin_assume(t != 0);
	if (has_slot(t, task))
		return t;
	tid = bpf_get_current_pid_tgid();
	return threads.lookup(&tid);
}

/*
 * Whether the slot is the thread's from now on. Of threads that try at once
 * one finds itself alone, or none. What is added to task is taken away again
 * by thread_exit: in whatever order another CPU sees that, the sum is right.
 */
static __always_inline int claim(struct cmaobs_thread *t, __u64 task)
{
	volatile __u64 *claims = &t->claims;

	if (*claims)
		return 0;
	add(&t->claims, 1);
	if (*claims != 1) {
		add(&t->claims, -1);
		return 0;
	}
	t->depth = 0;
	t->leaving = 0;
	add(&t->task, task);
	return 1;
}

/* A place for the current thread; none if there is no room. */
static __always_inline struct cmaobs_thread *follow_new(void)
{
	__u64 task = bpf_get_current_task();
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_thread *t = slot_at(task);
	__u32 of_task = 0;
	__u16 flags = 0;

#ifdef TASK_FLAGS
	if (!bpf_probe_read_kernel(&of_task, sizeof(of_task), (void *)(task + TASK_FLAGS)))
		flags = of_task & PF_KTHREAD ? CMAOBS_KTHREAD : CMAOBS_PROCESS;
#endif
	/* thread_exit may have run for one that is leaving: it gets no slot */
	if (of_task & PF_EXITING || !claim(t, task)) {
		threads.update(&tid, (struct cmaobs_thread *)VALUE_OF(empty_thread));
		t = threads.lookup(&tid);
		if (!t) {
			struct cmaobs_losses *l = lost();

			if (l)
				add(&l->threads_full, 1);
			return 0;
		}
		t->leaving = of_task & PF_EXITING;
	}
	t->tid = tid;
	t->flags = flags;
	return t;
}

/* The operation is over: nobody else will forget a thread that is leaving. */
static __always_inline void done(struct cmaobs_thread *t)
{
	__u32 tid;

	if (!t->leaving || t->depth)
		return;
	tid = bpf_get_current_pid_tgid();
	threads.delete(&tid);
}

/* The place is free for others. */
static __always_inline void give_up(void)
{
	__u64 task = bpf_get_current_task();
	__u32 tid = bpf_get_current_pid_tgid();
	struct cmaobs_thread *t = slot_at(task);

	threads.delete(&tid);
	if (has_slot(t, task)) {
		add(&t->task, -task);
		add(&t->claims, -1);
	}
}
