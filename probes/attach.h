/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One handler body for both ways to attach.
 *
 * ARG(n) and RET(nargs) are the probed function's arguments and return value,
 * STACK tells where its frame lies, CALLER the return address where the kernel's
 * own stack of a kprobe lacks it, else 0. fentry hands out typed pointers, which the
 * verifier lets nobody calculate with, only compare and store: KEEP() puts one
 * into a member of a map and reads it back as a plain number. So does THROUGH(),
 * for the contexts of raw tracepoints as well, which no kprobe hands out plain.
 */
#define THROUGH(member, value) ((member) = (__u64)(value), *(volatile __u64 *)&(member))
/* 5.10 counts in an unsigned int: the register's upper half is garbage. */
#define COUNT_MASK 0xffffffffULL

#ifdef CMAOBS_FENTRY
#define ENTRY(name, fn) int entry_##name(unsigned long long *ctx)
#define RETURN(name, fn) int return_##name(unsigned long long *ctx)
#define ARG(n) ctx[n]
#define RET(nargs) ctx[nargs]
#define STACK ((__u64)ctx)
#define CALLER 0
#define AREA ((void *)ctx[0])
#define KEEP(member, value) THROUGH(member, value)
#define PLAIN(t, value) KEEP((t)->raw, value)
#else
#define ENTRY(name, fn) int entry_##name(struct pt_regs *ctx)
#define RETURN(name, fn) int return_##name(struct pt_regs *ctx)
#define PARM_0(ctx) PT_REGS_PARM1(ctx)
#define PARM_1(ctx) PT_REGS_PARM2(ctx)
#define PARM_2(ctx) PT_REGS_PARM3(ctx)
#define ARG(n) PARM_##n(ctx)
#define RET(nargs) PT_REGS_RC(ctx)
#define STACK PT_REGS_SP(ctx)
#ifdef bpf_target_arm64
/* At entry it is in a register only: the unwinder goes on from the frame of before. */
#define CALLER PT_REGS_RET(ctx)
#else
#define CALLER 0
#endif
#define AREA 0
#define KEEP(member, value) ((member) = (__u64)(value))
#define PLAIN(t, value) ((__u64)(value))
#endif

/* 8 bytes by a typed pointer, without a call. */
#define LOAD(pointer, offset)                                                                     \
	({                                                                                        \
		__u64 value;                                                                      \
		asm volatile("%0 = *(u64 *)(%1 + %2)" : "=r"(value) : "r"(pointer), "i"(offset)); \
		value;                                                                            \
	})

/*
 * fentry reads by the pointers that it hands out. IN_AREA: a member of a
 * struct cma; area: AREA in handlers of functions that take it first, at return
 * as well; else 0.
 */
#ifdef CMAOBS_FENTRY
#define IN_AREA(area, cma, offset) ((area) ? LOAD(area, offset) : read_u64((cma) + (offset)))
#else
#define IN_AREA(area, cma, offset) read_u64((cma) + (offset))
#endif
