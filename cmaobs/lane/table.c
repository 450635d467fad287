// SPDX-License-Identifier: GPL-2.0
/* Columns that grow, and a small hash table. */

#include <stdlib.h>
#include <string.h>

#include "gather.h"

#define FIRST_ROOM 1024

void *more_room(void *at, uint64_t *room, uint64_t first, size_t size, int *status)
{
	uint64_t wanted = *room ? *room + *room / 2 + 1 : first;
	void *more = realloc(at, wanted * size);

	if (!more) {
		*status = NO_MEMORY;
		return NULL;
	}
	*room = wanted;
	return more;
}

void append(struct lane_column *c, int64_t value, int *status)
{
	if (c->n == c->room) {
		void *more = more_room(c->at, &c->room, FIRST_ROOM, sizeof(*c->at), status);

		if (!more)
			return;
		c->at = more;
	}
	c->at[c->n++] = value;
}

void append_byte(struct lane_bytes *c, uint8_t value, int *status)
{
	if (c->n == c->room) {
		void *more = more_room(c->at, &c->room, FIRST_ROOM, 1, status);

		if (!more)
			return;
		c->at = more;
	}
	c->at[c->n++] = value;
}

static struct slot *find(const struct map *m, uint64_t one, uint64_t other)
{
	uint64_t hash = (one ^ (other << 32 | other >> 32)) * 0x9e3779b97f4a7c15ULL;
	uint64_t i = (hash ^ hash >> 32) & (m->room - 1);

	while (m->slots[i].used && (m->slots[i].key[0] != one || m->slots[i].key[1] != other))
		i = (i + 1) & (m->room - 1);
	return &m->slots[i];
}

static bool rehash(struct map *m)
{
	struct map more = {.n = m->n, .room = m->room ? 2 * m->room : 64};

	more.slots = calloc(more.room, sizeof(*more.slots));
	if (!more.slots)
		return false;
	for (uint64_t i = 0; i < m->room; i++)
		if (m->slots[i].used)
			*find(&more, m->slots[i].key[0], m->slots[i].key[1]) = m->slots[i];
	free(m->slots);
	*m = more;
	return true;
}

uint64_t *look_up(struct map *m, uint64_t one, uint64_t other, int *status)
{
	struct slot *slot;

	if (2 * m->n >= m->room && !rehash(m)) {
		*status = NO_MEMORY;
		return NULL;
	}
	slot = find(m, one, other);
	if (!slot->used) {
		*slot = (struct slot){.key = {one, other}, .used = true};
		m->n++;
	}
	return &slot->value;
}

void grow(int64_t *sum, uint64_t more, int *status)
{
	if (more > INT64_MAX || __builtin_add_overflow(*sum, (int64_t)more, sum))
		*status = NOT_MINE;
}
