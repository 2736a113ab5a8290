// Debian's Chromium, started once for each file of tests, and visitors in it: each has storage of
// its own, a screen, a language and a colour scheme. What a page may never do is watched on every
// one: a visitor who leaves fails the test when there was any of it.

import { chromium } from "playwright-core";

/** @typedef {import("playwright-core").Page} Page */

/** Where Debian's package puts it. */
const CHROMIUM = "/usr/bin/chromium";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** How long a page may take to show what is waited for. */
export const PAGE_PATIENCE_MS = 15_000;

export const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };
export const DESKTOP = { viewport: { width: 1280, height: 800 } };

/** Answers that say what a page asked for was wrong: a page knows better. */
const NEVER_ASKED = new Set([400, 404, 405, 406, 411, 413, 414, 415, 422, 431]);

/** How a queue token or a tickets token begins. */
const TOKEN = /eyJ[\w-]{8}/;

/** Chromium's own words for an answer that is no success; the status is judged by itself. */
const NO_SUCCESS = /^Failed to load resource: the server responded with a status of/;

/**
 * @typedef {object} Wishes
 * @property {typeof PHONE | typeof DESKTOP} [device]
 * @property {"ko" | "en"} [language]
 * @property {"light" | "dark"} [scheme]
 * @property {boolean} [reducedMotion]
 */

/** A running browser. */
export class Browser {
  #browser;
  /** @type {Set<Visitor>} */
  #inside = new Set();

  /** @param {import("playwright-core").Browser} browser */
  constructor(browser) {
    this.#browser = browser;
  }

  static async open() {
    return new Browser(await chromium.launch({ executablePath: CHROMIUM, args: FLAGS }));
  }

  /**
   * Somebody who has never been at this box office, with an empty page.
   *
   * @param {import("./box_office.js").BoxOffice | { origin: string }} office
   * @param {Wishes} [wishes]
   */
  async visitor(office, wishes = {}) {
    const context = await this.#browser.newContext({
      ...(wishes.device ?? PHONE),
      baseURL: office.origin,
      locale: wishes.language === "en" ? "en-US" : "ko-KR",
      timezoneId: "Asia/Seoul",
      colorScheme: wishes.scheme ?? "light",
      reducedMotion: wishes.reducedMotion ? "reduce" : "no-preference",
    });
    context.setDefaultTimeout(PAGE_PATIENCE_MS);
    const visitor = new Visitor(context, office.origin, () => this.#inside.delete(visitor));
    this.#inside.add(visitor);
    await visitor.tab();
    return visitor;
  }

  /** Sends home who is still there after a test that failed, and tells what troubles they had. */
  async empty() {
    for (const visitor of this.#inside) {
      await visitor.leave().catch((error) => console.log(String(error)));
    }
  }

  async close() {
    await this.#browser.close();
  }
}

/** One person at one device: everything in it shares its storage. */
export class Visitor {
  #origin;
  #left;
  /** @type {string[]} */
  #troubles = [];
  /** @type {RegExp[]} */
  #expected = [];
  /** @type {Page[]} */
  #tabs = [];

  /**
   * @param {import("playwright-core").BrowserContext} context
   * @param {string} origin
   * @param {() => void} left is told that the visitor is gone
   */
  constructor(context, origin, left) {
    this.context = context;
    this.#origin = origin;
    this.#left = left;
    context.on("page", (page) => this.#watch(page));
    context.on("request", (request) => this.#judgeRequest(request.url()));
    context.on("response", (response) => {
      const status = response.status();
      const isPart = response.request().resourceType() !== "fetch" && status >= 400;
      if (isPart || status >= 500 || NEVER_ASKED.has(status)) {
        const method = response.request().method();
        this.#troubles.push(`answered ${status}: ${method} ${withoutOrigin(response.url())}`);
      }
    });
  }

  /** The first tab. */
  get page() {
    const [page] = this.#tabs;
    if (page === undefined) {
      throw new Error("A visitor has a tab from the start.");
    }
    return page;
  }

  /** Another tab, in front of the others. */
  async tab() {
    return await this.context.newPage();
  }

  /**
   * From now on troubles like this one are part of the test.
   *
   * @param {RegExp} trouble
   */
  expect(trouble) {
    this.#expected.push(trouble);
  }

  /** What there was so far that should not have been. */
  get troubles() {
    return this.#troubles.filter((text) => !this.#expected.some((one) => one.test(text)));
  }

  /** Closes everything; fails when something was wrong on one of the pages. */
  async leave() {
    this.#left();
    // A page that goes elsewhere at the moment it is closed is never closed.
    await Promise.all(this.#tabs.map((tab) => tab.goto("about:blank").catch(() => {})));
    await this.context.close();
    if (this.troubles.length > 0) {
      throw new Error(`Troubles of a page:\n${this.troubles.join("\n")}`);
    }
  }

  /** @param {Page} page */
  #watch(page) {
    this.#tabs.push(page);
    page.on("pageerror", (error) => this.#troubles.push(`not caught: ${error.message}`));
    page.on("console", (message) => {
      // Chromium tells breaches of the Content-Security-Policy here too.
      if (message.type() === "error" && !NO_SUCCESS.test(message.text())) {
        this.#troubles.push(`said on ${withoutOrigin(page.url())}: ${message.text()}`);
      }
    });
  }

  /** @param {string} url */
  #judgeRequest(url) {
    if (url.startsWith("data:") || url.startsWith("blob:")) {
      return;
    }
    // The fragment stays in the browser.
    const [sent = ""] = url.split("#");
    if (!sent.startsWith(`${this.#origin}/`)) {
      this.#troubles.push(`another host was asked: ${sent}`);
    }
    if (TOKEN.test(decodeURIComponent(sent))) {
      this.#troubles.push(`a token is in an address: ${sent}`);
    }
  }
}

/**
 * Lets a tab believe from its next load on that it is in front or not, as `hide` and `show` say, over
 * what pages it ever goes. A browser without a window never hides a page by itself.
 *
 * @param {Visitor} visitor
 */
export async function mayHide(visitor) {
  await visitor.context.addInitScript(() => {
    const KEPT = "test.hidden";
    const isHidden = () => sessionStorage.getItem(KEPT) === "yes";
    Object.defineProperty(document, "visibilityState", {
      get: () => (isHidden() ? "hidden" : "visible"),
    });
    Object.defineProperty(document, "hidden", { get: isHidden });
    addEventListener("test:visibility", (event) => {
      const { detail } = /** @type {CustomEvent} */ (event);
      sessionStorage.setItem(KEPT, detail ? "yes" : "no");
      document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
    });
  });
}

/**
 * @param {Page} page
 * @param {boolean} isHidden
 */
async function setHidden(page, isHidden) {
  await page.evaluate((detail) => {
    dispatchEvent(new CustomEvent("test:visibility", { detail }));
  }, isHidden);
}

/** @param {Page} page */
export const hide = (page) => setHidden(page, true);
/** @param {Page} page */
export const show = (page) => setHidden(page, false);

/**
 * Waits until the page's address is this one.
 *
 * @param {Page} page
 * @param {string} path
 */
export async function arrives(page, path) {
  await page.waitForURL((url) => url.pathname === path);
}

/** @param {string} url */
function withoutOrigin(url) {
  return url.replace(/^https?:\/\/[^/]+/, "");
}
