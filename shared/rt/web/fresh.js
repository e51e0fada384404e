// Keeps the element #fresh as the server writes it: asks for the page twice a second and changes only what differs,
// so that focus, selection, open details and half-typed answers stay. Without it the page loads itself again.

const root = /** @type {HTMLElement} */ (document.getElementById("fresh"));
const banner = /** @type {HTMLElement} */ (document.getElementById("banner"));
const PERIOD_MS = 500;
const PATIENCE_MS = 5000;
const SILENT_MS = 3000;
let heardAt = performance.now();

/**
 * What names an element among its siblings.
 * @param {Node} node
 * @returns {string | null}
 */
function key(node) {
  return node instanceof Element ? node.id || node.getAttribute("data-key") : null;
}

/**
 * @param {Element} now
 * @param {Element} next
 */
function copyAttributes(now, next) {
  for (const { name } of [...now.attributes]) {
    // What is open was opened by the reader.
    if (name !== "open" && !next.hasAttribute(name)) now.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (name !== "open" && now.getAttribute(name) !== value) now.setAttribute(name, value);
  }
}

/**
 * @param {Node} now
 * @param {Node} next
 */
function update(now, next) {
  if (now.isEqualNode(next)) return;
  if (now instanceof Element && next instanceof Element) {
    // A form belongs to whoever types in it until the server asks another question (another key).
    if (now.tagName === "FORM") return;
    copyAttributes(now, next);
    updateChildren(now, next);
  } else if (now.nodeValue !== next.nodeValue) {
    now.nodeValue = next.nodeValue;
  }
}

/**
 * @param {Element} now
 * @param {Element} next
 */
function updateChildren(now, next) {
  /** @type {Map<string, Node>} */
  const named = new Map();
  for (const child of now.childNodes) {
    const name = key(child);
    if (name !== null) named.set(name, child);
  }
  const stays = new Set([...next.childNodes].map(key));
  /** @type {Set<Node>} */
  const kept = new Set();
  let at = now.firstChild;
  for (const wanted of next.childNodes) {
    const name = key(wanted);
    // What has no name is matched in order, up to the next one that has a name and stays: what is new goes before it.
    while (name === null && at !== null && key(at) !== null && !stays.has(key(at))) at = at.nextSibling;
    const known = name !== null ? named.get(name) : at !== null && key(at) === null ? at : null;
    // An element that is moved loses the keyboard: what stands before it goes away instead.
    while (name !== null && known && at && at !== known && key(at) === null) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
    if (known && known.nodeName === wanted.nodeName && !kept.has(known)) {
      if (known === at) at = at.nextSibling;
      else now.insertBefore(known, at);
      update(known, wanted);
      kept.add(known);
    } else {
      kept.add(now.insertBefore(document.importNode(wanted, true), at));
    }
  }
  for (const child of [...now.childNodes]) {
    if (!kept.has(child)) child.remove();
  }
}

async function look() {
  const patience = new AbortController();
  const timer = setTimeout(() => patience.abort(), PATIENCE_MS);
  try {
    const answer = await fetch(location.pathname, { cache: "no-store", signal: patience.signal });
    if (answer.redirected) {
      location.reload();
      return;
    }
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const next = page.getElementById("fresh");
    if (!next) return;
    if (page.body.dataset.build !== document.body.dataset.build) {
      location.reload();
      return;
    }
    update(root, next);
    document.title = page.title;
    heardAt = performance.now();
  } catch {
    // Told by the banner, and tried again.
  } finally {
    clearTimeout(timer);
  }
}

function tellSilence() {
  const silent = performance.now() - heardAt;
  banner.hidden = silent < SILENT_MS;
  if (!banner.hidden) banner.textContent = `${banner.dataset.silent} ${Math.floor(silent / 1000)} s`;
  root.classList.toggle("stale", !banner.hidden);
}

async function turn() {
  const began = performance.now();
  if (!document.hidden) await look();
  setTimeout(turn, Math.max(100, PERIOD_MS - (performance.now() - began)));
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) heardAt = Math.max(heardAt, performance.now() - SILENT_MS + PERIOD_MS);
});
setInterval(tellSilence, 500);
setTimeout(turn, PERIOD_MS);
