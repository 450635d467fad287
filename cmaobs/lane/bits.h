/* SPDX-License-Identifier: GPL-2.0 */
/* An area's bitmap; included where its struct is known. */
#ifndef CMAOBS_LANE_BITS_H
#define CMAOBS_LANE_BITS_H

static inline uint64_t next_bit(const struct area *a, uint64_t at, uint64_t end, bool set)
{
	while (at < end) {
		uint64_t word = a->bitmap[at / 64];

		word = (set ? word : ~word) >> at % 64;
		if (word) {
			at += __builtin_ctzll(word);
			return at < end ? at : end;
		}
		at = (at / 64 + 1) * 64;
	}
	return end;
}

static inline bool all_set(const struct area *a, uint64_t first, uint64_t pages)
{
	return next_bit(a, first, first + pages, false) == first + pages;
}

static inline void mark(struct area *a, uint64_t first, uint64_t pages, bool set)
{
	uint64_t *word = &a->bitmap[first / 64];
	unsigned int at = first % 64;

	for (uint64_t left = pages, span; left; left -= span, at = 0, word++) {
		uint64_t bits;

		span = left < 64 - at ? left : 64 - at;
		bits = ~0ULL >> (64 - span) << at;
		if (set)
			*word |= bits;
		else
			*word &= ~bits;
	}
	a->sought.known = false;
	if (!set && first < a->low)
		a->low = first;
}

#endif
