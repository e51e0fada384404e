// Plays one channel: hls.js where there is Media Source, else the browser's own HLS. When a stream breaks it asks
// the controller's /play again, later each time: the redirect decides which origin serves, or that the slate does.

import { word } from "./format.js";

/** @typedef {{name: string, title: string, number?: number, play: string}} Channel */

const BACKOFF_MS = [300, 800, 1500, 3000, 5000, 8000];
/** A picture that stood still for this long is a broken stream, whatever the player thinks. */
const STILL_MS = 9000;
/** Without a decoded byte of sound, or a picture, after this long the browser cannot decode it. */
const CODEC_MS = 7000;
const RELOAD_MS = 60000;

const video = /** @type {HTMLVideoElement} */ (document.getElementById("video"));
const stage = /** @type {HTMLElement} */ (document.getElementById("stage"));
const message = /** @type {HTMLElement} */ (document.getElementById("message"));
const notice = /** @type {HTMLElement} */ (document.getElementById("notice"));
const unmute = /** @type {HTMLElement} */ (document.getElementById("unmute"));
const audio = /** @type {HTMLElement} */ (document.getElementById("audio"));
const tracks = /** @type {HTMLSelectElement} */ (document.getElementById("tracks"));

/** The vendored player; a classic script that ran before this module. */
const Hls = /** @type {any} */ (window).Hls;

/** @type {any} */ let hls = null;
/** @type {Channel | null} */ let channel = null;
/** @type {() => void} */ let onEnded = () => {};
let attempts = 0;
/** @type {ReturnType<typeof setTimeout> | undefined} */ let retry;
let movedAt = 0;
let lastTime = -1;
let playedSince = 0;

/** @param {"idle" | "loading" | "playing"} state @param {string} [text] */
function show(state, text) {
  stage.dataset.stage = state;
  if (text !== undefined) message.textContent = text;
}

/**
 * Requests are few and short: a dead origin is to be noticed in seconds, /play finds the next one.
 * @param {number} first
 * @param {number} whole
 */
function hurry(first, whole) {
  const again = { maxNumRetry: 1, retryDelayMs: 400, maxRetryDelayMs: 1000 };
  return { default: { maxTimeToFirstByteMs: first, maxLoadTimeMs: whole, timeoutRetry: again, errorRetry: { ...again, maxNumRetry: 2 } } };
}

function make() {
  const player = new Hls({
    workerPath: word("worker"),
    enableWorker: true,
    lowLatencyMode: false,
    liveSyncDurationCount: 2,
    backBufferLength: 30,
    manifestLoadPolicy: hurry(4000, 6000),
    playlistLoadPolicy: hurry(4000, 6000),
    keyLoadPolicy: hurry(4000, 6000),
    fragLoadPolicy: hurry(5000, 15000),
  });
  player.on(Hls.Events.MANIFEST_PARSED, () => start());
  player.on(Hls.Events.AUDIO_TRACKS_UPDATED, () => listTracks());
  player.on(Hls.Events.ERROR, (/** @type {any} */ _, /** @type {any} */ problem) => {
    if (!problem.fatal) return;
    if (problem.type === Hls.ErrorTypes.MEDIA_ERROR && attempts === 0) {
      attempts = 1;
      player.recoverMediaError();
    } else {
      failed(problem.response?.code ?? 0);
    }
  });
  return player;
}

/** Starts with sound, or without it where the browser wants a click first. */
async function start() {
  try {
    await video.play();
  } catch (problem) {
    if (!(problem instanceof DOMException) || problem.name !== "NotAllowedError" || video.muted) return;
    video.muted = true;
    unmute.hidden = false;
    await video.play().catch(() => show("loading", word("play")));
  }
}

/** Several sound tracks only exist for us where the playlist names them as renditions. */
function listTracks() {
  const list = hls?.audioTracks ?? [];
  audio.hidden = list.length < 2;
  tracks.replaceChildren(
    ...list.map((/** @type {any} */ track, /** @type {number} */ index) => new Option(track.name || track.lang, String(index), false, index === hls.audioTrack)),
  );
}

/**
 * Asks for the channel anew.
 * @param {number} status of the answer that failed; 0 when none came
 */
function failed(status) {
  if (!channel) return;
  if (status === 401) return onEnded();
  if (status === 403) {
    // The token of a session may have run out; a channel outside the subscription stays refused.
    if (attempts > 0) return stop(word("refused"));
  }
  clearTimeout(retry);
  show("loading", word("moving"));
  const wait = BACKOFF_MS[Math.min(attempts, BACKOFF_MS.length - 1)];
  attempts += 1;
  retry = setTimeout(load, wait * (0.8 + 0.4 * Math.random()));
}

function load() {
  if (!channel) return;
  movedAt = performance.now();
  lastTime = -1;
  playedSince = 0;
  if (Hls?.isSupported()) {
    hls?.destroy();
    hls = make();
    hls.attachMedia(video);
    hls.loadSource(channel.play);
  } else if (video.canPlayType("application/vnd.apple.mpegurl")) {
    video.src = channel.play;
    start();
  } else {
    stop(word("cannot"));
  }
}

/**
 * Plays a channel.
 * @param {Channel} next
 * @param {() => void} ended called when the session is over
 */
export function play(next, ended) {
  clearTimeout(retry);
  channel = next;
  onEnded = ended;
  attempts = 0;
  notice.hidden = true;
  audio.hidden = true;
  show("loading", word("loading"));
  load();
}

/** @param {string} text what the stage says then */
export function stop(text) {
  clearTimeout(retry);
  channel = null;
  hls?.destroy();
  hls = null;
  video.removeAttribute("src");
  video.load();
  show("idle", text);
}

/** Tells a viewer what the browser cannot decode: hls.js plays the rest without a word. */
function codecs() {
  const decoded = /** @type {any} */ (video).webkitAudioDecodedByteCount;
  const silent = typeof decoded === "number" && decoded === 0;
  const blind = video.videoWidth === 0;
  notice.hidden = !(silent || blind);
  if (blind) notice.textContent = word("no-picture");
  else if (silent) notice.textContent = word("no-sound");
}

setInterval(() => {
  if (!channel || stage.dataset.stage === "idle") return;
  const at = performance.now();
  if (video.currentTime !== lastTime || (video.paused && video.readyState > 2)) {
    lastTime = video.currentTime;
    movedAt = at;
  } else if (at - movedAt > STILL_MS) {
    failed(0);
    movedAt = at;
  }
  if (playedSince > 0 && at - playedSince > CODEC_MS && !video.paused) codecs();
}, 1000);

video.addEventListener("playing", () => {
  playedSince = performance.now();
  show("playing");
});
video.addEventListener("timeupdate", () => {
  // A stream that has played for a while is well: the next fault starts from the shortest wait.
  if (playedSince > 0 && performance.now() - playedSince > 10000) attempts = 0;
});
video.addEventListener("error", () => {
  if (!hls) failed(0);
});
video.addEventListener("ended", () => failed(0));
video.addEventListener("volumechange", () => {
  if (!video.muted) unmute.hidden = true;
});
unmute.addEventListener("click", () => {
  video.muted = false;
});
tracks.addEventListener("change", () => {
  if (hls) hls.audioTrack = Number(tracks.value);
});

// An origin that joined after this page was made is not in its policy: the page comes again, at most once a minute.
document.addEventListener("securitypolicyviolation", (event) => {
  if (!/^(connect|media)-src/.test(event.effectiveDirective)) return;
  const last = Number(sessionStorage.getItem("reloaded") ?? 0);
  if (Date.now() - last < RELOAD_MS) return;
  sessionStorage.setItem("reloaded", String(Date.now()));
  location.reload();
});
