// SPDX-License-Identifier: GPL-2.0
// Single keys, and light or dark.

import { byId, say } from "./dom.js";

const THEMES = ["system", "light", "dark"];

/** What was chosen before; nothing where the browser does not let it be kept. */
function stored() {
  try {
    return localStorage.getItem("cmaobs-theme");
  } catch {
    return null;
  }
}

function setTheme(name, redraw) {
  const root = document.documentElement;
  if (name === "system") delete root.dataset.theme;
  else root.dataset.theme = name;
  say(byId("theme"), `Theme: ${name}`);
  try {
    localStorage.setItem("cmaobs-theme", name);
  } catch {
    // it lasts until the page is closed
  }
  redraw();
}

function nextTheme(redraw) {
  const now = document.documentElement.dataset.theme ?? "system";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length], redraw);
}

function go(node) {
  node.tabIndex = -1;
  node.focus();
  node.scrollIntoView({ block: "start" });
}

/** The area after the one that has the focus, or before it. */
function step(by) {
  const sections = [...byId("areas").children];
  const place = sections.findIndex((section) => section.contains(document.activeElement));
  const wanted = place < 0 ? (by > 0 ? 0 : sections.length - 1) : place + by;
  if (sections[wanted]) go(sections[wanted]);
}

function nextWindow() {
  const select = byId("window");
  select.selectedIndex = (select.selectedIndex + 1) % select.options.length;
  select.dispatchEvent(new Event("change"));
}

/** Listen; redraw: when the colours have changed. */
export function startKeys(redraw) {
  const help = byId("help"), letters = byId("letters");
  const actions = {
    j: () => step(1), k: () => step(-1), v: () => go(byId("verdict")),
    f: () => go(byId("failed")), t: nextWindow, p: () => byId("pause").click(),
    l: () => nextTheme(redraw), "?": () => help.showModal(),
  };
  byId("theme").addEventListener("click", () => nextTheme(redraw));
  byId("keys").addEventListener("click", () => help.showModal());
  byId("close").addEventListener("click", () => help.close());
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, select, textarea, dialog");
    if (typing || event.ctrlKey || event.altKey || event.metaKey || help.open || !letters.checked) return;
    const action = actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  const before = stored();
  if (THEMES.includes(before) && before !== "system") setTheme(before, redraw);
}
