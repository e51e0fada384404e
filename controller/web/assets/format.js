// Ages, rates and words as the server writes them (controller/src/noc/words.rs).

const french = document.documentElement.lang === "fr";
const words = document.getElementById("words");

/**
 * A word of the page's language.
 * @param {string} key
 * @returns {string}
 */
export function word(key) {
  return words?.getAttribute(`data-${key}`) ?? key;
}

/**
 * An age in one unit: `12 s`, `3 min`, `5 h`, `2 d`.
 * @param {number} ms
 * @returns {string}
 */
export function age(ms) {
  const seconds = Math.floor(Math.max(0, ms) / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} ${french ? "j" : "d"}`;
}

/**
 * A rate in Mbit/s with one decimal, cut.
 * @param {number} bitsPerSecond
 * @returns {string}
 */
export function megabits(bitsPerSecond) {
  const tenths = Math.floor(bitsPerSecond / 100000);
  return `${Math.floor(tenths / 10)}${french ? "," : "."}${tenths % 10}`;
}

/**
 * A moment in UTC, to the second.
 * @param {number} ms
 * @returns {string}
 */
export function utc(ms) {
  return `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/**
 * Writes a text only where it differs, so that a selection over it survives.
 * @param {Element | null} element
 * @param {string} text
 */
export function say(element, text) {
  if (!element) return;
  const only = element.firstChild;
  if (only && only === element.lastChild && only.nodeType === Node.TEXT_NODE) {
    if (only.nodeValue !== text) only.nodeValue = text;
  } else if (element.textContent !== text) {
    element.textContent = text;
  }
}

/**
 * Sets an attribute only where it differs; null takes it away.
 * @param {Element} element
 * @param {string} name
 * @param {string | null} value
 */
export function mark(element, name, value) {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

/**
 * Ties a `<time>` to a moment; the clock writes its age. Null empties it.
 * @param {Element | null} element
 * @param {number | null | undefined} ms
 * @param {string} [otherwise]
 */
export function moment(element, ms, otherwise = "") {
  if (!element) return;
  if (ms === null || ms === undefined) {
    mark(element, "data-at", null);
    mark(element, "title", null);
    say(element, otherwise);
  } else if (element.getAttribute("data-at") !== String(ms)) {
    element.setAttribute("data-at", String(ms));
    element.setAttribute("title", utc(ms));
  }
}

/**
 * Writes the age of every moment inside an element.
 * @param {Element} root
 * @param {number} now Unix milliseconds by the server's clock
 */
export function ageAll(root, now) {
  for (const element of root.querySelectorAll("time[data-at]")) {
    say(element, age(now - Number(element.getAttribute("data-at"))));
  }
}
