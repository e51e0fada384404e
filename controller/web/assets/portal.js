// The subscriber's page: sign in, list, choose. Playing is player.js. The chosen channel is in the address (#NAME).

import { word } from "./format.js";
import { play, stop } from "./player.js";

/** @typedef {import("./player.js").Channel} Channel */

const door = /** @type {HTMLElement} */ (document.getElementById("door"));
const room = /** @type {HTMLElement} */ (document.getElementById("room"));
const form = /** @type {HTMLFormElement} */ (document.getElementById("sign-in"));
const complaint = /** @type {HTMLElement} */ (document.getElementById("complaint"));
const list = /** @type {HTMLElement} */ (document.getElementById("channels"));
const none = /** @type {HTMLElement} */ (document.getElementById("none"));
const title = /** @type {HTMLElement} */ (document.getElementById("now"));
const video = /** @type {HTMLVideoElement} */ (document.getElementById("video"));

/** @type {Channel[]} */ let channels = [];
let playing = "";
/** @type {ReturnType<typeof setTimeout> | undefined} */ let retry;

/** This browser, by a random name it keeps: a subscription counts devices. */
function device() {
  let id = localStorage.getItem("device");
  if (!id) {
    const bytes = crypto.getRandomValues(new Uint8Array(12));
    id = `web-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    localStorage.setItem("device", id);
  }
  return id;
}

/** @param {string} [text] */
function showDoor(text = "") {
  clearTimeout(retry);
  room.hidden = true;
  door.hidden = false;
  complaint.hidden = text === "";
  complaint.textContent = text;
  /** @type {HTMLInputElement | null} */ (form.querySelector("input"))?.focus();
}

function signedOut() {
  leave(word("ended"));
}

/** @param {string} text */
function leave(text) {
  localStorage.removeItem("session");
  playing = "";
  stop(word("choose"));
  showDoor(text);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = new FormData(form);
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));
  button.disabled = true;
  try {
    const response = await fetch("/api/v1/session", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ login: typed.get("login"), password: typed.get("password"), device: device() }),
    });
    if (response.ok) {
      localStorage.setItem("session", (await response.json()).token);
      form.reset();
      await enter();
    } else if (response.status === 429) {
      showDoor(word("too-many"));
    } else {
      showDoor(word(response.status === 401 || response.status === 403 ? "wrong" : "failed"));
    }
  } catch {
    showDoor(word("failed"));
  } finally {
    button.disabled = false;
  }
});

document.getElementById("sign-out")?.addEventListener("click", () => leave(""));

/** Shows the channels of the session that is kept, or the door. */
async function enter() {
  const token = localStorage.getItem("session");
  if (!token) return showDoor();
  try {
    const response = await fetch("/api/v1/my/channels", { headers: { authorization: `Bearer ${token}` }, cache: "no-store" });
    if (response.status === 401) return signedOut();
    if (!response.ok) throw new Error(String(response.status));
    channels = (await response.json()).channels;
  } catch {
    // The session is kept: the service may only be restarting.
    door.hidden = true;
    room.hidden = false;
    if (!playing) stop(word("unreachable"));
    retry = setTimeout(enter, 3000 + 3000 * Math.random());
    return;
  }
  door.hidden = true;
  room.hidden = false;
  draw();
  const asked = decodeURIComponent(location.hash.slice(1));
  const found = channels.find((channel) => channel.name === asked);
  if (found) choose(found);
  else if (!playing) stop(word("choose"));
}

function draw() {
  none.hidden = channels.length > 0;
  const items = channels.map((channel) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.name = channel.name;
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = channel.number === undefined || channel.number === null ? "" : String(channel.number);
    const name = document.createElement("span");
    name.className = "title";
    name.textContent = channel.title;
    button.append(number, name);
    button.addEventListener("click", () => choose(channel));
    item.append(button);
    return item;
  });
  list.replaceChildren(...items);
}

/** @param {Channel} channel */
function choose(channel) {
  playing = channel.name;
  for (const button of list.querySelectorAll("button")) {
    if (button.dataset.name === playing) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  title.textContent = channel.title;
  document.title = channel.title;
  history.replaceState(null, "", `#${encodeURIComponent(channel.name)}`);
  play(channel, signedOut);
}

/** @param {number} step */
function move(step) {
  const buttons = [...list.querySelectorAll("button")];
  const here = buttons.findIndex((button) => button === document.activeElement);
  const from = here >= 0 ? here : buttons.findIndex((button) => button.dataset.name === playing);
  buttons[Math.min(buttons.length - 1, Math.max(0, from + step))]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (room.hidden || event.ctrlKey || event.altKey || event.metaKey || event.target instanceof HTMLSelectElement) return;
  /** @type {Record<string, () => void>} */
  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    m: () => (video.muted = !video.muted),
    f: () => (document.fullscreenElement ? document.exitFullscreen() : video.requestFullscreen()),
  };
  const act = keys[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});

enter();
