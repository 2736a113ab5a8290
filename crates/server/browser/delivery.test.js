// How the pages are delivered: light, closed to everything foreign, and the same for everybody.

import assert from "node:assert/strict";
import { test } from "node:test";
import { club } from "./support/sales.js";
import { stage } from "./support/stage.js";

const PAGES = ["/", "/waiting", "/seats", "/pay", "/tickets"];

/** The first view, compressed, as it crosses the network with its headers. */
const FIRST_VIEW_MAX = 100_000;

const here = stage({ club: club() });

test("the first view of each page is light", async (t) => {
  for (const path of PAGES) {
    const visitor = await here.browser.visitor(here.office);
    const { page } = visitor;
    const network = await visitor.context.newCDPSession(page);
    await network.send("Network.enable");
    /** @type {Map<string, string>} */
    const asked = new Map();
    let bytes = 0;
    let files = 0;
    network.on("Network.requestWillBeSent", ({ requestId, request }) => {
      asked.set(requestId, new URL(request.url).pathname);
    });
    network.on("Network.loadingFinished", ({ requestId, encodedDataLength }) => {
      const asset = asked.get(requestId) ?? "";
      if (asset === path || asset.startsWith("/web/")) {
        bytes += encodedDataLength;
        files += 1;
      }
    });
    await page.goto(path);
    await page.waitForLoadState("networkidle");
    assert(files >= 3, `${path}: a page, its style and its script at least`);
    // A browser without a window asks for no icon.
    const icon = await page.locator('link[rel="icon"]').getAttribute("href");
    const answer = await fetch(new URL(String(icon), here.office.origin));
    assert.equal(answer.status, 200);
    bytes += (await answer.arrayBuffer()).byteLength;
    t.diagnostic(`first view of ${path}: ${(bytes / 1000).toFixed(1)} kB in ${files + 1} files`);
    assert(bytes < FIRST_VIEW_MAX, `${path} weighs ${bytes} bytes`);
    await visitor.leave();
  }
});

test("every page has a strict policy, and the payment one of its own", async () => {
  /** @type {Map<string, string>} */
  const policies = new Map();
  for (const path of PAGES) {
    const answer = await fetch(here.office.origin + path);
    assert.equal(answer.status, 200, path);
    assert.match(answer.headers.get("content-type") ?? "", /^text\/html/);
    const policy = answer.headers.get("content-security-policy") ?? "";
    policies.set(path, policy);
    assert.match(policy, /default-src 'none'|default-src 'self'/, path);
    assert.doesNotMatch(policy, /unsafe|\*|https?:/, path);
    for (const rule of ["frame-ancestors 'none'", "base-uri 'none'", "form-action"]) {
      assert(policy.includes(rule), `${path}: ${rule}`);
    }
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff", path);
    assert.match(answer.headers.get("referrer-policy") ?? "", /no-referrer|same-origin/, path);
  }
  assert.notEqual(policies.get("/pay"), undefined);
});

test("what is immutable is not asked for twice, and what is not says when it is stale", async () => {
  const page = await fetch(`${here.office.origin}/`);
  const text = await page.text();
  const assets = [...text.matchAll(/(?:src|href)="(\/web\/[^"]+)"/g)].map(([, path]) =>
    String(path),
  );
  assert(assets.length >= 3, text);
  for (const path of assets) {
    const answer = await fetch(here.office.origin + path);
    assert.equal(answer.status, 200, path);
    const etag = answer.headers.get("etag");
    assert(etag !== null, `${path} has an ETag`);
    const again = await fetch(here.office.origin + path, { headers: { "if-none-match": etag } });
    assert.equal(again.status, 304, path);
  }
});

test("without a script the page says what is missing", async () => {
  const answer = await fetch(`${here.office.origin}/`);
  assert.match(await answer.text(), /<noscript>/);
});
