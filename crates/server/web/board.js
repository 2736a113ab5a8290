// The hall as a buyer chooses in it: where every seat stands, what it costs, whether it is free, and which
// are chosen. It draws nothing and calls nobody. Seats are counted in plan order, from 0.

/**
 * @typedef {{name: string, section: number, first: number, end: number, left: number, right: number,
 *   top: number, bottom: number}} Row `end` is behind the last; the rest in centimetres
 * @typedef {{name: string, first: number, end: number, left: number, right: number, top: number,
 *   bottom: number, rows: Row[]}} Section
 */

/** Whether a seat can be chosen. */
const FREE = 1;

export class Board {
  /** @param {import("./api.js").Plan} plan */
  constructor(plan) {
    this.plan = plan;
    const seats = plan.sections.flatMap((section) => section.rows.flatMap((row) => row.seats));
    this.count = seats.length;
    /** Centimetres to the right of the middle of the stage's edge. */
    this.x = Int32Array.from(seats, (seat) => seat.x);
    /** Centimetres away from the stage. */
    this.y = Int32Array.from(seats, (seat) => seat.y);
    const grades = new Map(plan.grades.map((grade, at) => [grade.name, at]));
    /** Which of the plan's grades. */
    this.grade = Uint8Array.from(seats, (seat) => grades.get(seat.grade) ?? 0);
    this.free = new Uint8Array(seats.length);
    this.seats = seats;
    this.indices = new Map(seats.map((seat, at) => [seat.seat_number, at]));
    /** @type {Section[]} */
    this.sections = [];
    /** @type {Row[]} */
    this.rows = [];
    this.layOut();
    const { left, right, top, bottom } = this.extent(0, this.count);
    this.left = left;
    this.right = right;
    this.top = top;
    this.bottom = bottom;
    /** From a seat to its neighbour, mostly, in centimetres. */
    this.pitch = this.usualPitch();
    /** The chosen seats, in the order in which they were chosen. @type {Set<number>} */
    this.chosen = new Set();
    this.most = 4;
    /** Counts what was changed, so that a drawing knows whether it is old. */
    this.changes = 0;
  }

  layOut() {
    let at = 0;
    for (const [number, section] of this.plan.sections.entries()) {
      const first = at;
      const rows = section.rows.map((row) => {
        const laid = {
          name: row.name,
          section: number,
          ...this.extent(at, at + row.seats.length),
        };
        at += row.seats.length;
        return laid;
      });
      this.rows.push(...rows);
      this.sections.push({ name: section.name, ...this.extent(first, at), rows });
    }
  }

  /**
   * @param {number} first
   * @param {number} end
   */
  extent(first, end) {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let seat = first; seat < end; seat += 1) {
      const [x, y] = [this.x[seat] ?? 0, this.y[seat] ?? 0];
      left = Math.min(left, x);
      right = Math.max(right, x);
      top = Math.min(top, y);
      bottom = Math.max(bottom, y);
    }
    return { first, end, left, right, top, bottom };
  }

  /** The middle of what some hundred rows say. */
  usualPitch() {
    const apart = this.rows
      .filter((row) => row.end - row.first > 1)
      .slice(0, 500)
      .map((row) => this.distance(row.first, row.first + 1))
      .sort((a, b) => a - b);
    return apart[Math.floor(apart.length / 2)] || 55;
  }

  /**
   * @param {number} a
   * @param {number} b
   */
  distance(a, b) {
    const dx = (this.x[a] ?? 0) - (this.x[b] ?? 0);
    const dy = (this.y[a] ?? 0) - (this.y[b] ?? 0);
    return Math.hypot(dx, dy);
  }

  /**
   * Takes over what is free now. Chosen seats that are free no longer are dropped.
   *
   * @param {import("./api.js").Availability} availability
   * @returns {number[]} the chosen seats that were lost
   */
  apply(availability) {
    for (const [number, section] of availability.sections.entries()) {
      const { first, end } = this.sections[number] ?? { first: 0, end: 0 };
      const bits = Uint8Array.from(atob(section.free), (byte) => byte.charCodeAt(0));
      for (let seat = first; seat < end; seat += 1) {
        const at = seat - first;
        this.free[seat] = ((bits[at >> 3] ?? 0) >> (at & 7)) & 1;
      }
    }
    return this.changed();
  }

  /**
   * Takes over what has changed.
   *
   * @param {{taken?: string[], free?: string[]}} change seat numbers
   * @returns {number[]} the chosen seats that were lost
   */
  change({ taken = [], free = [] }) {
    for (const number of taken) this.set(number, 0);
    for (const number of free) this.set(number, FREE);
    return this.changed();
  }

  /**
   * @param {string} number
   * @param {number} state
   */
  set(number, state) {
    const seat = this.indices.get(number);
    if (seat !== undefined) this.free[seat] = state;
  }

  changed() {
    this.changes += 1;
    const lost = [...this.chosen].filter((seat) => !this.free[seat]);
    for (const seat of lost) this.chosen.delete(seat);
    return lost;
  }

  /**
   * Chooses a seat, or drops it. A companion's seat brings its wheelchair place, and goes with it.
   *
   * @param {number} seat
   * @returns {{kind: "done"} | {kind: "taken"} | {kind: "full"} | {kind: "with", place: string}}
   */
  toggle(seat) {
    if (this.chosen.has(seat)) {
      this.chosen.delete(seat);
      const number = this.seats[seat]?.seat_number;
      for (const other of [...this.chosen]) {
        if (this.seats[other]?.companion_of === number) this.chosen.delete(other);
      }
      this.changes += 1;
      return { kind: "done" };
    }
    if (!this.free[seat]) return { kind: "taken" };
    const place = this.seats[seat]?.companion_of;
    const also = place === undefined ? undefined : this.indices.get(place);
    const missing = also !== undefined && !this.chosen.has(also);
    if (missing && !this.free[also]) return { kind: "taken" };
    if (this.chosen.size + (missing ? 2 : 1) > this.most) return { kind: "full" };
    if (missing) this.chosen.add(also);
    this.chosen.add(seat);
    this.changes += 1;
    return missing && place !== undefined ? { kind: "with", place } : { kind: "done" };
  }

  /**
   * Chooses these seats instead of all others.
   *
   * @param {string[]} numbers
   */
  chooseInstead(numbers) {
    this.chosen.clear();
    for (const number of numbers) {
      const seat = this.indices.get(number);
      if (seat !== undefined && this.free[seat]) this.chosen.add(seat);
    }
    this.changes += 1;
  }

  /** The numbers of the chosen seats. */
  chosenNumbers() {
    return [...this.chosen].map((seat) => this.number(seat));
  }

  /** What the chosen seats cost. */
  sum() {
    return [...this.chosen].reduce((sum, seat) => sum + this.price(seat), 0);
  }

  /** @param {number} seat */
  number(seat) {
    return this.seats[seat]?.seat_number ?? "";
  }

  /** @param {number} seat */
  price(seat) {
    return this.plan.grades[this.grade[seat] ?? 0]?.price ?? 0;
  }

  /** @param {number} seat */
  gradeName(seat) {
    return this.plan.grades[this.grade[seat] ?? 0]?.name ?? "";
  }

  /**
   * How many seats are free.
   *
   * @param {{first: number, end: number}} among
   * @param {number} [grade] of this grade only
   */
  freeCount({ first, end }, grade) {
    let free = 0;
    for (let seat = first; seat < end; seat += 1) {
      if (this.free[seat] && (grade === undefined || this.grade[seat] === grade)) free += 1;
    }
    return free;
  }

  /**
   * Free seats instead of those that were lost: the nearest of the same grade, each once.
   *
   * @param {number[]} lost
   * @returns {string[]} as many as were lost, or none
   */
  instead(lost) {
    /** @type {Set<number>} */
    const found = new Set();
    for (const seat of lost) {
      let best = -1;
      let nearest = Number.POSITIVE_INFINITY;
      for (let other = 0; other < this.count; other += 1) {
        const fits = this.free[other] && this.grade[other] === this.grade[seat];
        if (!fits || found.has(other) || this.chosen.has(other)) continue;
        if (this.seats[other]?.accessible) continue;
        const distance = this.distance(seat, other);
        if (distance < nearest) [best, nearest] = [other, distance];
      }
      if (best < 0) return [];
      found.add(best);
    }
    return [...found].map((seat) => this.number(seat));
  }

  /**
   * The seat nearest to a point of the plan, if there is one near enough.
   *
   * @param {number} x
   * @param {number} y
   * @param {number} reach centimetres
   */
  at(x, y, reach) {
    let best = -1;
    let nearest = reach;
    for (const row of this.rows) {
      if (x < row.left - reach || x > row.right + reach) continue;
      if (y < row.top - reach || y > row.bottom + reach) continue;
      for (let seat = row.first; seat < row.end; seat += 1) {
        const distance = Math.hypot((this.x[seat] ?? 0) - x, (this.y[seat] ?? 0) - y);
        if (distance <= nearest) [best, nearest] = [seat, distance];
      }
    }
    return best;
  }

  /**
   * The next seat in a direction, as arrow keys go: the nearest within 45 degrees of it.
   *
   * @param {number} from
   * @param {number} dx
   * @param {number} dy
   */
  next(from, dx, dy) {
    let best = from;
    let nearest = Number.POSITIVE_INFINITY;
    const [x, y] = [this.x[from] ?? 0, this.y[from] ?? 0];
    for (let seat = 0; seat < this.count; seat += 1) {
      const along = ((this.x[seat] ?? 0) - x) * dx + ((this.y[seat] ?? 0) - y) * dy;
      const aside =
        Math.abs(((this.x[seat] ?? 0) - x) * dy) + Math.abs(((this.y[seat] ?? 0) - y) * dx);
      if (along <= 0 || aside > along) continue;
      const distance = along + aside * 2;
      if (distance < nearest) [best, nearest] = [seat, distance];
    }
    return best;
  }
}
