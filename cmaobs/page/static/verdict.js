// SPDX-License-Identifier: GPL-2.0
// The verdict, why it is so, and the evidence of a divergence once it is opened.

import { age, byId, el, exact, hex, say, show } from "./dom.js";

const MEANS = {
  agree: "agree: everything seen follows the rules.",
  diverge: "diverge: no lawful order of the operations explains what was seen.",
  unknown: "unknown: it cannot be said whether everything follows the rules.",
};
const SVG = "http://www.w3.org/2000/svg";

/** Draw it. */
export function updateVerdict(view, now) {
  const { verdict } = view, outcome = verdict?.outcome ?? "none", badge = byId("badge");
  say(badge, verdict ? outcome : "no verdict");
  badge.className = outcome;
  say(byId("outcome"), MEANS[outcome] ?? (view.time_s === null ? "No reading was made yet." : "No verdict yet."));
  lines(byId("reasons"), [...(verdict?.reasons ?? []).map(
    (reason) => `${outcome === "unknown" ? "unknown because" : "not all is known"}: ${reason}`),
    ...(verdict?.reasons_more ? [`and ${verdict.reasons_more} more reasons`] : [])]);
  divergences(verdict);
  coverage(view, now);
}

/** A list of lines, made anew only where they change. */
export function lines(list, texts) {
  if (JSON.stringify([...list.children].map((item) => item.textContent)) === JSON.stringify(texts)) return;
  list.replaceChildren(...texts.map((text) => el("li", { class: "untrusted" }, text)));
}

function divergences(verdict) {
  const box = byId("divergences"), found = verdict?.divergences ?? [];
  const identity = (one) => `${one.at_ns} ${one.line}`;
  if (found.some((one, place) => box.children[place] && box.children[place].dataset.of !== identity(one))
    || box.querySelectorAll("details").length > found.length) box.replaceChildren();
  box.querySelector(":scope > p")?.remove();
  for (const [place, one] of [...found.entries()].slice(box.children.length)) {
    const body = el("div");
    const details = el("details", { class: "divergence", "data-of": identity(one) },
      el("summary", { class: "untrusted" }, one.line), body);
    details.addEventListener("toggle", () => details.open && !body.children.length && tell(body, place));
    box.append(details);
  }
  if (verdict?.following) {
    box.append(el("p", { class: "note" }, `${exact(verdict.following)} more came after these and may follow from them.`));
  }
}

function coverage(view, now) {
  const box = byId("coverage"), seen = now.labels("cmaobs_model_operations_total");
  if (!box.children.length) {
    for (const name of ["records received", "records lost", "operations seen", "decided", "compared at rest", "last at rest"]) {
      box.append(el("div", {}, el("dt", {}, name), el("dd")));
    }
  }
  const [records, lost, operations, decided, rests, last] = box.querySelectorAll("dd");
  show(records, now, "cmaobs_records_total");
  const kinds = now.labels("cmaobs_losses_total").filter((labels) => now.number("cmaobs_losses_total", ...labels));
  say(lost, kinds.length ? `${exact(now.total("cmaobs_losses_total"))}: ${kinds.map(([kind]) => kind).join(", ")}`
    : view.time_s === null ? "-" : "nothing");
  say(operations, seen.length ? exact(now.total("cmaobs_model_operations_total")) : "-");
  say(decided, seen.length ? exact(now.total("cmaobs_model_decided_total")) : "-");
  say(rests, seen.length ? `${exact(now.total("cmaobs_model_rests_total"))} times` : "-");
  const times = now.labels("cmaobs_model_last_rest_timestamp_seconds")
    .map((labels) => now.number("cmaobs_model_last_rest_timestamp_seconds", ...labels));
  say(last, times.length ? `${age(Math.max(0, view.time_s - Math.max(...times)))} before` : "never");
}

/** Fetch the evidence and draw it. */
async function tell(body, place) {
  body.replaceChildren(el("p", { class: "note" }, "asking"));
  try {
    const answer = await fetch(`divergence/${place}.json`);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    body.replaceChildren(...told(await answer.json(), place));
  } catch (error) {
    const again = el("button", { type: "button" }, "Ask again");
    again.addEventListener("click", () => tell(body, place));
    body.replaceChildren(el("p", {}, `The evidence did not come: ${error.message}. `, again));
  }
}

function told(one, place) {
  const made = one.told.map((text) => el("p", { class: "untrusted" }, text));
  for (const part of one.pages) {
    made.push(el("h3", {}, part.title), cells(part, one), ...part.told.map((text) => el("p", { class: "note" }, text)));
  }
  if (one.pages.length) {
    made.push(el("ul", { class: "key" }, ...["allocated", "deferred", "free", "unknown", "mixed", "concerned"].map(
      (state) => el("li", {}, el("i", { class: state }), state))));
  }
  if (one.operations.length) {
    made.push(el("h3", {}, "Operations, oldest first"), el("ol", {}, ...one.operations.map((op) =>
      el("li", { class: "untrusted" }, `${op.who}: ${op.did}`,
        ...op.steps.map((step) => el("div", {}, el("code", {}, step))),
        ...(op.stack.length ? [el("div", { class: "stack" }, op.stack.join(" < "))] : [])))));
    made.push(el("h3", {}, "Time line"), el("p", { class: "note" }, "In order of time, not to scale; the mark is the divergence."),
      timeLine(one.time_line));
  }
  if (one.evidence) made.push(el("p", { class: "untrusted" }, `Kept on the device: cmaobs explain ${one.evidence}`));
  made.push(el("p", {}, el("a", { href: `divergence/${place}.txt` }, "the same as text")));
  return made;
}

function cells(part, one) {
  const across = Math.max(...part.rows.map((row) => row.states.length));
  const first = part.rows[0].pfn, end = first + part.pages_per_cell * part.rows.reduce((sum, row) => sum + row.states.length, 0);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `-0.2 -0.2 ${across + 0.4} ${part.rows.length * 1.3 + 0.1}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `${part.title}: pages ${hex(first)} to ${hex(end - 1)} by state, ${part.pages_per_cell} a cell, `
    + `those of ${one.rule} marked`);
  for (const [y, row] of part.rows.entries()) {
    row.states.forEach((state, x) => {
      svg.append(square(x, y, state));
      if (row.concerned[x]) svg.append(square(x, y, "concerned"));
    });
  }
  return svg;
}

function square(x, y, kind) {
  const rect = document.createElementNS(SVG, "rect");
  const at = { x: x + 0.05, y: 1.3 * y + 0.05, width: 0.9, height: 1, class: kind };
  for (const [name, value] of Object.entries(at)) rect.setAttribute(name, value);
  return rect;
}

function timeLine({ columns, noticed, bars }) {
  const at = (column) => `${100 * column / Math.max(columns - 1, 1)}%`;
  return el("ol", { class: "bars" }, ...bars.map((bar) => {
    const piece = el("i"), mark = el("b");
    piece.style.left = `min(${at(bar.first)}, 100% - 4px)`;
    piece.style.right = `calc(100% - ${at(bar.last)})`;
    mark.style.left = `min(${at(noticed)}, 100% - 3px)`;
    return el("li", bar.number ? {} : { class: "call" },
      el("span", { class: "untrusted" }, `${bar.number ? `${bar.number}. ` : "in it: "}${bar.did}, `
        + `${bar.at_us[0].toFixed(1)} to ${bar.at_us[1].toFixed(1)} us`),
      el("div", { "aria-hidden": "true" }, piece, mark));
  }));
}
