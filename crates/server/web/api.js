// The one module that speaks to the box office: every call, its answer as it came, and what a browser
// must remember of it (the server's clock, a fresh token). It renders nothing and decides nothing.

import { note } from "./clock.js";
import { language } from "./words.js";

/**
 * @typedef {{performance_id: string, sale_id: string, title: string, venue: string, date: string,
 *   starts_at: string, time_zone: string, opens_at: string, seat_count: number,
 *   available_count: number, price_from: number, currency: string, seats_per_reservation: number,
 *   state: "scheduled" | "open" | "paused" | "closed" | "sold_out"}} Performance
 *
 * @typedef {"waiting" | "admitted" | "holding" | "paying" | "done" | "ended"} Status
 *
 * @typedef {{status: Status, position: number | null, total: number, message: string,
 *   estimated_wait_seconds: number | null, poll_after_ms: number | null, reservations_url: string,
 *   sale_id: string, token?: string, expires_at: string, expires_in_ms: number,
 *   kept_until?: string, admitted_until?: string, held_until?: string, reservation_id?: string,
 *   reason?: "left" | "absent" | "too_slow" | "hold_expired" | "sold_out" | "closed" | "removed",
 *   server_time: string, as_of: number}} Place
 *
 * @typedef {{seat_number: string, grade: string, x: number, y: number,
 *   accessible?: "wheelchair" | "companion", companion_of?: string}} PlanSeat
 * @typedef {{name: string, price: number}} Grade
 * @typedef {{plan: string, performance_id: string, title: string, venue: string, date: string,
 *   starts_at: string, time_zone: string, currency: string, grades: Grade[],
 *   sections: {name: string, rows: {name: string, seats: PlanSeat[]}[]}[]}} Plan
 *
 * @typedef {{performance_id: string, plan: string, state: Performance["state"], as_of: number,
 *   available_count: number,
 *   sections: {name: string, available_count: number, free: string}[]}} Availability
 *
 * @typedef {{seat_number: string, price: number, grade: string, section: string}} Seat
 * @typedef {{reservation_id: string, performance_id: string, title: string, venue: string,
 *   date: string, starts_at: string, seats: Seat[], amount: number, currency: string,
 *   status: "held" | "paying" | "confirmed" | "released" | "expired",
 *   expires_at?: string, expires_in_ms?: number,
 *   last_payment?: {payment_id: string, status: string, reason: string | null},
 *   tickets?: {seat_number: string, ticket_id: string}[], token?: string}} Reservation
 *
 * @typedef {{payment_status: "success" | "pending" | "failed" | "refunding" | "refunded",
 *   payment_id: string, reservation_id: string, amount: number, currency: string, message: string,
 *   tickets_token?: string, reason?: string, retryable?: boolean, expires_at?: string,
 *   poll_after_ms?: number}} Payment
 *
 * @typedef {{seat_number: string, section: string, row: string, grade: string, price: number,
 *   ticket_id: string, qr: {size: number, modules: string}}} Ticket
 * @typedef {{performance_id: string, title: string, venue: string, date: string, starts_at: string,
 *   time_zone: string, reservation_id: string, currency: string, tickets: Ticket[]}} Tickets
 *
 * @typedef {{code: string, title: string, detail: string, status: number, opens_at?: string,
 *   line_capacity?: number, position?: number, total?: number, taken?: string[],
 *   alternatives?: string[], seat_number?: string, seats_per_reservation?: number,
 *   available_count?: number, largest_adjacent?: number, reason?: string | null,
 *   retryable?: boolean, expires_at?: string, payment_id?: string,
 *   reservation_id?: string}} Problem
 */

/**
 * What came of a call: an answer, what the box office refused, or nothing at all.
 *
 * @template T
 * @typedef {{kind: "answer", status: number, body: T, headers: Headers}
 *   | {kind: "problem", problem: Problem, again_ms: number | null}
 *   | {kind: "silence"}} Outcome
 */

/** Longer than this nobody waits for an answer, in milliseconds; the server gives up sooner. */
const PATIENCE_MS = 15_000;
/** How often a call that may be repeated is repeated before its silence is told. */
const TRIES = 4;

/**
 * @typedef {{method?: string, token?: string | null, key?: string, body?: unknown,
 *   signal?: AbortSignal, fresh?: (token: string) => void}} Options
 *   `fresh` is told the token that the answer carries, if it does; `key` is an idempotency key.
 */

/**
 * @param {Options} options
 * @returns {RequestInit}
 */
function request(options) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", "Accept-Language": language() };
  if (options.token) headers.Authorization = `Bearer ${options.token}`;
  if (options.key) headers["Idempotency-Key"] = options.key;
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  return {
    method: options.method ?? "GET",
    headers,
    body: options.body === undefined ? null : JSON.stringify(options.body),
    cache: options.token ? "no-store" : "default",
    credentials: "omit",
    referrerPolicy: "no-referrer",
  };
}

/**
 * One call, once.
 *
 * @template T
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Outcome<T>>}
 */
export async function call(path, options = {}) {
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, patience]) : patience;
  const sent = performance.now();
  try {
    const response = await fetch(path, { ...request(options), signal });
    const text = await response.text();
    const body = text === "" ? {} : JSON.parse(text);
    note(body.server_time ?? response.headers.get("Date"), sent, performance.now());
    const fresh = response.headers.get("Queue-Token") ?? body.token;
    if (fresh) options.fresh?.(fresh);
    if (response.ok) {
      return { kind: "answer", status: response.status, body, headers: response.headers };
    }
    return { kind: "problem", problem: body, again_ms: again(response.headers) };
  } catch {
    // Nothing came, or nothing that can be read: a proxy's page counts as silence too.
    return { kind: "silence" };
  }
}

/**
 * A call that may be repeated (a reading, or one with an idempotency key): silence, and what the
 * server could not do, is tried again a few times, ever later.
 *
 * @template T
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<Outcome<T>>}
 */
async function insist(path, options = {}) {
  for (let tried = 1; ; tried += 1) {
    const outcome = /** @type {Outcome<T>} */ (await call(path, options));
    const unable =
      outcome.kind === "silence" ||
      (outcome.kind === "problem" && (outcome.problem.status ?? 500) >= 500);
    if (!unable || tried === TRIES || options.signal?.aborted) return outcome;
    const told = outcome.kind === "problem" ? outcome.again_ms : null;
    await after(told ?? jittered(400 * 2 ** tried));
  }
}

/** @param {Headers} headers */
function again(headers) {
  const seconds = Number(headers.get("Retry-After") ?? Number.NaN);
  return Number.isFinite(seconds) ? seconds * 1000 : null;
}

/**
 * A stretch of time, give or take a fifth, so that not all come back at once.
 *
 * @param {number} ms
 */
export function jittered(ms) {
  return ms * (0.8 + 0.4 * Math.random());
}

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function after(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

/** A new idempotency key, 128 random bits. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What is on. */
export function performances() {
  return /** @type {Promise<Outcome<{performances: Performance[]}>>} */ (insist("/performances"));
}

/** @param {string} id */
export function showPerformance(id) {
  const path = `/performances/${encodeURIComponent(id)}`;
  return /** @type {Promise<Outcome<Performance>>} */ (insist(path));
}

/** @param {string} id */
export function plan(id) {
  const path = `/performances/${encodeURIComponent(id)}/plan`;
  return /** @type {Promise<Outcome<Plan>>} */ (insist(path));
}

/**
 * @param {string} id
 * @param {AbortSignal} [signal]
 */
export function availability(id, signal) {
  const path = `/performances/${encodeURIComponent(id)}/availability`;
  return /** @type {Promise<Outcome<Availability>>} */ (call(path, signal ? { signal } : {}));
}

/**
 * Joins a line, or finds the place that the token or the key has there already.
 *
 * @param {{performance_id?: string, sale_id?: string}} which
 * @param {{token: string | null, key: string}} secret
 */
export function join(which, { token, key }) {
  const options = { method: "POST", token, key, body: which };
  return /** @type {Promise<Outcome<Place>>} */ (insist("/queue/token", options));
}

/**
 * @param {string} token
 * @param {AbortSignal} [signal]
 * @returns {Promise<Outcome<Place>>}
 */
export function place(token, signal) {
  return call("/queue/status", signal ? { token, signal } : { token });
}

/**
 * @param {string} token
 * @returns {Promise<Outcome<unknown>>}
 */
export function leave(token) {
  return insist("/queue/token", { method: "DELETE", token });
}

/**
 * Takes seats: those named, or the best ones.
 *
 * @param {{performance_id: string, seat_numbers?: string[], best?: number, grade?: string}} wish
 * @param {{token: string, key: string, fresh: (token: string) => void}} options
 */
export function hold(wish, options) {
  return /** @type {Promise<Outcome<Reservation>>} */ (
    insist("/reservations", { method: "POST", body: wish, ...options })
  );
}

/** @param {string} token */
export function reservations(token) {
  return /** @type {Promise<Outcome<{reservations: Reservation[]}>>} */ (
    insist("/me/reservations", { token })
  );
}

/**
 * @param {string} id
 * @param {string} token
 * @returns {Promise<Outcome<unknown>>}
 */
export function giveBack(id, token) {
  return insist(`/me/reservations/${encodeURIComponent(id)}`, { method: "DELETE", token });
}

/**
 * @param {{reservation_id: string, amount: number, payment: {method: string, token: string}}} order
 * @param {{token: string, key: string}} secret
 */
export function pay(order, { token, key }) {
  return /** @type {Promise<Outcome<Payment>>} */ (
    insist("/payment", { method: "POST", body: order, token, key })
  );
}

/**
 * @param {string} id
 * @param {string} token
 */
export function payment(id, token) {
  const path = `/payments/${encodeURIComponent(id)}`;
  return /** @type {Promise<Outcome<Payment>>} */ (call(path, { token }));
}

/**
 * @param {string} reservation
 * @param {string} token the tickets token, or the queue token
 */
export function tickets(reservation, token) {
  const path = `/me/reservations/${encodeURIComponent(reservation)}/tickets`;
  return /** @type {Promise<Outcome<Tickets>>} */ (insist(path, { token }));
}

/**
 * The events of a place, one after the other, until the stream ends for whatever reason.
 *
 * @param {string} token
 * @param {AbortSignal} signal
 * @param {(name: string, value: any) => void} tell
 * @returns {Promise<Outcome<null>>} how it began or why it did not
 */
export async function events(token, signal, tell) {
  const options = request({ token, signal });
  const headers = { ...options.headers, Accept: "text/event-stream" };
  try {
    const response = await fetch("/queue/events", { ...options, headers, signal });
    if (!response.ok || !response.body) {
      const problem = JSON.parse(await response.text());
      return { kind: "problem", problem, again_ms: again(response.headers) };
    }
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      rest += value;
      const events = rest.split("\n\n");
      rest = events.pop() ?? "";
      for (const event of events) read(event, tell);
    }
    return { kind: "answer", status: response.status, body: null, headers: response.headers };
  } catch {
    return { kind: "silence" };
  }
}

/**
 * One event as it stands in the stream; comments say only that the line is alive.
 *
 * @param {string} text
 * @param {(name: string, value: any) => void} tell
 */
function read(text, tell) {
  let name = "message";
  let data = "";
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    if (line.startsWith("data:")) data += line.slice(5).trim();
  }
  tell(data === "" ? "comment" : name, data === "" ? null : JSON.parse(data));
}
