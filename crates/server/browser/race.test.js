// Seats that two people want: who comes second is told so, and is offered others; what others take and
// give back is seen as it happens; the box office can be asked for the best seats.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axeFindsNothing } from "./support/axe.js";
import { BoxOffice } from "./support/box_office.js";
import { arrives, DESKTOP } from "./support/browser.js";
import { Buyer } from "./support/buyer.js";
import { choose, hold, joinToSeats, main, press, READS } from "./support/journey.js";
import { club } from "./support/sales.js";
import { stage } from "./support/stage.js";

/** @typedef {import("playwright-core").Page} Page */

const reads = READS.ko;

const here = stage();
/** @type {BoxOffice} */
let office;

/**
 * @param {object} wishes
 * @param {() => Promise<void>} act
 */
async function atClub(wishes, act) {
  office = await BoxOffice.selling({ club: club(wishes) });
  try {
    await act();
  } finally {
    await office.end();
  }
}

/** @param {Element} button */
function clickAtOnce(button) {
  /** @type {HTMLElement} */ (button).click();
}

/** @param {Page} page */
async function tellsThatItIsLost(page) {
  await main(page).getByText(reads.faster, { exact: true }).waitFor();
  return (await page.locator("#told").textContent()) ?? "";
}

test("of two who press for one seat, one gets it, and the other is offered another", async () => {
  await atClub({}, async () => {
    const visitors = [await here.browser.visitor(office), await here.browser.visitor(office)];
    for (const { page } of visitors) {
      await joinToSeats(page, "ko");
      await choose(page, "ko", ["A5"]);
    }
    // Both at once; a tap would first wait until the button stands still.
    await Promise.all(
      visitors.map(({ page }) => page.locator("button#hold").evaluate(clickAtOnce)),
    );
    await Promise.all(
      visitors.map(({ page }) => Promise.race([arrives(page, "/pay"), tellsThatItIsLost(page)])),
    );
    const paths = visitors.map(({ page }) => new URL(page.url()).pathname);
    assert.deepEqual([...paths].sort(), ["/pay", "/seats"]);

    const loser = visitors[paths.indexOf("/seats")];
    assert(loser !== undefined);
    const told = await tellsThatItIsLost(loser.page);
    assert.match(told, /A5 좌석은 방금 다른 분이 선택했습니다/);
    assert.match(told, /가까운 좌석이 비어 있습니다: A[46]/);
    await axeFindsNothing(loser.page, "a seat that was lost");
    await press(loser.page.getByRole("button", { name: "이 좌석으로 바꾸기" }));
    await hold(loser.page, "ko");
    for (const visitor of visitors) {
      await visitor.leave();
    }
  });
});

test("what others take and give back is seen at once, and a chosen seat is explained", async () => {
  await atClub({}, async () => {
    const visitor = await here.browser.visitor(office, { device: DESKTOP });
    const { page } = visitor;
    await joinToSeats(page, "ko");
    await choose(page, "ko", ["B5", "B6"]);

    const other = await (await new Buyer(office).join()).turn();
    await other.hold(["A1", "B5"]);
    await page.getByRole("button", { name: reads.takenSeat("A1") }).waitFor();
    await page.getByRole("button", { name: reads.takenSeat("B5") }).waitFor();
    assert.match(await tellsThatItIsLost(page), /B5 좌석은 방금 다른 분이 선택했습니다/);
    // What was chosen beside it stays.
    await page.getByRole("button", { name: "B6 선택 해제" }).waitFor();
    await other.leave();
    await page.getByRole("button", { name: reads.freeSeat("B5") }).waitFor();
    await visitor.leave();
  });
});

test("nobody is told that somebody else was faster about seats that are their own", async () => {
  await atClub({}, async () => {
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await joinToSeats(page, "ko");
    await choose(page, "ko", ["C1", "C2"]);
    // Whatever is ever told above the hall, however short.
    const told = await page.evaluateHandle(() => {
      /** @type {string[]} */
      const texts = [];
      const look = () => texts.push(document.getElementById("told")?.textContent ?? "");
      new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
      addEventListener("pagehide", () => sessionStorage.setItem("test.told", texts.join("\n")));
      return texts;
    });
    await told.dispose();
    await hold(page, "ko");
    const texts = await page.evaluate(() => sessionStorage.getItem("test.told"));
    assert(texts !== null);
    assert(!texts.includes(reads.faster), texts);
    await visitor.leave();
  });
});

test("the best seats side by side are held at one press, or it is said why not", async () => {
  await atClub({ rows: "A-B", seats: 5, limits: { seats_per_reservation: 6 } }, async () => {
    const other = await (await new Buyer(office).join()).turn();
    await other.hold(["A3", "B3"]);
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await joinToSeats(page, "ko");
    const more = page.getByRole("button", { name: "한 좌석 더" });
    await press(more);
    await press(page.getByRole("button", { name: "연석 3석 잡기" }));
    await main(page).getByText("나란히 비어 있는 좌석이 없습니다").waitFor();
    await main(page)
      .getByText(/나란히 앉을 수 있는 좌석은 최대 2석, 남은 좌석은 8석/)
      .waitFor();
    await axeFindsNothing(page, "no such seats side by side");
    await press(page.getByRole("button", { name: "한 좌석 적게" }));
    await press(page.getByRole("button", { name: "연석 2석 잡기" }));
    await arrives(page, "/pay");
    await page.getByRole("heading", { name: reads.payTitle }).waitFor();
    const seats = await page.locator("tbody th").allInnerTexts();
    assert.match(seats.join(" "), /^(A1 A2|A4 A5)$/);

    // Seats that are given back can be chosen again.
    await press(page.locator("#back"));
    await press(page.getByRole("dialog").getByRole("button", { name: "좌석 돌려주기" }));
    await arrives(page, "/seats");
    await choose(page, "ko", [String(seats[0])]);
    await visitor.leave();
  });
});
