/**
 * What this page holds: samples of every channel, in bus-time order, and which stretches of time
 * are complete. @import {Kind, Sample} from "../types.js"
 */

const SMALL_KEEP_MS = 90_000;
const BULK_KEEP_MS = 40_000;
const AROUND_CURSOR_MS = 45_000;
const BULK_MOST_B = 256 * 2 ** 20; // of all pictures together: then less of the past is held
const LEAST_SHARE = 1 / 32;
export const AHEAD_MS = 1_000; // a sample whose time is later than that is of a clock that is wrong

/** One channel's samples. */
export class Track {
  /** @param {Kind} kind @param {boolean} [log] every sample is a line of a log */
  constructor(kind, log = false) {
    this.kind = kind;
    this.bulk = kind === "video" || kind === "image";
    this.forever = log || kind === "annotation" || kind === "alarm";
    /** @type {Sample[]} */
    this.samples = [];
    this.newest = -Infinity;
    /** @type {Sample|null} came last with a time that is not yet */
    this.ahead = null;
  }

  /** A sample came live; what it says of its own time is believed of the past alone. @param {Sample} sample @param {number} now */
  hear(sample, now) {
    sample.heard = now;
    if (sample.t > now + AHEAD_MS) this.ahead = sample;
  }

  /** The newest at `now`: none is held because its clock says that it is still to come. @param {number} now */
  last(now) {
    const last = this.at(now + AHEAD_MS);
    const { ahead } = this;
    return ahead && (!last || (ahead.heard ?? 0) > last.t) ? ahead : last;
  }

  /**
   * @param {Sample} sample
   * @returns {boolean} false when it was here already
   */
  add(sample) {
    const { samples } = this;
    if (sample.t > this.newest) {
      this.newest = sample.t;
      samples.push(sample);
      return true;
    }
    let at = this.after(sample.t);
    for (let i = at - 1; i >= 0 && samples[i].t === sample.t; i--) {
      if (samples[i].seq === sample.seq && samples[i].epoch === sample.epoch) return false;
      if (samples[i].epoch === sample.epoch && samples[i].seq > sample.seq) at = i;
    }
    samples.splice(at, 0, sample);
    this.newest = samples[samples.length - 1].t;
    return true;
  }

  /** Index of the first sample later than `t`. @param {number} t */
  after(t) {
    let low = 0;
    let high = this.samples.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.samples[middle].t <= t) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The last sample at or before `t`. @param {number} t */
  at(t) {
    return this.samples[this.after(t) - 1];
  }

  /** Bytes of pictures. */
  get bytes() {
    return this.bulk ? this.samples.reduce((sum, { value }) => sum + (value?.length ?? value?.data?.length ?? 0), 0) : 0;
  }

  /** Forget what is neither recent nor near the cursor. @param {number} now @param {number} t @param {number} [share] of how long */
  trim(now, t, share = 1) {
    if (this.forever) {
      if (this.samples.length > 20_000) this.samples.splice(0, 5_000);
      return;
    }
    const [keep, around] = this.bulk ? [BULK_KEEP_MS * share, AROUND_CURSOR_MS * share] : [SMALL_KEEP_MS, AROUND_CURSOR_MS];
    const last = this.samples[this.samples.length - 1];
    this.samples = this.samples.filter(
      (s) => Math.abs(s.t - now) < keep || Math.abs(s.t - t) < around || s === last,
    );
  }
}

/** Stretches of time that are complete; half-open, sorted, apart. */
export class Cover {
  constructor() {
    /** @type {[number, number][]} */
    this.spans = [];
  }

  /** @param {number} from @param {number} to */
  add(from, to) {
    if (!(to > from)) return;
    /** @type {[number, number][]} */
    const kept = [];
    for (const [a, b] of this.spans) {
      if (b < from || a > to) kept.push([a, b]);
      else {
        from = Math.min(from, a);
        to = Math.max(to, b);
      }
    }
    kept.push([from, to]);
    this.spans = kept.sort((x, y) => x[0] - y[0]);
  }

  /** @param {number} from @param {number} to */
  has(from, to) {
    return this.spans.some(([a, b]) => a <= from && to <= b);
  }

  /** The first part of a stretch that is missing. @param {number} from @param {number} to */
  missing(from, to) {
    for (const [a, b] of this.spans) {
      if (a <= from && from < b) from = b;
      else if (from < a && a < to) to = a;
    }
    return from < to ? /** @type {[number, number]} */ ([from, to]) : null;
  }

  /** Keep only the parts inside the given stretches. @param {[number, number][]} keep */
  limit(keep) {
    const parts = new Cover();
    for (const [a, b] of this.spans) {
      for (const [c, d] of keep) parts.add(Math.max(a, c), Math.min(b, d));
    }
    this.spans = parts.spans;
  }
}

export class Store {
  constructor() {
    /** @type {Map<string, Track>} */
    this.tracks = new Map();
    this.small = new Cover();
    this.bulk = new Cover();
  }

  /** @param {string} address @param {Kind} kind @param {boolean} [log] */
  track(address, kind, log = false) {
    let track = this.tracks.get(address);
    if (!track) {
      track = new Track(kind, log);
      this.tracks.set(address, track);
    }
    return track;
  }

  /** @param {number} now @param {number} t the cursor @param {number} [most] bytes of pictures */
  trim(now, t, most = BULK_MOST_B) {
    let share = 1;
    for (const track of this.tracks.values()) track.trim(now, t);
    const bulk = [...this.tracks.values()].filter((track) => track.bulk);
    // Many cameras, or large pictures: less of each, before the browser ends the page.
    while (share > LEAST_SHARE && bulk.reduce((sum, track) => sum + track.bytes, 0) > most) {
      share /= 2;
      for (const track of bulk) track.trim(now, t, share);
    }
    const near = (/** @type {number} */ part) => /** @type {[number, number]} */ ([t - AROUND_CURSOR_MS * part, t + AROUND_CURSOR_MS * part]);
    this.small.limit([near(1), [now - SMALL_KEEP_MS, Infinity]]);
    this.bulk.limit([near(share), [now - BULK_KEEP_MS * share, Infinity]]);
  }
}

/** When a sample was at the latest: its own time, and never later than it came. @param {Sample} sample */
export function since({ t, heard }) {
  return heard === undefined ? t : Math.min(t, heard);
}
