// The real program, started in a directory of its own on ports that were free. It can be killed
// where it stands and started again on the same ports. It knows no page and no browser.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** What `cargo build` makes. */
const BINARY = fileURLToPath(new URL("../../../../target/debug/maepyo", import.meta.url));

/** How long anything that is waited for may take before the test has failed. */
export const PATIENCE_MS = 20_000;

// Whoever is told to end takes what was started along.
process.once("SIGTERM", () => process.exit(1));

/** What the program says first. */
const OPEN = /^listening on http:\/\/(\S+) \(operators: http:\/\/(\S+)\)$/;

/**
 * Asks again until there is an answer that is neither null, undefined nor false.
 *
 * @template T
 * @param {string} what
 * @param {() => Promise<T | null | undefined | false>} ask
 * @returns {Promise<T>}
 */
export async function until(what, ask) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await ask();
    if (found !== null && found !== undefined && found !== false) {
      return found;
    }
    if (Date.now() > deadline) {
      throw new Error(`waited in vain: ${what}`);
    }
    // paces: HTTP has no other way to wait than to ask again.
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A box office that is open, or was killed. It dies with the test's process. */
export class BoxOffice {
  #words;
  #dir = mkdtempSync(join(tmpdir(), "maepyo-browser-"));
  /** @type {import("node:child_process").ChildProcess | undefined} */
  #child;
  #public = "127.0.0.1:0";
  #operators = "127.0.0.1:0";
  #adminKey = "";
  #kill = () => this.#child?.kill("SIGKILL");

  /** @param {string[]} words what is said to `maepyo serve` beside what every test needs */
  constructor(words) {
    this.#words = words;
    process.on("exit", this.#kill);
  }

  /**
   * Opens one in a new directory.
   *
   * @param {string[]} [words]
   */
  static async open(words = []) {
    const office = new BoxOffice(words);
    await office.start();
    return office;
  }

  /**
   * Opens one that has these sales and no other.
   *
   * @param {Record<string, object>} sales each as a sale's file has it, by its id
   * @param {string[]} [words]
   */
  static async selling(sales, words = []) {
    const office = await BoxOffice.open(words);
    for (const [id, sale] of Object.entries(sales)) {
      await office.schedule(id, sale);
    }
    return office;
  }

  /** Where buyers reach it. */
  get origin() {
    return `http://${this.#public}`;
  }

  /** Starts it: for the first time on ports that are free, after that on the same. */
  async start() {
    const log = openSync(join(this.#dir, "log"), "a");
    const words = ["serve", "--listen", this.#public, "--ops-listen", this.#operators];
    const child = spawn(BINARY, [...words, ...this.#words], {
      env: { ...withoutOurs(process.env), MAEPYO_DATA: join(this.#dir, "data") },
      stdio: ["ignore", "pipe", log],
    });
    closeSync(log);
    this.#child = child;
    if (child.stdout === null) {
      throw new Error("Its standard output is a pipe.");
    }
    const lines = createInterface({ input: child.stdout });
    const first = await Promise.race([
      once(lines, "line").then(([line]) => String(line)),
      once(child, "exit").then(([code]) => `it ended with ${code}`),
      once(child, "error").then(([error]) => `${error}`),
    ]);
    const [, listen, operators] = OPEN.exec(first) ?? [];
    if (listen === undefined || operators === undefined) {
      throw new Error(`It did not open: ${first}\n${this.log()}`);
    }
    this.#public = listen;
    this.#operators = operators;
    this.#adminKey = readFileSync(join(this.#dir, "data", "admin.key"), "utf8").trim();
  }

  /** Kills it where it stands: nothing is finished, nothing said. */
  async kill() {
    const child = this.#child;
    this.#child = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    }
  }

  /** Kills it and takes its directory away. */
  async end() {
    await this.kill();
    process.off("exit", this.#kill);
    rmSync(this.#dir, { recursive: true, force: true });
  }

  /**
   * An operator's request, with the admin key.
   *
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async operate(method, path, body) {
    const answer = await fetch(`http://${this.#operators}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.#adminKey}`,
        ...(body ? { "content-type": "application/json" } : {}),
      },
      ...(body ? { body: JSON.stringify(body) } : {}),
    });
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    }
    return JSON.parse(text);
  }

  /**
   * @param {string} id
   * @param {object} sale
   */
  async schedule(id, sale) {
    await this.operate("PUT", `/admin/sales/${id}`, sale);
  }

  /** What it logged so far. */
  log() {
    return readFileSync(join(this.#dir, "log"), "utf8");
  }
}

/**
 * The environment without what would change the program.
 *
 * @param {NodeJS.ProcessEnv} environment
 */
function withoutOurs(environment) {
  const isOurs = (/** @type {string} */ name) => /^(MAEPYO_|OTEL_)/.test(name);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !isOurs(name)));
}
