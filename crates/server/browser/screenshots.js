// Takes a picture of every page, on a phone and on a desktop, in light and dark, into the directory
// that is named: `npm run screenshots -- DIR`. It checks nothing.

import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { BoxOffice } from "./support/box_office.js";
import { Browser, DESKTOP, PHONE } from "./support/browser.js";
import { Buyer } from "./support/buyer.js";
import { walk } from "./support/journey.js";
import { club } from "./support/sales.js";

const [directory] = process.argv.slice(2);
if (directory === undefined) {
  console.error("Say where the pictures are to be put: npm run screenshots -- DIR");
  process.exit(2);
}
const target = resolve(directory);
mkdirSync(target, { recursive: true });

const browser = await Browser.open();
const sale = club({ limits: { active_limit: 1 }, rows: "A-M", seats: 20 });
const office = await BoxOffice.selling({ club: sale }, ["--demo"]);
// An empty hall is no picture of a sale.
for (const seats of [["A9", "A10", "A11"], ["C4", "C5"], ["D8", "D9", "D10", "D11"], ["G15"]]) {
  const buyer = await (await new Buyer(office).join({ sale_id: "club" })).turn();
  const { reservation_id } = await buyer.hold(seats);
  await buyer.pay(reservation_id);
}
let seat = 1;
try {
  for (const [screen, device] of Object.entries({ phone: PHONE, desktop: DESKTOP })) {
    for (const scheme of /** @type {const} */ (["light", "dark"])) {
      const language = screen === "phone" ? "ko" : "en";
      const visitor = await browser.visitor(office, { device, language, scheme });
      const { page } = visitor;
      await walk(office, page, {
        language,
        seat: `A${seat}`,
        at: async (where) => {
          // paces: the browser's own mark of a tap fades, and nobody tells when.
          await page.waitForTimeout(400);
          await page.screenshot({
            path: join(target, `${where}-${screen}-${scheme}.png`),
            // What sticks to the lower edge of the hall belongs to a screen, not into the middle.
            fullPage: !where.startsWith("seats"),
            animations: "disabled",
          });
        },
      });
      seat += 1;
      await visitor.leave();
    }
  }
} finally {
  await browser.close();
  await office.end();
}
