// The tickets: one for each seat, with its QR code, to be shown or printed. They are kept in this browser,
// also for when there is no network at the door; elsewhere they are found by a link whose secret part stands
// behind the `#` and is never sent in an address.

import { tickets as askTickets } from "./api.js";
import { announce, button, fragment, frame, h, link, notice, onReturn, show, the } from "./dom.js";
import { allTickets, keepTickets } from "./place.js";
import { qrCode } from "./qr.js";
import { evening, money, words } from "./words.js";

/** @type {{offline: boolean, refused: boolean, loading: boolean, fresh: boolean}} */
const state = { offline: false, refused: false, loading: true, fresh: false };

/** The reservation that was just paid, or whose link was opened, comes first. */
let first = "";

function render() {
  const w = words();
  document.title = `${w.tickets_title} – ${w.brand}`;
  const known = allTickets();
  const all = known
    .filter((kept) => kept.tickets)
    .sort((a, b) => Number(b.reservation_id === first) - Number(a.reservation_id === first));
  if (all.length === 0 && state.loading) {
    return show(the("main"), h("p", { class: "loading" }, w.loading));
  }
  if (all.length === 0) {
    const what =
      known.length === 0
        ? { title: w.tickets_none, more: w.tickets_none_more }
        : state.refused
          ? { title: w.tickets_stale, more: w.tickets_none_more }
          : { title: w.unreachable, more: w.unreachable_more };
    return show(the("main"), notice(what, link(w.home, "/", { class: "button primary" })));
  }
  show(
    the("main"),
    h(
      "div",
      { class: "lead" },
      h("h1", {}, state.fresh ? w.tickets_done : w.tickets_title),
      h("p", {}, w.tickets_show),
    ),
    state.offline ? h("p", { class: "banner warn", role: "status" }, w.tickets_offline) : null,
    h(
      "div",
      { class: "actions no-print" },
      button(w.tickets_print, () => print(), { class: "primary" }),
    ),
    all.map(booking),
  );
}

/** @param {import("./place.js").KeptTickets} kept */
function booking(kept) {
  const w = words();
  const { tickets, reservation_id, tickets_token } = kept;
  if (!tickets) return null;
  const address = `${location.origin}/tickets#${reservation_id}.${tickets_token}`;
  const copied = h("span", { class: "small", role: "status" });
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(address);
      copied.textContent = w.tickets_copied;
    } catch {
      field.select();
    }
  };
  const field = h("input", {
    type: "text",
    readonly: true,
    value: address,
    id: `link-${reservation_id}`,
  });
  return h(
    "section",
    { class: "booking", "aria-label": tickets.title },
    tickets.tickets.map((ticket) => card(tickets, ticket)),
    h(
      "details",
      { class: "card keep no-print" },
      h("summary", {}, w.tickets_link),
      h("p", { class: "small" }, w.tickets_link_more),
      h("label", { class: "field" }, h("span", { class: "heard" }, w.tickets_link), field),
      h("div", { class: "actions" }, button(w.tickets_copy, copy, { class: "secondary" }), copied),
    ),
  );
}

/**
 * @param {import("./api.js").Tickets} of
 * @param {import("./api.js").Ticket} ticket
 */
function card(of, ticket) {
  const w = words();
  const fact = (/** @type {string} */ name, /** @type {string} */ value) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h(
    "article",
    { class: "ticket" },
    h(
      "div",
      { class: "ticket-text" },
      h("h2", {}, of.title),
      h("p", { class: "when" }, evening(of.starts_at, of.time_zone)),
      h("p", { class: "where" }, of.venue),
      h(
        "dl",
        {},
        fact(w.section, ticket.section),
        fact(w.row, ticket.row),
        fact(w.seat, ticket.seat_number),
        fact(w.seats_grade, ticket.grade),
        fact(w.price, money(ticket.price, of.currency)),
      ),
    ),
    h(
      "div",
      { class: "ticket-code" },
      qrCode(ticket.qr, w.ticket_qr(ticket.seat_number)),
      h("p", { class: "small" }, `${w.ticket_no} ${ticket.ticket_id}`),
    ),
  );
}

/** Takes over the link that was opened, if there was one. */
function opened() {
  const [reservation, ...token] = fragment().split(".");
  first = reservation ?? "";
  if (!first) return;
  if (token.length > 0) {
    const before = allTickets().find((kept) => kept.reservation_id === first);
    keepTickets({ ...before, reservation_id: first, tickets_token: token.join(".") });
    // The address is not left where it could be photographed, or shared by mistake.
    history.replaceState(null, "", `/tickets#${first}`);
  } else {
    state.fresh = true;
  }
}

/** Asks for all of them anew; what cannot be had now is shown as it was kept. */
async function refresh() {
  const known = allTickets();
  const outcomes = await Promise.all(
    known.map((kept) => askTickets(kept.reservation_id, kept.tickets_token)),
  );
  state.loading = false;
  state.offline = outcomes.some((outcome) => outcome.kind === "silence");
  state.refused = outcomes.some((outcome) => outcome.kind === "problem");
  // The oldest first, for each goes to the front.
  for (const [at, kept] of [...known.entries()].reverse()) {
    const outcome = outcomes[at];
    if (outcome?.kind === "answer") keepTickets({ ...kept, tickets: outcome.body });
  }
  render();
  if (state.fresh) announce(words().tickets_done, "news");
}

opened();
frame(4, render);
onReturn(refresh);
addEventListener("hashchange", () => location.reload());
refresh();
