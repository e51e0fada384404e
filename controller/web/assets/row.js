// Writes a line of the matrix and a node of the strip into the elements the server made.
// A value is found by its `data-f`; the names are those of controller/web/templates/line.html.

import { mark, megabits, moment, say, word } from "./format.js";

/**
 * @typedef {{name: string, playing: boolean, up: boolean, fault?: string}} Chip
 * @typedef {{ok: boolean, stale: boolean, verdict?: string, at: number}} Probe
 * @typedef {{node: string, site: string, state: string, stale: boolean, heard?: number, since?: number,
 *   source?: string, wanted?: string, reason?: string, chips: Chip[], rate?: number, cc?: number,
 *   segment?: number, probe?: Probe, viewers?: number, serves: string[]}} Row
 * @typedef {{name: string, title: string, number?: number, state: string, since?: number, reason?: string,
 *   origins: Record<string, Row>}} Line
 * @typedef {{node: string, site: string, state: string, seen?: number, version?: string, generation?: number,
 *   differences: number, page?: string, hardware?: string, warnings: number}} Card
 */

/** @param {string} id @returns {Element} */
function blank(id) {
  const template = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  const found = template.content.querySelector("[data-key]");
  return /** @type {Element} */ (document.importNode(/** @type {Element} */ (found), true));
}

/** @param {Element} root @param {string} field */
const at = (root, field) => root.querySelector(`[data-f="${field}"]`);

/** @param {number | undefined} number */
const plain = (number) => (number === undefined ? "" : String(number));

/**
 * A new, empty line.
 * @param {string} key
 * @returns {HTMLElement}
 */
export function newLine(key) {
  const body = /** @type {HTMLElement} */ (blank("blank-line"));
  body.dataset.key = key;
  // No origin has the blank one's name, so the first patch lays the rows out.
  return body;
}

/**
 * A new, empty node.
 * @param {string} key
 * @returns {HTMLElement}
 */
export function newNode(key) {
  const item = /** @type {HTMLElement} */ (blank("blank-node"));
  item.dataset.key = key;
  return item;
}

/**
 * Writes a state: the word, and the shape and colour that go with it.
 * @param {Element} root
 * @param {string} state
 * @param {string} key of the word
 */
export function writeState(root, state, key) {
  const shown = root.querySelector(".word");
  if (!shown) return;
  mark(shown, "data-state", state);
  say(shown.querySelector("b"), word(key));
}

/**
 * Makes one table row per origin, in order. Origins come and go rarely, so the line is simply made again.
 * @param {HTMLElement} body
 * @param {string[]} keys
 */
function layOut(body, keys) {
  const rows = [...body.querySelectorAll("tr")];
  if (rows.length === keys.length && rows.every((row, index) => row.dataset.origin === keys[index])) return;
  const fresh = blank("blank-line");
  const first = /** @type {HTMLTableRowElement} */ (fresh.querySelector("tr"));
  const heads = [...first.children].slice(0, 2);
  heads.forEach((cell) => cell.setAttribute("rowspan", String(Math.max(1, keys.length))));
  const made = keys.map((key, index) => {
    const row = /** @type {HTMLTableRowElement} */ (first.cloneNode(true));
    if (index > 0) [...row.children].slice(0, 2).forEach((cell) => cell.remove());
    row.dataset.origin = key;
    return row;
  });
  if (made.length === 0) {
    [...first.children].slice(2).forEach((cell) => cell.remove());
    first.className = "bare";
    made.push(first);
  }
  body.replaceChildren(...made);
}

/**
 * Writes a line.
 * @param {HTMLElement} body
 * @param {Line} line
 */
export function writeLine(body, line) {
  const keys = Object.keys(line.origins).sort();
  layOut(body, keys);
  const nodes = keys.map((key) => ` ${line.origins[key].node} ${line.origins[key].site}`).join("");
  mark(body, "data-find", `${plain(line.number)} ${line.name} ${line.title}${nodes}`.toLowerCase());
  const who = body.querySelector(".who");
  const gets = body.querySelector(".gets");
  if (!who || !gets) return;
  say(at(who, "number"), plain(line.number));
  say(at(who, "title"), line.title);
  say(at(who, "name"), line.name);
  writeState(gets, line.state, `st-${line.state}`);
  moment(at(gets, "since"), line.since);
  say(at(gets, "reason"), line.reason ?? "");
  keys.forEach((key, index) => writeRow(body.querySelectorAll("tr")[index], line.origins[key]));
}

/**
 * @param {HTMLElement} element
 * @param {Row} row
 */
function writeRow(element, row) {
  mark(element, "data-state", row.state);
  mark(element, "data-stale", row.stale ? "" : null);
  mark(element, "data-serves", row.serves.length > 0 ? "" : null);
  say(at(element, "node"), row.node);
  say(at(element, "site"), row.site);
  const serves = /** @type {HTMLElement} */ (element.querySelector(".serves"));
  serves.hidden = row.serves.length === 0;
  say(at(element, "audiences"), row.serves.filter((audience) => audience !== "*").join(", "));
  const state = /** @type {Element} */ (element.querySelector(".st"));
  writeState(state, row.state, `st-${row.state}`);
  moment(at(state, "since"), row.stale ? row.heard : row.since);
  const source = /** @type {Element} */ (element.querySelector(".src"));
  writeChips(/** @type {HTMLElement} */ (at(source, "chips")), row.chips);
  say(at(source, "wanted"), row.wanted ? `${word("wanted")} ${row.wanted}` : "");
  say(at(source, "reason"), row.reason ?? "");
  say(at(element, "rate"), row.rate === undefined ? "" : megabits(row.rate));
  const errors = /** @type {Element} */ (at(element, "cc"));
  say(errors, plain(row.cc));
  errors.classList.toggle("hurts", (row.cc ?? 0) > 0);
  moment(at(element, "segment"), row.segment);
  const probe = /** @type {Element} */ (at(element, "probe"));
  const verdict = row.probe?.ok ? "ok" : "bad";
  mark(probe, "data-probe", row.probe ? (row.probe.stale ? "stale" : verdict) : "none");
  mark(probe, "title", row.probe?.verdict ?? null);
  say(probe, word(row.probe ? `probe-${verdict}` : "no-probe"));
  moment(at(element, "probed"), row.probe?.at);
  say(at(element, "viewers"), plain(row.viewers));
}

/**
 * @param {HTMLElement} element
 * @param {Chip[]} chips
 */
function writeChips(element, chips) {
  const now = JSON.stringify(chips);
  if (element.dataset.now === now) return;
  element.dataset.now = now;
  const made = chips.map((chip) => {
    const span = document.createElement("span");
    span.className = `chip${chip.playing ? " playing" : ""}${chip.up ? "" : " bad"}`;
    span.title = chip.fault ?? "";
    span.append(document.createElement("i"), chip.name);
    return span;
  });
  element.replaceChildren(...made);
}

/**
 * Writes a node.
 * @param {HTMLElement} item
 * @param {Card} card
 */
export function writeNode(item, card) {
  item.dataset.state = card.state;
  item.classList.toggle("quiet", card.state === "alive" && card.differences === 0 && card.warnings === 0);
  const place = `/nodes/${encodeURIComponent(card.site)}/${encodeURIComponent(card.node)}`;
  const name = /** @type {Element} */ (at(item, "name"));
  say(name, card.node);
  mark(name, "href", place);
  const hardware = /** @type {HTMLElement} */ (at(item, "hardware"));
  hardware.hidden = card.warnings === 0;
  mark(hardware, "href", `${place}#hardware`);
  mark(hardware, "data-level", card.hardware ?? "");
  say(at(item, "warnings"), String(card.warnings));
  say(at(item, "site"), card.site);
  writeState(item, card.state, `nd-${card.state}`);
  moment(at(item, "seen"), card.seen, word("never"));
  say(at(item, "version"), card.version ?? "–");
  say(at(item, "generation"), card.generation === undefined ? "–" : String(card.generation));
  say(at(item, "differences"), String(card.differences));
  const differs = /** @type {HTMLElement} */ (item.querySelector(".differs"));
  differs.hidden = card.differences === 0;
}
