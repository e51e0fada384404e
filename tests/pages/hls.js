// Plays one address with hls.js as it comes out of the box, and keeps a tally of what a viewer would have seen.
// The test calls play(url) once and tally() as often as it likes.

const video = document.getElementById("video");
const canvas = document.createElement("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });

/** A picture that stands for less than this is the grain of the clock, not a stall. */
const GRAIN_MS = 200;

const seen = { errors: [], stalls: [], holds: [], origins: [], numbers: [], discontinuities: 0, first_picture_ms: null };
let began = 0;
let hls = null;

function play(url) {
  began = performance.now();
  hls = new Hls({ workerPath: "/hls.worker.js" });
  hls.on(Hls.Events.ERROR, (_, problem) => {
    const reason = problem.reason ?? problem.error?.message ?? "";
    const code = problem.response?.code ?? 0;
    seen.errors.push({ at_ms: performance.now() - began, details: problem.details, fatal: problem.fatal, code, reason });
  });
  hls.on(Hls.Events.FRAG_LOADED, (_, { frag }) => {
    const origin = new URL(frag.url).origin;
    if (seen.origins.at(-1) !== origin) seen.origins.push(origin);
  });
  let run = null;
  hls.on(Hls.Events.FRAG_CHANGED, (_, { frag }) => {
    seen.numbers.push(frag.sn);
    if (run !== null && frag.cc !== run) seen.discontinuities += 1;
    run = frag.cc;
  });
  video.requestVideoFrameCallback((now, picture) => {
    seen.first_picture_ms = performance.now() - began;
    watch();
    follow(now, picture);
  });
  hls.attachMedia(video);
  hls.loadSource(url);
  video.play();
}

/**
 * Notes each picture that stood while the next was awaited, also where the clock went on without one.
 * Pictures that this script was too late for are counted by the browser, and are no hold.
 */
function follow(_, before) {
  video.requestVideoFrameCallback((now, picture) => {
    const ms = picture.presentationTime - before.presentationTime;
    const alone = picture.presentedFrames === before.presentedFrames + 1;
    if (alone && ms > GRAIN_MS) seen.holds.push({ at_ms: before.presentationTime - began, ms });
    follow(now, picture);
  });
}

/** Notes each stretch in which the clock of the picture stood. */
function watch() {
  let moved = performance.now();
  let last = video.currentTime;
  setInterval(() => {
    const now = performance.now();
    if (video.currentTime === last) return;
    last = video.currentTime;
    if (now - moved > GRAIN_MS) seen.stalls.push({ at_ms: moved - began, ms: now - moved });
    moved = now;
  }, 40);
  standing = () => Math.max(0, performance.now() - moved - GRAIN_MS);
}
let standing = () => 0;

/** The mean colour of the bar at the head of the picture: each site, and the slate, has its own. */
function bar() {
  if (video.videoWidth === 0) return [0, 0, 0];
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  pen.drawImage(video, 0, 0);
  const { data } = pen.getImageData(Math.floor(canvas.width * 0.5), 2, Math.floor(canvas.width * 0.45), 60);
  const sum = [0, 0, 0];
  for (let at = 0; at < data.length; at += 4) for (let c = 0; c < 3; c += 1) sum[c] += data[at + c];
  return sum.map((total) => Math.round(total / (data.length / 4)));
}

function tally() {
  const quality = video.getVideoPlaybackQuality();
  return {
    ...seen,
    at_ms: performance.now() - began,
    clock_s: video.currentTime,
    pictures: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames,
    audio_bytes: video.webkitAudioDecodedByteCount,
    ahead_s: video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0,
    standing_ms: standing(),
    latency_s: hls?.latency ?? 0,
    holes: Math.max(0, video.buffered.length - 1),
    bar: bar(),
  };
}
