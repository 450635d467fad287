// SPDX-License-Identifier: GPL-2.0
// Asks for view.json again and again, keeps what it saw for a while, and draws it.

import { Area } from "./area.js";
import { age, byId, clock, el, exact, figure, lasted, percent, rough, say, show } from "./dom.js";
import { areaFigures, Frame } from "./figures.js";
import { History } from "./history.js";
import { startKeys } from "./keys.js";
import { lines, updateVerdict } from "./verdict.js";

const EVERY_MS = 1000;
const PATIENCE_MS = 8000;
const LATE_S = 5; // then it says how old the reading is; /healthz knows whether that is too old

const history = new History();
let areas = [];
let view = null;
let trouble = "";
let changedAt = performance.now();
let asking = false;
let waiting = null; // the time-out of the next question

async function ask() {
  if (asking) return;
  asking = true;
  clearTimeout(waiting);
  let found = null;
  try {
    const answer = await fetch("view.json", { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    found = await answer.json();
  } catch (error) {
    trouble = `The server does not answer (${error.name === "TimeoutError" ? "too slow" : error.message})`;
  }
  asking = false;
  waiting = setTimeout(next, EVERY_MS);
  if (found) take(found);
  tick();
}

const paused = () => byId("pause").getAttribute("aria-pressed") === "true";

/** Not while nobody looks. */
function next() {
  if (!document.hidden && !paused()) ask();
}

function take(found) {
  view = found;
  trouble = view.failure ? `Observing ended: ${view.failure}` : view.health === "ok" ? "" : `The observer is ${view.health}`;
  const fresh = history.add(new Frame(view)) && view.time_s !== null;
  if (fresh) changedAt = performance.now();
  const mixed = view.states.indexOf("mixed");
  for (const { name, map } of view.areas) if (fresh && map) history.note(view.time_s, name, map, mixed);
  draw();
}

/** What changes without an answer: how old all this is. */
function tick() {
  const silent = (performance.now() - changedAt) / 1000;
  say(byId("age"), !view ? "asking" : view.time_s === null ? "attaching; no reading yet" : paused() ? `paused at ${clock(view.time_s)}`
    : `${clock(view.time_s)}${silent > LATE_S ? `, ${age(silent)} ago` : ""}`);
  const box = byId("trouble");
  box.hidden = !trouble;
  say(box, trouble && view?.time_s ? `${trouble}. All figures are of ${clock(view.time_s)}.` : trouble);
  document.documentElement.classList.toggle("stale", Boolean(view && trouble));
}

function draw() {
  const now = history.last, before = history.before(Number(byId("window").value));
  document.documentElement.dataset.time = JSON.stringify([now.time, before?.time ?? null]);
  document.title = `${view.verdict?.outcome ?? "no verdict"} - cmaobs`;
  const { release, machine } = view.identity, read = view.time_s !== null;
  say(byId("kernel"), release ? `kernel ${release}, ${machine}, ${view.patched ? "defers" : "does not defer"}` : "");
  byId("plain").hidden = view.patched || !read;
  byId("starting").hidden = read;
  for (const id of ["overview", "failed"]) byId(id).hidden = !read;
  updateVerdict(view, now);
  drawAreas(now, before);
  drawFailures(now.total("cma_alloc_failures_total"));
  drawAbout(now);
}

function drawAreas(now, before) {
  const names = view.areas.map((area) => area.name);
  if (JSON.stringify(areas.map((one) => one.name)) !== JSON.stringify(names)) {
    areas = names.map((name, place) => new Area(name, place));
    byId("areas").replaceChildren(...areas.map((one) => one.node));
    byId("rows").replaceChildren(...names.map((name, place) => el("tr", { "data-area": name },
      el("td", { class: "untrusted" }, el("a", { href: `#area-${place}` }, name)), ...Array.from({ length: 7 }, () => el("td")))));
  }
  view.areas.forEach((area, place) => {
    const found = areas[place].update(area, view, now, before, history);
    const [, pages, held, deferred, fragmented, hits, allocs, failed] = byId("rows").children[place].children;
    show(pages, now, "cma_area_pages", area.name);
    figure(held, "use", found.use, percent);
    show(deferred, now, "cma_deferred_pages", area.name);
    figure(fragmented, "fragmentation", found.fragmentation, percent);
    figure(hits, "hit_share", found.hit_share, percent);
    figure(allocs, "allocs_per_s", found.allocs_per_s, rough);
    figure(failed, "failed", found.failed, exact);
  });
}

function drawFailures(failed) {
  byId("no-failures").hidden = view.failures.length > 0;
  say(byId("no-failures"), failed ? `${exact(failed)} allocation${failed > 1 ? "s" : ""} failed; none of them is known one by one.`
    : "No allocation failed since the observer began.");
  const table = byId("failures");
  table.hidden = !view.failures.length;
  table.tBodies[0].replaceChildren(...[...view.failures].reverse().flatMap((one) => [el("tr", {},
    el("td", {}, clock(one.wall_s)), el("td", { class: "untrusted" }, one.area), el("td", {}, exact(one.pages)),
    el("td", {}, one.errno), el("td", {}, one.cause.replace("_", " ")), el("td", { class: "wide untrusted" }, `${one.comm}[${one.pid}]`),
    el("td", {}, lasted(one.duration_s))),
  el("tr", { class: "told" }, el("td", { class: "wide untrusted", colspan: "7" },
    ...[one.told, ...one.pages_told].map((text) => el("div", {}, text))))]));
}

function drawAbout(now) {
  lines(byId("warnings"), view.warnings);
  if (byId("about").open) {
    byId("about").querySelector("dl").replaceChildren(...Object.entries({ cmaobs: view.cmaobs, ...view.identity })
      .flatMap(([name, value]) => [el("dt", {}, name), el("dd", { class: "untrusted" }, value)]));
  }
  if (!byId("numbers").open) return;
  const rows = [];
  for (const name of now.samples.keys()) {
    for (const labels of now.labels(name)) {
      const value = el("td");
      if (now.number(name, ...labels) === null) continue;
      show(value, now, name, ...labels);
      rows.push(el("tr", {}, el("td", {}, name), el("td", { class: "wide untrusted" }, labels.map((label, place) => `${view.labels[name][place]}=${label}`).join(", ")), value));
    }
  }
  byId("numbers").querySelector("tbody").replaceChildren(...rows);
}

function pause() {
  const button = byId("pause"), now = !paused();
  button.setAttribute("aria-pressed", String(now));
  say(button, now ? "Go on" : "Pause");
  changedAt = performance.now();
  if (!now) ask();
  tick();
}

const redraw = () => view && draw();
byId("pause").addEventListener("click", pause);
byId("window").addEventListener("change", redraw);
for (const id of ["about", "numbers"]) byId(id).addEventListener("toggle", redraw);
document.addEventListener("visibilitychange", next);
window.addEventListener("resize", redraw);
startKeys(redraw);
setInterval(tick, EVERY_MS);
ask();
