// What the tests sell, as a sale's file has it.

const GRADES = [
  { name: "R", price: 66_000 },
  { name: "S", price: 44_000 },
];

/**
 * A sale that is open: one performance of one section, two grades.
 *
 * @param {{
 *   id?: string, rows?: string, seats?: number, limits?: object, opensAt?: string, date?: string,
 *   title?: string, isDefault?: boolean,
 * }} [wishes] limits are those that differ from the defaults
 */
export function club(wishes = {}) {
  return {
    default: wishes.isDefault ?? true,
    time_zone: "Asia/Seoul",
    currency: "KRW",
    opens_at: wishes.opensAt ?? "2026-01-01T00:00:00Z",
    limits: wishes.limits ?? {},
    pools: ["press"],
    title: wishes.title ?? "밤의 재즈",
    venue: "한강클럽",
    grades: GRADES,
    sections: [
      {
        name: "1층",
        rows: wishes.rows ?? "A-F",
        seats: `1-${wishes.seats ?? 10}`,
        grade: "S",
        grades_of_rows: { A: "R" },
      },
    ],
    performances: [
      { id: wishes.id ?? "club-1", date: wishes.date ?? "2099-05-01", starts_at: "19:30" },
    ],
  };
}

/** Blocks of a stadium beside each other, and behind each other. */
const COLUMNS = 10;
const TIERS = 5;

/**
 * A sale that is open, of 50,000 seats: 50 blocks of 25 rows with 40 seats each.
 *
 * @param {object} [limits]
 */
export function stadium(limits = {}) {
  const sections = [];
  for (let tier = 1; tier <= TIERS; tier += 1) {
    for (let column = 1; column <= COLUMNS; column += 1) {
      sections.push({
        name: `${tier}${String(column).padStart(2, "0")}`,
        rows: "1-25",
        seats: "1-40",
        grade: tier < 3 ? "R" : "S",
        seat_number: "{section}-{row}-{seat}",
        // 40 seats are 2,200 cm wide and 25 rows 2,500 cm deep; stairs lie between the blocks.
        at: { x: (column - (COLUMNS + 1) / 2) * 2400, y: 1000 + (tier - 1) * 2800 },
      });
    }
  }
  return {
    default: true,
    time_zone: "Asia/Seoul",
    currency: "KRW",
    opens_at: "2026-01-01T00:00:00Z",
    limits,
    title: "여름의 경기장",
    venue: "한강경기장",
    grades: GRADES,
    sections,
    performances: [{ id: "stadium-1", date: "2099-07-01", starts_at: "19:00" }],
  };
}
