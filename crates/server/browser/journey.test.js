// A stranger buys a ticket: from the list to the QR code, on a phone and on a desktop, in Korean and
// English, in light and dark. axe looks at every page on the way.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axeFindsNothing } from "./support/axe.js";
import { DESKTOP, PHONE } from "./support/browser.js";
import { fits, main, READS, walk } from "./support/journey.js";
import { club } from "./support/sales.js";
import { stage } from "./support/stage.js";

const here = stage({ club: club({ limits: { active_limit: 1 } }) });

/** @type {{language: "ko" | "en", device: typeof PHONE | typeof DESKTOP, scheme: "light" | "dark"}[]} */
const WAYS = [
  { language: "ko", device: PHONE, scheme: "light" },
  { language: "en", device: PHONE, scheme: "dark" },
  { language: "en", device: DESKTOP, scheme: "light" },
  { language: "ko", device: DESKTOP, scheme: "dark" },
];

for (const [number, { language, device, scheme }] of WAYS.entries()) {
  const on = device === PHONE ? "a phone" : "a desktop";
  test(`a ticket is bought on ${on}, in ${language}, ${scheme}`, async () => {
    const visitor = await here.browser.visitor(here.office, {
      device,
      language,
      scheme,
      // Nothing is half faded in when axe measures its contrast.
      reducedMotion: true,
    });
    const { page } = visitor;
    const seat = `A${number + 1}`;
    await walk(here.office, page, {
      language,
      seat,
      at: async (where) => {
        assert.equal(await page.locator("html").getAttribute("lang"), language);
        await axeFindsNothing(page, where);
        await fits(page, where);
      },
    });
    await main(page).getByText(seat, { exact: true }).first().waitFor();

    // The way back: by what this browser kept, and by the link.
    await page.reload();
    await page.getByRole("img", { name: READS[language].ticketCode }).waitFor();
    await page.locator("summary").click();
    const link = await page.locator("details input").inputValue();
    assert.match(link, /\/tickets#\w+\.eyJ/, "the secret stands behind the #");
    await visitor.leave();

    const elsewhere = await here.browser.visitor(here.office, { language, device });
    await elsewhere.page.goto(link);
    await elsewhere.page.getByRole("img", { name: READS[language].ticketCode }).waitFor();
    assert.doesNotMatch(elsewhere.page.url(), /eyJ/, "the secret leaves the address");
    await elsewhere.leave();
  });
}

test("the language is changed on the page, and stays changed", async () => {
  const visitor = await here.browser.visitor(here.office, { language: "ko" });
  const { page } = visitor;
  await page.goto("/");
  await page.getByRole("heading", { name: READS.ko.onSale }).waitFor();
  await page.getByRole("button", { name: READS.ko.otherLanguage }).tap();
  await page.getByRole("heading", { name: READS.en.onSale }).waitFor();
  await page.reload();
  await page.getByRole("heading", { name: READS.en.onSale }).waitFor();
  await visitor.leave();
});
