// SPDX-License-Identifier: GPL-2.0
// One area: its figures, map, durations by path, and who holds its pages.

import { age, bounds, el, exact, figure, hex, percent, rough, say, show, table } from "./dom.js";
import { drawCourse, drawHeat, drawMap, drawMapCourse, layout } from "./draw.js";
import { areaFigures, PATHS } from "./figures.js";
import { updateCauses, updatePhases } from "./why.js";

const RUNS_SHOWN = 200;
const HEAT_HEIGHT = 124;

/** Title, class, whether only a kernel that defers has it, what to write, and what its course is. */
const TILES = [
  ["allocated", "allocated", false, metric("cma_allocated_pages"), gauge("cma_allocated_pages")],
  ["deferred", "deferred", true, deferred, gauge("cma_deferred_pages")],
  ["free", "free", false, metric("cma_free_pages"), null],
  ["longest clear run", "", false, metric("cma_largest_clear_run_pages"), null],
  ["hit ratio", "deferred", true, computed("hit_share", percent), course("hit_share")],
  ["allocations/s", "", false, computed("allocs_per_s", rough), course("allocs_per_s")],
  ["releases/s", "", false, computed("releases_per_s", rough), course("releases_per_s")],
  ["misses", "", true, counted("misses", "cma_defer_misses_total"), course("misses")],
  ["reclaimed pages", "deferred", true,
    counted("reclaimed", "cma_defer_scan_reclaimed_pages_total"), course("reclaimed")],
  ["failed", "failed", false, counted("failed", "cma_alloc_total", "failed"), course("failed")],
  ["tried again", "", false, retried, course("retried")],
];

function metric(name) {
  return (node, now, area) => show(node, now, name, area);
}

function deferred(node, now, area) {
  if (!node.children.length) {
    node.append(el("span"), el("small", {}, " in ", el("span"), " extents, batch ", el("span"), el("span")));
  }
  const [pages, extents, batch, policy] = node.querySelectorAll("span");
  show(pages, now, "cma_deferred_pages", area);
  show(extents, now, "cma_deferred_extents", area);
  show(batch, now, "cma_defer_batch_pages", area);
  say(policy, now.labels("cma_defer_policy_info").filter(([one]) => one === area).map(([, name]) => `, ${name}`).join(""));
}

/** Allocations that tried more than one place, and how many places that were. */
function retried(node, now, area, figures) {
  if (!node.children.length) node.append(el("span"), el("small", {}, " at ", el("span"), " more places"));
  const [allocations, places] = node.querySelectorAll("span");
  counted("retried", "cma_alloc_retried_total")(allocations, now, area, figures);
  counted("retries", "cma_alloc_retries_total")(places, now, area, figures);
}

function computed(name, text) {
  return (node, now, area, figures) => figure(node, name, figures[name], text);
}

/** A counter: of the interval a figure, of all time the metric itself. */
function counted(name, metricName, ...labels) {
  return (node, now, area, figures) => {
    delete node.dataset[figures.seconds ? "metric" : "figure"];
    if (figures.seconds) figure(node, name, figures[name], exact);
    else show(node, now, metricName, area, ...labels);
  };
}

function gauge(name) {
  return (area) => (history) => history.frames.map((frame) => [frame.time, frame.number(name, area)]);
}

function course(name) {
  return (area) => (history) => [...history.pairs()].map(
    ([now, then]) => [now.time, now.since(then, area)[name]]);
}

export class Area {
  constructor(name, place) {
    this.name = name;
    this.id = `area-${place}`;
    this.tiles = TILES.map(([title, kind, deferring, write, of]) => {
      const dd = el("dd"), canvas = of && el("canvas", { "aria-hidden": "true" });
      const box = el("div", kind ? { class: kind } : {}, el("dt", {}, title), dd, ...(of ? [canvas] : []));
      return { box, dd, canvas, deferring, write, value: of && of(name), kind: kind || "faint" };
    });
    this.map = el("canvas", { role: "img" });
    this.key = el("ul", { class: "key" });
    this.note = el("p", { class: "note" });
    this.runs = el("tbody");
    this.runsBox = el("details", {}, el("summary", {}, "The map as a table"), table(
      `Runs of area ${name}`, ["state", "first pfn", "pages"], this.runs));
    this.durations = el("h3");
    this.courseTitle = el("h3");
    this.course = el("canvas", { role: "img", "aria-label": `The map of area ${name} in the course of time` });
    this.paths = el("div", { class: "paths" });
    this.causes = el("div");
    this.phases = el("div");
    this.holders = el("div");
    this.buffers = el("p", { class: "untrusted" });
    this.mapBox = el("div", { class: "map" }, el("h3", {}, "Map, page by page"), this.key, this.map,
      this.note, this.runsBox, this.courseTitle, el("div", { class: "course" }, this.course));
    this.node = el("section", { id: this.id, "aria-labelledby": `${this.id}-title`, tabindex: "-1", "data-area": name },
      el("h2", { id: `${this.id}-title` }, "Area ", el("span", { class: "untrusted" }, name), " ",
        el("small", {})),
      el("dl", { class: "tiles" }, ...this.tiles.map((tile) => tile.box)),
      this.mapBox, this.durations, this.paths, this.phases, this.causes, this.holders, this.buffers);
    this.byPath = new Map();
    this.map.addEventListener("pointermove", (event) => this.point(event));
    this.map.addEventListener("pointerleave", () => this.describe());
    this.runsBox.addEventListener("toggle", () => this.list());
  }

  /** Draw what is known now, figures from before on. */
  update(area, view, now, before, history) {
    const figures = areaFigures(this.name, now, before);
    this.area = area;
    this.states = view.states;
    say(this.node.querySelector("h2 small"), `${exact(area.pages)} pages from pfn ${hex(area.base_pfn)}`);
    for (const { box, dd, canvas, deferring, write, value, kind } of this.tiles) {
      box.hidden = (deferring && !view.patched) || (write === retried && figures.retried === null);
      if (box.hidden) continue;
      write(dd, now, this.name, figures);
      if (canvas) drawCourse(canvas, history, value, kind === "free" ? "faint" : kind === "failed" ? "bad" : kind);
    }
    this.updateMap(view, now, history);
    this.updatePaths(figures, history);
    updatePhases(this.phases, figures);
    updateCauses(this.causes, this.name, view.causes, now);
    this.updateHolders(area.holders);
    this.updateBuffers(now);
    return figures;
  }

  updateMap(view, now, history) {
    const { map, fault } = this.area;
    for (const part of [this.map, this.key, this.runsBox, this.course, this.courseTitle]) part.hidden = !map;
    if (!map) {
      say(this.note, fault ? `The area could not be read: ${fault}.` : "The area was not read yet.");
      return;
    }
    this.plan = layout(map, map.span, Math.max(160, this.map.clientWidth), view.states.indexOf("mixed"));
    drawMap(this.map, this.plan, view.states);
    say(this.courseTitle, `Map over the last ${age(history.span)}, highest page on top`);
    drawMapCourse(this.course, history, this.name, view.states);
    const seen = new Set(this.plan.cells);
    for (const past of history.maps.get(this.name)?.values() ?? []) for (const state of past.cells) seen.add(state);
    const shown = view.states.filter((state, at) => seen.has(at) || state === "allocated" || state === "free"
      || (state === "deferred" && view.patched));
    if (this.key.dataset.shown !== shown.join()) {
      this.key.dataset.shown = shown.join();
      this.key.replaceChildren(...shown.map((state) => el("li", {}, el("i", { class: state }),
        { both: "allocated and deferred at once", outside: "not of the area" }[state] ?? state)));
    }
    this.map.setAttribute("aria-label", `Map of area ${this.name}: `
      + `${exact(now.number("cma_allocated_pages", this.name))} pages allocated, `
      + (view.patched ? `${exact(now.number("cma_deferred_pages", this.name) ?? 0)} deferred, ` : "")
      + `${exact(now.number("cma_free_pages", this.name))} free. The table below lists the runs.`);
    if (!this.map.matches(":hover")) this.describe();
    this.list();
  }

  describe() {
    const { scale } = this.plan;
    say(this.note, `${scale === 1 ? "One page a cell" : `${scale} pages a cell`}, row by row from the lowest`
      + `${scale > 1 ? "; mixed is a cell whose pages differ" : ""}`
      + `${this.area.map.at_rest ? "" : "; read while operations were in flight"}.`);
  }

  /** What is under the pointer. */
  point(event) {
    const { across, down, scale, cells, pages } = this.plan;
    const column = Math.floor(event.offsetX / this.map.clientWidth * across);
    const place = column + across * Math.floor(event.offsetY / this.map.clientHeight * down);
    if (!(place >= 0 && place < cells.length)) return;
    const first = this.area.base_pfn + place * scale;
    const last = Math.min(first + scale, this.area.base_pfn + pages) - 1;
    say(this.note, `pfn ${hex(first)}${last > first ? ` to ${hex(last)}` : ""}: ${this.states[cells[place]]}`);
  }

  list() {
    if (!this.runsBox.open || !this.area?.map) return;
    const { runs, pages_per_cell: scale } = this.area.map, rows = [];
    let at = 0;
    for (const [state, cells] of runs) {
      if (rows.length === RUNS_SHOWN) {
        rows.push(el("tr", {}, el("td", { colspan: "3" }, `and more, from pfn ${hex(this.area.base_pfn + at)} on`)));
        break;
      }
      const pages = Math.min(cells * scale, this.area.map.span - at);
      rows.push(el("tr", {}, el("td", {}, this.states[state]),
        el("td", {}, hex(this.area.base_pfn + at)), el("td", {}, exact(pages))));
      at += pages;
    }
    this.runs.replaceChildren(...rows);
  }

  updatePaths(figures, history) {
    say(this.durations, `Durations by path, over the last ${age(history.span)}`);
    for (const [name, path] of this.byPath) path.box.hidden = !figures.paths.some((one) => one.name === name);
    if (!figures.paths.length) say(this.paths, "No operation was seen yet.");
    else if (!this.byPath.size) this.paths.replaceChildren();
    for (const one of figures.paths) {
      const [, source, ...kind] = PATHS.find(([name]) => name === one.name);
      if (!this.byPath.has(one.name)) {
        const made = { text: el("p"), canvas: el("canvas", { role: "img" }) };
        made.box = el("div", {}, el("h4", {}, one.name), made.text, made.canvas);
        this.byPath.set(one.name, made);
        this.paths.append(...PATHS.map(([name]) => this.byPath.get(name)?.box).filter(Boolean));
      }
      const { text, canvas } = this.byPath.get(one.name);
      const often = one.per_s === null ? `${exact(one.count)} operations` : `${rough(one.per_s)}/s`;
      const words = one.count ? `${often}, p50 ${bounds(one.p50)}, p99 ${bounds(one.p99)}` : often;
      figure(text, one.name, [one.count, one.per_s, one.p50, one.p99], () => words);
      canvas.setAttribute("aria-label", `Durations of ${one.name} over the last ${age(history.span)}; now ${words}`);
      drawHeat(canvas, history, source, [this.name, ...kind], HEAT_HEIGHT);
    }
  }

  updateHolders(holders) {
    if (!holders) {
      this.holders.replaceChildren();
      return;
    }
    if (!this.holders.children.length) {
      this.holders.append(el("h3", {}, "Who holds the pages"), el("p", { class: "note" }), table(
        `Holders of area ${this.name}`, ["caller, driver", "pages", "runs", "oldest", "allocs", "failed"], el("tbody")));
    }
    const total = Object.values(holders.pages).reduce((a, b) => a + b, 0);
    const unsure = Object.entries({ uncertain: "may have changed hands", before: "allocated before the observer came",
      missed: "whose allocation was not seen" }).filter(([kind]) => holders.pages[kind])
      .map(([kind, words]) => `${exact(holders.pages[kind])} ${words}`);
    say(this.holders.querySelector("p"), [`${exact(total)} pages`, ...unsure].join(", ")
      + (holders.exact ? "." : "; not compared with the bitmap at rest."));
    const rows = holders.rows.map((row) => el("tr", {}, el("td", { class: "wide untrusted" }, row.who),
      ...[exact(row.held_pages), exact(row.held_runs), row.oldest_s === null ? "-" : age(row.oldest_s),
        exact(row.allocations), exact(row.failed)].map((text) => el("td", {}, text))));
    const { callers, held_pages: pages } = holders.rest;
    if (callers) {
      rows.push(el("tr", {}, el("td", { class: "wide" }, `${exact(callers)} more callers`),
        el("td", {}, exact(pages)), el("td", { colspan: "4" })));
    }
    this.holders.querySelector("tbody").replaceChildren(...rows);
  }

  /** dma-bufs, where they are looked up. */
  updateBuffers(now) {
    const number = now.number("cma_dmabufs", this.name);
    this.buffers.hidden = number === null;
    if (number === null) return;
    const held = now.labels("cma_dmabuf_held_bytes").filter(([area]) => area === this.name)
      .map((labels) => `${labels[1]} ${kib(now.number("cma_dmabuf_held_bytes", ...labels))}`);
    say(this.buffers, `dma-bufs: ${exact(number)} of ${kib(now.number("cma_dmabuf_bytes", this.name))}`
      + `${held.length ? `, held by ${held.join(", ")}` : ""}.`);
  }
}

function kib(bytes) {
  return `${exact(Math.round(bytes / 1024))} KiB`;
}
