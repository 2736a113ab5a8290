// What this browser keeps: the places in line, by sale, and the tickets. Everything lies in local storage,
// so that a reload, a second tab or a browser that was closed finds it again; no cookie, and nothing in
// any address that a server sees.

import { place as askPlace, join, newKey } from "./api.js";

const PLACES = "maepyo.places";
const TICKETS = "maepyo.tickets";
/** Places and tickets that are kept, at most; the oldest go. */
const KEPT_MAX = 50;

/**
 * A place as this browser knows it.
 *
 * @typedef {{sale_id: string, performance_id: string, title: string, token: string | null,
 *   key: string, first_position?: number, position?: number | null,
 *   status?: import("./api.js").Status, kept_until?: string}} Kept
 *   `key` is the secret by which the line recognises the buyer, also when the answer to the join
 *   was lost.
 *
 * @typedef {{reservation_id: string, tickets_token: string,
 *   tickets?: import("./api.js").Tickets}} KeptTickets
 */

/**
 * @template T
 * @param {string} name
 * @returns {T[]}
 */
function load(name) {
  try {
    const kept = JSON.parse(localStorage.getItem(name) ?? "[]");
    return Array.isArray(kept) ? kept : [];
  } catch {
    return [];
  }
}

/**
 * @param {string} name
 * @param {unknown[]} list
 */
function store(name, list) {
  try {
    localStorage.setItem(name, JSON.stringify(list.slice(0, KEPT_MAX)));
  } catch {
    // Storage is full or forbidden: the page works on until it is closed.
  }
}

/** @returns {Kept[]} the newest first */
export function places() {
  return load(PLACES);
}

/**
 * @param {string} sale
 * @returns {Kept | undefined}
 */
export function placeIn(sale) {
  return places().find((kept) => kept.sale_id === sale);
}

/**
 * Changes what is kept of a place, also what another tab has written meanwhile.
 *
 * @param {string} sale
 * @param {Partial<Kept>} change
 */
export function keep(sale, change) {
  const all = places();
  const before = all.find((kept) => kept.sale_id === sale);
  const others = all.filter((kept) => kept.sale_id !== sale);
  const fresh = { sale_id: sale, performance_id: "", title: "", token: null, key: newKey() };
  store(PLACES, [{ ...(before ?? fresh), ...change }, ...others]);
}

/** @param {string} sale */
function forget(sale) {
  store(
    PLACES,
    places().filter((kept) => kept.sale_id !== sale),
  );
}

/**
 * What an answer says of a place.
 *
 * @param {string} sale
 * @param {import("./api.js").Place} place
 */
export function learn(sale, place) {
  /** @type {Partial<Kept>} */
  const change = { position: place.position, status: place.status };
  if (place.token) change.token = place.token;
  if (place.kept_until) change.kept_until = place.kept_until;
  const first = placeIn(sale)?.first_position;
  if (place.position !== null && (first === undefined || place.position > first)) {
    change.first_position = place.position;
  }
  keep(sale, change);
}

/**
 * Joins the line of a sale, or comes back to the place there: by the token, which may have expired,
 * or by the key of a join whose answer never came.
 *
 * @param {string} sale
 * @returns {Promise<import("./api.js").Outcome<import("./api.js").Place>>}
 */
export async function comeBack(sale) {
  keep(sale, {});
  const kept = /** @type {Kept} */ (placeIn(sale));
  const which = kept.performance_id ? { performance_id: kept.performance_id } : { sale_id: sale };
  let outcome = await join(which, kept);
  if (outcome.kind === "problem" && outcome.problem.status === 401) {
    // A token of another time (the store was restored): the key alone says who we are.
    keep(sale, { token: null });
    outcome = await join(which, { token: null, key: kept.key });
  }
  if (outcome.kind === "answer") learn(sale, outcome.body);
  return outcome;
}

/**
 * Where the buyer stands in the line of a sale. A place that is over is told and not replaced: whoever
 * reloads the page is not put at the end of the line unasked.
 *
 * @param {string} sale
 * @returns {Promise<import("./api.js").Outcome<import("./api.js").Place>>}
 */
export async function where(sale) {
  const token = placeIn(sale)?.token;
  const outcome = token ? await askPlace(token) : null;
  if (outcome?.kind !== "answer") return comeBack(sale);
  const fresh = outcome.headers.get("Queue-Token");
  learn(sale, fresh ? { ...outcome.body, token: fresh } : outcome.body);
  return outcome;
}

/**
 * Begins anew after a place is over: another key, so that it is another place.
 *
 * @param {{sale_id: string, performance_id: string, title: string}} which
 */
export function anew({ sale_id, performance_id, title }) {
  forget(sale_id);
  keep(sale_id, { performance_id, title });
}

/** @returns {KeptTickets[]} the newest first */
export function allTickets() {
  return load(TICKETS);
}

/** @param {KeptTickets} tickets */
export function keepTickets(tickets) {
  const others = allTickets().filter((kept) => kept.reservation_id !== tickets.reservation_id);
  store(TICKETS, [tickets, ...others]);
}

/**
 * Calls when another tab has changed something.
 *
 * @param {() => void} changed
 */
export function onOtherTab(changed) {
  addEventListener("storage", (event) => {
    if (event.key === PLACES || event.key === TICKETS) changed();
  });
}
