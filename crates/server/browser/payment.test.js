// Paying: what is declined, slow, unanswered or too late is each told as it is, and nobody pays twice.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axeFindsNothing } from "./support/axe.js";
import { BoxOffice } from "./support/box_office.js";
import { arrives } from "./support/browser.js";
import { choose, hold, joinToSeats, main, pay, READS } from "./support/journey.js";
import { club } from "./support/sales.js";
import { stage } from "./support/stage.js";

/** @typedef {import("playwright-core").Page} Page */

const reads = READS.ko;

const here = stage();

/**
 * Somebody who has come to the payment.
 *
 * @param {object} limits
 * @param {(at: {page: Page, visitor: import("./support/browser.js").Visitor,
 *   office: BoxOffice}) => Promise<void>} act
 */
async function atPayment(limits, act) {
  const office = await BoxOffice.selling({ club: club({ limits }) });
  try {
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await joinToSeats(page, "ko");
    await choose(page, "ko", ["A1", "A2"]);
    await hold(page, "ko");
    await page.getByRole("button", { name: reads.pay }).waitFor();
    await act({ page, visitor, office });
    await visitor.leave();
  } finally {
    await office.end();
  }
}

/**
 * The money for the two seats was taken, once.
 *
 * @param {BoxOffice} office
 */
async function paidOnce(office) {
  const { takings } = await office.operate("GET", "/admin/sales/club");
  assert.equal(takings.approved, 132_000);
  assert.equal(takings.confirmed, 132_000);
  assert.equal(takings.refunded, 0);
}

test("a hold that runs out on the page is told, and the seats are free again", async () => {
  await atPayment({ hold_ttl: 6 }, async ({ page }) => {
    await page.getByRole("heading", { name: reads.over }).waitFor();
    await main(page).getByText("좌석이 반환되었습니다. 결제된 금액은 없습니다.").first().waitFor();
    await axeFindsNothing(page, "a hold that ran out");
    await page.getByRole("button", { name: "다시 줄서기" }).tap();
    await arrives(page, "/seats");
    await choose(page, "ko", ["A1"]);
  });
});

test("the last minute is announced once", async () => {
  await atPayment({ hold_ttl: 61 }, async ({ page }) => {
    const urgent = page.locator("#urgent");
    await page.waitForFunction(() => (document.getElementById("urgent")?.textContent ?? "") !== "");
    assert.equal(await urgent.textContent(), "결제할 시간이 1분 남았습니다.");
    const changes = await page.evaluate(async () => {
      let count = 0;
      const heard = document.getElementById("urgent");
      if (heard === null) {
        return -1;
      }
      new MutationObserver((seen) => (count += seen.length)).observe(heard, {
        childList: true,
        characterData: true,
        subtree: true,
      });
      // paces: that nothing is said can only be waited for.
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      return count;
    });
    assert.equal(changes, 0);
  });
});

test("declined, then paid", async () => {
  await atPayment({}, async ({ page, office }) => {
    await pay(page, "ko", reads.declined);
    await main(page).getByText(reads.wasDeclined, { exact: true }).waitFor();
    await axeFindsNothing(page, "a payment that was declined");
    await pay(page, "ko", reads.approved);
    await arrives(page, "/tickets");
    await page.getByRole("img", { name: reads.ticketCode }).nth(1).waitFor();
    await paidOnce(office);
  });
});

test("a slow approval is waited for", async () => {
  await atPayment({}, async ({ page }) => {
    await pay(page, "ko", reads.slow);
    await page.getByRole("heading", { name: reads.paying }).waitFor();
    await axeFindsNothing(page, "a payment under way");
    await arrives(page, "/tickets");
  });
});

test("a reload while the payment is under way loses nothing, and nothing is paid twice", async () => {
  await atPayment({}, async ({ page, office }) => {
    await pay(page, "ko", reads.slow);
    await page.getByRole("heading", { name: reads.paying }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: reads.pending }).waitFor();
    await axeFindsNothing(page, "a payment that is pending");
    await arrives(page, "/tickets");
    await page.getByRole("img", { name: reads.ticketCode }).nth(1).waitFor();
    await paidOnce(office);
  });
});

test("a provider that never answers leaves nobody alone: pending, then the ticket", async () => {
  await atPayment({}, async ({ page, visitor, office }) => {
    await pay(page, "ko", reads.unanswered);
    await page.getByRole("heading", { name: reads.pending }).waitFor();
    // The server may die meanwhile.
    visitor.expect(/net::ERR_/);
    await office.kill();
    await office.start();
    await arrives(page, "/tickets");
    await page.getByRole("img", { name: reads.ticketCode }).nth(1).waitFor();
    await paidOnce(office);
  });
});

test("a server that dies at the press of the button is asked again with the same payment", async () => {
  await atPayment({}, async ({ page, visitor, office }) => {
    visitor.expect(/net::ERR_/);
    await office.kill();
    await pay(page, "ko", reads.approved);
    await page.getByRole("heading", { name: reads.paying }).waitFor();
    await office.start();
    await arrives(page, "/tickets");
    await page.getByRole("img", { name: reads.ticketCode }).nth(1).waitFor();
    await paidOnce(office);
  });
});
