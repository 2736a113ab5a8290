// Fifty thousand seats: the map opens, moves smoothly, and a seat on it can be chosen. The figures are
// printed; what fails is only what nobody could call smooth, for the machine may be busy.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axeFindsNothing } from "./support/axe.js";
import { arrives, DESKTOP, PHONE } from "./support/browser.js";
import { hold, join, press, READS } from "./support/journey.js";
import { stadium } from "./support/sales.js";
import { stage } from "./support/stage.js";

/** @typedef {import("playwright-core").Page} Page */

const reads = READS.ko;

/** Half of the frames come sooner than this, on any machine that can show the map at all. */
const MEDIAN_MAX_MS = 50;
/** Longer than this the map may not take to open. */
const OPEN_MAX_MS = 10_000;
/** Each tap comes nearer; from so far no seat is too small. */
const TAPS_MAX = 8;

const here = stage({ stadium: stadium() });

/**
 * Opens the map; how long that took.
 *
 * @param {Page} page
 */
async function openMap(page) {
  await join(page, "ko");
  await arrives(page, "/seats");
  const before = performance.now();
  await page.locator("#map").waitFor();
  await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => drawn(null))));
  return performance.now() - before;
}

/**
 * How long the frames took while something happened, in milliseconds.
 *
 * @param {Page} page
 * @param {() => Promise<void>} act
 */
async function frames(page, act) {
  await page.evaluate(() => {
    /** @type {number[]} */
    const times = [];
    let before = performance.now();
    const tick = (/** @type {number} */ now) => {
      times.push(now - before);
      before = now;
      if (document.body.dataset.counts === "yes") {
        requestAnimationFrame(tick);
      } else {
        sessionStorage.setItem("test.frames", JSON.stringify(times.slice(1)));
      }
    };
    document.body.dataset.counts = "yes";
    requestAnimationFrame(tick);
  });
  await act();
  const told = await page.evaluate(async () => {
    sessionStorage.removeItem("test.frames");
    document.body.dataset.counts = "no";
    while (sessionStorage.getItem("test.frames") === null) {
      await new Promise((next) => requestAnimationFrame(next));
    }
    return sessionStorage.getItem("test.frames");
  });
  /** @type {number[]} */
  const times = JSON.parse(String(told));
  times.sort((a, b) => a - b);
  const at = (/** @type {number} */ part) => times[Math.floor((times.length - 1) * part)] ?? 0;
  return { count: times.length, median: at(0.5), most: at(0.95), max: at(1) };
}

/**
 * Drags the map to and fro with the mouse.
 *
 * @param {Page} page
 */
async function drag(page) {
  const box = await page.locator("#map").boundingBox();
  assert(box !== null);
  const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
  for (let turn = 0; turn < 4; turn += 1) {
    const towards = turn % 2 === 0 ? -1 : 1;
    await page.mouse.move(x - (towards * box.width) / 3, y - (towards * box.height) / 3);
    await page.mouse.down();
    for (let step = 1; step <= 40; step += 1) {
      const part = (step / 40) * 2 - 1;
      await page.mouse.move(
        x + (towards * part * box.width) / 3,
        y + (towards * part * box.height) / 3,
      );
    }
    await page.mouse.up();
  }
}

/**
 * @param {import("node:test").TestContext} t
 * @param {Page} page
 * @param {string} what
 */
async function movesSmoothly(t, page, what) {
  const { count, median, most, max } = await frames(page, () => drag(page));
  const ms = (/** @type {number} */ time) => `${time.toFixed(1)} ms`;
  t.diagnostic(
    `panning ${what}: ${count} frames, half within ${ms(median)}, 95 % ${ms(most)}, all ${ms(max)}`,
  );
  assert(count > 20 && median < MEDIAN_MAX_MS, `half of the frames take more than ${ms(median)}`);
}

test("the map of 50,000 seats opens, and moves at every size", async (t) => {
  const visitor = await here.browser.visitor(here.office, { device: DESKTOP });
  const { page } = visitor;
  const took = await openMap(page);
  t.diagnostic(`50,000 seats: the map is there after ${took.toFixed(0)} ms`);
  assert(took < OPEN_MAX_MS);
  await axeFindsNothing(page, "the map of a stadium");
  await movesSmoothly(t, page, "the whole stadium");
  for (const what of ["some blocks", "a block", "a few rows"]) {
    await press(page.getByRole("button", { name: "확대" }));
    await press(page.getByRole("button", { name: "확대" }));
    await movesSmoothly(t, page, what);
  }
  await visitor.leave();
});

test("a finger finds a seat among 50,000, and holds it", async () => {
  const visitor = await here.browser.visitor(here.office, { device: PHONE });
  const { page } = visitor;
  await openMap(page);
  const box = await page.locator("#map").boundingBox();
  assert(box !== null);
  const take = page.getByRole("button", { name: reads.hold });
  let taps = 0;
  while ((await take.count()) === 0) {
    assert(taps < TAPS_MAX, "no tap has chosen a seat");
    // A little off the middle, where no stairs are.
    await page.touchscreen.tap(box.x + box.width * 0.53, box.y + box.height * 0.55);
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(() => drawn(null))));
    taps += 1;
  }
  await hold(page, "ko");
  await visitor.leave();
});

test("a seat among 50,000 is found in the list, by its section", async () => {
  const visitor = await here.browser.visitor(here.office, { device: PHONE });
  const { page } = visitor;
  await openMap(page);
  await press(page.getByRole("button", { name: reads.list, exact: true }));
  await page.locator("#section").selectOption({ label: "307 · 1,000석 남음" });
  await press(page.getByRole("button", { name: reads.freeSeat("307-12-20") }));
  await axeFindsNothing(page, "the list of a section of a stadium");
  await hold(page, "ko");
  await visitor.leave();
});

test("the best two of a stadium are held at one press", async () => {
  const visitor = await here.browser.visitor(here.office, { device: PHONE });
  const { page } = visitor;
  await openMap(page);
  await press(page.locator("#best"));
  await arrives(page, "/pay");
  await page.getByRole("heading", { name: reads.payTitle }).waitFor();
  assert.equal(await page.locator("tbody tr").count(), 2);
  await visitor.leave();
});
