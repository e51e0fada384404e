// Modules in common interfaces (docs/cam.md): their state, their services, and their menu with answers.
// The section appears with the first module; a box without one does not show it. Texts are the module's own.

const section = /** @type {HTMLElement} */ (document.getElementById("cams"));
const place = /** @type {HTMLElement} */ (document.getElementById("cam-list"));
const CALM_MS = 2000;
const MENU_MS = 500;
/** A node learns of its modules when it starts: one without is asked seldom. */
const NONE_MS = 30000;
const LEVELS = { ready: "good", starting: "off", "no-device": "bad", empty: "bad", failed: "bad" };
const SERVICE_LEVELS = { clear: "good", scrambled: "bad", quiet: "off" };
/** What each module showed last, so that half-typed answers stay. @type {Map<string, string>} */
const shown = new Map();

/** @param {string} key */
const word = (key) => section.getAttribute(`data-${key}`) ?? key;

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * @param {string} cam
 * @param {string} action
 * @param {object} body
 */
async function tell(cam, action, body) {
  const address = `/api/node/v1/cams/${encodeURIComponent(cam)}/${action}`;
  const answer = await fetch(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    section.querySelector("[role=alert]")?.replaceChildren(said.error ?? String(answer.status));
  } else {
    section.querySelector("[role=alert]")?.replaceChildren();
  }
  look();
}

/**
 * @param {string} text
 * @param {() => void} press
 */
function button(text, press) {
  const made = make("button", { type: "button" }, text);
  made.addEventListener("click", press);
  return made;
}

/** @param {any} cam */
function screen(cam) {
  const box = make("div", { class: "signal" });
  const at = cam.screen;
  if (!at) {
    if (cam.menu) box.append(button(word("menu"), () => tell(cam.name, "menu", {})));
    return box;
  }
  const { number } = at;
  box.append(make("h4", {}, at.title));
  if (at.subtitle) box.append(make("p", { class: "soft" }, at.subtitle));
  if (at.kind === "enquiry") {
    const kind = at.blind ? "password" : "text";
    const field = /** @type {HTMLInputElement} */ (
      make("input", { type: kind, "aria-label": at.title, autocomplete: "off", maxlength: String(at.length ?? 254) })
    );
    const form = make("form", { class: "answer" }, field, make("button", {}, word("send")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      tell(cam.name, "answer", { number, text: field.value });
      field.value = "";
    });
    box.append(form, button(word("cancel"), () => tell(cam.name, "answer", { number, cancel: true })));
  } else {
    const list = make("ol", { class: "climbed" });
    (at.choices ?? []).forEach((/** @type {string} */ text, /** @type {number} */ index) => {
      const choose = () => tell(cam.name, "answer", { number, choice: index + 1 });
      list.append(make("li", {}, at.kind === "menu" ? button(text, choose) : text));
    });
    box.append(list, button(word("back"), () => tell(cam.name, "answer", { number, choice: 0 })));
  }
  if (at.bottom) box.append(make("p", { class: "soft" }, at.bottom));
  box.append(button(word("close"), () => tell(cam.name, "close", {})));
  return box;
}

/** @param {any} service */
function line(service) {
  const level = SERVICE_LEVELS[/** @type {keyof typeof SERVICE_LEVELS} */ (service.state)] ?? "off";
  const name = service.label ? `${service.label} (${service.service})` : String(service.service);
  const state = make("b", {}, word(`is-${service.state}`));
  const what = make("div", {}, make("a", { href: `#i-${service.input}` }, name), " ", state);
  if (service.list !== "selected") what.append(" ", make("span", { class: "soft" }, word(`is-${service.list}`)));
  if (service.trouble) what.append(" ", make("span", { class: "detail", lang: "en" }, service.trouble));
  return make("li", { "data-level": level }, make("i", { class: "mark" }), what);
}

/** @param {any} cam */
function card(cam) {
  const level = LEVELS[/** @type {keyof typeof LEVELS} */ (cam.state)] ?? "off";
  const made = make("article", { class: "card", id: `m-${cam.name}`, "data-level": level });
  const title = make("h3", {}, make("a", { href: `#m-${cam.name}` }, cam.name), " ");
  if (cam.module) title.append(make("span", { class: "soft" }, cam.module.label));
  const state = make("p", { class: "word" }, make("i", { class: "mark" }), make("b", {}, word(`is-${cam.state}`)));
  made.append(title, state);
  if (cam.advice) made.append(make("p", { class: "advice", lang: "en" }, cam.advice));
  const facts = [[word("device"), cam.device], [word("systems"), (cam.systems ?? []).join(", ")]];
  const pairs = facts.map(([key, value]) => make("div", {}, make("dt", {}, key), make("dd", {}, value ?? "")));
  made.append(make("dl", { class: "facts" }, ...pairs));
  made.append(make("ul", { class: "sources" }, ...(cam.services ?? []).map(line)), screen(cam));
  if (cam.last_error) made.append(make("p", { class: "detail", lang: "en" }, cam.last_error));
  return made;
}

/** @param {any[]} cams */
function show(cams) {
  section.hidden = cams.length === 0;
  for (const old of [...place.children]) {
    if (!cams.some((cam) => `m-${cam.name}` === old.id)) old.remove();
  }
  for (const cam of cams) {
    const { since_ms, last_error_ms, counts, ...rest } = cam;
    const now = JSON.stringify(rest);
    const old = document.getElementById(`m-${cam.name}`);
    if (old && shown.get(cam.name) === now) continue;
    shown.set(cam.name, now);
    const made = card(cam);
    const had = old?.contains(document.activeElement) ?? false;
    if (old) old.replaceWith(made);
    else place.append(made);
    // The next screen takes the keyboard where the last one had it.
    if (had) /** @type {HTMLElement | null} */ (made.querySelector(".signal input, .signal button"))?.focus();
  }
}

/** @param {string} address */
async function read(address) {
  const answer = await fetch(address, { cache: "no-store" });
  return answer.ok ? answer.json() : null;
}

let timer = 0;
let any = false;

async function look() {
  clearTimeout(timer);
  let wait = any ? CALM_MS : NONE_MS;
  try {
    if (!any) any = ((await read("/api/node/v1/status"))?.status.cams?.length ?? 0) > 0;
    const cams = any && !document.hidden ? (await read("/api/node/v1/cams"))?.cams : null;
    if (cams) {
      show(cams);
      wait = cams.some((/** @type {any} */ cam) => cam.screen) ? MENU_MS : CALM_MS;
    }
  } catch {
    // The page's banner tells.
  }
  timer = setTimeout(look, wait);
}

look();
