/**
 * Plots of several channels over one axis of time, with the cursor, A and B through all of them.
 * @import {Channel} from "../types.js"  @import {Line, Series} from "../feed/probe.js"
 */

import { shownZone } from "../clock.js";
import { deviceSize, h, onResize, setText } from "../dom.js";
import { clockText, offsetMs } from "../feed/zone.js";
import { isClock } from "../feed/probe.js";
import { colorOf } from "../palette.js";
import { label, unitText, word } from "../text.js";

const STEPS_MS = [100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];
const PARTS = ["#59c2ff", "#ff9ecb", "#b99cff", "#3ee6a0", "#ff6f61", "#c9d3e0"];
const MARK = { A: "#3ee6a0", B: "#ff9ecb" };

/** @typedef {{from: number, to: number, cursor: number, A: number|null, B: number|null, unix: (t: number) => number}} Axis */

export class Plot {
  /**
   * @param {string} address
   * @param {Channel} channel
   * @param {boolean} errors draw how well its time is known instead of its values
   * @param {() => void} toggled
   * @param {{address: string, key: string}[]} [parts] the same channel of several recordings
   */
  constructor(address, channel, errors, toggled, parts = []) {
    this.address = address;
    this.parts = parts.length > 1 ? parts : [{ address, key: "" }];
    this.channel = channel;
    this.errors = errors;
    this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas.plot-canvas", { role: "img", "aria-label": address }));
    this.value = h("span.plot-value");
    this.mode = h("button.plot-mode", { type: "button", text: "±", title: word("showErrors"), "aria-pressed": String(errors) });
    this.mode.addEventListener("click", toggled);
    const title = this.parts.map((part) => part.address).join(" · ");
    const name = h("span.plot-name", { text: label(channel.label, channel.name), title });
    name.style.setProperty("--color", colorOf(channel));
    const unit = errors ? `± ms · ${word("likely")}, ${word("sure")}` : isClock(address) ? "ms" : unitText(channel.unit);
    this.element = h("figure.plot", {}, [
      h("figcaption.plot-head", {}, [name, h("span.plot-unit", { text: unit }), this.value, this.mode]), this.canvas,
    ]);
    this.last = false;
    /** @type {Map<string, Series>} by address */
    this.series = new Map();
    /** @type {Axis|null} */
    this.axis = null;
    onResize(this.canvas, () => this.draw());
  }

  /** @returns {(Line & {side: number})[]} */
  get lines() {
    return this.parts.flatMap(({ address, key }, side) => {
      const series = this.series.get(address);
      const lines = (this.errors ? series?.errors : series?.lines) ?? [];
      return lines.map((line) => ({ ...line, name: [key.toUpperCase(), line.name && word(line.name)].filter(Boolean).join(" "), side }));
    });
  }

  /** @param {Series} series @returns {boolean} whether it is of this plot */
  take(series) {
    const mine = this.parts.some(({ address }) => address === series.address);
    if (mine) this.series.set(series.address, series);
    return mine;
  }

  draw() {
    const { axis } = this;
    const { width, height, rem } = deviceSize(this.canvas);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const pen = this.canvas.getContext("2d");
    if (!pen || !axis) return;
    pen.clearRect(0, 0, width, height);
    const x = (/** @type {number} */ t) => ((t - axis.from) / (axis.to - axis.from)) * width;
    const [low, high] = this.range(axis);
    const pad = 0.35 * rem;
    const foot = this.last ? 1.3 * rem : 0;
    const y = (/** @type {number} */ v) => height - foot - pad - ((v - low) / (high - low)) * (height - foot - 2 * pad);
    this.times(pen, axis, x, height, rem);
    this.grid(pen, width, low, high, y, rem);
    const marks = !this.errors && !["numeric", "waveform", "pose"].includes(this.channel.kind) && !isClock(this.address);
    this.lines.forEach((line, i) => {
      pen.strokeStyle = pen.fillStyle = this.lines.length > 1 ? PARTS[i % PARTS.length] : colorOf(this.channel);
      pen.setLineDash(line.side ? [0.5 * rem, 0.3 * rem] : []); // by colour and by dash
      const [top, tall] = this.parts.length > 1 ? [0.15 + 0.35 * line.side, 0.3] : [0.25, 0.5];
      if (marks) for (const t of line.t) pen.fillRect(x(t) - 0.05 * rem, height * top, Math.max(1, 0.1 * rem), height * tall);
      else trace(pen, line, x, y, rem);
      if (this.lines.length > 1 && line.name) this.tag(pen, line.name, i, rem);
    });
    pen.setLineDash([]);
    for (const mark of /** @type {const} */ (["A", "B"])) {
      const t = axis[mark];
      if (t !== null) stroke(pen, x(t), height, MARK[mark], 0.12 * rem, mark, rem);
    }
    stroke(pen, x(axis.cursor), height, "#ffb020", 0.14 * rem, "", rem);
    setText(this.value, this.reading(axis.cursor));
  }

  /** @param {CanvasRenderingContext2D} pen @param {string} name @param {number} i @param {number} rem */
  tag(pen, name, i, rem) {
    pen.font = `600 ${0.72 * rem}px Inter, system-ui, sans-serif`;
    pen.textAlign = "left";
    pen.fillText(name, 3.4 * rem + i * 5 * rem, 0.85 * rem);
  }

  /** @param {CanvasRenderingContext2D} pen @param {number} width @param {number} low @param {number} high @param {(v: number) => number} y @param {number} rem */
  grid(pen, width, low, high, y, rem) {
    pen.font = `500 ${0.7 * rem}px Inter, system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.textAlign = "left";
    for (const v of ticks(low, high, 3)) {
      pen.fillStyle = "#1b232d";
      pen.fillRect(0, y(v), width, 1);
      pen.fillStyle = "#8fa0b2";
      pen.fillText(String(+v.toPrecision(4)), 0.2 * rem, Math.max(0.5 * rem, y(v) - 0.5 * rem));
    }
  }

  /** Where seconds stand; the last plot names them. @param {CanvasRenderingContext2D} pen @param {Axis} axis @param {(t: number) => number} x @param {number} height @param {number} rem */
  times(pen, axis, x, height, rem) {
    pen.font = `500 ${0.72 * rem}px Inter, system-ui, sans-serif`;
    pen.textBaseline = "middle";
    pen.textAlign = "center";
    const wanted = (axis.to - axis.from) / Math.max(2, Math.min(8, x(axis.to) / (7 * rem)));
    const step = STEPS_MS.find((s) => s >= wanted) ?? 600_000;
    const shift = axis.unix(0);
    const zone = -offsetMs(axis.from + shift, shownZone());
    for (let unix = Math.ceil((axis.from + shift - zone) / step) * step + zone; unix - shift < axis.to; unix += step) {
      pen.fillStyle = "#141b24";
      pen.fillRect(x(unix - shift), 0, 1, height);
      if (!this.last) continue;
      pen.fillStyle = "#8fa0b2";
      const text = `${clockText(unix, shownZone())}${step < 1000 ? `.${Math.floor((unix % 1000) / 100)}` : ""}`;
      pen.fillText(text, x(unix - shift), height - 0.6 * rem);
    }
  }

  /** Least and greatest value on the screen. @param {Axis} axis @returns {[number, number]} */
  range(axis) {
    let low = Infinity;
    let high = -Infinity;
    for (const { t, v } of this.lines) {
      for (let i = 0; i < t.length; i++) {
        if (t[i] < axis.from || t[i] > axis.to || Number.isNaN(v[i])) continue;
        if (v[i] < low) low = v[i];
        if (v[i] > high) high = v[i];
      }
    }
    if (low > high) return [0, 1];
    const margin = Math.max((high - low) * 0.08, Math.abs(high) * 1e-6, 1e-9);
    return [low - margin, high + margin];
  }

  /** What the channel's last value at `t` is. @param {number} t */
  reading(t) {
    return this.lines.map(({ name, t: times, v }) => {
      let i = times.length - 1;
      while (i >= 0 && (times[i] > t || Number.isNaN(v[i]))) i--;
      return i < 0 ? "" : `${name && this.lines.length > 1 ? `${name} ` : ""}${+v[i].toPrecision(5)}`;
    }).filter(Boolean).slice(0, 4).join("  ");
  }
}

/** @param {CanvasRenderingContext2D} pen @param {Line} line @param {(t: number) => number} x @param {(v: number) => number} y @param {number} rem */
function trace(pen, { t, v }, x, y, rem) {
  pen.lineWidth = Math.max(1, 0.09 * rem);
  pen.lineJoin = "round";
  pen.beginPath();
  let down = false;
  for (let i = 0; i < t.length; i++) {
    if (Number.isNaN(v[i])) down = false;
    else {
      if (down) pen.lineTo(x(t[i]), y(v[i]));
      else pen.moveTo(x(t[i]), y(v[i]));
      down = true;
    }
  }
  pen.stroke();
  const apart = t.length > 1 ? Math.abs(x(t[t.length - 1]) - x(t[0])) / t.length : Infinity;
  if (apart < 0.6 * rem) return;
  for (let i = 0; i < t.length; i++) {
    pen.beginPath();
    pen.arc(x(t[i]), y(v[i]), 0.16 * rem, 0, 2 * Math.PI);
    pen.fill();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {number} px @param {number} height @param {string} color @param {number} width @param {string} name @param {number} rem */
function stroke(pen, px, height, color, width, name, rem) {
  pen.fillStyle = color;
  pen.fillRect(px - width / 2, 0, Math.max(1, width), height);
  if (!name) return;
  pen.font = `700 ${0.8 * rem}px Inter, system-ui, sans-serif`;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  pen.fillText(name, px + 0.25 * rem, 0.65 * rem);
}

/** Round numbers inside a range. @param {number} low @param {number} high @param {number} about */
export function ticks(low, high, about) {
  const raw = (high - low) / about;
  const power = 10 ** Math.floor(Math.log10(raw || 1));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw) ?? raw;
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high && found.length < 12; v += step) found.push(v);
  return found;
}
