/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One handler body for both ways to attach.
 *
 * ARG(n) and RET(nargs) are the probed function's arguments and return value,
 * STACK tells where its frame lies. fentry hands out typed pointers, on which
 * the verifier allows no arithmetic: TAKE_*() put them into a map, from where
 * RAW() reads them back as plain numbers.
 */
/* 5.10 counts in an unsigned int: the register's upper half is garbage. */
#define COUNT_MASK 0xffffffffULL
#define RAW(t, n) (*(volatile __u64 *)&(t)->raw[n])
#define TAKE_STACK_AT(t, at) ((t)->raw[4] = (__u64)(at))
#define TAKE_STACK(t) TAKE_STACK_AT(t, STACK)
#define TAKE_1(t) (TAKE_STACK(t), (t)->raw[0] = ARG(0))
#define TAKE_2(t) (TAKE_1(t), (t)->raw[1] = ARG(1))
#define TAKE_3(t) (TAKE_2(t), (t)->raw[2] = ARG(2))
#define TAKE_RET(t, nargs) (TAKE_STACK(t), (t)->raw[0] = RET(nargs))

#ifdef CMAOBS_FENTRY
#define ENTRY(name, fn) int entry_##name(unsigned long long *ctx)
#define RETURN(name, fn) int return_##name(unsigned long long *ctx)
#define ARG(n) ctx[n]
#define RET(nargs) ctx[nargs]
#define STACK ((__u64)ctx)
#else
#define ENTRY(name, fn) int entry_##name(struct pt_regs *ctx)
#define RETURN(name, fn) int return_##name(struct pt_regs *ctx)
#define PARM_0(ctx) PT_REGS_PARM1(ctx)
#define PARM_1(ctx) PT_REGS_PARM2(ctx)
#define PARM_2(ctx) PT_REGS_PARM3(ctx)
#define ARG(n) PARM_##n(ctx)
#define RET(nargs) PT_REGS_RC(ctx)
#define STACK PT_REGS_SP(ctx)
#endif
