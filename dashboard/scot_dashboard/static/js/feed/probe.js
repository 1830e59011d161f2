/**
 * Samples of chosen channels over a stretch, for plots and tables: asked from History once, thinned
 * to what a plot can show. It keeps its own copies, apart from those that the panes live on.
 * @import {Channel, Sample} from "../types.js"  @import {Room} from "./room.js"
 */

import { Cover, Track } from "./store.js";
import { readSample } from "./wire.js";

const MOST_POINTS = 4_000;
const ROWS = 60;
const SETTLED_MS = 1_200;
const LONGEST_MS = 900_000;
const KEEP = 400_000;

/**
 * @typedef {object} Line
 * @property {string} name part of the value: "", "x", "y", "z", or a source
 * @property {Float64Array} t ms
 * @property {Float64Array} v NaN where there is a gap
 *
 * @typedef {object} Series
 * @property {string} address
 * @property {Line[]} lines
 * @property {Line[]} errors likely and sure, ms
 *
 * @typedef {object} RawRow
 * @property {bigint} ns
 * @property {number} t
 * @property {number} t_unix_ms
 * @property {number} seq
 * @property {number} state
 * @property {number} flags
 * @property {number|null} err_ms
 * @property {number|null} bound_ms
 * @property {string} text
 */

export class Probe {
  /** @param {Room} room */
  constructor(room) {
    this.room = room;
    /** @type {Map<string, {track: Track, cover: Cover}>} */
    this.held = new Map();
    /** @type {Set<string>} */
    this.flying = new Set();
  }

  /** @param {{id: number, addresses: string[], rows: string, from_t: number, to_t: number, at_t: number}} wish */
  want(wish) {
    const to = Math.min(wish.to_t, wish.from_t + LONGEST_MS);
    for (const address of new Set([...wish.addresses, wish.rows])) {
      const known = this.room.channels.get(address);
      if (known) this.fetch(address, wish.from_t, this.room.player ? to : Math.min(to, this.room.time.now()));
    }
    const series = wish.addresses.flatMap((address) => this.series(address, wish.from_t, to));
    this.room.tell("series", { series: { id: wish.id, series, rows: this.rows(wish.rows, wish.at_t), of: wish.rows } });
  }

  /** @param {string} address @param {number} from @param {number} to */
  fetch(address, from, to) {
    const { track, cover } = this.of(address);
    const missing = cover.missing(Math.floor(from), to);
    if (!missing || this.flying.has(address) || missing[1] - missing[0] < 200) return;
    this.flying.add(address);
    const settled = this.room.player ? Infinity : this.room.time.now() - SETTLED_MS;
    const take = (/** @type {Sample} */ sample) => track.add(sample);
    const done = () => {
      this.flying.delete(address);
      cover.add(missing[0], Math.min(missing[1], settled));
      if (track.samples.length > KEEP) {
        track.samples.splice(0, track.samples.length - KEEP);
        cover.limit([[track.samples[0].t, Infinity]]);
      }
    };
    this.room.ask({ addresses: [address], between: missing, take, done, failed: () => this.flying.delete(address) });
  }

  /** @param {string} address */
  of(address) {
    let held = this.held.get(address);
    if (!held) {
      held = { track: new Track(this.room.channels.get(address)?.channel.kind ?? "event"), cover: new Cover() };
      this.held.set(address, held);
    }
    return held;
  }

  /** @param {string} address @param {number} from @param {number} to @returns {Series[]} */
  series(address, from, to) {
    const channel = this.room.channels.get(address)?.channel;
    if (!channel) return [];
    const { track } = this.of(address);
    const first = Math.max(0, track.after(from) - 1);
    const samples = track.samples.slice(first, track.after(to) + 1);
    const lines = isClock(address) ? clockLines(samples) : linesOf(channel, samples);
    const one = (/** @type {string} */ name, /** @type {(s: Sample) => number|null} */ get) => line(name, samples, get, Infinity);
    const errors = [one("likely", (s) => s.err_ms), one("sure", (s) => s.bound_ms)];
    return [{ address, lines: lines.map(thinned), errors: errors.map(thinned) }];
  }

  /** The samples at and before a moment, newest first. @param {string} address @param {number} t @returns {RawRow[]} */
  rows(address, t) {
    const channel = this.room.channels.get(address)?.channel;
    if (!channel) return [];
    const { track } = this.of(address);
    const end = track.after(t + 0.001);
    return track.samples.slice(Math.max(0, end - ROWS), end).reverse().map((s) => ({
      ns: s.ns, t: s.t, t_unix_ms: this.room.time.unix(s.t), seq: s.seq, state: s.state, flags: s.flags,
      err_ms: s.err_ms, bound_ms: s.bound_ms, text: textOf(channel, s.value),
    }));
  }
}

/** @param {string} name @param {Sample[]} samples @param {(s: Sample) => number|null} get @param {number} gap_ms @returns {Line} */
function line(name, samples, get, gap_ms) {
  /** @type {number[]} */
  const t = [];
  /** @type {number[]} */
  const v = [];
  samples.forEach((s, i) => {
    if (i && s.t - samples[i - 1].t > gap_ms) {
      t.push(s.t);
      v.push(NaN);
    }
    const value = get(s);
    t.push(s.t);
    v.push(value === null || !Number.isFinite(value) ? NaN : value);
  });
  return { name, t: Float64Array.from(t), v: Float64Array.from(v) };
}

/** @param {Channel} channel @param {Sample[]} samples @returns {Line[]} */
function linesOf(channel, samples) {
  const gap = channel.rate_hz ? 3_000 / channel.rate_hz : Infinity;
  if (channel.kind === "numeric") return [line("", samples, (s) => s.value.value, gap)];
  if (channel.kind === "pose") {
    return ["x", "y", "z"].map((name, i) => line(name, samples, (s) => (s.value.visible ? s.value.position[i] : null), gap));
  }
  if (channel.kind === "waveform") return [waveLine(samples, channel.rate_hz || 100)];
  return [line("", samples, () => 0, Infinity)];
}

/** Every value of every block, at its own time. @param {Sample[]} samples @param {number} rate @returns {Line} */
function waveLine(samples, rate) {
  const step = 1_000 / rate;
  const count = samples.reduce((n, s) => n + s.value.length + 1, 0);
  const t = new Float64Array(count);
  const v = new Float64Array(count);
  let n = 0;
  let end = NaN;
  for (const s of samples) {
    if (s.t - end > 1.5 * step) {
      t[n] = end;
      v[n++] = NaN;
    }
    for (let i = 0; i < s.value.length; i++) {
      t[n] = s.t + i * step;
      v[n++] = s.value[i];
    }
    end = s.t + s.value.length * step;
  }
  return { name: "", t: t.subarray(0, n), v: v.subarray(0, n) };
}

/** The room's clock, or that of one of several recordings. @param {string} address */
export function isClock(address) {
  return /\/([a-h]_)?room\/clock$/.test(address);
}

/** Offset of each source from its first, ms, as each exchange saw it. @param {Sample[]} samples @returns {Line[]} */
function clockLines(samples) {
  /** @type {Map<string, {first: number, t: number[], v: number[]}>} */
  const sources = new Map();
  for (const s of samples) {
    const { source, t1_ns, t2_ns, t3_ns, t4_ns } = s.value ?? {};
    if (typeof source !== "string") continue;
    const offset = Number(BigInt(t2_ns) - BigInt(t1_ns) + (BigInt(t3_ns) - BigInt(t4_ns))) / 2e6;
    if (!Number.isFinite(offset)) continue;
    const name = source.split("-")[0];
    const known = sources.get(name) ?? { first: offset, t: [], v: [] };
    sources.set(name, known);
    known.t.push(s.t);
    known.v.push(offset - known.first);
  }
  return [...sources].map(([name, { t, v }]) => ({ name, t: Float64Array.from(t), v: Float64Array.from(v) }));
}

/** Least and greatest of each of so many stretches, so that no peak is lost. @param {Line} whole @returns {Line} */
function thinned(whole) {
  const { t, v } = whole;
  if (t.length <= MOST_POINTS) return { ...whole, t: t.slice(), v: v.slice() };
  const bins = MOST_POINTS / 4;
  const span = (t[t.length - 1] - t[0]) / bins || 1;
  /** @type {number[]} */
  const times = [];
  /** @type {number[]} */
  const values = [];
  let i = 0;
  for (let bin = 0; bin < bins && i < t.length; bin++) {
    const end = t[0] + (bin + 1) * span;
    let [low, high, gap] = [i, i, false];
    for (; i < t.length && (t[i] < end || bin === bins - 1); i++) {
      if (Number.isNaN(v[i])) gap = true;
      if (!(v[i] >= v[low])) low = Number.isNaN(v[i]) ? low : i;
      if (!(v[i] <= v[high])) high = Number.isNaN(v[i]) ? high : i;
    }
    for (const k of low < high ? [low, high] : [high, low]) {
      times.push(t[k]);
      values.push(v[k]);
    }
    if (gap) {
      times.push(end);
      values.push(NaN);
    }
  }
  return { ...whole, t: Float64Array.from(times), v: Float64Array.from(values) };
}

/** A value as a person may read it, bounded. @param {Channel} channel @param {any} value */
function textOf(channel, value) {
  const short = (/** @type {number} */ x) => (Number.isFinite(x) ? String(+x.toPrecision(6)) : String(x));
  switch (channel.kind) {
    case "numeric": return `${value.value === null ? "–" : short(value.value)} ${value.validity}`;
    case "waveform": return `${value.length} × ${[...value.slice(0, 4)].map(short).join(" ")} …`;
    case "pose": return `${value.position.map((/** @type {number} */ x) => x.toFixed(2)).join(" ")}${value.visible ? "" : " –"}`;
    case "video": return `${value.length} B`;
    case "text": return String(value).slice(0, 200);
    default: return JSON.stringify(value, (_, x) => (typeof x === "bigint" ? String(x) : x instanceof Uint8Array ? `${x.length} B` : x)).slice(0, 300);
  }
}
