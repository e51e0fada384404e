// Follows the controller: opens the stream, keeps the clock, says aloud when nothing comes.

import { age, say, utc, word } from "./format.js";
import * as matrix from "./matrix.js";
import "./keyboard.js";

/** After this long without a batch (one comes each second) the page says so. */
const SILENT_MS = 5000;
/** After this long nothing on the page is of now: three periods of a node's figures. */
const UNKNOWN_MS = 30000;
const RETRY_MS_MAX = 15000;

const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
const link = /** @type {HTMLElement} */ (document.getElementById("link"));
const clock = /** @type {HTMLElement} */ (document.getElementById("clock"));

/** What turns our monotonic clock into the server's wall clock. */
let offset = Number(document.body.dataset.at) - performance.now();
let heard = performance.now();
let retries = 0;
let signedOut = false;

const now = () => offset + performance.now();

function open() {
  const stream = new EventSource("/api/v1/events");
  stream.addEventListener("reset", () => matrix.reset());
  stream.addEventListener("row", (event) => matrix.row(JSON.parse(event.data)));
  stream.addEventListener("node", (event) => matrix.node(JSON.parse(event.data)));
  stream.addEventListener("tick", (event) => {
    const tick = JSON.parse(event.data);
    offset = tick.at - performance.now();
    heard = performance.now();
    retries = 0;
    matrix.tick(tick);
    matrix.ages(tick.at);
    paint();
  });
  stream.addEventListener("error", () => {
    // The browser comes back by itself after a broken connection, not after a refusal.
    if (stream.readyState !== EventSource.CLOSED) return;
    stream.close();
    refused();
  });
}

/** Finds out whether the session ended; otherwise tries again, later each time. */
async function refused() {
  const stop = new AbortController();
  try {
    const response = await fetch("/api/v1/events", { signal: stop.signal, cache: "no-store" });
    signedOut = response.status === 401;
  } catch {
    signedOut = false;
  }
  stop.abort();
  paint();
  if (signedOut) return;
  retries += 1;
  const wait = Math.min(RETRY_MS_MAX, 1000 * 2 ** retries);
  setTimeout(open, wait / 2 + (Math.random() * wait) / 2);
}

/** Shows how fresh the page is. */
function paint() {
  const silent = performance.now() - heard;
  const lost = silent > SILENT_MS || signedOut;
  const state = lost ? "lost" : retries === 0 ? "live" : "connecting";
  if (link.dataset.link !== state) link.dataset.link = state;
  say(link.querySelector("span"), lost ? age(silent) : word(state));
  banner.hidden = !lost;
  if (lost) {
    const since = `${word("no-data")} ${age(silent)}. ${word("what-you-see")} ${utc(now() - silent)}.`;
    if (signedOut && !banner.querySelector("a")) {
      const again = document.createElement("a");
      again.href = "/sign-in";
      again.textContent = word("sign-in");
      banner.replaceChildren(`${word("signed-out")} `, again);
    } else if (!signedOut) {
      say(banner, `${since} ${word("reconnecting")}`);
    }
  }
  if (silent > UNKNOWN_MS) matrix.forget(now() - silent);
}

/** Keeps the clock and, when the stream does not, the ages. */
function second() {
  const at = now();
  say(clock, utc(at).slice(11, 19));
  if (performance.now() - heard > 1500) {
    matrix.ages(at);
    paint();
  }
}

setInterval(second, 1000);
second();
open();
