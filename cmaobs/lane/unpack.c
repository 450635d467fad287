// SPDX-License-Identifier: GPL-2.0
/* Records out of a recording's chunk: what _transpose_back() and _sums() of columns.py do. */

#include <string.h>

#include "private.h"

#define BLOCK 64 /* records whose bytes are put together while they are in the cache */

static void transpose(const uint8_t *stored, uint64_t records, uint32_t bytes,
		      struct cmaobs_record *out)
{
	for (uint64_t from = 0; from < records; from += BLOCK) {
		uint64_t to = from + BLOCK < records ? from + BLOCK : records;

		for (uint32_t i = 0; i < bytes; i++)
			for (uint64_t row = from; row < to; row++)
				((uint8_t *)&out[row])[i] = stored[i * records + row];
	}
}

void lane_unpack(const uint8_t *stored, uint64_t records, uint32_t bytes, void *out)
{
	struct cmaobs_record *r = out;
	uint64_t last = 0;

	transpose(stored, records, bytes, r);
	for (uint64_t i = 0; i < records; i++) {
		last += r[i].end_ns;
		r[i].end_ns = last;
		r[i].start_ns = last - r[i].start_ns;
		if (r[i].op_ns && r[i].op_ns != r[i].start_ns)
			r[i].op_ns = r[i].start_ns - r[i].op_ns;
	}
}
