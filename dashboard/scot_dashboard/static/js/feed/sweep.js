/**
 * Waveforms as a monitor draws them: a head that sweeps to the right at 25 mm/s or as set, an erase bar in
 * front of it, the sweep before it dimmed, a dot at the head. Each frame touches only the strip
 * around the head. @import {Sample} from "../types.js"  @import {Track} from "./store.js"
 */

const SPEED_MM_S = 25;
const MM_A_MV = 10; // gain 1 of an ECG
const BAR_MM = 6;
const DIM = 0.58;
const LEAST_SHARE = 0.3;
const MARK = "#eef3f8";
const INVALID = 16;
const DENSE_PX = 0.25; // a sample
const MARK_SHARE = 0.45;

/**
 * @typedef {object} RowSpec in device pixels of the canvas
 * @property {string} address
 * @property {number} x
 * @property {number} y
 * @property {number} w
 * @property {number} h
 * @property {string} color
 * @property {number} rate_hz
 * @property {number|null} low
 * @property {number|null} high
 * @property {number} stale_ms
 * @property {number} [gain] 0 or none fits itself; 1 is 10 mm/mV of an ECG, else the declared range
 * @property {string} [mark] colour of the lines of pacing
 * @property {number} [mv] values of one millivolt; 0 for what is no ECG
 */

/** One waveform on a canvas that may hold several. */
export class Sweep {
  /**
   * @param {OffscreenCanvasRenderingContext2D} pen
   * @param {RowSpec} row
   * @param {number} px_mm device pixels a millimetre of screen
   * @param {number} line width, device px
   * @param {number} [speed] mm/s
   */
  constructor(pen, row, px_mm, line, speed = SPEED_MM_S) {
    this.pen = pen;
    this.row = row;
    this.line = line;
    this.px_mm = px_mm;
    this.px_ms = (speed * px_mm) / 1000;
    this.bar = Math.max(BAR_MM * px_mm, 4 * line);
    this.span_ms = row.w / this.px_ms;
    this.dot = line * 2;
    this.low = row.low ?? 0;
    this.high = row.high ?? 1;
    this.fixed = row.low !== null && row.high !== null && row.high > row.low;
    /** @type {number|null} bus time of the head; null until drawn whole */
    this.head = null;
    this.columns = 0;
    this.checked = 0;
    /** @type {number[]} moments of pacing, drawn as lines */
    this.marks = [];
  }

  /**
   * Draw up to `t`; the whole sweep when there is none yet.
   *
   * @param {Track} track
   * @param {number} t
   */
  draw(track, t) {
    const newest = track.samples[track.samples.length - 1];
    if (!newest) return;
    if (this.head === null || t < this.head || t - this.head > this.span_ms / 2) {
      return this.redraw(track, t);
    }
    const from = this.x(this.head);
    const to = this.x(t);
    if (Math.floor(to) === Math.floor(from)) return;
    this.columns += Math.abs(Math.floor(to) - Math.floor(from));
    const pad = 2 * this.dot + 2 * this.line;
    const begin = t - to / this.px_ms;
    if (to < from) {
      this.strip(track, begin - this.span_ms, from - pad, this.row.w, t);
      this.dim();
      this.fit(track, t, false);
      this.strip(track, begin, 0, to + this.bar, t);
    } else {
      this.strip(track, begin, from - pad, to + this.bar, t);
    }
    this.head = t;
    if (!this.silent(track, t)) this.mark(track, t, to);
    this.leaves(newest, t);
  }

  /** Draw all anew when the trace has left the range, at most once a second. */
  leaves(/** @type {Sample} */ newest, /** @type {number} */ t) {
    if (t < this.checked || this.row.gain || newest.flags & INVALID) return;
    this.checked = t + 1000;
    const slack = (this.high - this.low) * 0.06;
    for (const value of newest.value) {
      if (value < this.low - slack || value > this.high + slack) {
        this.head = null;
        return;
      }
    }
  }

  /** @param {Track} track @param {number} t */
  redraw(track, t) {
    const { pen, row } = this;
    this.fit(track, t, true);
    pen.clearRect(row.x, row.y, row.w, row.h);
    this.head = t;
    this.checked = t + 1000;
    const to = this.x(t);
    const begin = t - to / this.px_ms;
    pen.globalAlpha = 1 - DIM;
    this.strip(track, begin - this.span_ms, to + this.bar, row.w, t);
    pen.globalAlpha = 1;
    this.strip(track, begin, 0, to + this.bar, t);
    if (!this.silent(track, t)) this.mark(track, t, to);
    this.columns += row.w;
  }

  /** @param {Track} track @param {number} t */
  silent(track, t) {
    const last = track.at(t);
    return !last || t - this.end(last) > Math.max(400, this.row.stale_ms / 2);
  }

  /** Time just after a block's last value. @param {Sample} block */
  end(block) {
    return block.t + (block.value.length * 1000) / this.row.rate_hz;
  }

  /** @param {number} t */
  x(t) {
    const phase = (t / this.span_ms) % 1;
    return (phase < 0 ? phase + 1 : phase) * this.row.w;
  }

  /** @param {number} value */
  y(value) {
    const { row } = this;
    const share = (value - this.low) / (this.high - this.low);
    const pad = this.dot + 1; // the dot stays inside the row, where the bar erases it
    return row.y + row.h - pad - Math.max(0, Math.min(1, share)) * (row.h - 2 * pad);
  }

  dim() {
    const { pen, row } = this;
    pen.save();
    pen.globalCompositeOperation = "destination-out";
    pen.globalAlpha = DIM;
    pen.fillRect(row.x, row.y, row.w, row.h);
    pen.restore();
  }

  /**
   * Clear the columns [left, right) of the row and draw what belongs there.
   *
   * @param {Track} track
   * @param {number} begin moment of the row's left edge
   * @param {number} left
   * @param {number} right
   * @param {number} t newest moment that may be drawn
   */
  strip(track, begin, left, right, t) {
    const { pen, row } = this;
    const a = Math.max(0, Math.floor(left));
    const b = Math.min(row.w, Math.ceil(right));
    if (b <= a) return;
    pen.save();
    pen.beginPath();
    pen.rect(row.x + a, row.y, b - a, row.h);
    pen.clip();
    pen.clearRect(row.x + a, row.y, b - a, row.h);
    const reach = (3 * this.line) / this.px_ms;
    const until = Math.min(t, begin + b / this.px_ms + reach);
    this.path(track, begin + a / this.px_ms - reach, until, begin);
    this.lines(begin, a, b, until);
    pen.restore();
  }

  /**
   * Stroke the samples between two moments.
   *
   * @param {Track} track
   * @param {number} from
   * @param {number} to
   * @param {number} begin moment of the row's left edge
   */
  path(track, from, to, begin) {
    const { pen, row } = this;
    const step = 1000 / row.rate_hz;
    const first = Math.max(0, track.after(from) - 1);
    pen.beginPath();
    pen.strokeStyle = row.color;
    pen.lineWidth = this.line;
    pen.lineJoin = "round";
    let due = -Infinity;
    let drawing = false;
    for (let i = first; i < track.samples.length; i++) {
      const block = track.samples[i];
      if (block.t > to) break;
      if (block.t - due > 1.5 * step + 4) drawing = false;
      due = this.end(block);
      if (block.flags & INVALID) {
        drawing = false; // a line would be read as a flat one
        continue;
      }
      const values = block.value;
      const start = Math.max(0, Math.floor((from - block.t) / step) - 1);
      if (step * this.px_ms < DENSE_PX) {
        drawing = this.dense(block, start, to, begin, drawing);
        continue;
      }
      for (let k = start; k < values.length; k++) {
        const t = block.t + k * step;
        if (t > to) break;
        if (!Number.isFinite(values[k])) {
          drawing = false;
          continue;
        }
        const x = row.x + (t - begin) * this.px_ms;
        if (drawing) pen.lineTo(x, this.y(values[k]));
        else pen.moveTo(x, this.y(values[k]));
        drawing = true;
      }
    }
    pen.stroke();
  }

  /**
   * Many samples to a pixel: of each column the first, the least, the greatest and the last, so that
   * 10 kHz costs no more than 500 Hz and hides no spike.
   *
   * @param {Sample} block @param {number} start @param {number} to @param {number} begin @param {boolean} drawing
   */
  dense(block, start, to, begin, drawing) {
    const { pen, row } = this;
    const { value } = block;
    const step = 1000 / row.rate_hz;
    const last = Math.min(value.length - 1, Math.floor((to - block.t) / step));
    const column = (/** @type {number} */ k) => Math.floor(row.x + (block.t + k * step - begin) * this.px_ms);
    let k = start;
    while (k <= last) {
      const x = column(k);
      let low = Infinity;
      let high = -Infinity;
      const first = value[k];
      let end = first;
      for (; k <= last && column(k) === x; k++) {
        if (!Number.isFinite(value[k])) continue;
        end = value[k];
        low = Math.min(low, end);
        high = Math.max(high, end);
      }
      if (high < low) {
        drawing = false;
        continue;
      }
      const at = this.y(Number.isFinite(first) ? first : end);
      if (drawing) pen.lineTo(x + 0.5, at);
      else pen.moveTo(x + 0.5, at);
      for (const y of [this.y(low), this.y(high), this.y(end)]) pen.lineTo(x + 0.5, y);
      drawing = true;
    }
    return drawing;
  }

  /**
   * A line down from the top at each moment of pacing: a pacer's spike is too short for the trace.
   *
   * @param {number} begin @param {number} left @param {number} right px @param {number} until
   */
  lines(begin, left, right, until) {
    const { pen, row, line } = this;
    for (let i = this.marks.length - 1; i >= 0; i--) {
      const t = this.marks[i];
      const x = (t - begin) * this.px_ms;
      if (t > until || x < left - line || x > right + line) continue;
      pen.fillStyle = row.mark ?? MARK;
      pen.fillRect(Math.round(row.x + x - line / 2), row.y, Math.max(1, Math.round(line)), row.h * MARK_SHARE);
    }
  }

  /** The dot at the head. @param {Track} track @param {number} t @param {number} x */
  mark(track, t, x) {
    const value = this.valueAt(track, t);
    if (value === null) return;
    const { pen, row } = this;
    pen.beginPath();
    pen.fillStyle = row.color;
    const inside = Math.max(this.dot, Math.min(x, row.w - this.dot));
    pen.arc(row.x + inside, this.y(value), this.dot, 0, 2 * Math.PI);
    pen.fill();
  }

  /** @param {Track} track @param {number} t */
  valueAt(track, t) {
    const block = track.at(t);
    if (!block || !block.value.length || block.flags & INVALID) return null;
    const index = Math.floor(((t - block.t) * this.row.rate_hz) / 1000);
    const value = block.value[Math.min(index, block.value.length - 1)];
    return Number.isFinite(value) ? value : null;
  }

  /**
   * Choose the drawing range when the channel names none, or when its values leave it.
   *
   * @param {Track} track
   * @param {number} t
   * @param {boolean} anew forget the range chosen before
   */
  fit(track, t, anew) {
    let low = Infinity;
    let high = -Infinity;
    for (let i = track.after(t - this.span_ms) - 1; i < track.samples.length; i++) {
      const block = track.samples[i];
      if (!block || block.flags & INVALID) continue;
      if (block.t > t) break;
      for (const value of block.value) {
        if (!Number.isFinite(value)) continue;
        if (value < low) low = value;
        if (value > high) high = value;
      }
    }
    if (high < low) return;
    if (this.row.gain) return this.fix(low, high, anew);
    // Never so tall that noise on a flat line could pass for a beat.
    const declared = this.fixed ? Number(this.row.high) - Number(this.row.low) : 0;
    const span = Math.max((high - low) * 1.12, declared * LEAST_SHARE, 1e-6);
    const fits = low >= this.low && high <= this.high && span > (this.high - this.low) * 0.55;
    if (!anew && fits) return;
    const step = niceStep(span / 4);
    const middle = (low + high) / 2;
    this.low = Math.floor((middle - span / 2) / step + 0.01) * step;
    if (this.fixed && low >= Number(this.row.low)) this.low = Math.max(this.low, Number(this.row.low));
    this.high = Math.max(Math.ceil((middle + span / 2) / step - 0.01) * step, this.low + step);
  }

  /** A range that a gain fixes: it moves with the baseline, and only with it. @param {number} low @param {number} high @param {boolean} anew */
  fix(low, high, anew) {
    const { row } = this;
    const gain = row.gain || 1;
    const declared = this.fixed ? Number(row.high) - Number(row.low) : 1;
    const tall_mm = (row.h - 2 * (this.dot + 1)) / this.px_mm;
    const span = row.mv ? ((tall_mm / MM_A_MV) * row.mv) / gain : declared / gain;
    const inside = low >= this.low && high <= this.high && Math.abs(this.high - this.low - span) < span * 1e-6;
    if (!anew && inside) return;
    const middle = !row.mv && this.fixed && gain <= 1 ? (Number(row.low) + Number(row.high)) / 2 : (low + high) / 2;
    this.low = middle - span / 2;
    this.high = middle + span / 2;
  }
}

/** The 1, 2 or 5 times a power of ten just below. @param {number} rough */
function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  const lead = rough / power;
  return power * (lead >= 5 ? 5 : lead >= 2 ? 2 : 1);
}
