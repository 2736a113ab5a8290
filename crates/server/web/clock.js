// What time it is at the box office. A phone's clock may be wrong by hours and may jump; what counts is
// the server's, carried on by the browser's monotonic clock.

/** Server time less monotonic time, in milliseconds, as the best answer so far told it. */
let ahead = Date.now() - performance.now();
/** Half of how long the best answer was under way: how wrong `ahead` may be. */
let doubt = Number.POSITIVE_INFINITY;

/** The clock of a sleeping phone stands still, so what was learned gets stale, in ms for each ms. */
const STALER = 0.001;
let learned = 0;

/**
 * Learns from an answer.
 *
 * @param {string | null | undefined} told the server's time: RFC 3339, or the `Date` header's form
 * @param {number} sent when it was asked, by the monotonic clock
 * @param {number} came when it was answered
 */
export function note(told, sent, came) {
  const server = Date.parse(told ?? "");
  if (Number.isNaN(server)) return;
  const seconds = !told?.includes("T");
  const now = (came - sent) / 2 + (seconds ? 1500 : 0);
  if (now <= doubt + (came - learned) * STALER) {
    ahead = server + (seconds ? 500 : 0) - (sent + came) / 2;
    doubt = now;
    learned = came;
  }
}

/** What time it is at the box office, in milliseconds since 1970. */
export function now() {
  return performance.now() + ahead;
}

/** What was learned may be wrong: the machine slept. */
export function mistrust() {
  doubt = Number.POSITIVE_INFINITY;
}

/**
 * How long until then, by the box office's clock; never less than nothing.
 *
 * @param {string | undefined} when RFC 3339
 * @returns {number} milliseconds
 */
export function until(when) {
  return when ? Math.max(0, Date.parse(when) - now()) : 0;
}
