/**
 * Where on the timeline this page stands. Live is replay whose cursor follows the head: every pane
 * asks `cursor()`, and a rewind fetches what the panes around it lack through History.
 * @import {Store} from "./store.js"  @import {Sample} from "../types.js"
 * @import {BusTime} from "./bustime.js"
 */

const AHEAD_MS = 4_000;
const BACK_MS = 14_000;
const REFILL_MS = 1_500;
const GIVE_UP_MS = 4_000;

/**
 * @typedef {object} Question
 * @property {string[]} addresses
 * @property {[number, number]} [between]
 * @property {number} [at]
 * @property {() => void} done
 * @property {(sample: Sample) => void} [take] gets the samples instead of the page's store
 * @property {() => void} [failed] no answer came
 */

export class Playhead {
  /**
   * @param {Store} store
   * @param {BusTime} time
   * @param {(question: Question) => void} ask sends a History request
   */
  constructor(store, time, ask) {
    this.store = store;
    this.time = time;
    this.ask = ask;
    /** @type {"live"|"play"|"frozen"} */
    this.mode = "live";
    this.t = 0;
    this.local = 0;
    this.oldest = -Infinity;
    this.playout_ms = 120;
    this.smooth_ms = 0; // everything that moves is shown so late, so that nothing comes too late
    this.seeking = false;
    this.seek_ms = 0;
    this.began = 0;
    this.round = 0; // an answer to a question of an earlier one lacks pictures that are shown now
    /** @type {Map<string, number>} questions on their way, one of each name, and since when */
    this.flying = new Map();
    /** @type {(() => void)|null} the state of the newest seek, to ask for when its turn comes */
    this.next = null;
    /** @type {(() => void)|null} asks for the state of the newest seek */
    this.state = null;
    /** @type {() => string[]} */
    this.small = () => [];
    /** @type {() => string[]} */
    this.bulk = () => [];
    /** @type {() => void} called when every pane must draw itself anew */
    this.onJump = () => {};
  }

  /** Bus time of what is on the screen. @param {number} local */
  cursor(local = performance.now()) {
    if (this.mode === "live") return this.time.now(local) - this.smooth_ms;
    if (this.mode === "frozen") return this.t;
    return this.t + (local - this.local) * (this.time.paced ? 1 : this.time.rate || 1);
  }

  /** Whether panes show what comes at once, not what stands at the cursor. */
  get direct() {
    return this.mode === "live" && this.smooth_ms === 0;
  }

  /** @param {number} ms */
  smooth(ms) {
    this.smooth_ms = ms;
    this.onJump();
  }

  /** @param {number} local */
  behind(local = performance.now()) {
    return this.mode === "live" ? 0 : Math.max(0, this.time.now(local) - this.cursor(local));
  }

  live() {
    this.mode = "live";
    this.seeking = false;
    this.next = null;
    this.onJump();
  }

  /**
   * Go to a moment; past the head is live.
   *
   * @param {number} t
   * @param {boolean} frozen
   */
  seek(t, frozen) {
    const now = this.time.now();
    if (!frozen && t >= now - this.smooth_ms - 300) return this.live();
    this.t = Math.max(this.oldest, Math.min(t, now));
    this.local = this.began = performance.now();
    this.mode = frozen ? "frozen" : "play";
    this.seeking = true;
    this.next = null;
    this.fill(true);
    this.onJump();
  }

  /** Hold the picture, or let it run on from where it stands. */
  freeze() {
    if (this.mode === "frozen") this.seek(this.t, false);
    else this.seek(this.cursor(), true);
  }

  /** Stop being there: nothing has been drawn yet, or all of it has. */
  arrived() {
    if (!this.seeking) return;
    this.seeking = false;
    this.seek_ms = performance.now() - this.began;
    this.onJump();
  }

  /**
   * Ask for what is missing around the cursor. Called at every seek and ten times a second.
   *
   * @param {boolean} jumped also ask for the state at the cursor
   */
  fill(jumped = false) {
    if (this.mode === "live") return;
    const t = this.cursor();
    const now = this.time.now();
    if (this.mode === "play" && t >= now - this.smooth_ms - 300) return this.live();
    const { small, bulk } = this.store;
    if (this.seeking && this.flying.has("at") && !this.isFlying("at")) this.state?.(); // its answer was lost
    if (jumped) this.askState(t, small.has(Math.max(this.oldest, t - BACK_MS), Math.min(t, now - 500)));
    this.piece("small", this.small(), small, t - BACK_MS, t, now);
    this.piece("bulk", this.bulk(), bulk, t, t, now);
  }

  /**
   * The state at a moment: of every channel the last sample, of video the group it stands in.
   *
   * @param {number} t
   * @param {boolean} haveSmall all but video is here already
   */
  askState(t, haveSmall) {
    const { bulk } = this.store;
    const videos = bulk.has(Math.max(this.oldest, t - REFILL_MS), t) ? [] : this.bulk();
    const addresses = [...(haveSmall ? [] : this.small()), ...videos];
    if (!addresses.length) return this.arrived();
    const { round } = this;
    const got = () => {
      if (videos.length && round === this.round) bulk.add(t - 1, t);
    };
    const send = () => this.question("at", { addresses, at: t }, got, () => this.state === send);
    this.state = send;
    if (this.isFlying("at")) this.next = send;
    else send();
  }

  /**
   * @param {string} name
   * @param {string[]} addresses
   * @param {import("./store.js").Cover} cover
   * @param {number} from
   * @param {number} t
   * @param {number} now
   */
  piece(name, addresses, cover, from, t, now) {
    if (this.isFlying(name) || !addresses.length) return;
    const first = Math.max(this.oldest, from);
    const needed = cover.missing(first, Math.min(t + REFILL_MS, now - 200));
    if (!needed) return;
    const until = Math.min(t + AHEAD_MS, now);
    const { round } = this;
    this.question(name, { addresses, between: [needed[0], until] }, () => {
      if (name === "small" || round === this.round) cover.add(needed[0], until);
    });
  }

  /** @param {string} name */
  isFlying(name) {
    const since = this.flying.get(name);
    return since !== undefined && performance.now() - since < GIVE_UP_MS;
  }

  /**
   * @param {string} name
   * @param {Omit<Question, "done">} question
   * @param {() => void} got
   * @param {() => boolean} [wanted] whether an answer still counts that another question has overtaken
   */
  question(name, question, got, wanted = () => false) {
    const asked = performance.now();
    this.flying.set(name, asked);
    this.ask({
      ...question,
      done: () => {
        got();
        if (this.flying.get(name) !== asked && !wanted()) return;
        this.flying.delete(name);
        const { next } = this;
        if (name === "at" && next) {
          this.next = null;
          return next();
        }
        this.fill();
        if (this.flying.size === 0) this.arrived();
      },
    });
  }
}
