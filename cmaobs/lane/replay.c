// SPDX-License-Identifier: GPL-2.0
/* A demand on one area under other rules. cmaobs/whatif/replay.py says the same in Python. */

#include <stdlib.h>

#include "play.h"

enum { ASK, GIVE, SCAN_BY_HAND, REACH, SET_BATCH };

#define EBUSY_ 16

static int64_t part_end(const struct play *y, uint64_t part)
{
	__int128 whole = y->d->end_ns - y->d->start_ns;

	return y->d->start_ns + (int64_t)(whole * (part + 1) / y->out->bins);
}

static void note_clear(struct play *y)
{
	uint64_t at = 0, clear = 0, longest = 0;

	while ((at = next_bit(&y->area, at, y->d->pages, false)) < y->d->pages) {
		uint64_t end = next_bit(&y->area, at, y->d->pages, true);

		clear += end - at;
		if (end - at > longest)
			longest = end - at;
		at = end;
	}
	y->out->clear[y->part] = clear;
	y->out->longest[y->part] = longest;
}

/* Time goes on; the list has been as it is. */
static void until(struct play *y, int64_t time)
{
	while (y->part < y->out->bins && y->now < time) {
		int64_t end = part_end(y, y->part), to = time < end ? time : end;

		if (to > y->now) {
			y->out->sums[y->part] += y->listed * (uint64_t)(to - y->now);
			if (y->listed > y->out->most[y->part])
				y->out->most[y->part] = y->listed;
			y->now = to;
		}
		if (to == end) {
			note_clear(y);
			y->part++;
		}
	}
}

int lane_busy(uint64_t chance, uint64_t ask, uint64_t try_, uint64_t contig, uint64_t busy)
{
	uint64_t z = chance + (ask + 1) * 0x9e3779b97f4a7c15ULL + try_;	/* splitmix64 */

	if (!chance || !contig)
		return 0;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	z ^= z >> 31;
	return z % contig < busy;
}

/* What alloc_contig_range() returns; sets *known where that was recorded. */
static int64_t answer(struct play *y, int64_t ask, uint64_t pfn, uint64_t try_, bool *known)
{
	const struct lane_demand *d = y->d;

	*known = true;
	if (d->was[ask] == CMAOBS_PATH_CONTIG && (uint64_t)d->got[ask] == pfn)
		return 0;
	while (y->next_try < d->n_tries && d->tries[3 * y->next_try] < ask)
		y->next_try++;
	while (y->next_try && d->tries[3 * (y->next_try - 1)] >= ask)
		y->next_try--;
	for (uint64_t i = y->next_try; i < d->n_tries && d->tries[3 * i] == ask; i++) {
		int64_t ret = d->tries[3 * i + 2];

		if ((uint64_t)d->tries[3 * i + 1] == pfn || (ret && ret != -EBUSY_))
			return ret;
	}
	*known = false;
	return lane_busy(y->p->chance, ask, try_, y->p->contig, y->p->busy) ? -EBUSY_ : 0;
}

static bool allocate(struct play *y, int64_t ask, uint64_t pages, unsigned int align)
{
	uint64_t start = 0, step = align < 63 ? 1ULL << align : 1ULL << 62;
	bool assumed = false;

	y->out->paths[ask] = CMAOBS_PATH_FAILED;
	for (uint64_t try_ = 0;; try_++) {
		uint64_t at = place(y, pages, align, start);
		int64_t ret;
		bool known;
		int hit;

		if (at == NOWHERE)
			break;
		hit = fetch(y, at, pages);
		if (hit < 0)
			return false;
		if (!hit) {
			flush(y, ask, at, pages);
			ret = answer(y, ask, y->d->base + at, try_, &known);
			assumed |= !known;
			y->out->contig++;
			if (ret == -EBUSY_) {
				start = at + step;
				continue;
			}
			if (ret)
				break;
		}
		mark(&y->area, at, pages, true);
		y->out->paths[ask] = hit ? CMAOBS_PATH_HIT : CMAOBS_PATH_CONTIG;
		y->out->pfns[ask] = y->d->base + at;
		break;
	}
	y->out->assumed += assumed;
	return true;
}

/* R1, R2. */
static bool release(struct play *y, uint64_t at, uint64_t pages)
{
	bool defer = y->batch && y->p->deferral && pages &&
		     (y->p->keep == UINT64_MAX || y->listed + pages <= y->p->keep);

	mark(&y->area, at, pages, false);
	if (!defer) {
		y->out->direct++;
		return true;
	}
	y->out->deferred++;
	y->listed += pages;
	return put(y, y->n, (struct extent){at, pages});
}

static bool give(struct play *y, int64_t ask, int64_t a, uint64_t pages)
{
	uint64_t pfn = ask < 0 ? (uint64_t)a : (uint64_t)y->out->pfns[ask] + a;
	uint64_t at = pfn - y->d->base, end = at + pages;

	if (ask >= 0 && !y->out->pfns[ask]) {
		y->out->unreleased += y->d->was[ask] != CMAOBS_PATH_FAILED;
		return true;
	}
	if (end > y->d->pages)
		end = y->d->pages;	/* never, if parts are of what was asked for */
	while ((at = next_bit(&y->area, at, end, true)) < end) {
		uint64_t until_ = next_bit(&y->area, at, end, false);

		if (!release(y, at, until_ - at))
			return false;
		at = until_;
	}
	return true;
}

static bool happen(struct play *y, uint64_t i)
{
	const struct lane_demand *d = y->d;

	switch (d->kinds[i]) {
	case ASK:
		return allocate(y, d->asks[i], d->a[i], d->b[i]);
	case GIVE:
		return give(y, d->asks[i], d->a[i], d->b[i]);
	case SCAN_BY_HAND:
		scan(y, d->a[i]);
		return true;
	case REACH:
		reach(y);
		return true;
	case SET_BATCH:
		if (!y->p->as_recorded)
			return true;
		y->batch = d->a[i];
		if (!y->batch)
			y->n = y->listed = 0;
		return true;
	}
	return true;
}

static bool begin(struct play *y)
{
	const struct lane_demand *d = y->d;

	y->area.base = d->base;
	y->area.pages = d->pages;
	y->area.bitmap = calloc((d->pages + 63) / 64, sizeof(*y->area.bitmap));
	if (!y->area.bitmap)
		return false;
	for (uint64_t i = 0; i < d->n_reserved; i++)
		mark(&y->area, d->reserved[2 * i] - d->base, d->reserved[2 * i + 1], true);
	for (uint64_t i = d->n_extents; i; i--) {
		struct extent e = {d->extents[2 * i - 2] - d->base, d->extents[2 * i - 1]};

		if (!put(y, y->n, e))
			return false;
		y->listed += e.pages;
	}
	y->out->peak = y->listed;
	return true;
}

/* Ranges come from a recording, which may be anybody's. */
static bool sound(const struct lane_demand *d)
{
	for (uint64_t i = 0; i < d->n_events; i++)
		if (d->kinds[i] == GIVE && d->asks[i] < 0 &&
		    (d->b[i] < 0 || (uint64_t)d->b[i] > d->pages ||
		     (uint64_t)d->a[i] < d->base ||
		     (uint64_t)d->a[i] - d->base > d->pages - d->b[i]))
			return false;
	return true;
}

int lane_replay(const struct lane_demand *demand, const struct lane_policy *policy,
		struct lane_replayed *out)
{
	struct play y = {.d = demand, .p = policy, .out = out, .batch = policy->batch,
			 .now = demand->start_ns};
	bool ok = sound(demand);
	int status = ok ? -1 : 1;

	ok = ok && begin(&y);
	for (uint64_t i = 0; ok && i < demand->n_events; i++) {
		until(&y, demand->times[i]);
		ok = happen(&y, i);
		if (y.listed > out->peak)
			out->peak = y.listed;
	}
	if (ok)
		until(&y, demand->end_ns);
	free(y.area.bitmap);
	free(y.list);
	return ok ? 0 : status;
}
