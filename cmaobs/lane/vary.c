// SPDX-License-Identifier: GPL-2.0
/* A demand at another time. cmaobs/whatif/varied.py says the same in Python. */

#include <stdlib.h>
#include <string.h>

#include "gather.h"

#define RUN 16 /* keys that are put in order one by one */

struct key {
	int64_t time;
	uint64_t event;
};

static bool after(const struct key *one, const struct key *other)
{
	return one->time > other->time || (one->time == other->time && one->event > other->event);
}

static void insertion(struct key *keys, uint64_t n)
{
	for (uint64_t i = 1; i < n; i++) {
		struct key key = keys[i];
		uint64_t at = i;

		for (; at && after(&keys[at - 1], &key); at--)
			keys[at] = keys[at - 1];
		keys[at] = key;
	}
}

/* Both halves are in order; room is for the first. */
static void merge(struct key *keys, uint64_t half, uint64_t n, struct key *room)
{
	uint64_t i = 0, j = half, at = 0;

	if (!after(&keys[half - 1], &keys[half]))
		return;
	memcpy(room, keys, half * sizeof(*keys));
	while (i < half)
		keys[at++] = j < n && after(&room[i], &keys[j]) ? keys[j++] : room[i++];
}

/* Keys are nearly in order as they come, so that most halves need no merge. */
static void sort(struct key *keys, uint64_t n, struct key *room)
{
	for (uint64_t i = 0; i < n; i += RUN)
		insertion(keys + i, n - i < RUN ? n - i : RUN);
	for (uint64_t half = RUN; half < n; half *= 2)
		for (uint64_t i = 0; i + half < n; i += 2 * half)
			merge(keys + i, half, n - i < 2 * half ? n - i : 2 * half, room);
}

/* Keys of all events at their own times; returns how many, or NOWHERE: no memory. */
static uint64_t shift(const struct lane_demand *d, const struct lane_variation *v, struct key *keys,
		      int64_t *granted)
{
	struct map shifts = {0};
	uint64_t n = 0;
	int status = 0;

	for (uint64_t i = 0; i < v->n_shifts; i++) {
		uint64_t *ns = look_up(&shifts, v->shifts[2 * i], 0, &status);

		if (ns)
			*ns = v->shifts[2 * i + 1];
	}
	for (uint64_t i = 0; i < d->n_events && !status; i++) {
		uint64_t *ns = v->varied ? look_up(&shifts, v->tids[i], 0, &status) : NULL;
		int64_t time = d->times[i] + (ns ? (int64_t)*ns : 0), ask_ = d->asks[i];

		if (v->varied && d->kinds[i] == EVENT_REACH)
			continue;
		if (v->varied && d->kinds[i] == EVENT_ASK)
			granted[ask_] = time;
		else if (v->varied && d->kinds[i] == EVENT_GIVE && ask_ >= 0 &&
			 time <= granted[ask_])
			time = granted[ask_] + 1;
		keys[n++] = (struct key){time, i};
	}
	for (uint64_t i = 0; v->varied && i < v->n_reached; i++)
		keys[n++] = (struct key){v->reached[2 * i], v->reached[2 * i + 1]};
	free(shifts.slots);
	return status ? NOWHERE : n;
}

static void add(struct lane_events *out, int64_t time, uint8_t kind, int64_t ask_, int64_t a,
		int64_t b)
{
	uint64_t n = out->n++;

	out->times[n] = time;
	out->kinds[n] = kind;
	out->asks[n] = ask_;
	out->a[n] = a;
	out->b[n] = b;
}

/* Whether a release that comes later is before an event, as tuples of Python compare. */
static bool earlier(const int64_t *later, const struct lane_demand *d, const struct key *key)
{
	int64_t one[] = {later[0], EVENT_GIVE, later[1], 0, later[2]};
	int64_t other[] = {key->time, d->kinds[key->event], d->asks[key->event], d->a[key->event],
			   d->b[key->event]};

	for (int i = 0; i < 5; i++)
		if (one[i] != other[i])
			return one[i] < other[i];
	return false;
}

static void write(const struct lane_demand *d, const struct lane_variation *v,
		  const struct key *keys, uint64_t n, struct lane_events *out)
{
	uint64_t next = 0;

	for (uint64_t i = 0; i <= n; i++) {
		while (next < v->n_later && (i == n || earlier(&v->later[3 * next], d, &keys[i]))) {
			const int64_t *later = &v->later[3 * next++];

			add(out, later[0], EVENT_GIVE, later[1], 0, later[2]);
		}
		if (i < n) {
			uint64_t e = keys[i].event;

			add(out, keys[i].time, d->kinds[e], d->asks[e], d->a[e], d->b[e]);
		}
	}
}

int lane_vary(const struct lane_demand *demand, const struct lane_variation *variation,
	      struct lane_events *out)
{
	uint64_t room = demand->n_events + variation->n_reached + 1, n = NOWHERE;
	struct key *keys = malloc(room * sizeof(*keys)), *spare = malloc(room * sizeof(*keys));
	int64_t *granted = calloc(variation->n_asks + 1, sizeof(*granted));

	out->n = 0;
	if (keys && spare && granted)
		n = shift(demand, variation, keys, granted);
	if (n != NOWHERE) {
		if (variation->varied)
			sort(keys, n, spare);
		write(demand, variation, keys, n, out);
	}
	free(keys);
	free(spare);
	free(granted);
	return n == NOWHERE ? -1 : 0;
}
