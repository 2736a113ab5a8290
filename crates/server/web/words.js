// What the pages say, in Korean and in English, and how they write money, dates and stretches of time.
// Sentences with a figure in them are functions. What the box office itself says (`message`, `detail`)
// comes from it in the same language.
//
// One idea: two lists of the same words; whoever changes one sees the other.

/** @typedef {"ko" | "en"} Language */

const KEPT = "maepyo.language";

/** @type {Language} */
let chosen = chosenBefore();

/** @returns {Language} */
function chosenBefore() {
  const kept = localStorage.getItem(KEPT);
  if (kept === "ko" || kept === "en") return kept;
  // As the server does: Korean, unless English is liked better.
  const liked = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return liked.find((tag) => tag === "ko" || tag === "en") === "en" ? "en" : "ko";
}

/** The language that the pages are in. */
export function language() {
  return chosen;
}

/** @param {Language} wanted */
export function choose(wanted) {
  chosen = wanted;
  localStorage.setItem(KEPT, wanted);
}

const KO = {
  brand: "매표",
  skip: "본문으로 건너뛰기",
  other_language: "English",
  home: "공연 목록",
  my_tickets: "내 티켓",
  loading: "불러오는 중입니다…",
  unreachable: "서버에 연결할 수 없습니다",
  unreachable_more: "연결되는 대로 다시 시도합니다. 이 화면을 닫지 않아도 됩니다.",
  try_again: "다시 시도",
  steps: "예매 단계",
  step_line: "대기",
  step_seats: "좌석",
  step_pay: "결제",
  step_tickets: "티켓",

  // What is on.
  on_title: "예매 중인 공연",
  on_lead: "순서대로, 공정하게. 새로고침해도 순서는 그대로입니다.",
  on_none: "지금은 예매할 수 있는 공연이 없습니다.",
  on_none_more: "새 공연이 등록되면 여기에 나타납니다.",
  state_scheduled: "오픈 예정",
  state_open: "예매 중",
  state_paused: "일시 중지",
  state_closed: "마감",
  state_sold_out: "매진",
  /** @param {number} free @param {number} all */
  seats_left: (free, all) => `남은 좌석 ${count(free)} / ${count(all)}`,
  /** @param {string} price */
  price_from: (price) => `${price}부터`,
  opens_in: "예매 시작까지",
  /** @param {string} when */
  opens_at: (when) => `${when} 시작`,
  buy: "예매하기",
  /** @param {string} title @param {string} when */
  buy_label: (title, when) => `${title}, ${when} 예매하기`,
  back_to_line: "내 순서 보기",
  back_to_seats: "좌석 선택으로",
  back_to_pay: "결제하러 가기",

  // The waiting room.
  wait_title: "대기실",
  wait_position: "내 순서",
  /** @param {number} position */
  nth: (position) => `${count(position)}번째`,
  /** @param {number} people */
  behind: (people) => `내 뒤에 ${count(people)}명`,
  /** @param {number} people */
  ahead: (people) => `내 앞에 ${count(people)}명`,
  /** @param {string} span */
  wait_about: (span) => `예상 대기 시간 약 ${span}`,
  wait_unknown: "예상 대기 시간을 계산하고 있습니다",
  wait_next: "차례가 되면 좌석 선택 화면으로 자동으로 이동합니다.",
  wait_keeps: "새로고침, 다른 탭, 화면 잠금, 연결 끊김에도 순서가 유지됩니다.",
  /** @param {string} time */
  wait_keeps_until: (time) => `지금 나가더라도 ${time}까지 순서가 유지됩니다.`,
  wait_progress: "대기 진행률",
  wait_live: "실시간",
  wait_polling: "주기적으로 확인 중",
  wait_lost: "연결이 끊겼습니다",
  /** @param {string} time */
  wait_lost_more: (time) => `순서는 ${time}까지 유지됩니다. 자동으로 다시 연결합니다.`,
  wait_paused: "예매가 잠시 멈췄습니다",
  wait_paused_more: "순서는 그대로입니다. 다시 시작되면 이어서 안내합니다.",
  wait_missed: "차례가 지나갔습니다",
  wait_missed_more:
    "자리를 비우신 동안 차례가 왔습니다. 다음 자리가 나는 대로 가장 먼저 입장합니다.",
  wait_notify: "차례가 되면 알림 받기",
  wait_notified: "차례가 되면 알려 드립니다",
  wait_leave: "대기 취소",
  wait_leave_sure: "대기를 취소할까요?",
  wait_leave_more: "지금 순서를 잃고, 다시 신청하면 맨 뒤에 섭니다.",
  wait_leave_yes: "순서 포기하기",
  wait_stay: "계속 기다리기",
  wait_joining: "줄을 서고 있습니다…",
  your_turn: "차례가 되었습니다!",
  your_turn_more: "좌석 선택 화면으로 이동합니다.",
  go_to_seats: "좌석 선택하기",
  /** @param {number} position */
  tab_waiting: (position) => `(${count(position)}) 대기 중`,
  tab_turn: "● 차례입니다!",
  full_title: "대기 인원이 가득 찼습니다",
  full_more: "자리가 나는지 자동으로 계속 확인합니다. 이 화면을 열어 두세요.",
  full_retry: "지금 다시 신청",
  not_open_title: "아직 예매가 시작되지 않았습니다",
  not_open_more: "시작되면 이 화면에서 바로 신청할 수 있습니다.",
  closed_title: "예매가 마감되었습니다",
  sold_out_title: "매진되었습니다",
  sold_out_more: "모든 좌석이 판매되었습니다. 기다려 주셔서 고맙습니다.",
  gone_title: "대기 순서가 끝났습니다",
  gone_left: "대기를 취소했습니다.",
  gone_absent: "오랫동안 접속이 없어 대기 순서가 끝났습니다.",
  gone_too_slow: "정해진 시간 안에 좌석을 선택하지 않아 순서가 끝났습니다.",
  gone_hold_expired:
    "정해진 시간 안에 결제하지 않아 좌석이 반환되었습니다. 결제된 금액은 없습니다.",
  gone_removed: "운영자가 대기 순서를 취소했습니다.",
  again: "다시 줄서기",
  others: "다른 공연 보기",
  no_place_title: "대기 중인 순서가 없습니다",
  no_place_more: "공연을 고르고 줄을 서 주세요.",
  line_refused: "신청하지 못했습니다",

  // The hall.
  seats_title: "좌석 선택",
  seats_time: "선택 시간",
  seats_one_minute: "좌석을 고를 시간이 1분 남았습니다.",
  seats_which: "공연",
  seats_map: "좌석도",
  seats_list: "목록",
  seats_how: "좌석을 고르는 방법",
  seats_together: "자동 추천",
  seats_together_more: "무대에서 가까운 연석을 바로 잡아 드립니다.",
  seats_count: "좌석 수",
  seats_grade: "등급",
  seats_any_grade: "모든 등급",
  seats_fewer: "한 좌석 적게",
  seats_more: "한 좌석 더",
  /** @param {number} seats */
  seats_best: (seats) => (seats === 1 ? "추천 좌석 잡기" : `연석 ${count(seats)}석 잡기`),
  seats_none_together: "나란히 비어 있는 좌석이 없습니다",
  /** @param {number} longest @param {number} free */
  seats_none_together_more: (longest, free) =>
    `지금 나란히 앉을 수 있는 좌석은 최대 ${count(longest)}석, 남은 좌석은 ${count(free)}석입니다. ` +
    "수를 줄이거나 다른 등급을 골라 주세요.",
  map_label:
    "좌석도. 화살표 키로 움직이고, 스페이스로 고르고, 더하기와 빼기로 확대하고 축소합니다.",
  map_role: "좌석도",
  map_stage: "무대",
  map_in: "확대",
  map_out: "축소",
  map_fit: "전체 보기",
  map_left: "왼쪽으로",
  map_right: "오른쪽으로",
  map_up: "위로",
  map_down: "아래로",
  map_hint: "한 번 누르면 확대되고, 좌석을 누르면 선택됩니다.",
  legend: "등급과 가격",
  taken: "선택할 수 없음",
  chosen: "선택함",
  section: "구역",
  row: "열",
  /** @param {string} row */
  row_of: (row) => `${row}열`,
  /** @param {number} free */
  free_in: (free) => `${count(free)}석 남음`,
  wheelchair: "휠체어석",
  companion: "동반자석",
  /** @param {string} place */
  companion_needs: (place) =>
    `동반자석은 휠체어석(${place})과 함께 선택해야 합니다. 함께 선택했습니다.`,
  tray: "선택한 좌석",
  /** @param {number} most */
  tray_most: (most) => `한 번에 최대 ${count(most)}석까지 고를 수 있습니다.`,
  /** @param {string} seat */
  tray_drop: (seat) => `${seat} 선택 해제`,
  /** @param {number} seats @param {string} sum */
  hold: (seats, sum) => `${count(seats)}석 예매 · ${sum}`,
  hold_none: "좌석을 선택해 주세요",
  holding: "좌석을 잡고 있습니다…",
  /** @param {string} seats */
  lost: (seats) => `${seats} 좌석은 방금 다른 분이 선택했습니다.`,
  lost_title: "다른 분이 조금 더 빨랐습니다",
  /** @param {string} seats */
  lost_instead: (seats) => `가까운 좌석이 비어 있습니다: ${seats}`,
  lost_take: "이 좌석으로 바꾸기",
  lost_choose: "직접 고르기",
  refused: "처리하지 못했습니다",
  give_up_turn: "예매 그만두기",
  give_up_turn_sure: "예매를 그만둘까요?",
  give_up_turn_more: "차례를 다음 분께 넘깁니다.",
  /** @param {string} seat @param {string} grade @param {string} price @param {string} state */
  seat_said: (seat, grade, price, state) => `${seat}, ${grade}, ${price}, ${state}`,
  is_free: "선택 가능",

  // Hold and pay.
  pay_title: "결제",
  pay_left: "남은 시간",
  pay_one_minute: "결제할 시간이 1분 남았습니다.",
  pay_seats: "예매 좌석",
  pay_amount: "결제 금액",
  pay_with: "결제 수단",
  pay_sandbox: "시험용 결제입니다. 실제로 청구되지 않습니다. 결과를 골라 보세요.",
  tok_ok: "승인",
  tok_ok_more: "바로 승인됩니다.",
  tok_declined: "거절",
  tok_declined_more: "카드사가 거절합니다.",
  tok_insufficient_funds: "잔액 부족",
  tok_insufficient_funds_more: "잔액이 부족합니다.",
  tok_slow: "느린 승인",
  tok_slow_more: "3초 뒤에 승인됩니다.",
  tok_timeout: "응답 없음 (결제됨)",
  tok_timeout_more: "결제는 되었지만 응답이 오지 않습니다.",
  tok_lost: "응답 없음 (결제 안 됨)",
  tok_lost_more: "결제되지 않았고 응답도 오지 않습니다.",
  /** @param {string} sum */
  pay: (sum) => `${sum} 결제하기`,
  paying: "결제하고 있습니다…",
  pay_pending: "결제 결과를 기다리고 있습니다",
  pay_pending_more:
    "좌석은 그대로 유지됩니다. 두 번 청구되지 않으니 이 화면을 닫아도 괜찮습니다. 결과가 나오면 바로 알려 드립니다.",
  pay_declined: "결제가 거절되었습니다",
  pay_declined_more: "좌석은 남은 시간 동안 유지됩니다. 다른 방법으로 다시 결제해 주세요.",
  pay_insufficient: "잔액이 부족합니다",
  pay_unsure: "아직 결과를 확인하지 못했습니다",
  pay_unsure_more: "같은 결제를 다시 확인합니다. 두 번 청구되지 않습니다.",
  pay_check: "결과 확인",
  pay_over: "결제 시간이 지났습니다",
  pay_over_more: "좌석이 반환되었습니다. 결제된 금액은 없습니다.",
  pay_refund: "환불하고 있습니다",
  pay_refund_more: "좌석이 반환된 뒤에 승인되어, 결제 금액을 모두 돌려 드립니다.",
  pay_refunded: "환불되었습니다",
  pay_back: "좌석 돌려주기",
  pay_back_sure: "좌석을 돌려줄까요?",
  pay_back_more: "선택한 좌석을 다른 분이 고를 수 있게 됩니다.",
  pay_stay: "계속 결제하기",
  pay_none: "결제할 예매가 없습니다",
  pay_none_more: "이미 결제했거나 좌석을 돌려주었습니다.",

  // The ticket.
  tickets_title: "티켓",
  tickets_done: "예매가 완료되었습니다",
  tickets_show: "입장할 때 이 화면이나 인쇄한 티켓을 보여 주세요.",
  tickets_print: "인쇄",
  tickets_link: "보관용 링크",
  tickets_link_more:
    "이 브라우저에 저장되어 있습니다. 다른 기기에서 보려면 링크를 보관하세요. 링크를 가진 사람은 누구나 티켓을 볼 수 있습니다.",
  tickets_copy: "링크 복사",
  tickets_copied: "복사했습니다",
  tickets_none: "이 브라우저에 저장된 티켓이 없습니다",
  tickets_none_more: "예매를 마친 브라우저에서 열거나, 보관한 링크를 열어 주세요.",
  tickets_offline: "서버에 연결할 수 없어 저장된 티켓을 보여 드립니다.",
  tickets_stale: "티켓을 확인할 수 없습니다",
  ticket_no: "티켓 번호",
  /** @param {string} seat */
  ticket_qr: (seat) => `${seat} 좌석 티켓의 QR 코드`,
  seat: "좌석",
  price: "가격",
};

/** @type {typeof KO} */
const EN = {
  brand: "maepyo",
  skip: "Skip to the content",
  other_language: "한국어",
  home: "What is on",
  my_tickets: "My tickets",
  loading: "Loading…",
  unreachable: "The server cannot be reached",
  unreachable_more: "This page keeps trying. There is no need to close it.",
  try_again: "Try again",
  steps: "Steps",
  step_line: "Wait",
  step_seats: "Seats",
  step_pay: "Pay",
  step_tickets: "Tickets",

  on_title: "On sale",
  on_lead: "In order, and fair. Reloading never costs you your place.",
  on_none: "Nothing is on sale at the moment.",
  on_none_more: "New performances appear here.",
  state_scheduled: "Opens soon",
  state_open: "On sale",
  state_paused: "Paused",
  state_closed: "Closed",
  state_sold_out: "Sold out",
  seats_left: (free, all) => `${count(free)} of ${count(all)} seats left`,
  price_from: (price) => `from ${price}`,
  opens_in: "Opens in",
  opens_at: (when) => `on ${when}`,
  buy: "Buy tickets",
  buy_label: (title, when) => `Buy tickets for ${title}, ${when}`,
  back_to_line: "See my place",
  back_to_seats: "Choose seats",
  back_to_pay: "Go and pay",

  wait_title: "Waiting room",
  wait_position: "Your place",
  nth: (position) => `No. ${count(position)}`,
  behind: (people) => `${count(people)} behind you`,
  ahead: (people) => `${count(people)} ahead of you`,
  wait_about: (span) => `About ${span} to wait`,
  wait_unknown: "The wait is being worked out",
  wait_next: "When it is your turn, this page moves on to the seats by itself.",
  wait_keeps: "Reloading, a second tab, a locked phone or a lost connection keep your place.",
  wait_keeps_until: (time) => `Even if you leave now, your place is kept until ${time}.`,
  wait_progress: "Progress in line",
  wait_live: "Live",
  wait_polling: "Checking regularly",
  wait_lost: "The connection is lost",
  wait_lost_more: (time) => `Your place is kept until ${time}. Reconnecting by itself.`,
  wait_paused: "The sale is paused",
  wait_paused_more: "Your place stays as it is. It goes on from here.",
  wait_missed: "Your turn went by",
  wait_missed_more:
    "It came while you were away. You are the first to go in as soon as there is room.",
  wait_notify: "Notify me when it is my turn",
  wait_notified: "You will be notified",
  wait_leave: "Leave the line",
  wait_leave_sure: "Leave the line?",
  wait_leave_more: "Your place is lost; joining again means standing at the end.",
  wait_leave_yes: "Give up my place",
  wait_stay: "Keep waiting",
  wait_joining: "Joining the line…",
  your_turn: "It is your turn!",
  your_turn_more: "Moving on to the seats.",
  go_to_seats: "Choose seats",
  tab_waiting: (position) => `(${count(position)}) waiting`,
  tab_turn: "● Your turn!",
  full_title: "The line is full",
  full_more: "This page keeps looking for room. Leave it open.",
  full_retry: "Ask again now",
  not_open_title: "The sale has not opened yet",
  not_open_more: "Once it opens, you can join from this page.",
  closed_title: "The sale is closed",
  sold_out_title: "Sold out",
  sold_out_more: "Every seat is sold. Thank you for waiting.",
  gone_title: "Your place in line is over",
  gone_left: "You left the line.",
  gone_absent: "You were not seen for too long.",
  gone_too_slow: "No seat was chosen in time.",
  gone_hold_expired: "The seats were not paid in time and went back. Nothing was charged.",
  gone_removed: "An operator removed the place.",
  again: "Join again",
  others: "See what else is on",
  no_place_title: "You are in no line",
  no_place_more: "Choose a performance and join its line.",
  line_refused: "That did not work",

  seats_title: "Choose seats",
  seats_time: "Time to choose",
  seats_one_minute: "One minute left to choose.",
  seats_which: "Performance",
  seats_map: "Map",
  seats_list: "List",
  seats_how: "How to choose",
  seats_together: "Best seats",
  seats_together_more: "The seats nearest to the stage, side by side, held for you at once.",
  seats_count: "Seats",
  seats_grade: "Grade",
  seats_any_grade: "Any grade",
  seats_fewer: "One seat fewer",
  seats_more: "One seat more",
  seats_best: (seats) => (seats === 1 ? "Hold the best seat" : `Hold ${count(seats)} together`),
  seats_none_together: "No such seats side by side",
  seats_none_together_more: (longest, free) =>
    `At most ${count(longest)} free seats stand side by side now, of ${count(free)} free seats. ` +
    "Choose fewer, or another grade.",
  map_label: "Seat map. Arrow keys move, space chooses, plus and minus zoom.",
  map_role: "seat map",
  map_stage: "Stage",
  map_in: "Zoom in",
  map_out: "Zoom out",
  map_fit: "Show all",
  map_left: "Move left",
  map_right: "Move right",
  map_up: "Move up",
  map_down: "Move down",
  map_hint: "Tap once to zoom in, tap a seat to choose it.",
  legend: "Grades and prices",
  taken: "not available",
  chosen: "chosen",
  section: "Section",
  row: "Row",
  row_of: (row) => `Row ${row}`,
  free_in: (free) => `${count(free)} left`,
  wheelchair: "wheelchair place",
  companion: "companion's seat",
  companion_needs: (place) =>
    `A companion's seat goes with its wheelchair place (${place}). Both are chosen.`,
  tray: "Chosen seats",
  tray_most: (most) => `At most ${count(most)} seats at a time.`,
  tray_drop: (seat) => `Drop ${seat}`,
  hold: (seats, sum) => `Book ${count(seats)} · ${sum}`,
  hold_none: "Choose a seat",
  holding: "Holding the seats…",
  lost: (seats) => `Somebody has just taken ${seats}.`,
  lost_title: "Somebody else was faster",
  lost_instead: (seats) => `Free near by: ${seats}`,
  lost_take: "Take these",
  lost_choose: "Choose myself",
  refused: "That did not work",
  give_up_turn: "Stop buying",
  give_up_turn_sure: "Stop buying?",
  give_up_turn_more: "Your turn goes to the next in line.",
  seat_said: (seat, grade, price, state) => `${seat}, ${grade}, ${price}, ${state}`,
  is_free: "free",

  pay_title: "Pay",
  pay_left: "Time left",
  pay_one_minute: "One minute left to pay.",
  pay_seats: "Your seats",
  pay_amount: "Amount",
  pay_with: "Payment",
  pay_sandbox: "This is a test payment. Nothing is charged. Choose what shall happen.",
  tok_ok: "Approved",
  tok_ok_more: "It is approved at once.",
  tok_declined: "Declined",
  tok_declined_more: "The bank declines.",
  tok_insufficient_funds: "Insufficient funds",
  tok_insufficient_funds_more: "There is not enough money.",
  tok_slow: "Slow",
  tok_slow_more: "Approved after three seconds.",
  tok_timeout: "No answer (paid)",
  tok_timeout_more: "The money is taken, but no answer comes.",
  tok_lost: "No answer (not paid)",
  tok_lost_more: "No money is taken, and no answer comes.",
  pay: (sum) => `Pay ${sum}`,
  paying: "Paying…",
  pay_pending: "Waiting for the outcome",
  pay_pending_more:
    "The seats stay yours meanwhile, and you are never charged twice. You may close this page; the outcome shows here as soon as it is known.",
  pay_declined: "The payment was declined",
  pay_declined_more: "The seats are kept for the time left. Please pay in another way.",
  pay_insufficient: "Insufficient funds",
  pay_unsure: "The outcome is not known yet",
  pay_unsure_more: "The same payment is looked at again. You are not charged twice.",
  pay_check: "Look again",
  pay_over: "The time to pay is over",
  pay_over_more: "The seats went back. Nothing was charged.",
  pay_refund: "You are being refunded",
  pay_refund_more: "It was approved after the seats had gone back; all of it is returned.",
  pay_refunded: "Refunded",
  pay_back: "Give the seats back",
  pay_back_sure: "Give the seats back?",
  pay_back_more: "Others can choose them again.",
  pay_stay: "Keep paying",
  pay_none: "There is nothing to pay",
  pay_none_more: "It is paid already, or the seats were given back.",

  tickets_title: "Tickets",
  tickets_done: "Your booking is confirmed",
  tickets_show: "Show this page or its print at the entrance.",
  tickets_print: "Print",
  tickets_link: "A link to keep",
  tickets_link_more:
    "They are kept in this browser. For another device, keep this link. Whoever has the link sees the tickets.",
  tickets_copy: "Copy the link",
  tickets_copied: "Copied",
  tickets_none: "No tickets are kept in this browser",
  tickets_none_more:
    "Open this page in the browser in which you bought them, or open the link you kept.",
  tickets_offline: "The server cannot be reached; these are the tickets as kept here.",
  tickets_stale: "The tickets cannot be verified",
  ticket_no: "Ticket",
  ticket_qr: (seat) => `QR code of the ticket for ${seat}`,
  seat: "Seat",
  price: "Price",
};

/** The words of the pages, in the language chosen. */
export function words() {
  return chosen === "en" ? EN : KO;
}

/** @param {number} number */
export function count(number) {
  return number.toLocaleString(chosen);
}

/**
 * @param {number} amount in the currency's smallest unit
 * @param {string} currency ISO 4217
 */
export function money(amount, currency) {
  const format = new Intl.NumberFormat(chosen, {
    style: "currency",
    currency,
    currencyDisplay: "narrowSymbol",
  });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 0;
  return format.format(amount / 10 ** digits);
}

/**
 * A moment, by the clocks of the venue.
 *
 * @param {string} when RFC 3339
 * @param {string} zone the IANA name of the venue's time zone
 */
export function moment(when, zone) {
  return written(when, zone, { dateStyle: "medium", timeStyle: "short" });
}

/**
 * When a performance begins, with the day of the week.
 *
 * @param {string} when RFC 3339
 * @param {string} zone
 */
export function evening(when, zone) {
  return written(when, zone, {
    year: "numeric",
    month: "long",
    day: "numeric",
    weekday: "short",
    hour: "numeric",
    minute: "2-digit",
  });
}

/**
 * @param {string} when
 * @param {string} zone
 * @param {Intl.DateTimeFormatOptions} style
 */
function written(when, zone, style) {
  const date = new Date(when);
  try {
    return new Intl.DateTimeFormat(chosen, { ...style, timeZone: zone }).format(date);
  } catch {
    // A zone that this browser does not know.
    return new Intl.DateTimeFormat(chosen, style).format(date);
  }
}

/**
 * A time of today, by the clocks of the buyer.
 *
 * @param {number | string} when
 */
export function hour(when) {
  const style = /** @type {const} */ ({ hour: "2-digit", minute: "2-digit" });
  return new Intl.DateTimeFormat(chosen, style).format(new Date(when));
}

/**
 * A stretch of time as a clock shows it: `4:05`, `2:04:05`, and days where there are any.
 *
 * @param {number} ms
 */
export function clockFace(ms) {
  const s = Math.ceil(ms / 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const hours = Math.floor(s / 3600);
  const days = Math.floor(hours / 24);
  const minutes = Math.floor(s / 60) % 60;
  if (days > 0) {
    const face = `${two(hours % 24)}:${two(minutes)}:${two(s % 60)}`;
    return chosen === "en" ? `${days} d ${face}` : `${days}일 ${face}`;
  }
  return hours > 0 ? `${hours}:${two(minutes)}:${two(s % 60)}` : `${minutes}:${two(s % 60)}`;
}

/**
 * A stretch of time as people say it, no more exact than it is known.
 *
 * @param {number} seconds
 */
export function span(seconds) {
  const en = chosen === "en";
  if (seconds < 10) return en ? "a few seconds" : "몇 초";
  if (seconds < 60) {
    const s = Math.ceil(seconds / 10) * 10;
    return en ? `${s} seconds` : `${s}초`;
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return en ? `${minutes} min` : `${minutes}분`;
  const hours = Math.floor(minutes / 60);
  const rest = minutes % 60;
  if (hours >= 10 || rest === 0) return en ? `${hours} h` : `${hours}시간`;
  return en ? `${hours} h ${rest} min` : `${hours}시간 ${rest}분`;
}
