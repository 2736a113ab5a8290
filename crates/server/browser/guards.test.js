// What watches the pages can fail: each guard is shown a page that breaks it, and one that does not.

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, test } from "node:test";
import { axeFindsNothing } from "./support/axe.js";
import { until } from "./support/box_office.js";
import { Browser, hide, mayHide, show } from "./support/browser.js";

const SOUND = '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1></main>';

/** A page for each guard, and what the guard says of it. */
const BREAKS = {
  "/throws": [`${SOUND}<script src="/throws.js"></script>`, /^not caught: thrown$/],
  "/says": [`${SOUND}<script src="/says.js"></script>`, /^said on \/says: an error$/],
  "/inline": [`${SOUND}<script>1</script>`, /^said on \/inline: .*Content Security Policy/],
  "/styled": [`${SOUND}<p style="color: red">`, /^said on \/styled: .*Content Security Policy/],
  "/abroad": [`${SOUND}<img alt="" src="http://127.0.0.2/a">`, /^another host was asked: http:/],
  "/token": [`${SOUND}<img alt="" src="/image?t=eyJhbGciOiJIUzI1">`, /^a token is in an address/],
  "/missing": [`${SOUND}<link rel="stylesheet" href="/none.css">`, /^answered 404: GET \/none.css/],
  "/malformed": [`${SOUND}<script src="/malformed.js"></script>`, /^answered 400: POST \/refuse/],
};

const SCRIPTS = {
  "/throws.js": 'throw new Error("thrown");',
  "/says.js": 'console.error("an error");',
  "/malformed.js": 'fetch("/refuse", { method: "POST" });',
};

const server = createServer((request, response) => {
  const path = String(request.url).replace(/\?.*/, "");
  const [page] = Object.entries(BREAKS).find(([name]) => name === path)?.[1] ?? [];
  const script = Object.entries(SCRIPTS).find(([name]) => name === path)?.[1];
  response.setHeader("content-security-policy", "default-src 'self'; img-src *");
  response.setHeader("content-type", script ? "text/javascript" : "text/html");
  if (path === "/refuse") {
    response.statusCode = 400;
  } else if (path === "/none.css") {
    response.statusCode = 404;
  } else if (path === "/conflict") {
    response.statusCode = 409;
  }
  response.end(script ?? page ?? SOUND);
});

/** @type {Browser} */
let browser;
let origin = "";

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert(address !== null && typeof address === "object");
  origin = `http://127.0.0.1:${address.port}`;
  browser = await Browser.open();
});

afterEach(async () => {
  await browser.empty();
});

after(async () => {
  await browser.close();
  server.close();
});

for (const [path, [, trouble]] of Object.entries(BREAKS)) {
  test(`the guards notice ${path}`, async () => {
    const visitor = await browser.visitor({ origin });
    await visitor.page.goto(path);
    await until("a trouble", async () => {
      return visitor.troubles.some((text) => /** @type {RegExp} */ (trouble).test(text));
    });
    await assert.rejects(visitor.leave(), /^Error: Troubles of a page:/);
  });
}

test("a sound page is no trouble, and neither is a refusal", async () => {
  const visitor = await browser.visitor({ origin });
  await visitor.page.goto("/#eyJhbGciOiJIUzI1NiJ9");
  await visitor.page.evaluate(() => fetch("/conflict", { method: "POST" }));
  await axeFindsNothing(visitor.page, "a sound page");
  await visitor.leave();
});

test("axe's findings lead to the element", async () => {
  const visitor = await browser.visitor({ origin });
  await visitor.page.goto("/");
  await visitor.page.evaluate(() => {
    document.querySelector("main")?.append(document.createElement("button"));
  });
  await assert.rejects(axeFindsNothing(visitor.page, "a page"), /button-name: <button>/);
  await visitor.leave();
});

test("a page can be hidden and shown", async () => {
  const visitor = await browser.visitor({ origin });
  await mayHide(visitor);
  await visitor.page.goto("/");
  await hide(visitor.page);
  assert.equal(await visitor.page.evaluate(() => document.visibilityState), "hidden");
  await show(visitor.page);
  assert.equal(await visitor.page.evaluate(() => document.hidden), false);
  await visitor.leave();
});
