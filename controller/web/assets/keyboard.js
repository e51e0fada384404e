// Keys as in htop and k9s: / filters, j and k walk the channels, ? helps.

import { filter } from "./matrix.js";

const find = /** @type {HTMLInputElement} */ (document.getElementById("find"));
const help = /** @type {HTMLDialogElement} */ (document.getElementById("help"));
const table = /** @type {HTMLElement} */ (document.getElementById("matrix"));

/** @returns {HTMLElement[]} */
const shown = () => [.../** @type {NodeListOf<HTMLElement>} */ (table.querySelectorAll("tbody:not([hidden])"))];

/** @param {HTMLElement | undefined} body */
function goTo(body) {
  body?.focus({ preventScroll: true });
  body?.scrollIntoView({ block: "nearest" });
}

/** @param {number} step */
function walk(step) {
  const bodies = shown();
  const here = bodies.findIndex((body) => body.contains(document.activeElement));
  if (here < 0) goTo(bodies[0]);
  else goTo(bodies[here + step]);
}

function escape() {
  if (find.value !== "") {
    find.value = "";
    filter();
  }
  if (document.activeElement instanceof HTMLElement) document.activeElement.blur();
}

/** @type {Record<string, () => void>} */
const keys = {
  "/": () => {
    find.focus();
    find.select();
  },
  j: () => walk(1),
  k: () => walk(-1),
  g: () => goTo(shown()[0]),
  "?": () => help.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || help.open) return;
  if (event.key === "Escape") return escape();
  const typing = event.target instanceof HTMLInputElement;
  if (typing && event.key === "Enter") return walk(1);
  const act = typing ? undefined : keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

document.getElementById("help-open")?.addEventListener("click", () => help.showModal());
