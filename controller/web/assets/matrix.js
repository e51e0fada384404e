// The matrix in the page: holds every line as JSON, writes only those on screen, keeps order and filter.

import { ageAll, mark, moment, say } from "./format.js";
import { newLine, newNode, writeLine, writeNode, writeState } from "./row.js";

/** @typedef {import("./row.js").Line} Line @typedef {import("./row.js").Card} Card */

const table = /** @type {HTMLTableElement} */ (document.getElementById("matrix"));
const strip = /** @type {HTMLElement} */ (document.getElementById("nodes"));
const counts = /** @type {HTMLElement} */ (document.getElementById("counts"));
const find = /** @type {HTMLInputElement} */ (document.getElementById("find"));

/** @type {Map<string, Line>} */ const lines = new Map();
/** @type {Map<string, Card>} */ const cards = new Map();
/** @type {Map<string, HTMLElement>} */ const bodies = new Map();
/** @type {Map<string, HTMLElement>} */ const items = new Map();
/** @type {Set<string>} */ const dirty = new Set();
/** @type {Set<string>} */ const onScreen = new Set();
/** @type {string[]} */ let order = [];
let orderIsNew = false;
let unknown = false;
let stateFilter = "";

const watcher = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      const key = /** @type {HTMLElement} */ (entry.target).dataset.key ?? "";
      if (entry.isIntersecting) onScreen.add(key);
      else onScreen.delete(key);
      if (entry.isIntersecting && dirty.has(key)) write(key);
    }
  },
  { rootMargin: "300px" },
);

for (const body of /** @type {NodeListOf<HTMLElement>} */ (table.querySelectorAll("tbody"))) {
  bodies.set(body.dataset.key ?? "", body);
  watcher.observe(body);
}
for (const item of /** @type {NodeListOf<HTMLElement>} */ (strip.querySelectorAll(".node"))) {
  items.set(item.dataset.key ?? "", item);
}

/**
 * A JSON merge patch (RFC 7396).
 * @param {any} target
 * @param {any} patch
 * @returns {any}
 */
export function merge(target, patch) {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const into = target !== null && typeof target === "object" && !Array.isArray(target) ? target : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete into[key];
    else into[key] = merge(into[key], value);
  }
  return into;
}

/** Forgets every value; the whole follows. The elements stay, so that nothing flickers. */
export function reset() {
  lines.clear();
  cards.clear();
}

/** @param {{key: string, patch: any}} change */
export function row({ key, patch }) {
  if (patch === null) {
    lines.delete(key);
    return;
  }
  lines.set(key, merge(lines.get(key), patch));
  dirty.add(key);
}

/** @param {{key: string, patch: any}} change */
export function node({ key, patch }) {
  if (patch === null) {
    cards.delete(key);
    return;
  }
  const card = merge(cards.get(key), patch);
  cards.set(key, card);
  let item = items.get(key);
  if (!item) {
    item = newNode(key);
    items.set(key, item);
    strip.append(item);
    document.getElementById("no-nodes")?.remove();
  }
  writeNode(item, card);
}

/**
 * Ends a batch: what was patched becomes visible at once.
 * @param {{at: number, order?: string[], hidden?: number}} tick
 */
export function tick({ order: next, hidden }) {
  if (next) {
    order = next;
    orderIsNew = true;
  }
  if (unknown) {
    unknown = false;
    for (const key of lines.keys()) dirty.add(key);
    for (const [key, card] of cards) {
      const item = items.get(key);
      if (item) writeNode(item, card);
    }
  }
  for (const key of [...bodies.keys()].filter((key) => !lines.has(key))) drop(key);
  for (const key of [...items.keys()].filter((key) => !cards.has(key))) {
    items.get(key)?.remove();
    items.delete(key);
  }
  for (const key of dirty) {
    const body = bodies.get(key) ?? add(key);
    // The state is written off screen too: the filter and the counts look at it.
    mark(body, "data-state", lines.get(key)?.state ?? "unknown");
    if (onScreen.has(key)) write(key);
  }
  if (hidden !== undefined) {
    const note = /** @type {HTMLElement} */ (document.getElementById("hidden-lines"));
    note.hidden = hidden === 0;
    say(note.querySelector("[data-f]"), String(hidden));
  }
  if (orderIsNew) arrange();
  count();
  filter();
}

/** @param {string} key */
function add(key) {
  const body = newLine(key);
  bodies.set(key, body);
  table.append(body);
  watcher.observe(body);
  orderIsNew = true;
  return body;
}

/** @param {string} key */
function drop(key) {
  const body = bodies.get(key);
  if (body) {
    watcher.unobserve(body);
    body.remove();
  }
  bodies.delete(key);
  onScreen.delete(key);
  dirty.delete(key);
}

/** @param {string} key */
function write(key) {
  const [body, line] = [bodies.get(key), lines.get(key)];
  if (!body || !line || unknown) return;
  dirty.delete(key);
  writeLine(body, line);
}

/** Moves only the lines that are out of place; waits while someone selects text in the table. */
function arrange() {
  const selection = document.getSelection();
  if (selection && !selection.isCollapsed && table.contains(selection.anchorNode)) return;
  orderIsNew = false;
  const focused = document.activeElement;
  /** @type {Element | null} */ let next = null;
  for (const key of [...order].reverse()) {
    const body = bodies.get(key);
    if (!body) continue;
    if (body.nextElementSibling !== next) {
      // moveBefore keeps focus and scroll; older browsers get the focus handed back.
      if ("moveBefore" in table) /** @type {any} */ (table).moveBefore(body, next);
      else table.insertBefore(body, next);
    }
    next = body;
  }
  if (focused instanceof HTMLElement && focused !== document.activeElement && table.contains(focused)) {
    focused.focus({ preventScroll: true });
  }
}

/** Counts the states for the filter buttons and the tab's title. */
function count() {
  /** @type {Record<string, number>} */ const seen = {};
  for (const { state } of lines.values()) {
    const shown = unknown ? "unknown" : state;
    seen[shown] = (seen[shown] ?? 0) + 1;
  }
  for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (counts.querySelectorAll("button"))) {
    const state = button.dataset.filter ?? "";
    const number = state === "" ? lines.size : (seen[state] ?? 0);
    say(button.querySelector("b"), String(number));
    button.hidden = state !== "" && number === 0 && stateFilter !== state;
  }
  const hurt = lines.size - (seen.ok ?? 0);
  const title = document.title.replace(/^\(\d+\) /, "");
  const now = hurt > 0 ? `(${hurt}) ${title}` : title;
  if (document.title !== now) document.title = now;
}

/** Hides what does not fit the filter. */
export function filter() {
  const parts = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  let fits = 0;
  for (const body of bodies.values()) {
    const text = body.dataset.find ?? "";
    const fit = (stateFilter === "" || body.dataset.state === stateFilter) && parts.every((part) => text.includes(part));
    if (body.hidden === fit) body.hidden = !fit;
    if (fit) fits += 1;
  }
  /** @type {HTMLElement} */ (document.getElementById("none-yet")).hidden = bodies.size > 0;
  /** @type {HTMLElement} */ (document.getElementById("none-fit")).hidden = fits > 0 || bodies.size === 0;
}

find.addEventListener("input", filter);
counts.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("button");
  if (!button) return;
  stateFilter = button.dataset.filter === stateFilter ? "" : (button.dataset.filter ?? "");
  for (const other of counts.querySelectorAll("button")) {
    mark(other, "aria-pressed", String((other.dataset.filter ?? "") === stateFilter));
  }
  filter();
});

/**
 * Nothing was heard for too long: no state on this page is of now.
 * @param {number} heard when the last batch came, Unix milliseconds
 */
export function forget(heard) {
  if (unknown) return;
  unknown = true;
  for (const element of table.querySelectorAll("tbody, tbody tr")) mark(element, "data-state", "unknown");
  for (const row of table.querySelectorAll("tbody tr:not([data-stale])")) {
    mark(row, "data-stale", "");
    moment(row.querySelector('.st [data-f="since"]'), heard);
  }
  for (const cell of table.querySelectorAll("tbody .gets, tbody .st")) writeState(cell, "unknown", "st-unknown");
  for (const since of table.querySelectorAll('.gets [data-f="since"]')) moment(since, null);
  for (const probe of table.querySelectorAll('[data-f="probe"]:not([data-probe="none"])')) mark(probe, "data-probe", "stale");
  for (const item of items.values()) {
    mark(item, "data-state", "silent");
    item.classList.remove("quiet");
    writeState(item, "silent", "nd-silent");
  }
  count();
  filter();
}

/**
 * Writes the ages of what is on screen.
 * @param {number} now Unix milliseconds by the server's clock
 */
export function ages(now) {
  ageAll(strip, now);
  for (const key of onScreen) {
    const body = bodies.get(key);
    if (body && !body.hidden) ageAll(body, now);
  }
}
