// SPDX-License-Identifier: GPL-2.0
// The moments that this browser has seen since the page was opened, the latest few minutes of them.

export const SPAN_S = 300;
const LEAST_S = 30;
const ROWS = 96; // of a map in the course of time
const SLACK = 0.1; // of an interval: moments do not come to the millisecond

/** Every cell of a map, and how many pages it is. */
export function unpack({ runs, pages_per_cell: scale }) {
  const cells = [];
  for (const [state, count] of runs) for (let i = 0; i < count; i++) cells.push(state);
  return { cells, scale };
}

/** Two cells as one; mixed where they differ. */
export function halve(cells, mixed) {
  return Array.from({ length: Math.ceil(cells.length / 2) }, (_, i) =>
    2 * i + 1 < cells.length && cells[2 * i] !== cells[2 * i + 1] ? mixed : cells[2 * i]);
}

export class History {
  frames = [];
  maps = new Map(); // coarse maps of areas, by area and time

  /** An area's map of a moment that was added; mixed: the number of that state. */
  note(time, area, map, mixed) {
    let { cells, scale } = unpack(map);
    while (cells.length > ROWS) {
      cells = halve(cells, mixed);
      scale *= 2;
    }
    if (!this.maps.has(area)) this.maps.set(area, new Map());
    const known = this.maps.get(area);
    known.set(time, { cells, scale });
    for (const old of known.keys()) if (old < this.frames[0].time) known.delete(old);
  }

  /** The next moment; one of the same reading takes the last one's place. An observer that began
   * anew begins a new history. Says whether the moment is a new one. */
  add(frame) {
    const last = this.frames.at(-1);
    if (last?.time === frame.time) {
      this.frames[this.frames.length - 1] = frame;
      return false;
    }
    const records = "cmaobs_readings_total";
    if (last && (frame.time < last.time || frame.number(records) < last.number(records))) {
      this.frames = [];
      this.maps.clear();
    }
    this.frames.push(frame);
    while (this.frames[0].time < frame.time - SPAN_S - 1) this.frames.shift();
    return true;
  }

  get last() {
    return this.frames.at(-1) ?? null;
  }

  /** The moment that is so many seconds older than the last, or the oldest; null for all. */
  before(seconds) {
    if (!seconds || this.frames.length < 2) return null;
    const limit = this.last.time - seconds * (1 - SLACK);
    return this.frames.slice(0, -1).findLast((frame) => frame.time <= limit) ?? this.frames[0];
  }

  /** How long a time the drawings show. */
  get span() {
    if (!this.frames.length) return LEAST_S;
    return Math.min(SPAN_S, Math.max(LEAST_S, this.last.time - this.frames[0].time));
  }

  /** Each moment with the one before it. */
  * pairs() {
    for (let place = 1; place < this.frames.length; place++) {
      yield [this.frames[place], this.frames[place - 1]];
    }
  }
}
