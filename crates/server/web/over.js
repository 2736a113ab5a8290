// What stands in place of a page when a place in line is over: why, and what can be done about it.

import { button, link, notice } from "./dom.js";
import { words } from "./words.js";

/**
 * @param {import("./api.js").Place} place
 * @param {() => void} again joins the line anew
 * @param {boolean} [urgent] whether it comes as a surprise
 */
export function placeOver({ reason = "left" }, again, urgent = false) {
  const w = words();
  const home = link(w.others, "/", { class: "button quiet" });
  if (reason === "sold_out") {
    return notice({ title: w.sold_out_title, more: w.sold_out_more, urgent }, home);
  }
  if (reason === "closed") return notice({ title: w.closed_title, urgent }, home);
  const more = {
    left: w.gone_left,
    absent: w.gone_absent,
    too_slow: w.gone_too_slow,
    hold_expired: w.gone_hold_expired,
    removed: w.gone_removed,
  }[reason];
  return notice(
    { title: w.gone_title, more, urgent },
    button(w.again, again, { class: "primary" }),
    home,
  );
}
