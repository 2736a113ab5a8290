// A place in line, followed as it moves: by a stream of events where that can be had, by asking again
// where it cannot. Whoever looks at the page again asks at once.

import { after, events, jittered, place } from "./api.js";
import { onReturn } from "./dom.js";
import { comeBack, keep, learn, placeIn } from "./place.js";

/**
 * @typedef {{
 *   place: (place: import("./api.js").Place) => void,
 *   seats?: (change: SeatChange) => void,
 *   refused: (problem: import("./api.js").Problem, again_ms: number | null) => void,
 *   link: (how: "live" | "polling" | "lost") => void,
 * }} Listener
 *   `place` is told whenever something of it may be new; `refused` ends the following: the line
 *   knows no such place and gave no other.
 *
 * @typedef {{performance_id: string, as_of?: number, since?: number, taken?: string[], free?: string[],
 *   reset?: boolean}} SeatChange
 */

/** After a stream that did not come about, it is asked for again so much later. */
const STREAM_AGAIN_MS = 30_000;
/** A stream in which nothing is said for so long is dead: the server says something every 15 s. */
const SILENCE_MS = 40_000;
/** How long to wait after silence, at first and at most. */
const LOST_MS = 1_000;
const LOST_MAX_MS = 15_000;

/**
 * Follows the place in a sale's line until it is over or `stop` is called.
 *
 * @param {string} sale
 * @param {Listener} listener
 * @returns {() => void} stop
 */
export function follow(sale, listener) {
  let stopped = false;
  let over = false;
  /** Ends what is waited for: the page is looked at again. */
  let wake = () => {};
  let stream = new AbortController();
  let streamAgain = 0;
  let lost = 0;

  const told = (/** @type {import("./api.js").Place} */ seen) => {
    if (stopped) return;
    lost = 0;
    learn(sale, seen);
    over = seen.status === "ended" || seen.status === "done";
    listener.place(seen);
  };

  onReturn(() => {
    // A stream of before may be dead without a word, so it is begun anew.
    stream.abort();
    streamAgain = 0;
    wake();
  });

  // A stream of a lost network stays silent for long before it ends.
  addEventListener("offline", () => stream.abort());

  const pause = (/** @type {number} */ ms) =>
    Promise.race([after(ms), new Promise((done) => (wake = () => done(undefined)))]);

  /** Whether the line still knows us: asks anew with what this browser has. */
  const recover = async () => {
    const outcome = await comeBack(sale);
    if (stopped) return false;
    if (outcome.kind === "answer") {
      told(outcome.body);
      return true;
    }
    if (outcome.kind === "problem" && outcome.problem.status < 500) {
      over = true;
      listener.refused(outcome.problem, outcome.again_ms);
      return false;
    }
    return false;
  };

  const poll = async () => {
    const token = placeIn(sale)?.token;
    const outcome = token ? await place(token) : null;
    if (stopped || over) return;
    if (outcome?.kind === "answer") {
      const fresh = outcome.headers.get("Queue-Token");
      if (fresh) keep(sale, { token: fresh });
      listener.link("polling");
      told(outcome.body);
      if (!over) await pause(outcome.body.poll_after_ms ?? 10_000);
      return;
    }
    if (!outcome || (outcome.kind === "problem" && outcome.problem.status < 500)) {
      if (await recover()) await pause(jittered(1000));
      else if (!over) await silence(null);
      return;
    }
    await silence(outcome.kind === "problem" ? outcome.again_ms : null);
  };

  const silence = async (/** @type {number | null} */ again_ms) => {
    listener.link("lost");
    lost += 1;
    await pause(again_ms ?? jittered(Math.min(LOST_MS * 2 ** lost, LOST_MAX_MS)));
  };

  const listen = async () => {
    const token = placeIn(sale)?.token;
    if (!token) return false;
    stream = new AbortController();
    let watch = setTimeout(() => stream.abort(), SILENCE_MS);
    let heard = false;
    let moved = 0;
    const outcome = await events(token, stream.signal, (name, value) => {
      clearTimeout(watch);
      watch = setTimeout(() => stream.abort(), SILENCE_MS);
      if (stopped) return;
      if (!heard) listener.link("live");
      heard = true;
      if (name === "token") keep(sale, { token: value.token });
      else if (name === "seats") listener.seats?.(value);
      else if (name === "move") moved = value?.reconnect_after_ms ?? 1000;
      else if (["state", "position", "admitted", "ended"].includes(name)) told(value);
    });
    clearTimeout(watch);
    if (heard && moved > 0) await pause(moved);
    if (!heard && outcome.kind === "problem") streamAgain = performance.now() + STREAM_AGAIN_MS;
    return heard;
  };

  const run = async () => {
    while (!stopped && !over) {
      const heard = performance.now() >= streamAgain && (await listen());
      // What ended a stream is told by asking: that the place is over, or that nobody answers.
      if (!stopped && !over && !heard) await poll();
      else if (!stopped && !over) await pause(jittered(300));
    }
  };
  run();
  return () => {
    stopped = true;
    stream.abort();
    wake();
  };
}
