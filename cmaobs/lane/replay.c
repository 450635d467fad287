// SPDX-License-Identifier: GPL-2.0
/* A demand on one area under other rules. cmaobs/whatif/replay.py says the same in Python. */

#include <stdlib.h>
#include <string.h>

#include "play.h"

#define EBUSY_ 16
#define LATEST (1LL << 62) /* ns */

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
	uint64_t z = chance + (ask + 1) * 0x9e3779b97f4a7c15ULL + try_; /* splitmix64 */

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

/* 1: at is picked and no hit. 0: that is the end of it. -1: no memory. */
static int pick(struct play *y, int64_t ask, uint64_t pages, unsigned int align, uint64_t start,
		uint64_t *at)
{
	int hit;

	*at = place(y, pages, align, start);
	y->out->paths[ask] = CMAOBS_PATH_FAILED;
	if (*at == NOWHERE)
		return 0;
	hit = fetch(y, *at, pages);
	if (hit < 0)
		return -1;
	mark(&y->area, *at, pages, true);
	if (!hit)
		return 1;
	y->out->paths[ask] = CMAOBS_PATH_HIT;
	y->out->pfns[ask] = y->d->base + *at;
	return 0;
}

/* The mutex is had. */
static bool contig(struct play *y, const struct missed *m)
{
	uint64_t at = m->at, step = m->align < 63 ? 1ULL << m->align : 1ULL << 62;
	bool assumed = false;
	int picked = 1;

	for (uint64_t try_ = 0; picked > 0; try_++) {
		int64_t ret;
		bool known;

		flush(y, m->ask, at, m->pages);
		ret = answer(y, m->ask, y->d->base + at, try_, &known);
		assumed |= !known;
		y->out->contig++;
		if (!ret) {
			y->out->paths[m->ask] = CMAOBS_PATH_CONTIG;
			y->out->pfns[m->ask] = y->d->base + at;
			break;
		}
		mark(&y->area, at, m->pages, false);
		y->out->paths[m->ask] = CMAOBS_PATH_FAILED;
		if (ret != -EBUSY_)
			break;
		picked = pick(y, m->ask, m->pages, m->align, at + step, &at);
	}
	y->out->assumed += assumed;
	return picked >= 0;
}

static uint64_t waiting(const struct play *y)
{
	return y->n_waiting - y->first;
}

/* The first that waits has the mutex. */
static bool served(struct play *y)
{
	struct missed m = y->waiting[y->first++];

	if (y->first == y->n_waiting)
		y->first = y->n_waiting = 0;
	return contig(y, &m);
}

static bool wait_for_mutex(struct play *y, const struct missed *m)
{
	if (y->first) {
		memmove(y->waiting, y->waiting + y->first, waiting(y) * sizeof(*y->waiting));
		y->n_waiting -= y->first;
		y->first = 0;
	}
	if (y->n_waiting == y->room_waiting) {
		uint64_t room = y->room_waiting ? 2 * y->room_waiting : 64;
		void *more = realloc(y->waiting, room * sizeof(*y->waiting));

		if (!more)
			return false;
		y->waiting = more;
		y->room_waiting = room;
	}
	y->waiting[y->n_waiting++] = *m;
	return true;
}

static bool allocate(struct play *y, int64_t ask, uint64_t pages, unsigned int align)
{
	struct missed m = {y->time > y->free ? y->time : y->free, ask, 0, pages, align};
	/* each has one allocation that can be before this one */
	uint64_t others = y->d->threads ? y->d->threads - 1 : 0;
	__int128 longest = y->time + (__int128)others * y->usual;
	int picked = pick(y, ask, pages, align, 0, &m.at);
	int64_t alone;

	if (picked < 1)
		return !picked;
	if (!others)
		return contig(y, &m);
	if (m.until > longest)
		m.until = longest;
	alone = y->d->was[ask] == CMAOBS_PATH_CONTIG ? y->d->alone[ask] : y->usual;
	y->free = m.until > LATEST - alone ? LATEST : m.until + alone;
	if (m.until <= y->time)
		return contig(y, &m);
	return (waiting(y) < others || served(y)) && wait_for_mutex(y, &m);
}

static bool waits(const struct play *y, int64_t ask)
{
	for (uint64_t i = y->first; i < y->n_waiting; i++)
		if (y->waiting[i].ask == ask)
			return true;
	return false;
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
	uint64_t pfn, at, end;

	while (waits(y, ask)) /* it was served by now */
		if (!served(y))
			return false;
	pfn = ask < 0 ? (uint64_t)a : (uint64_t)y->out->pfns[ask] + a;
	at = pfn - y->d->base;
	end = at + pages;
	if (ask >= 0 && !y->out->pfns[ask]) {
		y->out->unreleased += y->d->was[ask] != CMAOBS_PATH_FAILED;
		return true;
	}
	if (end > y->d->pages)
		end = y->d->pages; /* never, if parts are of what was asked for */
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
	case EVENT_ASK:
		return allocate(y, d->asks[i], d->a[i], d->b[i]);
	case EVENT_GIVE:
		return give(y, d->asks[i], d->a[i], d->b[i]);
	case EVENT_SCAN:
		scan(y, d->a[i]);
		return true;
	case EVENT_REACH:
		reach(y);
		return true;
	case EVENT_BATCH:
		if (!y->p->as_recorded)
			return true;
		y->batch = d->a[i];
		if (!y->batch)
			y->n = y->listed = 0;
		return true;
	}
	return true;
}

/* The mean of those recorded. */
static int64_t usual(const struct lane_demand *d)
{
	__int128 sum = 0;
	uint64_t n = 0;

	for (uint64_t i = 0; i < d->n_asks; i++) {
		if (d->was[i] == CMAOBS_PATH_CONTIG) {
			sum += d->alone[i];
			n++;
		}
	}
	return n ? sum / n : 0;
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
	y->free = d->start_ns;
	y->usual = usual(d);
	return true;
}

/* Ranges come from a recording, which may be anybody's. */
static bool sound(const struct lane_demand *d)
{
	for (uint64_t i = 0; i < d->n_events; i++)
		if (d->kinds[i] == EVENT_GIVE && d->asks[i] < 0 &&
		    (d->b[i] < 0 || (uint64_t)d->b[i] > d->pages || (uint64_t)d->a[i] < d->base ||
		     (uint64_t)d->a[i] - d->base > d->pages - d->b[i]))
			return false;
	return true;
}

int lane_replay(const struct lane_demand *demand, const struct lane_policy *policy,
		struct lane_replayed *out)
{
	struct play y = {.d = demand,
			 .p = policy,
			 .out = out,
			 .batch = policy->batch,
			 .now = demand->start_ns};
	bool ok = sound(demand);
	int status = ok ? -1 : 1;

	ok = ok && begin(&y);
	for (uint64_t i = 0; ok && i < demand->n_events; i++) {
		while (ok && waiting(&y) && y.waiting[y.first].until <= demand->times[i]) {
			until(&y, y.waiting[y.first].until);
			ok = served(&y);
		}
		y.time = demand->times[i];
		until(&y, y.time);
		ok = ok && happen(&y, i);
		if (y.listed > out->peak)
			out->peak = y.listed;
	}
	while (ok && waiting(&y))
		ok = served(&y);
	if (ok)
		until(&y, demand->end_ns);
	free(y.waiting);
	free(y.area.bitmap);
	free(y.list);
	return ok ? 0 : status;
}
