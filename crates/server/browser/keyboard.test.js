// A ticket is bought with the keyboard alone, on the map and in the list. Whatever has the focus can
// be seen to have it.

import assert from "node:assert/strict";
import { test } from "node:test";
import { arrives, DESKTOP, PHONE } from "./support/browser.js";
import { main, READS } from "./support/journey.js";
import { club } from "./support/sales.js";
import { stage } from "./support/stage.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {import("playwright-core").Locator} Locator */

const reads = READS.ko;

/** More stops than any page has for the Tab key before what is looked for. */
const STOPS = 150;

const here = stage({ club: club() });

/**
 * Presses Tab until this has the focus.
 *
 * @param {Page} page
 * @param {Locator} target
 */
async function tabTo(page, target) {
  await target.waitFor();
  for (let stop = 0; stop < STOPS; stop += 1) {
    await page.keyboard.press("Tab");
    if (await target.evaluate((element) => element === document.activeElement)) {
      await focusIsSeen(page);
      return;
    }
  }
  assert.fail(`the Tab key does not come to ${target}`);
}

/** @param {Page} page */
async function focusIsSeen(page) {
  const seen = await page.evaluate(() => {
    const element = document.activeElement;
    if (element === null || element === document.body) {
      return { text: "nothing has the focus", isSeen: false };
    }
    // A choice may show it on the label around the small circle.
    const shows = [element, element.closest("label")].some((one) => {
      const style = one === null ? null : getComputedStyle(one);
      return style !== null && (style.outlineStyle !== "none" || style.boxShadow !== "none");
    });
    const box = element.getBoundingClientRect();
    // What lies in front of it, if anything does.
    const front = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    const isInFront = front !== null && (element.contains(front) || front.contains(element));
    return { text: element.outerHTML.slice(0, 200), isSeen: shows && isInFront };
  });
  assert(seen.isSeen, `the focus cannot be seen: ${seen.text}`);
}

/**
 * From the list to the seats.
 *
 * @param {Page} page
 */
async function comeToSeats(page) {
  await page.goto("/");
  const buy = page.getByRole("button", { name: reads.buy }).first();
  await buy.waitFor();
  await page.keyboard.press("Tab");
  const skips = await page.evaluate(() => document.activeElement?.getAttribute("href"));
  assert.equal(skips, "#main", "the first stop skips to the content");
  await focusIsSeen(page);
  await tabTo(page, buy);
  await page.keyboard.press("Enter");
  await arrives(page, "/seats");
}

/**
 * From chosen seats to the ticket.
 *
 * @param {Page} page
 */
async function holdAndPay(page) {
  await tabTo(page, page.getByRole("button", { name: reads.hold }));
  await page.keyboard.press("Enter");
  await arrives(page, "/pay");
  await tabTo(page, page.getByRole("radio", { name: reads.approved }));
  await page.keyboard.press("ArrowDown");
  assert(await page.getByRole("radio", { name: reads.declined }).isChecked());
  await page.keyboard.press("ArrowUp");
  await tabTo(page, page.getByRole("button", { name: reads.pay }));
  await page.keyboard.press("Enter");
  await arrives(page, "/tickets");
  await page.getByRole("img", { name: reads.ticketCode }).first().waitFor();
}

test("a seat is found on the map with the arrow keys, and bought", async () => {
  const visitor = await here.browser.visitor(here.office, { device: DESKTOP });
  const { page } = visitor;
  await comeToSeats(page);
  await tabTo(page, page.locator("#map"));
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) {
    await page.keyboard.press(key);
  }
  // Whoever listens is told where the keys have come to: they begin at the first free seat.
  const pointed = page.locator("#pointed");
  assert.match((await pointed.textContent()) ?? "", reads.freeSeat("B2"));
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowRight");
  await page.keyboard.press("Enter");
  await holdAndPay(page);
  await main(page).getByText("B3", { exact: true }).first().waitFor();
  await visitor.leave();
});

test("a seat is found in the list, and bought, on a screen as narrow as a phone's", async () => {
  const visitor = await here.browser.visitor(here.office, { device: PHONE });
  const { page } = visitor;
  await comeToSeats(page);
  await tabTo(page, page.getByRole("button", { name: reads.list, exact: true }));
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("button", { name: reads.freeSeat("A3") }));
  await page.keyboard.press("Space");
  await holdAndPay(page);
  await visitor.leave();
});

test("a place is given up only after a question, which Escape answers with no", async () => {
  const visitor = await here.browser.visitor(here.office, { device: DESKTOP });
  const { page } = visitor;
  await comeToSeats(page);
  const stop = page.locator("#stop");
  await tabTo(page, stop);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal(
    await stop.evaluate((element) => element === document.activeElement),
    true,
    "the focus goes back to where it was",
  );
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await arrives(page, "/");
  await visitor.leave();
});
