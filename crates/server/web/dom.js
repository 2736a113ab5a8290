// How the pages are put together: elements, the frame that all pages share, what is announced to those who
// listen, the dialog, the time that runs out. It knows no call and no rule.

import { mistrust, until } from "./clock.js";
import { allTickets } from "./place.js";
import { choose, clockFace, language, words } from "./words.js";

/** @typedef {Node | string | number | null | undefined | false} Child */

/**
 * An element. Properties that begin with `on` are listeners; others are attributes, `true` means
 * that it is there, `false`, `null` and `undefined` that it is not.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) {
      element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    } else if (value === true) {
      element.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, String(value));
    }
  }
  fill(element, children);
  return element;
}

/**
 * @param {Element} element
 * @param {(Child | Child[])[]} children
 */
function fill(element, children) {
  for (const child of children.flat()) {
    if (child instanceof Node) element.append(child);
    else if (child !== null && child !== undefined && child !== false)
      element.append(String(child));
  }
}

/**
 * The element of that id, which the page's document has.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function the(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the document has no #${id}`);
  return element;
}

/**
 * Shows this and nothing else, and keeps the focus where it was if that is still there.
 *
 * @param {Element} element
 * @param {...(Child | Child[])} children
 */
export function show(element, ...children) {
  const focused = element.contains(document.activeElement) ? document.activeElement?.id : "";
  element.replaceChildren();
  fill(element, children);
  if (focused) document.getElementById(focused)?.focus();
}

/**
 * Changes a text only if it is another, so that nobody is told the same again.
 *
 * @param {Element} element
 * @param {string} text
 */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** When something was last announced, by the monotonic clock; politely, not more than every 10 s. */
let announced = Number.NEGATIVE_INFINITY;
const CALM_MS = 10_000;

/**
 * Tells those who listen: at once and interrupting what is read if it is urgent, otherwise in a
 * pause, and then so rarely that it does not chatter.
 *
 * @param {string} text
 * @param {"urgent" | "news" | "chatter"} how `news` is told in a pause, `chatter` only if it is calm
 */
export function announce(text, how) {
  const now = performance.now();
  if (how === "chatter" && now - announced < CALM_MS) return;
  announced = now;
  say(the(how === "urgent" ? "urgent" : "news"), text);
}

/**
 * The frame of every page: the name of the house, the way to the tickets, the language, the steps.
 *
 * @param {0 | 1 | 2 | 3 | 4} step which of the four steps this page is; 0 for none of them
 * @param {() => void} render what to do when the language changes, and once now
 */
export function frame(step, render) {
  const draw = () => {
    const w = words();
    document.documentElement.lang = language();
    say(the("skip"), w.skip);
    const other = language() === "ko" ? "en" : "ko";
    const change = () => {
      choose(other);
      draw();
    };
    show(
      the("top"),
      h(
        "a",
        { class: "brand", href: "/", "aria-label": `${w.brand} – ${w.home}` },
        mark(),
        w.brand,
      ),
      h(
        "nav",
        { class: "links", "aria-label": w.home },
        step === 0 ? null : h("a", { href: "/", class: "wide" }, w.home),
        allTickets().length > 0 && step !== 4 ? h("a", { href: "/tickets" }, w.my_tickets) : null,
        h(
          "button",
          { id: "language", class: "quiet", lang: other, onclick: change, type: "button" },
          w.other_language,
        ),
      ),
    );
    if (step > 0) {
      the("steps").setAttribute("aria-label", w.steps);
      show(the("steps"), steps(step));
    }
    render();
  };
  draw();
}

/** @param {number} step */
function steps(step) {
  const w = words();
  const names = [w.step_line, w.step_seats, w.step_pay, w.step_tickets];
  const item = (/** @type {string} */ name, /** @type {number} */ at) =>
    h(
      "li",
      {
        class: at + 1 < step ? "past" : at + 1 === step ? "present" : "",
        "aria-current": at + 1 === step ? "step" : null,
      },
      name,
    );
  return h("ol", { class: "steps" }, names.map(item));
}

/** The mark of the house: a ticket with its corner torn off. */
function mark() {
  return drawing("0 0 24 24", [
    "M3 6h18v4a2 2 0 0 0 0 4v4H3v-4a2 2 0 0 0 0-4z",
    "M14.5 7.5v1.6M14.5 11.2v1.6M14.5 14.9v1.6",
  ]);
}

const SVG = "http://www.w3.org/2000/svg";

/**
 * A drawing of lines, for decoration: those who listen are not told of it.
 *
 * @param {string} viewBox
 * @param {string[]} paths
 */
export function drawing(viewBox, paths) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", viewBox);
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "drawing");
  for (const d of paths) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}

/**
 * What a page shows in place of its content: that something is over, full, or not possible.
 *
 * @param {{title: string, more?: string | undefined, urgent?: boolean}} what
 * @param {...Child} actions
 */
export function notice({ title, more, urgent = false }, ...actions) {
  announce(more ? `${title}. ${more}` : title, urgent ? "urgent" : "news");
  return h(
    "section",
    { class: "notice card" },
    h("h1", {}, title),
    more ? h("p", {}, more) : null,
    actions.length > 0 ? h("div", { class: "actions" }, actions) : null,
  );
}

/**
 * @param {string} text
 * @param {() => void} act
 * @param {Record<string, unknown>} [properties]
 */
export function button(text, act, properties = {}) {
  return h("button", { type: "button", onclick: act, ...properties }, text);
}

/**
 * @param {string} text
 * @param {string} href
 * @param {Record<string, unknown>} [properties]
 */
export function link(text, href, properties = {}) {
  return h("a", { href, class: "button", ...properties }, text);
}

/**
 * Asks before something that cannot be undone, or tells something that wants an answer.
 *
 * @param {{title: string, more?: string, yes: string, no: string, grave?: boolean}} question
 * @returns {Promise<boolean>} whether it was `yes`; pressing Escape is `no`
 */
export function ask({ title, more, yes, no, grave = false }) {
  const answer = (/** @type {string} */ value) => () => dialog.close(value);
  const dialog = h(
    "dialog",
    { "aria-labelledby": "question", "aria-describedby": more ? "question-more" : null },
    h("h2", { id: "question" }, title),
    more ? h("p", { id: "question-more" }, more) : null,
    h(
      "div",
      { class: "actions" },
      button(no, answer("no"), { class: grave ? "primary" : "quiet", autofocus: grave }),
      button(yes, answer("yes"), { class: grave ? "grave" : "primary", autofocus: !grave }),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((told) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      told(dialog.returnValue === "yes");
    });
  });
}

/**
 * Shows the time left until a moment, in every element with that class, tells once that the last
 * minute has begun, and calls when it is over. A later call takes the place of an earlier one.
 *
 * @param {string | undefined} when RFC 3339, by the box office's clock
 * @param {{face: string, minute: string, over: () => void}} how `face` is the elements' class
 */
export function runDown(when, { face, minute, over }) {
  clearInterval(running);
  if (!when) return;
  let before = Number.POSITIVE_INFINITY;
  const tick = () => {
    const left = until(when);
    for (const element of document.getElementsByClassName(face)) {
      say(element, clockFace(left));
      element.classList.toggle("last", left <= LAST_MS);
    }
    if (left <= LAST_MS && before > LAST_MS && left > 0) announce(minute, "urgent");
    before = left;
    if (left === 0) {
      clearInterval(running);
      over();
    }
  };
  running = setInterval(tick, 500);
  tick();
}

const LAST_MS = 60_000;
/** @type {ReturnType<typeof setInterval> | undefined} */
let running;

/**
 * Calls when the page is looked at again: after another tab, a locked screen, a lost connection, or
 * the way back through the history.
 *
 * @param {() => void} seen
 */
export function onReturn(seen) {
  const back = () => {
    if (document.visibilityState !== "visible") return;
    mistrust();
    seen();
  };
  document.addEventListener("visibilitychange", back);
  addEventListener("pageshow", (event) => {
    if (event.persisted) back();
  });
  addEventListener("online", back);
}

/** What stands behind the `#` of this page's address, which no server ever sees. */
export function fragment() {
  return decodeURIComponent(location.hash.slice(1));
}
