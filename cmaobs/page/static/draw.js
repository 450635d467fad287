// SPDX-License-Identifier: GPL-2.0
// Drawings on canvases: an area's map, durations over time, and the course of a figure. Each has a
// text beside it that says the same to who does not see it.

import { since } from "./figures.js";
import { halve, unpack } from "./history.js";

const OCTAVE = 4; // slots in a row of the heat map: a factor of two
const MARKS = [[1e-6, "1 us"], [1e-3, "1 ms"], [1, "1 s"]];

function colours() {
  const style = getComputedStyle(document.documentElement);
  return (name) => style.getPropertyValue(`--${name}`).trim();
}

/** The canvas's context in CSS pixels, cleared; null while it is not shown. */
function open(canvas, height) {
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  if (!width) return null;
  canvas.style.height = `${height}px`;
  const wanted = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wanted[0] || canvas.height !== wanted[1]) [canvas.width, canvas.height] = wanted;
  const context = canvas.getContext("2d");
  context.setTransform(wanted[0] / width, 0, 0, wanted[1] / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height, ratio };
}

/** Cells of the map as they fit: so many across and pages in each. mixed: its number. */
export function layout(map, pages, width, mixed) {
  const across = Math.max(32, 32 * Math.floor(width / 5 / 32));
  const most = across * Math.ceil(Math.max(width * 0.45, 330) / (width / across));
  let { cells, scale } = unpack(map);
  while (cells.length > most) {
    cells = halve(cells, mixed);
    scale *= 2;
  }
  return { across, scale, cells, down: Math.ceil(cells.length / across), pages };
}

/** The map of an area, by the names of the states. */
export function drawMap(canvas, plan, states) {
  const side = canvas.clientWidth / plan.across;
  const opened = open(canvas, Math.max(1, Math.round(side * plan.down)));
  if (!opened) return;
  const { context, width, height, ratio } = opened, colour = colours();
  const x = (place) => Math.round(place * width / plan.across * ratio) / ratio;
  const y = (row) => Math.round(row * height / plan.down * ratio) / ratio;
  for (let first = 0; first < plan.cells.length;) {
    const row = Math.floor(first / plan.across), end = Math.min((row + 1) * plan.across, plan.cells.length);
    let next = first + 1;
    while (next < end && plan.cells[next] === plan.cells[first]) next++;
    context.fillStyle = colour(states[plan.cells[first]]);
    const left = x(first - row * plan.across), right = x(next - row * plan.across);
    context.fillRect(left, y(row), right - left, y(row + 1) - y(row));
    first = next;
  }
}

/** The map in the course of time: each reading a column, the lowest page at the bottom. */
export function drawMapCourse(canvas, history, area, states) {
  const opened = open(canvas, 96);
  if (!opened) return;
  const { context, width, height, ratio } = opened, colour = colours(), { time } = history.last;
  const x = (at) => Math.round((1 - (time - at) / history.span) * width * ratio) / ratio;
  let left = null;
  for (const [at, { cells }] of history.maps.get(area) ?? []) {
    const right = x(at), from = left ?? right - 2;
    left = right;
    for (let first = 0; first < cells.length;) {
      let next = first + 1;
      while (next < cells.length && cells[next] === cells[first]) next++;
      context.fillStyle = colour(states[cells[first]]);
      context.fillRect(from, height * (1 - next / cells.length), Math.max(right - from, 1), height * (next - first) / cells.length);
      first = next;
    }
  }
}

/** Durations over time: the darker, the more operations a second took about so long. */
export function drawHeat(canvas, history, metric, labels, height) {
  const opened = open(canvas, height);
  if (!opened) return;
  const { context, width, ratio } = opened, colour = colours();
  const { edges, time } = history.last, rows = Math.ceil((edges.length - 1) / OCTAVE) + 1;
  const x = (at) => Math.round((1 - (time - at) / history.span) * width * ratio) / ratio;
  const y = (row) => Math.round((1 - row / rows) * height * ratio) / ratio;
  const columns = [];
  let most = 0;
  for (const [now, then] of history.pairs()) {
    const all = now.slots(metric, ...labels);
    if (all === null) continue;
    const rates = new Array(rows).fill(0);
    since(all, then.slots(metric, ...labels)).forEach((hits, slot) => {
      rates[slot ? 1 + Math.floor((slot - 1) / OCTAVE) : 0] += hits / (now.time - then.time);
    });
    most = Math.max(most, ...rates);
    columns.push([x(then.time), x(now.time), rates]);
  }
  context.fillStyle = colour("heat");
  for (const [left, right, rates] of columns) {
    rates.forEach((rate, row) => {
      if (!rate) return;
      context.globalAlpha = 0.25 + 0.75 * Math.log1p(20 * rate / most) / Math.log1p(20);
      context.fillRect(left, y(row + 1), Math.max(right - left, 1), y(row) - y(row + 1));
    });
  }
  context.globalAlpha = 1;
  context.font = "10px system-ui, sans-serif";
  context.fillStyle = context.strokeStyle = colour("faint");
  context.lineWidth = 0.4;
  for (const [seconds, name] of MARKS) {
    const slot = edges.findIndex((edge) => edge >= seconds), at = y(1 + (slot - 1) / OCTAVE);
    context.beginPath();
    context.moveTo(0, at);
    context.lineTo(width, at);
    context.stroke();
    context.fillText(name, 3, at - 2);
  }
}

/** The course of a figure over the history; gaps where it was not known. */
export function drawCourse(canvas, history, value, name) {
  const opened = open(canvas, 26);
  if (!opened || !history.last) return;
  const { context, width, height } = opened;
  const points = value(history).filter((point) => point[1] !== null);
  const top = Math.max(...points.map((point) => point[1]), 1e-9);
  context.strokeStyle = colours()(name);
  context.lineWidth = 1.5;
  context.beginPath();
  points.forEach(([at, share], place) => {
    const x = (1 - (history.last.time - at) / history.span) * (width - 2) + 1;
    const y = height - 2 - share / top * (height - 4);
    if (place) context.lineTo(x, y);
    else context.moveTo(x, y);
  });
  context.stroke();
}
