/**
 * The worker that draws waveforms, and nothing else. Whoever handles a picture of a video waits, where
 * there is no GPU, for the main thread; so that no trace ever does, traces have a worker of their own.
 * It knows samples and the moment of the head from the feed's worker, and the canvases from the page.
 * @import {Sample} from "../types.js"
 */

import { Track } from "./store.js";
import { Sweep } from "./sweep.js";

const HELD_MS = 2_000; // the feed says nothing: the head stands
const BACK_MS = 80; // a head that went back by less was corrected: it waits
const TOLD_MS = 125;
const TRIM_MS = 5_000;

/** @typedef {{t: number, at: number, rate: number, now: number, runs: boolean}} Head moment, when that was, ms of t a ms */

export class Traces {
  constructor() {
    /** @type {Map<string, {canvas: OffscreenCanvas, sweeps: Sweep[]}>} */
    this.sheets = new Map();
    /** @type {Map<string, Track>} */
    this.tracks = new Map();
    /** @type {Map<string, number[]>} moments that are marked on a waveform */
    this.marks = new Map();
    /** @type {Head|null} */
    this.head = null;
    this.t = -Infinity;
    this.trimmed = 0;
  }

  /** @param {string} address */
  track(address) {
    let track = this.tracks.get(address);
    if (!track) this.tracks.set(address, (track = new Track("waveform")));
    return track;
  }

  /** @param {{waves?: [string, Sample][], marks?: [string, number][], head?: Head, anew?: boolean, forget?: boolean}} said */
  take({ waves = [], marks = [], head, anew, forget }) {
    if (forget) {
      this.tracks.clear();
      this.marks.clear();
    }
    for (const [address, sample] of waves) this.track(address).add(sample);
    for (const [address, t] of marks) this.mark(address, t);
    if (head) this.head = head;
    if (anew || forget) this.anew();
  }

  /** @param {string} address @param {number} t */
  mark(address, t) {
    const known = this.marks.get(address) ?? [];
    if (known.includes(t)) return;
    known.push(t);
    if (known.length > 2_000) known.shift();
    this.marks.set(address, known);
  }

  anew() {
    this.t = -Infinity;
    for (const { sweeps } of this.sheets.values()) for (const sweep of sweeps) sweep.head = null;
  }

  /** @param {any} wish */
  sheet({ id, canvas, width, height, rows, px_mm, line, speed }) {
    const sheet = this.sheets.get(id) ?? { canvas, sweeps: [] };
    if (!sheet.canvas) return;
    this.sheets.set(id, sheet);
    sheet.canvas.width = width;
    sheet.canvas.height = height;
    const pen = /** @type {OffscreenCanvasRenderingContext2D} */ (sheet.canvas.getContext("2d"));
    sheet.sweeps = rows.map((/** @type {any} */ row) => new Sweep(pen, row, px_mm, line, speed));
  }

  /** @param {number} local ms since 1970 */
  frame(local) {
    const { head } = this;
    if (!head?.runs) return;
    const t = head.t + Math.min(local - head.at, HELD_MS) * head.rate;
    this.t = t < this.t && this.t - t < BACK_MS ? this.t : t;
    for (const { sweeps } of this.sheets.values()) {
      for (const sweep of sweeps) {
        const { address } = sweep.row;
        sweep.marks = this.marks.get(address) ?? NONE;
        sweep.draw(this.track(address), this.t);
      }
    }
    if (local - this.trimmed < TRIM_MS) return;
    this.trimmed = local;
    for (const track of this.tracks.values()) track.trim(head.now, this.t);
  }

  /** What the height of each row stands for, and how much was drawn. */
  told() {
    /** @type {Record<string, [number, number]>} */
    const ranges = {};
    let columns = 0;
    for (const { sweeps } of this.sheets.values()) {
      for (const sweep of sweeps) {
        columns += sweep.columns;
        if (sweep.head !== null) ranges[sweep.row.address] = [sweep.low, sweep.high];
      }
    }
    return { ranges, columns };
  }
}

/** @type {number[]} */
const NONE = [];

/** @param {any} outside the worker's own scope */
function serve(outside) {
  const traces = new Traces();
  /** @type {MessagePort|null} */
  let feed = null;
  const now = () => performance.timeOrigin + performance.now();
  outside.onmessage = (/** @type {MessageEvent} */ { data }) => {
    if (data.do === "sheet") traces.sheet(data);
    else if (data.do === "clear") traces.sheets.clear();
    else if (data.do === "feed") {
      feed = /** @type {MessagePort} */ (data.port);
      feed.onmessage = (said) => traces.take(said.data);
    }
  };
  const frame = () => {
    outside.requestAnimationFrame(frame);
    traces.frame(now());
  };
  outside.requestAnimationFrame(frame);
  setInterval(() => feed?.postMessage(traces.told()), TOLD_MS);
}

if (typeof document === "undefined") serve(self);
