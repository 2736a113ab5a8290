// Paying for the seats that are held: what they are, what they cost, how long they are kept, and the payment.
// Whatever happens to it, the page says how it stands, and asks the box office until that is certain.

import { after, giveBack, jittered, newKey, pay, payment, reservations } from "./api.js";
import {
  announce,
  ask,
  button,
  fragment,
  frame,
  h,
  link,
  notice,
  onReturn,
  runDown,
  show,
  the,
} from "./dom.js";
import { anew, keep, keepTickets, placeIn, where } from "./place.js";
import { evening, money, words } from "./words.js";

/** What the sandbox understands instead of a card. */
const OUTCOMES = /** @type {const} */ ([
  "tok_ok",
  "tok_declined",
  "tok_insufficient_funds",
  "tok_slow",
  "tok_timeout",
  "tok_lost",
]);
/** How often an undecided payment is asked for where the answer does not say. */
const PENDING_MS = 2_000;
/** After silence, the same payment is sent again so much later. */
const UNSURE_MS = 4_000;

const sale = fragment();

/**
 * @type {{view: "loading" | "pay" | "paying" | "pending" | "unsure" | "over" | "refund" | "none" | "lost",
 *   reservation: import("./api.js").Reservation | null, chosen: typeof OUTCOMES[number],
 *   declined: string | null, refunded: boolean}}
 */
const state = {
  view: "loading",
  reservation: null,
  chosen: "tok_ok",
  declined: null,
  refunded: false,
};

/** The payment under way, whose key is used again until its outcome is certain. */
let attempt = { key: "", token: "" };

function render() {
  const w = words();
  document.title = `${w.pay_title} – ${w.brand}`;
  const home = link(w.others, "/", { class: "button quiet" });
  const content = {
    loading: () => h("p", { class: "loading" }, w.loading),
    pay: form,
    paying: () => order(waiting(w.paying, "")),
    pending: () => order(waiting(w.pay_pending, w.pay_pending_more)),
    unsure: () =>
      order(
        waiting(w.pay_unsure, w.pay_unsure_more),
        h("div", { class: "actions" }, button(w.pay_check, send, { class: "secondary" })),
      ),
    over: () =>
      notice(
        { title: w.pay_over, more: w.pay_over_more, urgent: true },
        button(w.again, again, { class: "primary" }),
        home,
      ),
    refund: () =>
      notice(
        state.refunded
          ? { title: w.pay_refunded }
          : { title: w.pay_refund, more: w.pay_refund_more },
        home,
      ),
    none: () =>
      notice(
        { title: w.pay_none, more: w.pay_none_more },
        link(w.home, "/", { class: "button primary" }),
      ),
    lost: () =>
      notice(
        { title: w.unreachable, more: w.unreachable_more, urgent: true },
        button(w.try_again, start, { class: "primary" }),
      ),
  }[state.view]();
  show(the("main"), content);
  timer();
}

/** What is bought, and below it whatever is to be done. @param {import("./dom.js").Child[]} below */
function order(...below) {
  const w = words();
  const { reservation } = state;
  if (!reservation) return null;
  const seat = (/** @type {import("./api.js").Seat} */ one) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, one.seat_number),
      h("td", {}, one.section),
      h("td", {}, one.grade),
      h("td", { class: "amount" }, money(one.price, reservation.currency)),
    );
  return h(
    "div",
    { class: "checkout" },
    h(
      "section",
      { class: "card order", "aria-labelledby": "order" },
      h("h1", { id: "order" }, w.pay_title),
      h("p", { class: "title" }, reservation.title),
      h("p", { class: "when" }, evening(reservation.starts_at, zone()), " · ", reservation.venue),
      h(
        "table",
        {},
        h("caption", { class: "heard" }, w.pay_seats),
        h(
          "thead",
          { class: "heard" },
          h(
            "tr",
            {},
            [w.seat, w.section, w.seats_grade, w.price].map((name) =>
              h("th", { scope: "col" }, name),
            ),
          ),
        ),
        h("tbody", {}, reservation.seats.map(seat)),
        h(
          "tfoot",
          {},
          h(
            "tr",
            {},
            h("th", { scope: "row", colspan: 3 }, w.pay_amount),
            h("td", { class: "amount" }, money(reservation.amount, reservation.currency)),
          ),
        ),
      ),
      reservation.expires_at
        ? h(
            "p",
            { class: "timer" },
            w.pay_left,
            " ",
            h("strong", { class: "pay-left face", role: "timer" }),
          )
        : null,
    ),
    below,
  );
}

/** The payment itself. */
function form() {
  const w = words();
  const { reservation } = state;
  if (!reservation) return null;
  const choice = (/** @type {typeof OUTCOMES[number]} */ token) =>
    h(
      "label",
      { class: "choice" },
      h("input", {
        type: "radio",
        name: "outcome",
        value: token,
        checked: token === state.chosen,
        onchange: () => (state.chosen = token),
      }),
      h("span", { class: "choice-name" }, w[token]),
      h("span", { class: "small" }, w[`${token}_more`]),
    );
  return order(
    state.declined
      ? h(
          "div",
          { class: "banner warn" },
          h(
            "strong",
            {},
            state.declined === "insufficient_funds" ? w.pay_insufficient : w.pay_declined,
          ),
          h("p", {}, w.pay_declined_more),
        )
      : null,
    h(
      "form",
      { class: "card payment", onsubmit: begin },
      h(
        "fieldset",
        {},
        h("legend", {}, w.pay_with),
        h("p", { class: "small" }, w.pay_sandbox),
        h("div", { class: "choices" }, OUTCOMES.map(choice)),
      ),
      h(
        "button",
        { class: "primary", id: "pay" },
        w.pay(money(reservation.amount, reservation.currency)),
      ),
      button(w.pay_back, back, { class: "quiet", id: "back" }),
    ),
  );
}

/**
 * @param {string} title
 * @param {string} more
 */
function waiting(title, more) {
  return h(
    "section",
    { class: "card working", "aria-busy": "true" },
    h("div", { class: "spinner", "aria-hidden": "true" }),
    h("h2", {}, title),
    more ? h("p", {}, more) : null,
  );
}

function timer() {
  const held = state.view === "pay" ? state.reservation?.expires_at : undefined;
  runDown(held, {
    face: "pay-left",
    minute: words().pay_one_minute,
    // The box office says when it is over; it keeps the seats until it says so.
    over: () => after(jittered(500)).then(look),
  });
}

function zone() {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

/** @param {typeof state.view} view */
function go(view) {
  if (state.view === view && view !== "pay") return;
  state.view = view;
  render();
}

// ---- what the buyer does ----

/** @param {Event} event */
function begin(event) {
  event.preventDefault();
  attempt = { key: newKey(), token: state.chosen };
  state.declined = null;
  send();
}

/** Sends the payment: the same one again, if its outcome is not known. */
async function send() {
  const token = placeIn(sale)?.token;
  const { reservation } = state;
  if (!token || !reservation) return;
  go("paying");
  announce(words().paying, "news");
  const outcome = await pay(
    {
      reservation_id: reservation.reservation_id,
      amount: reservation.amount,
      payment: { method: "card", token: attempt.token },
    },
    { token, key: attempt.key },
  );
  if (outcome.kind === "answer") return paid(outcome.body, token);
  if (outcome.kind === "silence" || outcome.problem.status >= 500) {
    go("unsure");
    announce(words().pay_unsure, "urgent");
    await after(jittered(UNSURE_MS));
    if (state.view === "unsure") send();
    return;
  }
  refused(outcome.problem);
}

/** @param {import("./api.js").Problem} problem */
function refused(problem) {
  const w = words();
  switch (problem.code) {
    case "payment_declined":
      state.declined = problem.reason ?? "declined";
      if (state.reservation && problem.expires_at)
        state.reservation.expires_at = problem.expires_at;
      if (problem.retryable === false && !problem.expires_at) return void look();
      go("pay");
      announce(`${w.pay_declined}. ${w.pay_declined_more}`, "urgent");
      the("pay").focus();
      return;
    case "token_expired":
    case "token_invalid":
      where(sale).then(look);
      return;
    default:
      look();
  }
}

/**
 * @param {import("./api.js").Payment} answer
 * @param {string} token
 */
async function paid(answer, token) {
  switch (answer.payment_status) {
    case "success":
      if (answer.tickets_token) {
        keepTickets({ reservation_id: answer.reservation_id, tickets_token: answer.tickets_token });
      }
      keep(sale, { status: "done" });
      location.replace(`/tickets#${answer.reservation_id}`);
      return;
    case "pending":
      go("pending");
      announce(words().pay_pending, "news");
      break;
    case "refunding":
    case "refunded":
      state.refunded = answer.payment_status === "refunded";
      state.view = "refund";
      render();
      if (state.refunded) return;
      break;
    case "failed":
      look();
      return;
  }
  await after(answer.poll_after_ms ?? jittered(PENDING_MS));
  follow(answer.payment_id, token);
}

/** Which payment is being followed, so that it is done once. */
let followed = "";

/**
 * @param {string} id
 * @param {string} token
 */
async function follow(id, token) {
  if (followed === id) return;
  followed = id;
  const outcome = await payment(id, placeIn(sale)?.token ?? token);
  followed = "";
  if (outcome.kind === "answer") return paid(outcome.body, token);
  if (outcome.kind === "problem" && outcome.problem.status < 500) {
    await where(sale);
    await look();
    return;
  }
  await after(jittered(PENDING_MS));
  follow(id, token);
}

async function back() {
  const w = words();
  const { reservation } = state;
  const sure = await ask({
    title: w.pay_back_sure,
    more: w.pay_back_more,
    yes: w.pay_back,
    no: w.pay_stay,
    grave: true,
  });
  const token = placeIn(sale)?.token;
  if (!sure || !token || !reservation) return;
  await giveBack(reservation.reservation_id, token);
  onwards();
}

/** Where the buyer belongs now. */
async function onwards() {
  const outcome = await where(sale);
  const kept = placeIn(sale);
  if (outcome.kind !== "answer" || !kept) return go("none");
  if (outcome.body.status === "admitted") location.replace(`/seats#${kept.performance_id}`);
  else if (outcome.body.status === "done") location.replace("/tickets");
  else if (outcome.body.reason === "hold_expired") go("over");
  else if (outcome.body.status === "ended") go("none");
  else location.replace(`/waiting#${sale}`);
}

function again() {
  const kept = placeIn(sale);
  if (!kept) return;
  anew(kept);
  location.assign(`/waiting#${sale}`);
}

// ---- what the box office says ----

/** Asks how the reservation stands, and shows that. */
async function look() {
  const token = placeIn(sale)?.token;
  if (!token) return go("none");
  const outcome = await reservations(token);
  if (outcome.kind === "silence") {
    if (!state.reservation) go("lost");
    return;
  }
  if (outcome.kind === "problem") {
    return outcome.problem.status >= 500 ? go("lost") : onwards();
  }
  const newest = outcome.body.reservations[0];
  if (!newest) return onwards();
  state.reservation = newest;
  switch (newest.status) {
    case "held":
      state.view = "pay";
      render();
      return;
    case "paying":
    case "confirmed":
      if (newest.last_payment) {
        if (newest.status === "paying") go("pending");
        follow(newest.last_payment.payment_id, token);
      }
      return;
    case "expired":
      return go("over");
    case "released":
      return onwards();
  }
}

async function start() {
  if (!placeIn(sale)) return go("none");
  // The token may have expired while the phone was locked.
  const place = await where(sale);
  if (place.kind === "silence") {
    go("lost");
    await after(jittered(5_000));
    if (state.view === "lost") start();
    return;
  }
  look();
}

frame(3, render);
onReturn(() => {
  if (state.view === "pay" || state.view === "pending") where(sale).then(look);
});
addEventListener("hashchange", () => location.reload());
start();
