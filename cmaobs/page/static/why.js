// SPDX-License-Identifier: GPL-2.0
// Why allocations of an area failed, and where their time went.

import { bounds, el, exact, figure, percent, show, table } from "./dom.js";

/** What allocations through the buddy did, where it is observed. */
export function updatePhases(node, figures) {
  node.hidden = !figures.phases.length;
  if (node.hidden) return;
  if (!node.children.length) {
    node.append(el("h3", {}, "Where the time of allocations through the buddy went"), table(
      `Phases of allocations of area ${figures.name}`, ["phase", "of the time", "allocations", "p50", "p99"], el("tbody")));
  }
  const whole = figures.phases.reduce((total, one) => total + one.total_s, 0);
  node.querySelector("tbody").replaceChildren(...figures.phases.map((one) => {
    const share = whole ? one.total_s / whole : 0, bar = el("i"), count = el("td");
    bar.style.width = `${100 * share}%`;
    figure(count, one.name, [one.count, one.per_s, one.p50, one.p99], () => exact(one.count));
    return el("tr", {}, el("td", {}, one.name.replace("phase ", "")), el("td", { class: "share" }, el("span", {}, percent(share)), bar),
      count, ...[one.p50, one.p99].map((pair) => el("td", {}, pair ? bounds(pair) : "-")));
  }));
}

/** Failures by cause since the observer began, those that there were. means: what each is. */
export function updateCauses(node, area, means, now) {
  const name = "cma_alloc_failure_causes_total";
  const found = now.labels(name).filter((labels) => labels[0] === area && now.number(name, ...labels));
  node.hidden = !found.length;
  if (node.hidden) return;
  if (!node.children.length) {
    node.append(el("h3", {}, "Why allocations failed, since the observer began"), table(
      `Failures of area ${area} by cause`, ["cause", "failed", "what it means"], el("tbody")));
  }
  node.querySelector("tbody").replaceChildren(...found.map((labels) => {
    const count = el("td");
    show(count, now, name, ...labels);
    return el("tr", {}, el("td", {}, labels[1].replace("_", " ")), count, el("td", { class: "wide" }, means[labels[1]]));
  }));
}
