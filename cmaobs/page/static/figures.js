// SPDX-License-Identifier: GPL-2.0
// Moments, and figures of an area between two of them: as cmaobs/top/figures.py has them, so that
// the page and `cmaobs top` say the same. A value that the kernel does not have is null, not 0.

export const PATHS = [
  ["alloc defer_hit", "cma_alloc_duration_seconds", "defer_hit"],
  ["alloc contig", "cma_alloc_duration_seconds", "contig"],
  ["alloc failed", "cma_alloc_duration_seconds", "failed"],
  ["release deferred", "cma_release_duration_seconds", "deferred"],
  ["release direct", "cma_release_duration_seconds", "direct"],
  ["scan", "cma_defer_scan_duration_seconds"],
];
const PHASES = ["waiting", "flushing", "isolating", "draining", "reclaiming", "migrating", "testing", "unexplained"]
  .map((name) => [`phase ${name}`, "cma_alloc_phase_duration_seconds", name]);

const key = (labels) => JSON.stringify(labels);

/** One moment: the samples of view.json by metric and labels. */
export class Frame {
  constructor(view) {
    this.time = view.time_s;
    this.edges = view.edges_s;
    this.steps = new Map();
    this.samples = new Map(Object.entries(view.samples).map(([name, rows]) =>
      [name, new Map(rows.map(([labels, value]) => [key(labels), value]))]));
  }

  get(name, labels) {
    return this.samples.get(name)?.get(key(labels)) ?? null;
  }

  /** A counter or gauge. */
  number(name, ...labels) {
    const value = this.get(name, labels);
    return typeof value === "number" ? value : null;
  }

  /** Operations by slot of a histogram. */
  slots(name, ...labels) {
    const value = this.get(name, labels);
    if (value === null || typeof value === "number") return null;
    const dense = new Array(this.edges.length).fill(0);
    for (const [slot, hits] of value.slots) dense[slot] = hits;
    return dense;
  }

  /** Seconds of all operations of a histogram. */
  seconds(name, ...labels) {
    return this.get(name, labels)?.sum_s ?? null;
  }

  /** The label values under which a metric is there. */
  labels(name) {
    return [...(this.samples.get(name)?.keys() ?? [])].map((text) => JSON.parse(text));
  }

  /** Figures of an area since the moment before, which is always the same one. */
  since(then, area) {
    if (!this.steps.has(area)) this.steps.set(area, areaFigures(area, this, then));
    return this.steps.get(area);
  }

  /** A counter summed over its labels. */
  total(name) {
    return this.labels(name).reduce((sum, labels) => sum + this.number(name, ...labels), 0);
  }
}

export const sum = (slots) => slots.reduce((total, hits) => total + hits, 0);

/** What came on top of before; all of it where before is not its past. */
export function since(slots, before) {
  if (before === null) return slots;
  const more = slots.map((hits, place) => hits - before[place]);
  return Math.min(...more) < 0 ? slots : more;
}

/** Bounds in seconds, the upper one null in the last slot; null without operations. */
export function quantile(slots, edges, share) {
  const total = sum(slots);
  let seen = 0;
  for (const [place, hits] of slots.entries()) {
    seen += hits;
    if (hits && seen >= share * total) return [edges[place], edges[place + 1] ?? null];
  }
  return null;
}

/** Figures of an area since before, or since the observer began where before is null. */
export function areaFigures(name, now, before) {
  const seconds = before === null ? 0 : now.time - before.time;
  const then = seconds > 0 ? before : null;
  const grown = (metric, ...labels) => {
    const value = now.number(metric, name, ...labels);
    if (value === null || then === null) return value;
    const old = then.number(metric, name, ...labels) ?? 0;
    return value >= old ? value - old : value;
  };
  const perSecond = (metric, ...kinds) => {
    const known = kinds.map((kind) => grown(metric, kind)).filter((count) => count !== null);
    return known.length && then ? known.reduce((a, b) => a + b, 0) / seconds : null;
  };
  const number = (metric) => now.number(metric, name);
  const hits = grown("cma_alloc_total", "defer_hit");
  const granted = (hits ?? 0) + (grown("cma_alloc_total", "contig") ?? 0);
  const pages = number("cma_area_pages") ?? 0;
  const allocated = number("cma_allocated_pages"), largest = number("cma_largest_clear_run_pages");
  return {
    name, seconds, pages, allocated, largest, deferred: number("cma_deferred_pages"),
    use: allocated === null || !pages ? null : allocated / pages,
    fragmentation: allocated === null || largest === null || pages <= allocated ? null
      : 1 - largest / (pages - allocated),
    hit_share: hits !== null && granted ? hits / granted : null,
    allocs_per_s: perSecond("cma_alloc_total", "defer_hit", "contig", "failed"),
    releases_per_s: perSecond("cma_release_total", "deferred", "direct"),
    failed: grown("cma_alloc_total", "failed") ?? 0,
    misses: grown("cma_defer_misses_total"),
    reclaimed: grown("cma_defer_scan_reclaimed_pages_total"),
    retried: grown("cma_alloc_retried_total"), retries: grown("cma_alloc_retries_total"),
    paths: timed(PATHS, name, now, then, seconds), phases: timed(PHASES, name, now, then, seconds),
  };
}

function timed(kinds, area, now, then, seconds) {
  const found = [];
  for (const [name, metric, ...kind] of kinds) {
    const all = now.slots(metric, area, ...kind);
    if (all === null || !sum(all)) continue;
    const before = then?.slots(metric, area, ...kind) ?? null, taken = since(all, before);
    const count = sum(taken), whole = now.seconds(metric, area, ...kind);
    found.push({
      name, count, per_s: then ? count / seconds : null,
      total_s: before && taken !== all ? whole - then.seconds(metric, area, ...kind) : whole,
      p50: quantile(taken, now.edges, 0.5), p99: quantile(taken, now.edges, 0.99),
    });
  }
  return found;
}
