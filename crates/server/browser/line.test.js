// The waiting room: the place survives a reload, a second tab, a lost connection and a server that was
// killed; the turn comes also while nobody looks; and every end of a line has its page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { axeFindsNothing } from "./support/axe.js";
import { BoxOffice, until } from "./support/box_office.js";
import { arrives, hide, mayHide, show } from "./support/browser.js";
import { crowd } from "./support/buyer.js";
import { fits, join, main, press, READS } from "./support/journey.js";
import { club } from "./support/sales.js";
import { stage } from "./support/stage.js";

/** @typedef {import("playwright-core").Page} Page */

const reads = READS.ko;

/** One is let in at a time, so that everybody else waits. */
const ONE_AT_A_TIME = { limits: { active_limit: 1 } };

const here = stage();

/**
 * @param {object} wishes
 * @param {(office: BoxOffice) => Promise<void>} act
 */
async function atClub(wishes, act) {
  const office = await BoxOffice.selling({ club: club(wishes) });
  try {
    await act(office);
  } finally {
    await office.end();
  }
}

/**
 * @param {Page} page
 * @param {number} place
 */
async function standsAt(page, place) {
  await main(page).getByText(reads.place(place), { exact: true }).waitFor();
}

/**
 * @param {Page} page
 * @param {string} title
 */
async function says(page, title) {
  await page.getByRole("heading", { name: title, exact: true }).waitFor();
  await axeFindsNothing(page, title);
  await fits(page, title);
}

test("a reload and a second tab keep the place, and both tabs go on to the seats", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    const [first, second] = await crowd(office, 2);
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await join(page, "ko");
    await standsAt(page, 3);
    await page.reload();
    await standsAt(page, 3);
    const other = await visitor.tab();
    await other.goto("/");
    await press(other.getByRole("link", { name: "내 순서 보기" }));
    await standsAt(other, 3);
    await main(page).getByText("내 뒤에 0명").waitFor();

    await first?.leave();
    await second?.turn();
    await standsAt(page, 2);
    await standsAt(other, 2);
    await second?.leave();
    await arrives(page, "/seats");
    await arrives(other, "/seats");
    await visitor.leave();
  });
});

test("offline and back, the place is kept", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    const [front] = await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    visitor.expect(/net::ERR_/);
    const { page } = visitor;
    await join(page, "ko");
    await standsAt(page, 2);
    await visitor.context.setOffline(true);
    await main(page).getByText(reads.lostConnection, { exact: true }).first().waitFor();
    await main(page)
      .getByText(/^순서는 .*까지 유지됩니다/)
      .waitFor();
    await axeFindsNothing(page, "a lost connection");
    await front?.leave();
    await visitor.context.setOffline(false);
    await arrives(page, "/seats");
    await visitor.leave();
  });
});

test("a server that is killed and started again has kept the place", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    const [front] = await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    visitor.expect(/net::ERR_/);
    const { page } = visitor;
    await join(page, "ko");
    await standsAt(page, 2);
    await office.kill();
    await main(page).getByText(reads.lostConnection, { exact: true }).first().waitFor();
    await standsAt(page, 2);
    await office.start();
    await main(page)
      .getByText(reads.lostConnection, { exact: true })
      .first()
      .waitFor({ state: "detached" });
    await standsAt(page, 2);
    await front?.leave();
    await arrives(page, "/seats");
    await visitor.leave();
  });
});

test("a page that is opened while the server is down says so, and goes on by itself", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    visitor.expect(/net::ERR_/);
    const { page } = visitor;
    await page.goto("/");
    await page.getByRole("button", { name: reads.buy }).first().waitFor();
    await office.kill();
    await main(page)
      .getByText(/서버에 연결할 수 없습니다/)
      .first()
      .waitFor();
    await axeFindsNothing(page, "a list that cannot be renewed");
    await office.start();
    await main(page)
      .getByText(/서버에 연결할 수 없습니다/)
      .first()
      .waitFor({ state: "detached" });
    await press(page.getByRole("button", { name: reads.buy }).first());
    await standsAt(page, 2);
    await visitor.leave();
  });
});

test("the turn comes while another tab is in front: the title says it, and a notification", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    const [front] = await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    await mayHide(visitor);
    await visitor.context.grantPermissions(["notifications"]);
    await visitor.context.addInitScript(() => {
      const told = class extends EventTarget {
        static permission = "granted";
        static requestPermission = async () => "granted";
        /** @param {string} title */
        constructor(title) {
          super();
          sessionStorage.setItem("test.notified", title);
        }
      };
      Object.defineProperty(window, "Notification", { value: told });
    });
    const { page } = visitor;
    await join(page, "ko");
    await standsAt(page, 2);
    await press(page.getByRole("button", { name: "차례가 되면 알림 받기" }));
    await page.getByRole("button", { name: "차례가 되면 알려 드립니다" }).waitFor();
    await hide(page);
    await front?.leave();
    await arrives(page, "/seats");
    const notified = await page.evaluate(() => sessionStorage.getItem("test.notified"));
    assert.equal(notified, "차례가 되었습니다!");
    await page.locator("#map").waitFor();
    assert.match(await page.title(), /차례/, "the title of the hidden tab says it");
    await show(page);
    await page.waitForFunction(() => !document.title.includes("차례"));
    await visitor.leave();
  });
});

test("who comes back after hiding asks at once", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    const [front] = await crowd(office, 2);
    const visitor = await here.browser.visitor(office);
    await mayHide(visitor);
    const { page } = visitor;
    await join(page, "ko");
    await standsAt(page, 3);
    await hide(page);
    await front?.leave();
    const asked = page.waitForRequest(/\/queue\/(status|events)$/);
    await show(page);
    await asked;
    await standsAt(page, 2);
    await visitor.leave();
  });
});

test("leaving the line takes a question, and then it is left", async () => {
  await atClub(ONE_AT_A_TIME, async (office) => {
    await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await join(page, "ko");
    await press(page.getByRole("button", { name: "대기 취소" }));
    const dialog = page.getByRole("dialog");
    await axeFindsNothing(page, "the question");
    await press(dialog.getByRole("button", { name: "계속 기다리기" }));
    await standsAt(page, 2);
    await press(page.getByRole("button", { name: "대기 취소" }));
    await press(dialog.getByRole("button", { name: "순서 포기하기" }));
    await arrives(page, "/");
    await until("an empty line", async () => {
      return (await office.operate("GET", "/admin/sales/club")).waiting === 0;
    });
    await page.getByRole("button", { name: reads.buy }).first().waitFor();
    await visitor.leave();
  });
});

test("a line that is full lets in by itself who keeps the page open", async () => {
  await atClub({ limits: { active_limit: 1, line_capacity: 1 } }, async (office) => {
    const [, waiting] = await crowd(office, 2);
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await join(page, "ko");
    await says(page, "대기 인원이 가득 찼습니다");
    await waiting?.leave();
    await press(page.getByRole("button", { name: "지금 다시 신청" }));
    await standsAt(page, 2);
    await visitor.leave();
  });
});

test("a sale that is paused, sold out or closed says so", async () => {
  await atClub({ rows: "A", seats: 2, ...ONE_AT_A_TIME }, async (office) => {
    const [front] = await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await office.operate("POST", "/admin/sales/club/pause");
    await page.goto("/");
    await main(page).getByText("일시 중지", { exact: true }).waitFor();
    await join(page, "ko");
    await standsAt(page, 2);
    await main(page).getByText("예매가 잠시 멈췄습니다", { exact: true }).waitFor();
    await axeFindsNothing(page, "a paused sale");
    await office.operate("POST", "/admin/sales/club/resume");

    const { reservation_id } = (await front?.hold(["A1", "A2"])) ?? {};
    await front?.pay(reservation_id);
    await says(page, "매진되었습니다");
    await page.goto("/");
    await main(page).getByText("매진", { exact: true }).waitFor();
    await visitor.leave();
  });
  await atClub(ONE_AT_A_TIME, async (office) => {
    await crowd(office, 1);
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await join(page, "ko");
    await standsAt(page, 2);
    await office.operate("POST", "/admin/sales/club/close");
    await says(page, "예매가 마감되었습니다");
    await page.goto("/");
    await main(page).getByText("마감", { exact: true }).waitFor();
    await axeFindsNothing(page, "a list with a closed sale");
    await visitor.leave();
  });
});

test("a sale opens at its second, by the server's clock, before the eyes of who looks", async () => {
  const opensAt = new Date(Date.now() + 8_000).toISOString();
  await atClub({ opensAt }, async (office) => {
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    // This device's clock is wrong by hours.
    await page.addInitScript(() => {
      const wrong = 3 * 3600 * 1000;
      const { now } = Date;
      Date.now = () => now() + wrong;
    });
    await page.goto("/");
    await main(page).getByText("예매 시작까지").waitFor();
    assert.match((await page.getByRole("timer").textContent()) ?? "", /^0:0\d$/);
    const buy = page.getByRole("button", { name: reads.buy }).first();
    assert(await buy.isDisabled());
    await axeFindsNothing(page, "a sale that opens soon");
    await page.waitForFunction(() => document.querySelector("button.primary:enabled") !== null);
    assert(Date.now() > Date.parse(opensAt) - 500, "not before its time");
    await press(buy);
    await arrives(page, "/seats");
    await visitor.leave();
  });
});

test("who is too slow to choose is told so, and can join again", async () => {
  await atClub({ limits: { active_limit: 1, choose_ttl: 3 } }, async (office) => {
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    await join(page, "ko");
    await arrives(page, "/seats");
    await says(page, "대기 순서가 끝났습니다");
    await main(page)
      .getByText(/정해진 시간 안에 좌석을 선택하지 않아/)
      .waitFor();
    await press(page.getByRole("button", { name: "다시 줄서기" }));
    await arrives(page, "/waiting");
    await arrives(page, "/seats");
    await visitor.leave();
  });
});

test("who is nobody's buyer is shown the way", async () => {
  await atClub({}, async (office) => {
    const visitor = await here.browser.visitor(office);
    const { page } = visitor;
    for (const address of ["/waiting", "/waiting#club", "/seats#club-1"]) {
      await page.goto(address);
      await says(page, "대기 중인 순서가 없습니다");
    }
    await page.goto("/pay");
    await says(page, "결제할 예매가 없습니다");
    await page.goto("/tickets");
    await says(page, "이 브라우저에 저장된 티켓이 없습니다");
    await visitor.leave();
  });
});
