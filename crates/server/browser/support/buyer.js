// A buyer without a browser: those whom the one in front of the page meets in the line and in the
// hall. It speaks the HTTP contract and nothing else.

import { randomBytes } from "node:crypto";
import { until } from "./box_office.js";

/** Somebody who wants a ticket. */
export class Buyer {
  #origin;
  #token = "";

  /** @param {import("./box_office.js").BoxOffice} office */
  constructor(office) {
    this.#origin = office.origin;
  }

  /**
   * Any call, with the token if there is one. A fresh token is kept.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<{status: number, json: any}>}
   */
  async ask(method, path, body) {
    const answer = await fetch(this.#origin + path, {
      method,
      headers: {
        ...(this.#token ? { authorization: `Bearer ${this.#token}` } : {}),
        ...(body ? { "content-type": "application/json" } : {}),
        "idempotency-key": randomBytes(24).toString("base64url"),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    const json = text.startsWith("{") ? JSON.parse(text) : null;
    this.#token = json?.token ?? answer.headers.get("queue-token") ?? this.#token;
    return { status: answer.status, json };
  }

  /**
   * As `ask`, for a call that must be granted.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   */
  async granted(method, path, body) {
    const { status, json } = await this.ask(method, path, body);
    if (status >= 300) {
      throw new Error(`${method} ${path}: ${status} ${JSON.stringify(json)}`);
    }
    return json;
  }

  /** @param {object} [where] which sale, by anything that names it */
  async join(where) {
    await this.granted("POST", "/queue/token", where);
    return this;
  }

  /** Asks until it is this buyer's turn. */
  async turn() {
    await until("a buyer's turn", async () => {
      return (await this.granted("GET", "/queue/status")).status === "admitted";
    });
    return this;
  }

  /**
   * Holds these seats; what the reservation is.
   *
   * @param {string[]} seatNumbers
   * @param {object} [where] the performance, where the sale has several
   */
  async hold(seatNumbers, where = {}) {
    return this.granted("POST", "/reservations", { ...where, seat_numbers: seatNumbers });
  }

  /** @param {string} reservationId */
  async pay(reservationId) {
    const payment = { method: "card", token: "tok_ok" };
    return this.granted("POST", "/payment", { reservation_id: reservationId, payment });
  }

  /** Leaves the line, and gives back what was held. */
  async leave() {
    await this.ask("DELETE", "/queue/token");
  }
}

/**
 * As many buyers as are asked for, in line one behind the other.
 *
 * @param {import("./box_office.js").BoxOffice} office
 * @param {number} count
 * @param {object} [where]
 */
export async function crowd(office, count, where) {
  const buyers = [];
  for (let number = 0; number < count; number += 1) {
    buyers.push(await new Buyer(office).join(where));
  }
  return buyers;
}
