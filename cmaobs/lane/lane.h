/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fast lane of the cross-check: explains what it can, judges nothing.
 *
 * It takes raw records, joins calls to operations, and looks for one lawful
 * order of each cluster of overlapping operations, in which each goes through
 * its stages. Where it finds one, the cluster is lawful and the state after it
 * is known. Where it finds none, or meets a kind of operation that it does
 * not know, it leaves the cluster to cmaobs/crosscheck/area.py.
 *
 * Only for areas with one page to a bit. Counts and places are pages, places
 * counted from the area's first page; times are CLOCK_MONOTONIC in ns.
 *
 * cmaobs/lane reads this file too: types and prototypes only.
 */
#ifndef CMAOBS_LANE_H
#define CMAOBS_LANE_H

#include <stdint.h>

/* Deferred pages of one extent. id: of the release; 0: borders not known. */
struct lane_piece {
	uint64_t first;
	uint64_t pages;
	uint64_t id;
	uint64_t since; /* listed at a time between since and until */
	uint64_t until;
};

/* What lane_run() did. */
struct lane_result {
	uint64_t explained; /* operations */
	uint64_t crowded;   /* of them, in clusters of more than one */
	uint64_t granted;   /* pages allocated */
	uint64_t refused;   /* pages asked for in vain */
	uint64_t last_ns;   /* end of the last one; 0: none */
	uint64_t stuck;     /* operations of the first cluster left; 0: none */
	uint64_t midway;    /* operations have begun: the state is not one between two clusters */
	uint64_t glanced;   /* snapshots that agree with what was explained */
	uint64_t differs;   /* the next one does not, though nothing was in flight */
};

struct lane;

/* sha256 of the sources that this was built from. */
const char *lane_digest(void);

/* most: operations that are put in order together, of those that overlap. */
struct lane *lane_new(uint32_t areas, uint32_t most);
void lane_free(struct lane *lane);
int lane_define(struct lane *lane, uint32_t index, uint64_t base, uint64_t pages);

/* 0: taken. 1: not in order, nothing was taken. -1: no memory. */
int lane_feed(struct lane *lane, const void *records, uint64_t count);
/* The counts of what was fed, as struct cmaobs_counters; valid until freed. */
const void *lane_counters(struct lane *lane, uint32_t index);
uint64_t lane_elsewhere(struct lane *lane);
uint64_t lane_first_ns(struct lane *lane);

/* bitmap: set bits are allocated pages. */
int lane_load(struct lane *lane, uint32_t index, const uint64_t *bitmap,
	      const struct lane_piece *pieces, uint64_t count, uint64_t batch);
const uint64_t *lane_bitmap(struct lane *lane, uint32_t index);
const struct lane_piece *lane_pieces(struct lane *lane, uint32_t index, uint64_t *count);

/*
 * Explain what ended before until_ns, when all that began before was fed.
 * known: the state is; else the first cluster is reported as stuck.
 */
void lane_run(struct lane *lane, uint32_t index, uint64_t until_ns, int known,
	      struct lane_result *result);
/* What began before this time must be fed no more. */
void lane_passed(struct lane *lane, uint64_t watermark_ns);

/*
 * A snapshot between two times, in motion, of the bits and of defer_count; UINT64_MAX: not read. It
 * is compared once what was in flight is explained. 0: taken. 1: not, too many wait, or a later one
 * does. -1: no memory. lane_unglance(): forget those that wait.
 */
int lane_glance(struct lane *lane, uint32_t index, uint64_t start_ns, uint64_t end_ns,
		const uint64_t *bitmap, uint64_t listed);
void lane_unglance(struct lane *lane, uint32_t index);

uint64_t lane_waiting(struct lane *lane, uint32_t index);
/* Of those, how many began at until_ns or before; and when the first began. UINT64_MAX: none. */
uint64_t lane_begun(struct lane *lane, uint32_t index, uint64_t until_ns);
uint64_t lane_next_ns(struct lane *lane, uint32_t index);
/*
 * Take out the records of the first operations, each after its calls. Returns
 * records written, or 0 where they are more than room. lane_calls(): those of
 * no operation yet, lane_n_calls() in number. lane_recent(): of operations
 * explained last; they stay there.
 */
uint64_t lane_take(struct lane *lane, uint32_t index, uint64_t operations, void *out,
		   uint64_t room);
uint64_t lane_size(struct lane *lane, uint32_t index, uint64_t operations);
/* Forget the first operations; when the last of them ended. */
uint64_t lane_drop(struct lane *lane, uint32_t index, uint64_t operations);
uint64_t lane_n_calls(struct lane *lane);
void lane_calls(struct lane *lane, void *out);
uint64_t lane_recent(struct lane *lane, uint32_t index, void *out, uint64_t room);

/*
 * A demand under other rules: what cmaobs/whatif/replay.py does by the model, for the policies
 * that have names. Arrays are columns of cmaobs/whatif/demand.py; pfns are absolute.
 */
struct lane_policy {
	uint64_t batch;
	uint64_t keep; /* UINT64_MAX: no limit */
	uint32_t deferral, prefer_deferred, flush_overlap, oldest_first;
	uint32_t as_recorded; /* batch changes as it was written */
	uint32_t unused;
	uint64_t chance;       /* seed of lane_busy(); 0: never busy */
	uint64_t contig, busy; /* calls recorded, and those that returned -EBUSY */
};

struct lane_demand {
	uint64_t base, pages;
	int64_t start_ns, end_ns;
	uint64_t n_events;
	const int64_t *times;
	const uint8_t *kinds;
	const int64_t *asks, *a, *b;
	const uint8_t *was;   /* path recorded, by ask */
	const int64_t *got;   /* pfn granted, by ask */
	const int64_t *alone; /* ns with the mutex, by ask, of those served by contig */
	uint64_t n_asks, threads;
	uint64_t n_tries;     /* by ask, ascending */
	const int64_t *tries; /* ask, pfn, ret */
	uint64_t n_reserved, n_extents;
	const uint64_t *reserved, *extents; /* first page, pages; extents newest first */
};

struct lane_replayed {
	uint8_t *paths; /* by ask, as the next three */
	int64_t *pfns;
	int64_t *flushed, *extents;
	uint64_t bins;                    /* equal parts of the time */
	uint64_t *sums;                   /* pages times ns on the list, by part */
	uint64_t *most, *clear, *longest; /* by part; the last two at its end */
	uint64_t peak, assumed, contig, flushes, scans, scanned_pages, stopped, deferred, direct;
	uint64_t unreleased;
};

/* 0: done. -1: no memory. 1: events of pages that are not the area's. */
int lane_replay(const struct lane_demand *demand, const struct lane_policy *policy,
		struct lane_replayed *out);
/*
 * The events of a demand as they might have been, and releases of what failed: what events_of() of
 * cmaobs/whatif/varied.py does. shifts: thread, ns. reached: time, event. later: time, ask, pages,
 * ascending. varied: whether shifts and reached count.
 */
struct lane_variation {
	uint32_t varied, unused;
	uint64_t n_shifts, n_reached, n_later, n_asks;
	const int64_t *tids; /* by event */
	const int64_t *shifts, *reached, *later;
};

/* Columns with room for all events, reached and later. */
struct lane_events {
	uint64_t n;
	int64_t *times, *asks, *a, *b;
	uint8_t *kinds;
};

/* 0: done. -1: no memory. */
int lane_vary(const struct lane_demand *demand, const struct lane_variation *variation,
	      struct lane_events *out);
/*
 * What each of the equal parts of a demand's asks took: stretches() of cmaobs/whatif/latency.py.
 * By ask; freeing: ask, ns, ascending. Costs in ns.
 */
struct lane_took {
	uint64_t n, n_freeing;
	const uint8_t *was, *path, *idle;
	const int64_t *pages, *durations, *extents, *flushed, *freeing;
	double extent_ns, page_ns;
	uint32_t stretches, parts; /* parts of an octave that are a bin */
};

/* needs, flush_ns: by path, order of the pages, and whether it came after idle time. */
struct lane_stretch {
	uint64_t own[2][2048]; /* hits and others, by bin */
	uint64_t needs[2][64][2];
	int64_t flush_ns[2][64][2];
};

/* out: as many as took->stretches, zeroed. */
void lane_stretches(const struct lane_took *took, struct lane_stretch *out);
/* Whether a try whose answer is not known is taken to be -EBUSY. */
int lane_busy(uint64_t chance, uint64_t ask, uint64_t try_, uint64_t contig, uint64_t busy);

/*
 * From records to a demand: what cmaobs/whatif/gather.py and holding.py do, for areas of one range.
 * Members are those of the same names of cmaobs/whatif/demand.py; those of several values a row
 * have them one after the other.
 */
struct lane_column {
	int64_t *at;
	uint64_t n, room;
};

struct lane_bytes {
	uint8_t *at;
	uint64_t n, room;
};

struct lane_asked {
	struct lane_column times, asks, a, b, tids; /* by event */
	struct lane_bytes kinds;
	struct lane_column pages, durations, pfns, alone; /* by ask */
	struct lane_bytes paths, idle;
	struct lane_column tries;   /* ask, pfn, ret */
	struct lane_column freeing; /* ask, ns */
	struct lane_column frees;   /* pages, ns */
	struct lane_column later;   /* time, ask, pages */
	struct lane_column callers; /* comm, 16 bytes; then asks, pages, failed, ns */
	uint64_t start_ns, end_ns;
	uint64_t threads, overlapping, operations, contig, busy;
	uint64_t left_out[6]; /* by enum area_left_out of gather.h */
};

struct lane_gathering;

/* All that return a status: 0: done. 1: only gather.py can tell; begin again there. -1: no memory. */
struct lane_gathering *lane_gathering_new(uint32_t areas);
void lane_gathering_free(struct lane_gathering *g);
int lane_gathering_define(struct lane_gathering *g, uint32_t index, uint64_t base, uint64_t pages);
int lane_gathering_feed(struct lane_gathering *g, const void *records, uint64_t count,
			uint64_t watermark_ns);
/* The first state, or another at rest. runs: first page and pages of what is allocated. */
int lane_gathering_begin(struct lane_gathering *g, uint32_t index, uint64_t time_ns,
			 const uint64_t *runs, uint64_t n_runs);
int lane_gathering_rest(struct lane_gathering *g, uint32_t index, uint64_t time_ns,
			const uint64_t *runs, uint64_t n_runs);
int lane_gathering_end(struct lane_gathering *g);
/* Valid until the next call. */
const struct lane_asked *lane_gathering_asked(struct lane_gathering *g, uint32_t index);
/* By enum left_out of gather.h. */
const uint64_t *lane_gathering_left_out(struct lane_gathering *g);

/*
 * The records of a chunk of a recording, as cmaobs/recording/columns.py stores them: by column, of
 * so many bytes a record. out: room for as many whole records, zeroed.
 */
void lane_unpack(const uint8_t *stored, uint64_t records, uint32_t bytes, void *out);

/*
 * Whether the clock went back between these records, as cmaobs/clock.py has it: one ended before
 * the last of its CPU, or slack_ns before the latest. last: by CPU, 65536 of them.
 */
int lane_went_back(const void *records, uint64_t count, uint64_t slack_ns, uint64_t *last,
		   uint64_t *latest);

/* Copy records out of the ring's stride; returns how many. */
uint64_t lane_gather(const uint8_t *ring, uint64_t bytes, void *out, uint64_t *used);

#endif
