// What is on: every performance with its seats, its price, its state, and a countdown to the opening.

import { jittered, performances } from "./api.js";
import { now, until } from "./clock.js";
import { button, frame, h, link, notice, onReturn, say, show, the } from "./dom.js";
import { anew, onOtherTab, placeIn } from "./place.js";
import { clockFace, evening, language, moment, money, words } from "./words.js";

/** How often the list is asked for again; it may be two seconds old, so sooner is of no use. */
const AGAIN_MS = 6_000;

/** @type {{performances: import("./api.js").Performance[] | null, reachable: boolean}} */
const state = { performances: null, reachable: true };
/** The list as it was last drawn: it is not touched while nothing has changed. */
let drawn = "";

function render() {
  const w = words();
  document.title = w.brand;
  const key = JSON.stringify([state, language(), state.performances?.map(standing)]);
  if (key === drawn) return;
  drawn = key;
  show(
    the("main"),
    h("div", { class: "lead" }, h("h1", {}, w.on_title), h("p", {}, w.on_lead)),
    state.reachable
      ? null
      : h("p", { class: "banner warn", role: "status" }, `${w.unreachable}. ${w.unreachable_more}`),
    list(),
  );
  tick();
}

function list() {
  const w = words();
  if (!state.performances) return h("p", { class: "loading" }, w.loading);
  if (state.performances.length === 0) return notice({ title: w.on_none, more: w.on_none_more });
  return h("ul", { class: "shows" }, state.performances.map(card));
}

/** @param {import("./api.js").Performance} performance */
function standing(performance) {
  const kept = placeIn(performance.sale_id);
  const alive = kept?.status && !["ended", "done"].includes(kept.status);
  return alive ? kept.status : null;
}

/** @param {import("./api.js").Performance} performance */
function card(performance) {
  const w = words();
  const { title, venue, state: at, seat_count, available_count } = performance;
  const when = evening(performance.starts_at, performance.time_zone);
  const part = seat_count === 0 ? 0 : available_count / seat_count;
  const left = w.seats_left(available_count, seat_count);
  return h(
    "li",
    { class: `show card is-${at}` },
    h("p", { class: "badge" }, stateWord(at)),
    h("h2", {}, title),
    h("p", { class: "when" }, when),
    h("p", { class: "where" }, venue),
    at === "scheduled" ? countdown(performance) : stock(left, part),
    h(
      "div",
      { class: "deal" },
      h("p", { class: "price" }, w.price_from(money(performance.price_from, performance.currency))),
      action(performance, when),
    ),
  );
}

/** @param {import("./api.js").Performance["state"]} at */
function stateWord(at) {
  const w = words();
  return {
    scheduled: w.state_scheduled,
    open: w.state_open,
    paused: w.state_paused,
    closed: w.state_closed,
    sold_out: w.state_sold_out,
  }[at];
}

/**
 * @param {string} left
 * @param {number} part
 */
function stock(left, part) {
  const bar = h("span", { class: "bar-fill" });
  bar.style.inlineSize = `${Math.round(part * 100)}%`;
  return h(
    "div",
    { class: "stock" },
    h("p", {}, left),
    h("span", { class: "bar", "aria-hidden": "true" }, bar),
  );
}

/** @param {import("./api.js").Performance} performance */
function countdown({ opens_at, time_zone }) {
  const w = words();
  return h(
    "div",
    { class: "countdown" },
    h("p", {}, w.opens_in),
    h("p", { class: "face", "data-opens": opens_at, role: "timer" }, clockFace(until(opens_at))),
    h("p", { class: "small" }, w.opens_at(moment(opens_at, time_zone))),
  );
}

/**
 * @param {import("./api.js").Performance} performance
 * @param {string} when
 */
function action(performance, when) {
  const w = words();
  const { sale_id, performance_id, title, state: at } = performance;
  const id = `buy-${performance_id}`;
  const place = standing(performance);
  if (place === "waiting") return link(w.back_to_line, `/waiting#${sale_id}`, { id });
  if (place === "admitted") return link(w.back_to_seats, `/seats#${performance_id}`, { id });
  if (place === "holding" || place === "paying")
    return link(w.back_to_pay, `/pay#${sale_id}`, { id });
  if (at === "closed" || at === "sold_out") return null;
  const buy = () => {
    anew({ sale_id, performance_id, title });
    location.assign(`/waiting#${sale_id}`);
  };
  const properties = {
    id,
    class: "primary",
    "aria-label": w.buy_label(title, when),
    disabled: at === "scheduled",
    "data-sale-opens": at === "scheduled" ? performance.opens_at : null,
  };
  return button(w.buy, buy, properties);
}

/** Moves the countdowns, and frees the buttons at the very moment. */
function tick() {
  for (const face of /** @type {NodeListOf<HTMLElement>} */ (
    document.querySelectorAll("[data-opens]")
  )) {
    say(face, clockFace(until(face.dataset.opens)));
  }
  const waiting = /** @type {NodeListOf<HTMLButtonElement>} */ (
    document.querySelectorAll("[data-sale-opens]")
  );
  for (const buy of waiting) {
    buy.disabled = Date.parse(buy.dataset.saleOpens ?? "") > now();
  }
}

async function refresh() {
  const outcome = await performances();
  state.reachable = outcome.kind === "answer";
  if (outcome.kind === "answer") state.performances = outcome.body.performances;
  render();
}

async function run() {
  for (;;) {
    if (document.visibilityState === "visible") await refresh();
    await new Promise((done) => setTimeout(done, jittered(AGAIN_MS)));
  }
}

frame(0, render);
setInterval(tick, 250);
onReturn(refresh);
onOtherTab(render);
run();
