// Asks axe about the present page. What it finds is told in words that lead to the element.

import assert from "node:assert/strict";
import axe from "axe-core";

/** WCAG 2.2, levels A and AA, and what axe's authors advise besides. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/**
 * Fails unless axe finds nothing on the page, as it is now.
 *
 * @param {import("playwright-core").Page} page
 * @param {string} where what the page is, for the failure
 */
export async function axeFindsNothing(page, where) {
  await page.evaluate(axe.source);
  // What sticks to the lower edge lies over nothing once the page is scrolled to its end.
  await page.evaluate(() => scrollTo({ top: document.body.scrollHeight, behavior: "instant" }));
  const findings = await page.evaluate(async (tags) => {
    const { axe } = /** @type {{axe: typeof import("axe-core")}} */ (
      /** @type {unknown} */ (window)
    );
    const results = await axe.run(document, {
      runOnly: { type: "tag", values: tags },
      // axe leaves it out unless it is named.
      rules: { "target-size": { enabled: true } },
      resultTypes: ["violations"],
    });
    return results.violations.flatMap((rule) =>
      rule.nodes.map((node) => `${rule.id}: ${node.html}\n    ${node.failureSummary}`),
    );
  }, RULES);
  assert.deepEqual(findings, [], `axe on ${where}:\n${findings.join("\n")}`);
}
