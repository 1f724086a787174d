// Keys, live update, and fetching more: all that the pages do by themselves. Nothing of a text is ever run: answers come
// escaped, and the page's policy lets no script in but this one.
"use strict";

const every = 2000; // milliseconds between two looks at the store; more where a look takes long
const share = 10; // of the time, at most one part goes into looking
const body = document.body;

// --- live update -------------------------------------------------------------------------------------------------

function same(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id || "") === (b.id || "");
}

// Make `old` like `fresh` and keep what the person did: open folds, ticked boxes, the caret, what was fetched.
function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.hasAttribute("data-fetched") || old.isEqualNode(fresh)) return;
  for (const { name, value } of [...fresh.attributes]) {
    if (old.nodeName === "DETAILS" && name === "open") continue;
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(old.nodeName === "DETAILS" && name === "open")) old.removeAttribute(name);
  }
  if (old.nodeName === "SELECT" && old === document.activeElement) return;
  const kept = new Map([...old.children].filter((c) => c.id).map((c) => [c.id, c]));
  let at = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const known = wanted.id && kept.get(wanted.id);
    if (known && known !== at && same(known, wanted)) old.insertBefore(known, at);
    const here = known && same(known, wanted) ? known : at;
    if (here && same(here, wanted)) {
      morph(here, wanted);
      at = here.nextSibling;
    } else {
      old.insertBefore(document.importNode(wanted, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

function tell(message) {
  const banner = document.getElementById("banner");
  banner.textContent = message;
  banner.hidden = !message;
}

async function refresh(pulse) {
  const answer = await fetch(location.href, { credentials: "same-origin" });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const main = fresh.getElementById("main");
  if (!main || !fresh.body.dataset.live) return;
  // A row that appears above must not push away what is being read.
  const held = [...document.querySelectorAll("[data-item]")].find((e) => e.getBoundingClientRect().top >= 0);
  const before = held && window.scrollY > 0 ? held.getBoundingClientRect().top : null;
  const focused = document.activeElement;
  morph(document.getElementById("main"), main);
  if (before !== null && held.isConnected) window.scrollBy(0, held.getBoundingClientRect().top - before);
  if (focused && focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  body.dataset.pulse = pulse;
}

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/pulse", { credentials: "same-origin" });
    if (answer.status === 401) return tell("The viewer asks for its token again: open it with ?token=... once more.");
    const { pulse, problem } = await answer.json();
    if (problem) {
      if (body.dataset.pulse || pulse === null) tell(`${problem} What is shown is how it was; this page goes on when it is back.`);
      return;
    }
    tell("");
    if (pulse !== body.dataset.pulse) {
      if (body.dataset.live) await refresh(pulse);
      else body.dataset.pulse = pulse;
    }
  } catch {
    tell("The viewer does not answer. What is shown is how it was; this page goes on when it is back.");
  }
}

(async () => {
  for (let took = 0; ; ) {
    await new Promise((done) => setTimeout(done, Math.max(every, took * share)));
    const started = performance.now();
    await look();
    took = performance.now() - started;
  }
})();
document.addEventListener("visibilitychange", look);

// --- more of a text ----------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-load]");
  if (!button) return;
  button.disabled = true;
  const place = button.closest("[data-piece]");
  try {
    const answer = await fetch(button.dataset.load, { credentials: "same-origin" });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    const fetched = document.createElement(place.nodeName); // of the kind that a fresh page has there
    fetched.dataset.fetched = "yes";
    fetched.append(...new DOMParser().parseFromString(text, "text/html").body.childNodes);
    place.replaceWith(fetched);
  } catch (error) {
    button.disabled = false;
    button.textContent = `could not be fetched (${error.message}): again`;
  }
});

// --- keys --------------------------------------------------------------------------------------------------------

const items = () => [...document.querySelectorAll("[data-item]")].filter((e) => e.offsetParent !== null);
let last = null;

function current() {
  const held = document.activeElement && document.activeElement.closest("[data-item]");
  return held || (last && last.isConnected ? last : null);
}

function go(step) {
  const all = items();
  if (!all.length) return;
  const at = all.indexOf(current());
  const next = all[at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step))];
  last = next;
  const target = next.querySelector("a.open") || next;
  target.focus({ preventScroll: true });
  next.scrollIntoView({ block: next.tagName === "TR" ? "nearest" : "start" });
}

function press(key) {
  const there = document.querySelector(`[data-key="${key}"]`);
  if (there) there.click();
}

function toggle(selector) {
  const held = current();
  const folds = [...(held || document).querySelectorAll(selector)];
  const open = folds.some((fold) => !fold.open);
  for (const fold of folds) fold.open = open;
}

// A row that is in focus opens as its link does; a link, box or button does what it always does.
function enter() {
  const row = document.activeElement.closest("tr[data-item]");
  if (row !== document.activeElement) return false;
  const there = row.querySelector("a.open, a[href]");
  if (there) there.click();
  return Boolean(there);
}

function help() {
  const dialog = document.getElementById("help");
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

const keys = {
  j: () => go(1),
  k: () => go(-1),
  h: () => press("h"),
  l: () => press("l"),
  o: () => toggle("details.fold"),
  d: () => toggle("details.stepdiff"),
  Enter: enter,
  "?": help,
  "/": () => {
    const field = [...document.querySelectorAll("[data-search]")].pop();
    field.focus();
    field.select();
  },
};

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea");
  if (typing && event.key === "Escape") typing.blur();
  if (typing || event.ctrlKey || event.metaKey || event.altKey || !Object.hasOwn(keys, event.key)) return;
  if (document.getElementById("help").open && event.key !== "?") return;
  if (keys[event.key]() !== false) event.preventDefault();
});
document.querySelector("[data-help]").addEventListener("click", help);
document.addEventListener("focusin", (event) => {
  const held = event.target.closest("[data-item]");
  if (held) last = held;
});
