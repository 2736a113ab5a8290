// Choosing seats: on the map, in the list, or by letting the box office choose the best. All three lead to the
// same tray and the same call. What others take meanwhile is seen as it happens.
//
// One idea: one page, whose three ways change one state.

import { after, availability, hold, jittered, leave, newKey, performances, plan } from "./api.js";
import { Board } from "./board.js";
import {
  announce,
  ask,
  button,
  drawing,
  fragment,
  frame,
  h,
  link,
  notice,
  onReturn,
  runDown,
  say,
  show,
  the,
} from "./dom.js";
import { follow } from "./live.js";
import { placeOver } from "./over.js";
import { anew, keep, placeIn, where } from "./place.js";
import { SeatMap } from "./seatmap.js";
import { count, evening, money, words } from "./words.js";

/** While there is no stream, what is free is asked for so often. */
const AGAIN_MS = 2_000;
/** Changes of so many seconds are kept, for an answer that is older than they are. */
const RECENT = 20;

/**
 * @type {{view: "loading" | "hall" | "over", performance: import("./api.js").Performance | null,
 *   siblings: import("./api.js").Performance[], place: import("./api.js").Place | null,
 *   board: Board | null, way: "map" | "list", section: number, best: number,
 *   grade: number | null, link: "live" | "polling" | "lost", busy: boolean,
 *   over: (() => Element) | null}}
 */
const state = {
  view: "loading",
  performance: null,
  siblings: [],
  place: null,
  board: null,
  way: "map",
  section: 0,
  best: 2,
  grade: null,
  link: "polling",
  busy: false,
  over: null,
};

/** @type {SeatMap | null} */
let map = null;
/** @type {import("./live.js").SeatChange[]} */
let recent = [];
let stop = () => {};

// ---- the page ----

function render() {
  const w = words();
  document.title = tab();
  const { board } = state;
  if (state.view === "over" && state.over) return show(the("main"), state.over());
  if (state.view === "loading" || !board)
    return show(the("main"), h("p", { class: "loading" }, w.loading));
  show(
    the("main"),
    h(
      "div",
      { class: "hall" },
      head(),
      h("div", { id: "told" }),
      h(
        "div",
        { class: "hall-main card" },
        ways(),
        h(
          "div",
          { id: "map-view", class: "map-view", hidden: state.way !== "map" },
          mapView(board),
        ),
        h("div", { id: "list-view", class: "list-view", hidden: state.way !== "list" }),
      ),
      h("div", { class: "hall-side" }, together(board), legend(board)),
      h("section", { id: "tray", class: "tray card", "aria-labelledby": "tray-title" }),
    ),
  );
  const canvas = /** @type {HTMLCanvasElement} */ (the("map"));
  map = new SeatMap({ board, canvas, stage: w.map_stage, choose: toggle, point });
  map.only = state.grade;
  list();
  tray();
  timer();
}

/** Who looks at another tab is told that it is the turn until they come back to this one. */
function tab() {
  const w = words();
  const calls = document.visibilityState === "hidden" && state.view === "hall";
  return calls ? w.tab_turn : `${w.seats_title} – ${w.brand}`;
}

function head() {
  const w = words();
  const { performance, siblings } = state;
  if (!performance) return null;
  const option = (/** @type {import("./api.js").Performance} */ one) =>
    h(
      "option",
      { value: one.performance_id, selected: one.performance_id === performance.performance_id },
      `${evening(one.starts_at, one.time_zone)} · ${w.free_in(one.available_count)}`,
    );
  const choose = (/** @type {Event} */ event) => {
    const id = /** @type {HTMLSelectElement} */ (event.target).value;
    keep(performance.sale_id, { performance_id: id });
    location.replace(`/seats#${id}`);
  };
  return h(
    "div",
    { class: "hall-head" },
    h(
      "div",
      {},
      h("h1", {}, performance.title),
      h(
        "p",
        { class: "when" },
        evening(performance.starts_at, performance.time_zone),
        " · ",
        performance.venue,
      ),
    ),
    siblings.length > 1
      ? h(
          "label",
          { class: "field" },
          w.seats_which,
          h("select", { id: "which", onchange: choose }, siblings.map(option)),
        )
      : null,
    h(
      "p",
      { class: "timer" },
      w.seats_time,
      " ",
      h("strong", { class: "choose-left face", role: "timer" }),
    ),
    button(w.give_up_turn, giveUp, { id: "stop", class: "quiet" }),
  );
}

/** The switch between the map and the list. */
function ways() {
  const w = words();
  const way = (/** @type {"map" | "list"} */ name, /** @type {string} */ text) =>
    button(text, () => turnTo(name), {
      id: `way-${name}`,
      "aria-pressed": String(state.way === name),
      class: "way",
    });
  return h(
    "div",
    { class: "ways", role: "group", "aria-label": w.seats_how },
    way("map", w.seats_map),
    way("list", w.seats_list),
  );
}

/** @param {"map" | "list"} way */
function turnTo(way) {
  state.way = way;
  for (const name of ["map", "list"]) {
    the(`way-${name}`).setAttribute("aria-pressed", String(name === way));
    the(`${name}-view`).hidden = name !== way;
  }
  list();
  map?.ask();
}

/** @param {Board} board */
function mapView(board) {
  const w = words();
  const tool = (
    /** @type {string} */ label,
    /** @type {string} */ path,
    /** @type {() => void} */ act,
  ) =>
    h(
      "button",
      { type: "button", class: "tool", "aria-label": label, title: label, onclick: act },
      drawing("0 0 24 24", [path]),
    );
  return [
    h("canvas", {
      id: "map",
      class: "map",
      tabindex: 0,
      role: "application",
      "aria-roledescription": w.map_role,
      "aria-label": w.map_label,
    }),
    h("p", { id: "pointed", class: "heard", "aria-live": "polite" }),
    h(
      "div",
      { class: "tools", role: "group", "aria-label": w.seats_map },
      tool(w.map_in, "M12 5v14M5 12h14", () => map?.zoom(1.6)),
      tool(w.map_out, "M5 12h14", () => map?.zoom(1 / 1.6)),
      tool(w.map_fit, "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5", () => map?.fit()),
      tool(w.map_left, "M15 5l-7 7 7 7", () => map?.step(-1, 0)),
      tool(w.map_up, "M5 15l7-7 7 7", () => map?.step(0, -1)),
      tool(w.map_down, "M5 9l7 7 7-7", () => map?.step(0, 1)),
      tool(w.map_right, "M9 5l7 7-7 7", () => map?.step(1, 0)),
    ),
    board.count > 200 ? h("p", { class: "small hint" }, w.map_hint) : null,
  ];
}

/** Letting the box office choose. @param {Board} board */
function together(board) {
  const w = words();
  const grades = board.plan.grades;
  const set = (/** @type {number} */ best) => {
    state.best = Math.min(Math.max(best, 1), board.most);
    say(the("best-count"), count(state.best));
    say(the("best"), w.seats_best(state.best));
  };
  const grade = h(
    "select",
    { id: "best-grade" },
    grades.length > 1 ? h("option", { value: "" }, w.seats_any_grade) : null,
    grades.map((one) =>
      h("option", { value: one.name }, `${one.name} · ${money(one.price, board.plan.currency)}`),
    ),
  );
  return h(
    "section",
    { class: "card together", "aria-labelledby": "together" },
    h("h2", { id: "together" }, w.seats_together),
    h("p", { class: "small" }, w.seats_together_more),
    h(
      "div",
      { class: "together-row" },
      h(
        "div",
        { class: "stepper", role: "group", "aria-label": w.seats_count },
        button("−", () => set(state.best - 1), { "aria-label": w.seats_fewer }),
        h("output", { id: "best-count", "aria-live": "polite" }, count(state.best)),
        button("+", () => set(state.best + 1), { "aria-label": w.seats_more }),
      ),
      h("label", { class: "field" }, h("span", { class: "heard" }, w.seats_grade), grade),
    ),
    button(
      w.seats_best(state.best),
      () => holdSeats({ best: state.best, ...(grade.value ? { grade: grade.value } : {}) }),
      { id: "best", class: "secondary" },
    ),
  );
}

/** @param {Board} board */
function legend(board) {
  const w = words();
  const all = { first: 0, end: board.count };
  const item = (/** @type {import("./api.js").Grade} */ grade, /** @type {number} */ at) => {
    const only = () => {
      state.grade = state.grade === at ? null : at;
      if (map) map.only = state.grade;
      map?.again();
      for (const [other, chip] of [...document.querySelectorAll(".grade")].entries()) {
        chip.setAttribute("aria-pressed", String(state.grade === other));
      }
    };
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: `grade grade-${(at % 8) + 1}`,
          "aria-pressed": String(state.grade === at),
          onclick: only,
        },
        h("span", { class: "swatch", "aria-hidden": "true" }),
        h("span", { class: "grade-name" }, grade.name),
        h("span", {}, money(grade.price, board.plan.currency)),
        h("span", { class: "small", id: `left-${at}` }, w.free_in(board.freeCount(all, at))),
      ),
    );
  };
  return h(
    "section",
    { class: "card legend", "aria-labelledby": "legend" },
    h("h2", { id: "legend" }, w.legend),
    h("ul", {}, board.plan.grades.map(item)),
    h(
      "p",
      { class: "small keys" },
      h("span", { class: "swatch chosen" }),
      w.chosen,
      h("span", { class: "swatch taken" }),
      w.taken,
    ),
  );
}

/**
 * The seats as a list: one section at a time, row by row. What is there already is changed in place, for
 * a finger may just be on it.
 */
function list() {
  const { board } = state;
  if (!board || state.way !== "list" || state.view !== "hall") return;
  const w = words();
  const section = board.sections[state.section] ?? board.sections[0];
  if (!section) return;
  const view = the("list-view");
  if (view.dataset.section === String(state.section) && view.firstChild) {
    for (const row of section.rows) rowAgain(board, row);
    return;
  }
  view.dataset.section = String(state.section);
  const option = (/** @type {import("./board.js").Section} */ one, /** @type {number} */ at) =>
    h(
      "option",
      { value: at, selected: at === state.section },
      `${one.name} · ${w.free_in(board.freeCount(one))}`,
    );
  const turn = (/** @type {Event} */ event) => {
    state.section = Number(/** @type {HTMLSelectElement} */ (event.target).value);
    list();
  };
  show(
    view,
    board.sections.length > 1
      ? h(
          "label",
          { class: "field" },
          w.section,
          h("select", { id: "section", onchange: turn }, board.sections.map(option)),
        )
      : null,
    h(
      "div",
      { class: "rows", role: "region", "aria-label": section.name, tabindex: 0 },
      section.rows.map((row) => rowOf(board, row)),
    ),
  );
}

/**
 * @param {Board} board
 * @param {import("./board.js").Row} row
 */
function rowAgain(board, row) {
  for (let seat = row.first; seat < row.end; seat += 1) {
    const element = the(`seat-${seat}`);
    const label = said(board, seat);
    if (element.getAttribute("aria-label") === label) continue;
    element.setAttribute("aria-label", label);
    element.setAttribute("aria-pressed", String(board.chosen.has(seat)));
    if (board.free[seat]) element.removeAttribute("aria-disabled");
    else element.setAttribute("aria-disabled", "true");
  }
}

/**
 * @param {Board} board
 * @param {import("./board.js").Row} row
 */
function rowOf(board, row) {
  const w = words();
  const seats = [];
  for (let seat = row.first; seat < row.end; seat += 1) {
    const number = board.number(seat);
    const chosen = board.chosen.has(seat);
    const taken = !board.free[seat];
    const accessible = board.seats[seat]?.accessible;
    seats.push(
      h(
        "button",
        {
          type: "button",
          id: `seat-${seat}`,
          class: `seat grade-${((board.grade[seat] ?? 0) % 8) + 1}`,
          "aria-pressed": String(chosen),
          "aria-label": said(board, seat),
          "aria-disabled": taken ? "true" : null,
          onclick: () => toggle(seat),
        },
        accessible === "wheelchair" ? "♿" : accessible === "companion" ? "+" : "",
        number.length > 5 ? (number.split(/[-\s]/).pop() ?? number) : number,
      ),
    );
  }
  return h(
    "div",
    { class: "list-row", role: "group", "aria-label": w.row_of(row.name) },
    h("p", { class: "list-name", "aria-hidden": "true" }, w.row_of(row.name)),
    h("div", { class: "list-seats" }, seats),
  );
}

/**
 * What is said of a seat to those who listen.
 *
 * @param {Board} board
 * @param {number} seat
 */
function said(board, seat) {
  const w = words();
  const at = board.chosen.has(seat) ? w.chosen : board.free[seat] ? w.is_free : w.taken;
  const text = w.seat_said(
    board.number(seat),
    board.gradeName(seat),
    money(board.price(seat), board.plan.currency),
    at,
  );
  const accessible = board.seats[seat]?.accessible;
  return accessible ? `${text}, ${w[accessible]}` : text;
}

/** The chosen seats, what they cost, and the button that takes them. */
function tray() {
  const { board } = state;
  if (!board || state.view !== "hall") return;
  const w = words();
  const chosen = [...board.chosen];
  const key = JSON.stringify([chosen, state.busy, document.documentElement.lang]);
  if (the("tray").dataset.key === key) return;
  the("tray").dataset.key = key;
  const chip = (/** @type {number} */ seat) =>
    h(
      "li",
      { class: `chip grade-${((board.grade[seat] ?? 0) % 8) + 1}` },
      h("span", { class: "swatch", "aria-hidden": "true" }),
      h("span", {}, board.number(seat)),
      h("span", { class: "small" }, board.gradeName(seat)),
      button("×", () => toggle(seat), {
        "aria-label": w.tray_drop(board.number(seat)),
        class: "drop",
      }),
    );
  const sum = money(board.sum(), board.plan.currency);
  show(
    the("tray"),
    h("h2", { id: "tray-title", class: "heard" }, w.tray),
    h("ul", { class: "chips" }, chosen.map(chip)),
    button(
      state.busy ? w.holding : chosen.length > 0 ? w.hold(chosen.length, sum) : w.hold_none,
      () => holdSeats({ seat_numbers: board.chosenNumbers() }),
      { id: "hold", class: "primary", disabled: state.busy || chosen.length === 0 },
    ),
  );
  the("tray").classList.toggle("full", chosen.length > 0);
}

function timer() {
  if (state.place?.status !== "admitted") return;
  runDown(state.place.admitted_until, {
    face: "choose-left",
    minute: words().seats_one_minute,
    over: () => {},
  });
}

/** A sentence above the hall, with what can be done about it. @param {Node[]} children */
function tell(...children) {
  const told = document.getElementById("told");
  if (told) show(told, children.length > 0 ? h("div", { class: "banner warn" }, children) : null);
}

/** Draws what has changed, and leaves the rest. */
function refreshed() {
  const { board } = state;
  if (!board || state.view !== "hall") return;
  const w = words();
  map?.ask();
  list();
  tray();
  for (const at of board.plan.grades.keys()) {
    const left = document.getElementById(`left-${at}`);
    if (left) say(left, w.free_in(board.freeCount({ first: 0, end: board.count }, at)));
  }
}

// ---- what the buyer does ----

/** @param {number} seat */
function toggle(seat) {
  const { board } = state;
  if (!board || state.busy) return;
  const w = words();
  const outcome = board.toggle(seat);
  tell();
  if (outcome.kind === "full") {
    tell(h("p", {}, w.tray_most(board.most)));
    announce(w.tray_most(board.most), "urgent");
  } else if (outcome.kind === "with") {
    tell(h("p", {}, w.companion_needs(outcome.place)));
    announce(w.companion_needs(outcome.place), "urgent");
  } else {
    announce(said(board, seat), "news");
  }
  refreshed();
}

/** @param {number} seat */
function point(seat) {
  if (state.board) say(the("pointed"), said(state.board, seat));
}

/** @param {{seat_numbers?: string[], best?: number, grade?: string}} wish */
async function holdSeats(wish) {
  const { performance } = state;
  if (!performance || state.busy) return;
  const sale = performance.sale_id;
  const token = placeIn(sale)?.token;
  if (!token) return;
  state.busy = true;
  tell();
  tray();
  announce(words().holding, "news");
  const fresh = (/** @type {string} */ newer) => keep(sale, { token: newer });
  const outcome = await hold(
    { performance_id: performance.performance_id, ...wish },
    { token, key: newKey(), fresh },
  );
  state.busy = false;
  if (outcome.kind === "answer") {
    stop();
    keep(sale, { status: "holding" });
    location.assign(`/pay#${sale}`);
    return;
  }
  tray();
  if (outcome.kind === "problem") refused(outcome.problem);
  else unsure();
}

/** @param {import("./api.js").Problem} problem */
function refused(problem) {
  const w = words();
  const { board, performance } = state;
  switch (problem.code) {
    case "seat_taken": {
      const taken = problem.taken ?? [];
      recent.push({ performance_id: performance?.performance_id ?? "", as_of: Infinity, taken });
      board?.change({ taken });
      refreshed();
      offer(taken, problem.alternatives ?? []);
      break;
    }
    case "no_adjacent_seats":
      tell(
        h("strong", {}, w.seats_none_together),
        h(
          "p",
          {},
          w.seats_none_together_more(problem.largest_adjacent ?? 0, problem.available_count ?? 0),
        ),
      );
      announce(w.seats_none_together, "urgent");
      break;
    case "too_many_seats":
      if (board && problem.seats_per_reservation) board.most = problem.seats_per_reservation;
      tell(h("p", {}, problem.detail));
      announce(problem.detail, "urgent");
      break;
    case "reservation_exists":
    case "not_admitted":
    case "place_ended":
    case "token_expired":
    case "token_invalid":
      look();
      break;
    default:
      tell(h("strong", {}, problem.title ?? w.refused), h("p", {}, problem.detail ?? ""));
      announce(problem.title ?? w.refused, "urgent");
  }
}

/** Whether the seats were taken is not known: the place knows. */
function unsure() {
  const w = words();
  tell(h("strong", {}, w.unreachable), h("p", {}, w.unreachable_more));
  announce(w.unreachable, "urgent");
  look();
}

/**
 * Tells what somebody else took, and offers others.
 *
 * @param {string[]} taken
 * @param {string[]} others
 */
function offer(taken, others) {
  const w = words();
  const { board } = state;
  const take = () => {
    board?.chooseInstead(others);
    tell();
    refreshed();
    the("hold").focus();
  };
  tell(
    h("strong", {}, w.lost_title),
    h("p", {}, w.lost(taken.join(", "))),
    ...(others.length > 0
      ? [
          h("p", {}, w.lost_instead(others.join(", "))),
          h(
            "div",
            { class: "actions" },
            button(w.lost_take, take, { id: "take", class: "secondary" }),
          ),
        ]
      : []),
  );
  announce(
    `${w.lost(taken.join(", "))} ${others.length > 0 ? w.lost_instead(others.join(", ")) : ""}`,
    "urgent",
  );
}

/** Seats that were chosen and went to somebody else meanwhile. @param {number[]} lost */
function missing(lost) {
  const { board } = state;
  if (!board || lost.length === 0) return;
  const kept = board.chosenNumbers();
  const others = board.instead(lost);
  offer(
    lost.map((seat) => board.number(seat)),
    others.length > 0 ? [...kept, ...others] : [],
  );
}

async function giveUp() {
  const w = words();
  const sale = state.performance?.sale_id ?? "";
  const sure = await ask({
    title: w.give_up_turn_sure,
    more: w.give_up_turn_more,
    yes: w.give_up_turn,
    no: w.lost_choose,
    grave: true,
  });
  const token = placeIn(sale)?.token;
  if (!sure || !token) return;
  stop();
  await leave(token);
  keep(sale, { status: "ended" });
  location.assign("/");
}

// ---- what the box office says ----

/** @param {import("./api.js").Place} place */
function seen(place) {
  const sale = state.performance?.sale_id ?? "";
  state.place = place;
  if (place.status === "admitted") return timer();
  if (state.busy) return;
  if (place.status === "waiting") location.replace(`/waiting#${sale}`);
  if (place.status === "holding" || place.status === "paying") location.replace(`/pay#${sale}`);
  if (place.status === "done") location.replace("/tickets");
  if (place.status === "ended") ended(place);
}

/** @param {import("./api.js").Place} place */
function ended(place) {
  runDown(undefined, { face: "", minute: "", over: () => {} });
  over(() => placeOver(place, again, true));
}

function again() {
  const { performance } = state;
  if (!performance) return;
  anew(performance);
  location.assign(`/waiting#${performance.sale_id}`);
}

/** Shows this in place of the hall. @param {() => Element} what */
function over(what) {
  stop();
  state.view = "over";
  state.over = what;
  render();
}

/** Asks where the buyer stands. */
async function look() {
  const outcome = await where(state.performance?.sale_id ?? "");
  if (outcome.kind === "answer") seen(outcome.body);
}

/** The batch up to which what is free is known. */
let known = 0;
/** Whether what is free is being asked for: never twice at a time. */
let asking = false;

async function freshen() {
  const { performance, board } = state;
  if (!performance || !board || asking || state.view !== "hall") return;
  asking = true;
  const outcome = await availability(performance.performance_id);
  asking = false;
  if (outcome.kind !== "answer") return;
  const free = outcome.body;
  if (free.plan !== board.plan.plan) {
    // The organiser has described the hall anew.
    location.reload();
    return;
  }
  const lost = board.apply(free);
  known = Math.max(known, free.as_of);
  const newer = recent.filter((change) => (change.as_of ?? 0) > free.as_of);
  for (const change of newer) lost.push(...board.change(change));
  recent = newer.filter((change) => change.as_of !== Infinity);
  missing(lost);
  refreshed();
}

/** @param {import("./live.js").SeatChange} change */
function changed(change) {
  const { performance, board } = state;
  if (!performance || !board || change.performance_id !== performance.performance_id) return;
  if (change.reset) {
    freshen();
    return;
  }
  recent = [...recent, change].slice(-RECENT);
  const lost = board.change(change);
  // Seats that are just being taken may be one's own: the answer says whose they are.
  if (!state.busy) missing(lost);
  // What is known is older than what the change begins with: something was missed in between.
  if ((change.since ?? 0) > known) freshen();
  known = Math.max(known, change.as_of ?? 0);
  refreshed();
}

async function poll() {
  for (;;) {
    await after(jittered(AGAIN_MS));
    if (document.visibilityState === "visible" && state.link !== "live") await freshen();
  }
}

function unreachable() {
  over(() => {
    const w = words();
    return notice(
      { title: w.unreachable, more: w.unreachable_more, urgent: true },
      button(w.try_again, () => location.reload(), { class: "primary" }),
    );
  });
  after(jittered(5_000)).then(() => location.reload());
}

async function start() {
  const id = fragment();
  const all = await performances();
  if (all.kind !== "answer") return unreachable();
  const performance = all.body.performances.find((one) => one.performance_id === id) ?? null;
  const kept = performance && placeIn(performance.sale_id);
  if (!performance || !kept) {
    over(() => {
      const w = words();
      return notice(
        { title: w.no_place_title, more: w.no_place_more },
        link(w.home, "/", { class: "button primary" }),
      );
    });
    return;
  }
  state.performance = performance;
  state.siblings = all.body.performances.filter((one) => one.sale_id === performance.sale_id);
  const [place, drawn, free] = await Promise.all([
    where(performance.sale_id),
    plan(id),
    availability(id),
  ]);
  if (place.kind === "problem") {
    location.replace(`/waiting#${performance.sale_id}`);
    return;
  }
  if (place.kind !== "answer" || drawn.kind !== "answer" || free.kind !== "answer")
    return unreachable();
  if (place.body.status !== "admitted") return seen(place.body);
  const board = new Board(drawn.body);
  board.most = performance.seats_per_reservation ?? board.most;
  board.apply(free.body);
  known = free.body.as_of;
  state.best = Math.min(state.best, board.most);
  state.board = board;
  state.place = place.body;
  state.view = "hall";
  render();
  stop = follow(performance.sale_id, {
    place: seen,
    seats: changed,
    refused: () => look(),
    link: (how) => {
      state.link = how;
      if (how === "live") freshen();
      if (how === "lost")
        tell(h("strong", {}, words().wait_lost), h("p", {}, words().unreachable_more));
      else if (document.querySelector("#told .banner strong")?.textContent === words().wait_lost)
        tell();
    },
  });
}

frame(2, render);
onReturn(() => {
  document.title = tab();
  freshen();
});
addEventListener("hashchange", () => location.reload());
start();
poll();
