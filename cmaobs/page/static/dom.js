// SPDX-License-Identifier: GPL-2.0
// Elements and how numbers are written. Text only ever becomes text: what comes from the kernel
// and its users is never taken for markup.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Text of an element, touched only where it changes, so that a selection stays. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** A number of /metrics, and in the element's data where it is from; "-" where there is none. */
export function show(node, frame, name, ...labels) {
  const value = frame.number(name, ...labels);
  node.dataset.metric = name;
  node.dataset.labels = JSON.stringify(labels);
  say(node, value === null ? "-" : exact(value));
}

/** A figure that was computed, its value in the element's data. */
export function figure(node, name, value, text) {
  node.dataset.figure = name;
  node.dataset.value = JSON.stringify(value);
  say(node, value === null ? "-" : text(value));
}

export const exact = (value) => Number.isInteger(value) ? value.toLocaleString("en-US") : String(value);
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)}%`;
export const hex = (pfn) => `0x${pfn.toString(16)}`;

/** Three digits or so, for rates. */
export function rough(value) {
  if (value >= 99.95 || value === Math.round(value)) return Math.round(value).toLocaleString("en-US");
  return value >= 0.95 ? value.toFixed(1) : value.toPrecision(2);
}

const UNITS = [[1, "s"], [1e-3, "ms"], [1e-6, "us"], [1e-9, "ns"]];
const digits = (value) => String(Number(value.toPrecision(3)));

/** Bounds in seconds, with one unit; null as the upper one is no limit. */
export function bounds([low, high]) {
  const [factor, unit] = UNITS.find(([one]) => (high ?? low) >= one) ?? UNITS[3];
  return high === null ? `>${digits(low / factor)} ${unit}`
    : `${digits(low / factor)}-${digits(high / factor)} ${unit}`;
}

/** A time that passed: 5.2 ms. */
export function lasted(seconds) {
  const [factor, unit] = UNITS.find(([one]) => seconds >= one) ?? UNITS[3];
  return `${digits(seconds / factor)} ${unit}`;
}

/** A time that a person waits: 12 s, 5.0 min, 2.1 d. */
export function age(seconds) {
  const [factor, unit] = [[86400, "d"], [3600, "h"], [60, "min"]].find(([one]) => seconds >= one) ?? [1, "s"];
  return `${(seconds / factor).toFixed(factor === 1 && seconds >= 10 ? 0 : 1)} ${unit}`;
}

export const clock = (seconds) => new Date(1000 * seconds).toLocaleTimeString([], { hour12: false });

/** A table that scrolls by itself where it is too wide. */
export function table(label, columns, body) {
  return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": label },
    el("table", {}, el("thead", {}, el("tr", {}, ...columns.map(
      (name) => el("th", { scope: "col", class: /^(caller|what)/.test(name) ? "wide" : name === "of the time" ? "share" : "" }, name)))), body));
}
