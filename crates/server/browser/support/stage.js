// What a file of tests stands on: a browser and, where one serves all its tests, a box office. They are
// opened before the first test, whoever stayed is sent home after each, and all is closed after the last.

import { after, afterEach, before } from "node:test";
import { BoxOffice } from "./box_office.js";
import { Browser } from "./browser.js";

/**
 * To be called once, at the head of a file; what it returns is filled in before the first test.
 *
 * @param {Parameters<typeof BoxOffice.selling>[0]} [sales] what the box office sells, if there is one
 */
export function stage(sales) {
  const stage = /** @type {{browser: Browser, office: BoxOffice}} */ ({});
  before(async () => {
    stage.browser = await Browser.open();
    if (sales) stage.office = await BoxOffice.selling(sales);
  });
  afterEach(async () => {
    await stage.browser.empty();
  });
  after(async () => {
    await stage.browser?.close();
    await stage.office?.end();
  });
  return stage;
}
