/**
 * Bus time as this page reads it.
 *
 * Each reply of the server says the bus time `b` at some moment between sending (t1) and receiving
 * (t4) on the page's own clock. The exchange with the shortest round trip of the last half minute
 * wins: bus time at (t1 + t4) / 2 is `b`, surely within half that round trip. A replay may run at
 * another speed than 1; the speed is taken from exchanges far enough apart.
 */

const KEEP_MS = 30_000;
const NS = 1_000_000n;
const SLACK_MS = 60;

export class BusTime {
  constructor() {
    /** @type {bigint|null} bus ns that `t` counts from */
    this.base = null;
    /** @type {{local: number, t: number, half: number}[]} */
    this.exchanges = [];
    this.offset = 0;
    this.rate = 1;
    this.paced = false;
    this.at = 0;
    this.half_ms = Infinity;
    this.utcOffset = 37_000_000_000n;
  }

  /**
   * Take the time of a `hello`, which is late by the way here and is replaced by the first reply.
   *
   * @param {bigint|number} ns
   * @param {number} local page's clock when it came, ms
   */
  hello(ns, local) {
    const wide = BigInt(ns);
    if (this.base === null) this.base = wide;
    this.exchanges = [];
    this.half_ms = Infinity;
    this.rate = 1;
    this.paced = false;
    this.at = local;
    this.offset = this.fromNs(wide);
  }

  /**
   * A replay's player said where it stands and how fast it goes; from now on it is what counts.
   *
   * @param {number} t ms since the base
   * @param {number} rate 0 stands still
   * @param {boolean} jumped
   * @param {number} local page's clock when it came, ms
   */
  pace(t, rate, jumped, local) {
    const close = Math.abs(this.now(local) - t) < SLACK_MS * Math.max(1, rate);
    if (!this.paced || jumped || rate !== this.rate || !close) {
      this.at = local;
      this.offset = t;
    }
    this.paced = true;
    this.rate = rate;
  }

  /**
   * @param {number} t1 page's clock when the question left, ms
   * @param {number} t4 page's clock when the answer came, ms
   * @param {bigint|number} ns
   */
  reply(t1, t4, ns) {
    if (this.base === null || !(t4 >= t1)) return;
    const latest = { local: (t1 + t4) / 2, t: this.fromNs(BigInt(ns)), half: (t4 - t1) / 2 };
    this.exchanges.push(latest);
    while (this.exchanges[0].local < t4 - KEEP_MS) this.exchanges.shift();
    if (this.paced) {
      this.half_ms = Math.min(...this.exchanges.map((e) => e.half));
      return;
    }
    this.findRate();
    if (this.rate !== 1) return this.anchor(latest);
    // An old exchange is worth its half trip plus what two quartz clocks may have drifted since.
    let best = latest;
    const cost = (/** @type {{local: number, half: number}} */ e) => e.half + (t4 - e.local) * 5e-5;
    for (const exchange of this.exchanges) if (cost(exchange) < cost(best)) best = exchange;
    this.anchor(best);
  }

  /** @param {{local: number, t: number, half: number}} exchange */
  anchor(exchange) {
    this.at = exchange.local;
    this.offset = exchange.t;
    this.half_ms = exchange.half;
  }

  findRate() {
    const first = this.exchanges[0];
    const last = this.exchanges[this.exchanges.length - 1];
    const apart = last.local - first.local;
    if (apart < 200) return;
    const rate = (last.t - first.t) / apart;
    const doubt = (last.half + first.half) / apart;
    this.rate = Math.abs(rate - 1) < 0.02 + doubt ? 1 : rate;
    if (this.rate !== 1 && this.exchanges.length > 4) this.exchanges.shift();
  }

  /** Bus time now, ms since the base. @param {number} local */
  now(local = performance.now()) {
    return this.offset + (local - this.at) * this.rate;
  }

  /** @param {bigint} ns */
  fromNs(ns) {
    const since = ns - (this.base ?? ns);
    const whole = since / NS;
    return Number(whole) + Number(since - whole * NS) / 1e6;
  }

  /** @param {number} t */
  toNs(t) {
    return (this.base ?? 0n) + BigInt(Math.round(t * 1e3)) * 1000n;
  }

  /** UTC in ms since 1970 of a bus time. @param {number} t */
  unix(t) {
    return Number(((this.base ?? 0n) - this.utcOffset) / 1000n) / 1e3 + t;
  }
}
