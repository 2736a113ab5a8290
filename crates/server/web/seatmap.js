// The map of a hall: drawn on a canvas, moved and enlarged by touch, wheel, keys and buttons.
//
// Fifty thousand seats are not drawn anew for each frame of a movement. They are drawn into a picture that is
// larger than what is seen; moving shows another part of it, and enlarging stretches it until the fingers
// rest. Then, or when the picture's edge comes near, it is drawn anew.

/** The picture is so many times as wide and as high as what is seen. */
const LARGER = 1.6;
/** Pixels from seat to seat from which on a seat can be chosen by a finger. */
const CHOOSABLE_PX = 20;
/** From which on its number is written in it. */
const NUMBERED_PX = 26;
/** At the largest. */
const PITCH_MAX_PX = 64;
/** A pointer that moved no more than this has tapped. */
const TAP_PX = 8;
/** Margin around the hall, and room for the stage in front, in centimetres; less for a small hall. */
const MARGIN_MAX = 250;
const STAGE_MAX = 420;

/**
 * @typedef {{board: import("./board.js").Board, canvas: HTMLCanvasElement, stage: string,
 *   choose: (seat: number) => void, point: (seat: number) => void}} Setting
 *   `choose` is called for a seat that was tapped, `point` for one that the keys have come to.
 */

export class SeatMap {
  /** @param {Setting} setting */
  constructor({ board, canvas, stage, choose, point }) {
    this.board = board;
    this.canvas = canvas;
    this.stage = stage;
    this.choose = choose;
    this.point = point;
    /** Only these grades stand out, if any are named. @type {number | null} */
    this.only = null;
    this.focus = -1;
    /** What is seen: the plan's point in the middle, and pixels for each centimetre. */
    this.view = { x: 0, y: 0, scale: 1 };
    /** The picture and what it shows. */
    this.picture = document.createElement("canvas");
    this.drawn = { x: 0, y: 0, scale: 0, changes: -1, width: 0, height: 0 };
    /** @type {Map<number, {x: number, y: number}>} */
    this.pointers = new Map();
    this.moved = 0;
    this.asked = false;
    this.colours = colours(canvas, board.plan.grades.length);
    const across = Math.max(board.right - board.left, board.bottom - board.top);
    this.margin = Math.min(MARGIN_MAX, across * 0.06 + board.pitch);
    this.front = Math.min(STAGE_MAX, across * 0.12 + board.pitch * 2);
    this.listen();
    this.fit();
  }

  // ---- what is seen ----

  width() {
    return this.canvas.clientWidth || 300;
  }

  height() {
    return this.canvas.clientHeight || 300;
  }

  /** The scale at which the whole hall is seen. */
  least() {
    const { left, right, top, bottom } = this.board;
    const wide = right - left + 2 * this.margin;
    const deep = bottom - Math.min(top, 0) + 2 * this.margin + this.front;
    return Math.min(this.width() / wide, this.height() / deep);
  }

  most() {
    return Math.max(PITCH_MAX_PX / this.board.pitch, this.least());
  }

  /** Shows the whole hall. */
  fit() {
    const { left, right, top, bottom } = this.board;
    const first = Math.min(top, 0) - this.front;
    this.look({ x: (left + right) / 2, y: (first + bottom) / 2, scale: this.least() });
  }

  /** @param {{x: number, y: number, scale: number}} view */
  look({ x, y, scale }) {
    const { left, right, top, bottom } = this.board;
    const clamp = (/** @type {number} */ n, /** @type {number} */ a, /** @type {number} */ b) =>
      Math.min(Math.max(n, a), b);
    this.view = {
      x: clamp(x, left - this.margin, right + this.margin),
      y: clamp(y, Math.min(top, 0) - this.front, bottom + this.margin),
      scale: clamp(scale, this.least(), this.most()),
    };
    this.ask();
  }

  /**
   * Enlarges around a point of the canvas, which stays where it is.
   *
   * @param {number} times
   * @param {number} [px]
   * @param {number} [py]
   */
  zoom(times, px = this.width() / 2, py = this.height() / 2) {
    const { x, y } = this.plan(px, py);
    const before = this.view.scale;
    const scale = Math.min(Math.max(before * times, this.least()), this.most());
    const kept = before / scale;
    this.look({
      x: x + (this.view.x - x) * kept,
      y: y + (this.view.y - y) * kept,
      scale,
    });
  }

  /**
   * @param {number} dx pixels
   * @param {number} dy
   */
  pan(dx, dy) {
    const { x, y, scale } = this.view;
    this.look({ x: x + dx / scale, y: y + dy / scale, scale });
  }

  /**
   * Moves by a part of what is seen.
   *
   * @param {number} right
   * @param {number} down
   */
  step(right, down) {
    this.pan((right * this.width()) / 3, (down * this.height()) / 3);
  }

  /**
   * Brings seats into sight, large enough to be chosen.
   *
   * @param {{left: number, right: number, top: number, bottom: number}} extent
   */
  show({ left, right, top, bottom }) {
    const wide = (right - left + 2 * this.margin) / this.width();
    const deep = (bottom - top + 2 * this.margin) / this.height();
    const scale = Math.max(1 / Math.max(wide, deep), CHOOSABLE_PX / this.board.pitch);
    this.look({ x: (left + right) / 2, y: (top + bottom) / 2, scale });
  }

  /** @param {number} seat */
  showSeat(seat) {
    const { board, view } = this;
    const [x, y] = [board.x[seat] ?? 0, board.y[seat] ?? 0];
    const scale = Math.max(view.scale, (CHOOSABLE_PX * 1.5) / board.pitch);
    const inside =
      scale === view.scale &&
      Math.abs(x - view.x) * scale < this.width() * 0.4 &&
      Math.abs(y - view.y) * scale < this.height() * 0.4;
    if (inside) this.ask();
    else this.look({ x, y, scale });
  }

  /**
   * @param {number} px
   * @param {number} py
   */
  plan(px, py) {
    const { x, y, scale } = this.view;
    return { x: x + (px - this.width() / 2) / scale, y: y + (py - this.height() / 2) / scale };
  }

  // ---- drawing ----

  /** Asks for a frame. */
  ask() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.frame();
    });
  }

  /** The colours or the words have changed. */
  again() {
    this.colours = colours(this.canvas, this.board.plan.grades.length);
    this.drawn.changes = -1;
    this.ask();
  }

  frame() {
    const { canvas, view, drawn, picture } = this;
    const dots = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [this.width(), this.height()];
    if (canvas.width !== Math.round(width * dots) || canvas.height !== Math.round(height * dots)) {
      canvas.width = Math.round(width * dots);
      canvas.height = Math.round(height * dots);
    }
    const near =
      Math.abs(view.x - drawn.x) * view.scale < ((LARGER - 1) / 2) * width &&
      Math.abs(view.y - drawn.y) * view.scale < ((LARGER - 1) / 2) * height;
    const same =
      drawn.changes === this.board.changes && drawn.width === width && drawn.height === height;
    const stretched = view.scale / (drawn.scale || Number.MIN_VALUE);
    const moving = this.pointers.size > 1;
    if (!near || !same || stretched > 2 || stretched < 0.6 || (stretched !== 1 && !moving)) {
      this.draw(dots, width, height);
    }
    const context = canvas.getContext("2d");
    if (!context) return;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = this.colours.floor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    const by = view.scale / drawn.scale;
    const x = (width / 2 + (drawn.x - view.x) * view.scale) * dots - (picture.width / 2) * by;
    const y = (height / 2 + (drawn.y - view.y) * view.scale) * dots - (picture.height / 2) * by;
    // Whole dots, where nothing is stretched, keep the edges sharp.
    const whole = by === 1;
    context.drawImage(
      picture,
      whole ? Math.round(x) : x,
      whole ? Math.round(y) : y,
      picture.width * by,
      picture.height * by,
    );
    this.drawFocus(context, dots);
  }

  /**
   * Draws the picture anew: the rows that are in it, and of these the seats.
   *
   * @param {number} dots for each pixel
   * @param {number} width pixels
   * @param {number} height
   */
  draw(dots, width, height) {
    const { board, view, picture, colours: c } = this;
    const [wide, high] = [Math.round(width * LARGER * dots), Math.round(height * LARGER * dots)];
    if (picture.width !== wide || picture.height !== high) {
      picture.width = wide;
      picture.height = high;
    }
    const context = picture.getContext("2d", { alpha: false });
    if (!context) return;
    this.drawn = { ...view, changes: board.changes, width, height };
    const scale = view.scale * dots;
    const [ox, oy] = [wide / 2 - view.x * scale, high / 2 - view.y * scale];
    context.fillStyle = c.floor;
    context.fillRect(0, 0, wide, high);
    this.drawStage(context, scale, ox, oy);

    const pitch = board.pitch * scale;
    const size = Math.max(pitch * 0.82, 1);
    const half = size / 2;
    const round = size > 5 * dots ? size * 0.28 : 0;
    /** @type {number[]} */
    const seen = [];
    for (const row of board.rows) {
      const inside =
        row.right * scale + ox + size > 0 &&
        row.left * scale + ox - size < wide &&
        row.bottom * scale + oy + size > 0 &&
        row.top * scale + oy - size < high;
      if (inside) for (let seat = row.first; seat < row.end; seat += 1) seen.push(seat);
    }
    // One colour after the other: to change it costs more than a rectangle.
    const paths = c.grades.map(() => /** @type {number[]} */ ([]));
    /** @type {number[]} */
    const taken = [];
    for (const seat of seen) {
      const grade = board.grade[seat] ?? 0;
      const shown = board.free[seat] && (this.only === null || this.only === grade);
      if (shown) paths[grade % paths.length]?.push(seat);
      else taken.push(seat);
    }
    const fill = (/** @type {string} */ colour, /** @type {Iterable<number>} */ seats) => {
      context.fillStyle = colour;
      if (round === 0) {
        for (const seat of seats) {
          const [x, y] = [(board.x[seat] ?? 0) * scale + ox, (board.y[seat] ?? 0) * scale + oy];
          context.fillRect(x - half, y - half, size, size);
        }
        return;
      }
      context.beginPath();
      for (const seat of seats) {
        const [x, y] = [(board.x[seat] ?? 0) * scale + ox, (board.y[seat] ?? 0) * scale + oy];
        context.roundRect(x - half, y - half, size, size, round);
      }
      context.fill();
    };
    fill(c.taken, taken);
    for (const [grade, seats] of paths.entries()) fill(c.grades[grade]?.back ?? c.taken, seats);
    fill(c.chosen, board.chosen);
    if (pitch >= NUMBERED_PX * dots) this.drawNumbers(context, seen, scale, ox, oy, pitch);
    this.drawNames(context, scale, ox, oy, dots, pitch);
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} scale
   * @param {number} ox
   * @param {number} oy
   */
  drawStage(context, scale, ox, oy) {
    const { left, right, top } = this.board;
    const half = Math.min(Math.max((right - left) * 0.32, 300), 2200);
    const edge = Math.min(top, 250) - 120;
    const y = Math.min(edge, 0) * scale + oy;
    const high = this.front * 0.62 * scale;
    context.fillStyle = this.colours.stage;
    context.beginPath();
    context.roundRect(ox - half * scale, y - high, 2 * half * scale, high, [
      high * 0.2,
      high * 0.2,
      high * 0.5,
      high * 0.5,
    ]);
    context.fill();
    const size = Math.min(high * 0.42, half * scale * 0.3);
    if (size < 7) return;
    context.fillStyle = this.colours.stageInk;
    context.font = `600 ${size}px ${this.colours.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(this.stage, ox, y - high / 2);
  }

  /**
   * The number in each seat, and below it the grade where there is room: colour is never all.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number[]} seen
   * @param {number} scale
   * @param {number} ox
   * @param {number} oy
   * @param {number} pitch
   */
  drawNumbers(context, seen, scale, ox, oy, pitch) {
    const { board, colours: c } = this;
    context.textAlign = "center";
    context.textBaseline = "middle";
    for (const seat of seen) {
      const [x, y] = [(board.x[seat] ?? 0) * scale + ox, (board.y[seat] ?? 0) * scale + oy];
      const grade = board.grade[seat] ?? 0;
      const chosen = board.chosen.has(seat);
      const free = board.free[seat] && (this.only === null || this.only === grade);
      const accessible = board.seats[seat]?.accessible;
      const [ink] = chosen
        ? [c.chosenInk]
        : [free ? c.grades[grade % c.grades.length]?.ink : c.takenInk];
      context.fillStyle = ink ?? c.takenInk;
      const number = board.number(seat);
      const short = number.length > 4 ? (number.split(/[-\s]/).pop() ?? number) : number;
      const mark = accessible === "wheelchair" ? "♿" : accessible === "companion" ? "+" : "";
      context.font = `600 ${pitch * 0.27}px ${c.font}`;
      context.fillText(chosen ? `✓${short}` : mark + short, x, y - pitch * 0.11, pitch * 0.76);
      context.font = `500 ${pitch * 0.2}px ${c.font}`;
      context.fillText(board.gradeName(seat), x, y + pitch * 0.19, pitch * 0.74);
    }
  }

  /**
   * The names of sections and, near by, of rows.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} scale
   * @param {number} ox
   * @param {number} oy
   * @param {number} dots
   * @param {number} pitch
   */
  drawNames(context, scale, ox, oy, dots, pitch) {
    const { board, colours: c } = this;
    context.textBaseline = "middle";
    if (pitch >= CHOOSABLE_PX * 0.8 * dots) {
      context.fillStyle = c.ink;
      context.font = `600 ${Math.min(pitch * 0.42, 15 * dots)}px ${c.font}`;
      context.textAlign = "right";
      for (const row of board.rows) {
        const x = row.left * scale + ox - pitch * 0.75;
        context.fillText(row.name, x, ((row.top + row.bottom) / 2) * scale + oy);
      }
      return;
    }
    if (board.sections.length < 2) return;
    context.textAlign = "center";
    for (const section of board.sections) {
      const wide = (section.right - section.left + board.pitch) * scale;
      const size = Math.min(Math.max(wide / 6, 9 * dots), 20 * dots);
      if (wide < 22 * dots) continue;
      const x = ((section.left + section.right) / 2) * scale + ox;
      // Over the seats while they are specks, and before the first row once they can be told apart.
      const y =
        pitch < 7 * dots
          ? ((section.top + section.bottom) / 2) * scale + oy
          : section.top * scale + oy - pitch / 2 - size;
      context.font = `700 ${size}px ${c.font}`;
      const text = context.measureText(section.name).width;
      context.fillStyle = c.label;
      context.beginPath();
      context.roundRect(
        x - text / 2 - size * 0.45,
        y - size * 0.78,
        text + size * 0.9,
        size * 1.56,
        size * 0.4,
      );
      context.fill();
      context.fillStyle = c.ink;
      context.fillText(section.name, x, y + size * 0.06);
    }
  }

  /**
   * The frame around the seat that the keys have come to.
   *
   * @param {CanvasRenderingContext2D} context
   * @param {number} dots
   */
  drawFocus(context, dots) {
    if (this.focus < 0 || document.activeElement !== this.canvas) return;
    const { board, view } = this;
    const size = Math.max(board.pitch * view.scale, 10) * dots;
    const x = (this.width() / 2 + ((board.x[this.focus] ?? 0) - view.x) * view.scale) * dots;
    const y = (this.height() / 2 + ((board.y[this.focus] ?? 0) - view.y) * view.scale) * dots;
    context.lineWidth = 3 * dots;
    context.strokeStyle = this.colours.ink;
    context.strokeRect(x - size / 2, y - size / 2, size, size);
    context.lineWidth = dots;
    context.strokeStyle = this.colours.floor;
    context.strokeRect(
      x - size / 2 - 2 * dots,
      y - size / 2 - 2 * dots,
      size + 4 * dots,
      size + 4 * dots,
    );
  }

  // ---- fingers, wheel and keys ----

  listen() {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of /** @type {const} */ (["pointerup", "pointercancel"])) {
      canvas.addEventListener(name, (event) => this.lift(event));
    }
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        const { x, y } = this.on(event);
        this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 0 ? 0.002 : 0.05)), x, y);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("focus", () => this.ask());
    canvas.addEventListener("blur", () => this.ask());
    new ResizeObserver(() => this.look(this.view)).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.again());
  }

  /** @param {PointerEvent | WheelEvent} event */
  on(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** @param {PointerEvent} event */
  press(event) {
    if (event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    if (this.pointers.size === 0) this.moved = 0;
    this.pointers.set(event.pointerId, this.on(event));
  }

  /** @param {PointerEvent} event */
  drag(event) {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = this.on(event);
    this.pointers.set(event.pointerId, now);
    this.moved += Math.hypot(now.x - before.x, now.y - before.y);
    if (this.pointers.size === 1) {
      if (this.moved > TAP_PX) this.pan(before.x - now.x, before.y - now.y);
      return;
    }
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) return;
    this.moved += TAP_PX;
    const apart = (/** @type {{x: number, y: number}} */ p) =>
      Math.hypot(p.x - other.x, p.y - other.y);
    this.zoom(
      apart(now) / Math.max(apart(before), 1),
      (now.x + other.x) / 2,
      (now.y + other.y) / 2,
    );
    this.pan((before.x - now.x) / 2, (before.y - now.y) / 2);
  }

  /** @param {PointerEvent} event */
  lift(event) {
    const was = this.pointers.delete(event.pointerId);
    this.ask();
    if (!was || event.type === "pointercancel" || this.moved > TAP_PX || this.pointers.size > 0)
      return;
    const { x, y } = this.on(event);
    const at = this.plan(x, y);
    const { board, view } = this;
    const pitch = board.pitch * view.scale;
    const near = event.pointerType === "mouse" ? 9 : CHOOSABLE_PX;
    if (pitch < near && view.scale < this.most()) {
      // Too small to be met for sure: come nearer first.
      this.zoom(Math.max((near * 1.4) / pitch, 1.8), x, y);
      return;
    }
    const seat = board.at(at.x, at.y, board.pitch * 0.75);
    if (seat >= 0) {
      this.focus = seat;
      this.choose(seat);
    }
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const towards = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[
      event.key
    ];
    if (towards) {
      const [dx = 0, dy = 0] = towards;
      this.focus = this.focus < 0 ? this.first() : this.board.next(this.focus, dx, dy);
      this.showSeat(this.focus);
      this.point(this.focus);
    } else if (event.key === " " || event.key === "Enter") {
      if (this.focus < 0) this.focus = this.first();
      this.showSeat(this.focus);
      this.choose(this.focus);
    } else if (event.key === "+" || event.key === "=") {
      this.zoom(1.5);
    } else if (event.key === "-") {
      this.zoom(1 / 1.5);
    } else if (event.key === "0") {
      this.fit();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** Where the keys begin: the first free seat. */
  first() {
    return Math.max(this.board.free.indexOf(1), 0);
  }
}

/**
 * The colours of the style sheet, as they are at the moment.
 *
 * @param {Element} element
 * @param {number} grades
 */
function colours(element, grades) {
  const style = getComputedStyle(element);
  const colour = (/** @type {string} */ name) => style.getPropertyValue(`--${name}`).trim();
  return {
    floor: colour("floor"),
    stage: colour("stage"),
    stageInk: colour("stage-ink"),
    taken: colour("taken"),
    takenInk: colour("taken-ink"),
    chosen: colour("chosen"),
    chosenInk: colour("chosen-ink"),
    ink: colour("ink"),
    label: colour("label"),
    font: style.fontFamily,
    grades: Array.from({ length: Math.max(grades, 1) }, (_, grade) => ({
      back: colour(`grade-${(grade % 8) + 1}`),
      ink: colour(`grade-${(grade % 8) + 1}-ink`),
    })),
  };
}
