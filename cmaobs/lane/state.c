// SPDX-License-Identifier: GPL-2.0
/* An area's bitmap and deferred extents. */

#include <stdlib.h>
#include <string.h>

#include "private.h"

/* See lowest(). */
uint64_t find_lowest(struct area *a, uint64_t pages, unsigned int align)
{
	a->low = next_bit(a, a->low, a->pages, false);
	a->sought = (struct sought){
		.pages = pages,
		.at = lowest_from(a, a->low, pages, align),
		.align = align,
		.known = true,
	};
	return a->sought.at;
}

/* The same of those from a page on. */
uint64_t lowest_from(const struct area *a, uint64_t at, uint64_t pages, unsigned int align)
{
	uint64_t mask = align < 64 ? (1ULL << align) - 1 : UINT64_MAX;
	uint64_t offset = a->base & mask;

	if (!pages || pages > a->pages)
		return NOWHERE;
	for (;;) {
		uint64_t end;

		at = ((at + offset + mask) & ~mask) - offset;
		if (at > a->pages - pages)
			return NOWHERE;
		end = next_bit(a, at, at + pages, true);
		if (end == at + pages)
			return at;
		at = next_bit(a, end, a->pages, false);
	}
}

/* Index of the first piece that begins behind at. */
static uint64_t behind(const struct area *a, uint64_t at)
{
	uint64_t low = 0, high = a->n_pieces;

	while (low < high) {
		uint64_t mid = (low + high) / 2;

		if (a->pieces[mid].first <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* R5: the piece that holds the whole run, or none. */
struct lane_piece *holder(struct area *a, uint64_t first, uint64_t pages)
{
	uint64_t i = behind(a, first);
	struct lane_piece *p;

	if (!i)
		return NULL;
	p = &a->pieces[i - 1];
	return pages <= p->pages && first - p->first <= p->pages - pages ? p : NULL;
}

/* Whether a piece has any of these pages. */
bool listed(const struct area *a, uint64_t first, uint64_t pages)
{
	uint64_t i = behind(a, first + pages - 1);

	return i && a->pieces[i - 1].first + a->pieces[i - 1].pages > first;
}

bool insert_piece(struct area *a, struct lane_piece piece)
{
	uint64_t i = behind(a, piece.first);

	if (a->n_pieces == a->room_pieces) {
		uint64_t room = a->room_pieces ? 2 * a->room_pieces : 64;
		void *more = realloc(a->pieces, room * sizeof(*a->pieces));

		if (!more)
			return false;
		a->pieces = more;
		a->room_pieces = room;
	}
	memmove(&a->pieces[i + 1], &a->pieces[i], (a->n_pieces - i) * sizeof(*a->pieces));
	a->pieces[i] = piece;
	a->n_pieces++;
	a->listed += piece.pages;
	return true;
}

void remove_piece(struct area *a, struct lane_piece *piece)
{
	uint64_t i = piece - a->pieces;

	a->listed -= piece->pages;
	a->n_pieces--;
	memmove(piece, piece + 1, (a->n_pieces - i) * sizeof(*piece));
}

int lane_load(struct lane *lane, uint32_t index, const uint64_t *bitmap,
	      const struct lane_piece *pieces, uint64_t count, uint64_t batch)
{
	struct area *a = &lane->areas[index];

	memcpy(a->bitmap, bitmap, (a->pages + 63) / 64 * sizeof(*bitmap));
	a->low = a->n_pieces = a->listed = 0;
	a->batch = batch;
	a->sought.known = a->midway = false;
	for (uint64_t i = 0; a->begun && i < a->tail - a->head; i++)
		in_line(a, i)->begun = false;
	a->begun = false;
	for (uint64_t i = 0; i < count; i++) {
		if (pieces[i].id >= a->next_id)
			a->next_id = pieces[i].id + 1;
		if (!insert_piece(a, pieces[i]))
			return -1;
	}
	return 0;
}

const uint64_t *lane_bitmap(struct lane *lane, uint32_t index)
{
	return lane->areas[index].bitmap;
}

const struct lane_piece *lane_pieces(struct lane *lane, uint32_t index, uint64_t *count)
{
	*count = lane->areas[index].n_pieces;
	return lane->areas[index].pieces;
}
