// The waiting room: where the buyer stands, how long it may take, and that the place is kept. When the turn
// comes the page goes on to the seats by itself.

import { after, jittered, leave, showPerformance } from "./api.js";
import { until } from "./clock.js";
import {
  announce,
  ask,
  button,
  fragment,
  frame,
  h,
  link,
  notice,
  runDown,
  say,
  show,
  the,
} from "./dom.js";
import { follow } from "./live.js";
import { placeOver } from "./over.js";
import { anew, keep, onOtherTab, placeIn, where } from "./place.js";
import { clockFace, count, hour, moment, span, words } from "./words.js";

/** How often the sale itself is looked at: whether it is paused. */
const SALE_AGAIN_MS = 30_000;
/** How long the word that it is the turn is shown before the page goes on. */
const TURN_MS = 1_200;
/** A full line is asked again after so long, if it does not say after how long. */
const FULL_AGAIN_MS = 15_000;

const sale = fragment();

/**
 * @type {{view: "joining" | "place" | "turn" | "refused" | "none",
 *   place: import("./api.js").Place | null, link: "live" | "polling" | "lost",
 *   problem: import("./api.js").Problem | null,
 *   performance: import("./api.js").Performance | null}}
 */
const state = { view: "joining", place: null, link: "polling", problem: null, performance: null };

function render() {
  const w = words();
  document.title = tab();
  const shown = document.body.dataset.view;
  const view = `${state.view}/${state.place?.status}/${document.documentElement.lang}`;
  if (state.view === "place" && shown === view) {
    update();
    return;
  }
  document.body.dataset.view = view;
  const content = {
    joining: () => h("p", { class: "loading" }, w.wait_joining),
    place: room,
    turn: turn,
    refused: refused,
    none: () =>
      notice(
        { title: w.no_place_title, more: w.no_place_more },
        link(w.home, "/", { class: "button primary" }),
      ),
  }[state.view]();
  show(the("main"), content);
  if (state.view === "place") update();
}

function tab() {
  const w = words();
  if (state.view === "turn") return w.tab_turn;
  const position = state.place?.position;
  if (state.view === "place" && position) return `${w.tab_waiting(position)} – ${w.brand}`;
  return `${w.wait_title} – ${w.brand}`;
}

/** The room, with empty places for what moves; `update` fills them. */
function room() {
  const place = state.place;
  if (!place) return null;
  if (place.status === "ended") return placeOver(place, again);
  const w = words();
  return h(
    "div",
    { class: "room" },
    h(
      "section",
      { class: "card standing", "aria-labelledby": "title" },
      h("h1", { id: "title", class: "small-title" }, placeIn(sale)?.title || w.wait_title),
      h("p", { class: "label" }, w.wait_position),
      h("p", { class: "position", id: "position" }),
      h("p", { class: "around" }, h("span", { id: "ahead" }), h("span", { id: "behind" })),
      h("progress", { id: "progress", max: 1, "aria-label": w.wait_progress }),
      h("p", { class: "estimate", id: "estimate" }),
      h("p", { class: "link", id: "link" }),
    ),
    h("div", { id: "banner" }),
    h(
      "section",
      { class: "card calm" },
      h("ul", { class: "points" }, [
        h("li", {}, w.wait_next),
        h("li", {}, w.wait_keeps),
        h("li", { id: "kept" }),
      ]),
      h(
        "div",
        { class: "actions" },
        notifiable() ? button(w.wait_notify, notifyMe, { id: "notify", class: "quiet" }) : null,
        button(w.wait_leave, giveUp, { id: "leave", class: "quiet" }),
      ),
    ),
  );
}

function update() {
  const place = state.place;
  const position = place?.position;
  if (!place || position === null || position === undefined || place.status === "ended") return;
  const w = words();
  say(the("position"), w.nth(position));
  say(the("ahead"), w.ahead(position - 1));
  say(the("behind"), w.behind(Math.max(place.total - position, 0)));
  const estimate = place.estimated_wait_seconds;
  say(the("estimate"), estimate === null ? w.wait_unknown : w.wait_about(span(estimate)));
  say(the("link"), { live: w.wait_live, polling: w.wait_polling, lost: w.wait_lost }[state.link]);
  the("link").dataset.how = state.link;
  const kept = hour(place.kept_until ?? Date.now());
  say(the("kept"), w.wait_keeps_until(kept));
  const first = Math.max(placeIn(sale)?.first_position ?? position, position);
  const progress = /** @type {HTMLProgressElement} */ (the("progress"));
  progress.value = first <= 1 ? 1 : (first - position) / (first - 1);
  progress.title = `${count(Math.round(progress.value * 100))} %`;
  banner(kept);
}

/** @param {string} kept */
function banner(kept) {
  const w = words();
  const missed = state.place?.status === "waiting" && state.place.position === 1;
  const [title, more] =
    state.link === "lost"
      ? [w.wait_lost, w.wait_lost_more(kept)]
      : state.performance?.state === "paused"
        ? [w.wait_paused, w.wait_paused_more]
        : missed
          ? [w.wait_missed, w.wait_missed_more]
          : ["", ""];
  const element = the("banner");
  if (element.dataset.title === title + more) return;
  element.dataset.title = title + more;
  show(
    element,
    title ? h("div", { class: "banner warn" }, h("strong", {}, title), h("p", {}, more)) : null,
  );
  if (title) announce(`${title}. ${more}`, "news");
}

function turn() {
  const w = words();
  return h(
    "section",
    { class: "notice card turn" },
    h("h1", {}, w.your_turn),
    h("p", {}, w.your_turn_more),
    h(
      "div",
      { class: "actions" },
      link(w.go_to_seats, seatsAddress(), { class: "button primary" }),
    ),
  );
}

function refused() {
  const w = words();
  const home = link(w.others, "/", { class: "button quiet" });
  const problem = state.problem;
  switch (problem?.code) {
    case "queue_full":
      return notice(
        { title: w.full_title, more: w.full_more },
        button(w.full_retry, start, { class: "primary" }),
        home,
      );
    case "sale_not_open":
      return h(
        "section",
        { class: "notice card" },
        h("h1", {}, w.not_open_title),
        h("p", { class: "face-left face", role: "timer" }, clockFace(until(problem.opens_at))),
        h("p", {}, w.opens_at(moment(problem.opens_at ?? "", state.performance?.time_zone ?? ""))),
        h("p", {}, w.not_open_more),
        h(
          "div",
          { class: "actions" },
          button(w.buy, start, { class: "primary", id: "join" }),
          home,
        ),
      );
    case "sale_closed":
      return notice({ title: w.closed_title }, home);
    case "sold_out":
      return notice({ title: w.sold_out_title, more: w.sold_out_more }, home);
    case undefined:
      return notice(
        { title: w.unreachable, more: w.unreachable_more, urgent: true },
        button(w.try_again, start, { class: "primary" }),
        home,
      );
    default:
      return notice(
        { title: problem?.title ?? w.line_refused, more: problem?.detail },
        button(w.try_again, start, { class: "primary" }),
        home,
      );
  }
}

function seatsAddress() {
  return `/seats#${placeIn(sale)?.performance_id ?? ""}`;
}

// ---- what happens ----

let stop = () => {};
let goes = false;

/** @param {import("./api.js").Place} place */
function seen(place) {
  const before = state.place;
  state.place = place;
  if (place.status === "admitted") return admit();
  if (place.status === "holding" || place.status === "paying") {
    location.replace(`/pay#${sale}`);
    return;
  }
  if (place.status === "done") {
    location.replace("/tickets");
    return;
  }
  state.view = "place";
  render();
  if (place.status === "waiting" && before?.position !== place.position) {
    announce(words().nth(place.position ?? 1), "chatter");
  }
}

/** The turn has come. */
function admit() {
  if (goes) return;
  goes = true;
  state.view = "turn";
  render();
  announce(words().your_turn, "urgent");
  notifyOthers();
  stop();
  after(document.visibilityState === "visible" ? TURN_MS : 0).then(() =>
    location.replace(seatsAddress()),
  );
}

/** @param {import("./api.js").Problem | null} problem @param {number | null} again_ms */
function refuse(problem, again_ms) {
  state.problem = problem;
  state.view = "refused";
  document.body.dataset.view = "";
  render();
  if (problem?.code === "queue_full" || !problem) {
    after(jittered(again_ms ?? FULL_AGAIN_MS)).then(() => {
      if (state.view === "refused") start();
    });
  }
  if (problem?.code === "sale_not_open") {
    const join = /** @type {HTMLButtonElement} */ (the("join"));
    join.disabled = true;
    runDown(problem.opens_at, {
      face: "face-left",
      minute: "",
      over: () => (join.disabled = false),
    });
  }
}

async function start() {
  stop();
  if (!placeIn(sale)) {
    state.view = "none";
    render();
    return;
  }
  const outcome = await where(sale);
  if (outcome.kind !== "answer") {
    refuse(
      outcome.kind === "problem" ? outcome.problem : null,
      outcome.kind === "problem" ? outcome.again_ms : null,
    );
    return;
  }
  seen(outcome.body);
  if (outcome.body.status !== "waiting") return;
  stop = follow(sale, {
    place: seen,
    refused: refuse,
    link: (how) => {
      if (state.link === how) return;
      state.link = how;
      if (state.view === "place") render();
    },
  });
}

function again() {
  const kept = placeIn(sale);
  if (kept) anew(kept);
  document.body.dataset.view = "";
  state.view = "joining";
  state.place = null;
  render();
  start();
}

async function giveUp() {
  const w = words();
  const sure = await ask({
    title: w.wait_leave_sure,
    more: w.wait_leave_more,
    yes: w.wait_leave_yes,
    no: w.wait_stay,
    grave: true,
  });
  const token = placeIn(sale)?.token;
  if (!sure || !token) return;
  stop();
  const outcome = await leave(token);
  if (outcome.kind === "silence") {
    start();
    return;
  }
  keep(sale, { status: "ended" });
  location.assign("/");
}

function notifiable() {
  return "Notification" in window && Notification.permission !== "denied";
}

async function notifyMe() {
  if ((await Notification.requestPermission()) === "granted") {
    const notify = the("notify");
    say(notify, words().wait_notified);
    notify.setAttribute("disabled", "");
  }
}

function notifyOthers() {
  if (document.visibilityState === "visible" || !notifiable()) return;
  if (Notification.permission !== "granted") return;
  try {
    const shown = new Notification(words().your_turn, {
      body: placeIn(sale)?.title ?? "",
      tag: sale,
    });
    shown.addEventListener("click", () => window.focus());
  } catch {
    // Some phones allow notifications only from elsewhere; the title of the tab says it too.
  }
}

async function watchSale() {
  for (;;) {
    const id = placeIn(sale)?.performance_id;
    if (id && document.visibilityState === "visible") {
      const outcome = await showPerformance(id);
      if (outcome.kind === "answer") {
        state.performance = outcome.body;
        if (state.view === "place") render();
      }
    }
    await after(jittered(SALE_AGAIN_MS));
  }
}

frame(1, () => {
  document.body.dataset.view = "";
  const shown = document.getElementById("banner");
  if (shown) shown.dataset.title = "";
  render();
});
onOtherTab(() => {
  // Another tab went on with this place.
  if (placeIn(sale)?.status === "ended" && state.view === "place") start();
});
addEventListener("hashchange", () => location.reload());
start();
watchSale();
