// SPDX-License-Identifier: GPL-2.0
/* Whether the clock of records goes back. cmaobs/clock.py says the same in Python. */

#include "private.h"

int lane_went_back(const void *records, uint64_t count, uint64_t slack_ns, uint64_t *last,
		   uint64_t *latest)
{
	const struct cmaobs_record *r = records;
	int back = 0;

	for (; count--; r++) {
		if (r->end_ns < last[r->cpu] ||
		    (*latest > slack_ns && r->end_ns < *latest - slack_ns))
			back = 1;
		if (!r->depth)
			last[r->cpu] = r->end_ns;
		if (r->end_ns > *latest)
			*latest = r->end_ns;
	}
	return back;
}
