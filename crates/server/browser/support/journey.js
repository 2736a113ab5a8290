// What a buyer reads and presses on the way from the list to the ticket, in both languages. It is
// written down here anew, not taken from the pages: a word that is wrong there must fail somewhere.

import assert from "node:assert/strict";
import { arrives } from "./browser.js";
import { Buyer } from "./buyer.js";

/** @typedef {import("playwright-core").Page} Page */
/** @typedef {"ko" | "en"} Language */

/** The words of a buyer's way. */
export const READS = {
  ko: {
    otherLanguage: "English",
    onSale: "예매 중인 공연",
    buy: /예매하기$/,
    place: (/** @type {number} */ place) => `${place}번째`,
    ahead: (/** @type {number} */ people) => `내 앞에 ${people}명`,
    lostConnection: "연결이 끊겼습니다",
    map: "좌석도",
    list: "목록",
    free: /, 선택 가능/,
    freeSeat: (/** @type {string} */ seat) => new RegExp(`^${seat}, .*, 선택 가능`),
    takenSeat: (/** @type {string} */ seat) => new RegExp(`^${seat}, .*, 선택할 수 없음`),
    hold: /^\d석 예매 · /,
    faster: "다른 분이 조금 더 빨랐습니다",
    payTitle: "결제",
    pay: /결제하기$/,
    approved: /^승인/,
    declined: /^거절/,
    slow: /^느린 승인/,
    unanswered: /^응답 없음 \(결제됨\)/,
    wasDeclined: "결제가 거절되었습니다",
    paying: "결제하고 있습니다…",
    pending: "결제 결과를 기다리고 있습니다",
    over: "결제 시간이 지났습니다",
    done: "예매가 완료되었습니다",
    ticketCode: /좌석 티켓의 QR 코드$/,
  },
  en: {
    otherLanguage: "한국어",
    onSale: "On sale",
    buy: /^Buy tickets for /,
    place: (/** @type {number} */ place) => `No. ${place}`,
    ahead: (/** @type {number} */ people) => `${people} ahead of you`,
    lostConnection: "The connection is lost",
    map: "Map",
    list: "List",
    free: /, free/,
    freeSeat: (/** @type {string} */ seat) => new RegExp(`^${seat}, .*, free`),
    takenSeat: (/** @type {string} */ seat) => new RegExp(`^${seat}, .*, not available`),
    hold: /^Book \d · /,
    faster: "Somebody else was faster",
    payTitle: "Pay",
    pay: /^Pay /,
    approved: /^Approved/,
    declined: /^Declined/,
    slow: /^Slow/,
    unanswered: /^No answer \(paid\)/,
    wasDeclined: "The payment was declined",
    paying: "Paying…",
    pending: "Waiting for the outcome",
    over: "The time to pay is over",
    done: "Your booking is confirmed",
    ticketCode: /^QR code of the ticket for /,
  },
};

/**
 * What is read on a page, without what is said besides to those who listen.
 *
 * @param {Page} page
 */
export function main(page) {
  return page.getByRole("main");
}

/**
 * Presses a button as people do: with a finger where the screen feels one.
 *
 * @param {import("playwright-core").Locator} button
 */
export async function press(button) {
  const touches = await button.page().evaluate(() => matchMedia("(pointer: coarse)").matches);
  await (touches ? button.tap() : button.click());
}

/**
 * From the list into the line of a sale's first performance.
 *
 * @param {Page} page
 * @param {Language} language
 */
export async function join(page, language) {
  await page.goto("/");
  await press(page.getByRole("button", { name: READS[language].buy }).first());
  await arrives(page, "/waiting");
}

/**
 * To the seats, where nobody else is in line.
 *
 * @param {Page} page
 * @param {Language} language
 */
export async function joinToSeats(page, language) {
  await join(page, language);
  await arrives(page, "/seats");
  await page.getByRole("button", { name: READS[language].list, exact: true }).waitFor();
}

/**
 * Chooses seats in the list, from the seats' page on.
 *
 * @param {Page} page
 * @param {Language} language
 * @param {string[]} seats
 */
export async function choose(page, language, seats) {
  const reads = READS[language];
  await press(page.getByRole("button", { name: reads.list, exact: true }));
  for (const seat of seats) {
    await press(page.getByRole("button", { name: reads.freeSeat(seat) }));
  }
}

/**
 * Holds what is chosen, which brings the buyer to the payment.
 *
 * @param {Page} page
 * @param {Language} language
 */
export async function hold(page, language) {
  await press(page.getByRole("button", { name: READS[language].hold }));
  await arrives(page, "/pay");
}

/**
 * Pays with one of the sandbox's outcomes.
 *
 * @param {Page} page
 * @param {Language} language
 * @param {RegExp} outcome
 */
export async function pay(page, language, outcome) {
  await page.getByRole("radio", { name: outcome }).check();
  await press(page.getByRole("button", { name: READS[language].pay }));
}

/**
 * The whole way, with one buyer in front in line.
 *
 * @param {import("./box_office.js").BoxOffice} office which sells a club whose `active_limit` is 1
 * @param {Page} page
 * @param {{language: Language, seat: string, at?: (where: string) => Promise<void>}} wishes `at` is
 *   called wherever the buyer has come to, before anything is pressed there
 */
export async function walk(office, page, { language, seat, at = async () => {} }) {
  const reads = READS[language];
  const front = await new Buyer(office).join({ sale_id: "club" });

  await page.goto("/");
  await page.getByRole("heading", { name: reads.onSale }).waitFor();
  await page.getByRole("heading", { name: "밤의 재즈" }).waitFor();
  await at("list");
  const show = page.getByRole("listitem").filter({ hasText: "밤의 재즈" });
  await press(show.getByRole("button", { name: reads.buy }));

  await arrives(page, "/waiting");
  await main(page).getByText(reads.place(2), { exact: true }).waitFor();
  await main(page).getByText(reads.ahead(1), { exact: true }).waitFor();
  assert.match(await page.title(), /^\(2\) /, "the tab says the place");
  await at("waiting");
  await front.leave();

  await arrives(page, "/seats");
  await page.locator("#map").waitFor();
  await at("seats-map");
  await press(page.getByRole("button", { name: reads.list, exact: true }));
  await page.getByRole("button", { name: reads.freeSeat(seat) }).waitFor();
  await at("seats-list");
  await press(page.getByRole("button", { name: reads.freeSeat(seat) }));
  await page.getByRole("button", { name: reads.hold }).waitFor();
  await at("seats-chosen");
  await hold(page, language);

  await page.getByRole("heading", { name: reads.payTitle }).waitFor();
  await main(page).getByText("₩66,000").first().waitFor();
  await at("pay");
  await pay(page, language, reads.declined);
  await main(page).getByText(reads.wasDeclined, { exact: true }).waitFor();
  await at("pay-declined");
  await pay(page, language, reads.approved);

  await arrives(page, "/tickets");
  await page.getByRole("heading", { name: reads.done }).waitFor();
  await page.getByRole("img", { name: reads.ticketCode }).waitFor();
  await at("tickets");
}

/**
 * Fails when the page is wider than the screen: nobody wants to scroll sideways to read.
 *
 * @param {Page} page
 * @param {string} where
 */
export async function fits(page, where) {
  const [wide, screen] = await page.evaluate(() => {
    return [document.documentElement.scrollWidth, document.documentElement.clientWidth];
  });
  assert(wide !== undefined && screen !== undefined && wide <= screen, `${where} is ${wide} wide`);
}
