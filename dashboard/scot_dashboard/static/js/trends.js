/**
 * Trend lines of every numeric: the least and the greatest of each stretch, limits shaded, gaps as
 * gaps, what is measured now and then as points. A press goes to that moment.
 * @import {Session} from "./session.js"  @import {Group, Layout} from "./plan.js"  @import {View} from "./types.js"
 */

import { shownZone } from "./clock.js";
import { deviceSize, h, onResize, setHidden } from "./dom.js";
import { clockText, offsetMs } from "./feed/zone.js";
import { settings } from "./settings.js";
import { word } from "./text.js";
import { shownAs, valueText } from "./units.js";

const BINS = 360;
const ASK_MS = 5_000;
const SPANS_MIN = [10, 30, 60, 240];
const MOST_ROWS = 8;
const LEAST_MS = 120_000;

export class Trends {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.minutes = SPANS_MIN[1];
    this.asked = -Infinity;
    /** @type {any} */
    this.found = null;
    /** @type {Group[]} */
    this.groups = [];
    /** @type {View|null} */
    this.view = null;
    this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas.trends-canvas", { role: "img", "aria-label": word("trends") }));
    this.spans = SPANS_MIN.map((minutes) => {
      const chip = h("button.log-filter", { type: "button", text: minutes < 60 ? `${minutes} min` : `${minutes / 60} h` });
      chip.addEventListener("click", () => this.choose(minutes));
      return { minutes, chip };
    });
    const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
    close.addEventListener("click", () => this.toggle(false));
    this.element = h("section.drawer.trends", { role: "dialog", "aria-label": word("trends") }, [
      h("div.panel-head", {}, [h("h2", { text: word("trends") }), h("div.log-filters", {}, this.spans.map((s) => s.chip)), close]),
      this.canvas,
    ]);
    setHidden(this.element, true);
    this.button = h("button.drawer-button", { type: "button", "aria-expanded": "false", text: word("trends") });
    this.button.addEventListener("click", () => this.toggle());
    this.canvas.addEventListener("click", (event) => this.go(event.offsetX));
    onResize(this.canvas, () => this.draw());
    session.listen({ trends: (found) => {
      this.found = found;
      this.draw();
    } });
    this.choose(this.minutes);
  }

  /** @param {Layout} layout */
  build(layout) {
    this.groups = [...layout.rows.flatMap((r) => r.groups), ...layout.foot].slice(0, MOST_ROWS);
    setHidden(this.button, !this.groups.length);
  }

  /** Say whether it was open. */
  close() {
    const open = !this.element.hidden;
    if (open) this.toggle(false);
    return open;
  }

  /** @param {boolean} [open] */
  toggle(open = this.element.hidden && this.groups.length > 0) {
    setHidden(this.element, !open);
    this.button.setAttribute("aria-expanded", String(open));
    this.asked = -Infinity;
  }

  /** @param {number} minutes */
  choose(minutes) {
    this.minutes = minutes;
    this.asked = -Infinity;
    for (const span of this.spans) span.chip.setAttribute("aria-pressed", String(span.minutes === minutes));
  }

  /** @param {View} view */
  update(view) {
    this.view = view;
    const local = performance.now();
    if (this.element.hidden || !view.connected || local - this.asked < ASK_MS) return;
    this.asked = local;
    const addresses = this.groups.flatMap((g) => g.members.map((m) => m.address));
    const to_t = view.mode === "live" ? view.now_t : view.cursor_t + (this.minutes * 60_000) / 2;
    // A case that has just begun fills the width: nothing is drawn of the time before it.
    const from_t = Math.min(to_t - LEAST_MS, Math.max(to_t - this.minutes * 60_000, view.oldest_t));
    this.session.do({ do: "trends", addresses, from_t, to_t, bins: BINS });
  }

  /** @param {number} px */
  go(px) {
    if (!this.found || !this.box) return;
    const share = Math.max(0, Math.min(1, (px - this.box.left) / this.box.width));
    this.session.do({ do: "seek", t: this.found.from_t + share * (this.found.to_t - this.found.from_t) });
  }

  draw() {
    const { found, view, canvas } = this;
    if (!found || !view || this.element.hidden) return;
    const { width, height, ratio, rem } = deviceSize(canvas);
    canvas.width = width;
    canvas.height = height;
    const pen = canvas.getContext("2d");
    if (!pen) return;
    const left = 0.4 * rem;
    const right = width - 6.2 * rem;
    this.box = { left: left / ratio, width: (right - left) / ratio };
    const axis = 1.4 * rem;
    const step = (height - axis) / Math.max(1, this.groups.length);
    this.groups.forEach((group, i) => this.row(pen, group, { left, right, top: i * step, tall: step, rem, width }));
    this.axis(pen, { left, right, foot: height, rem });
  }

  /**
   * @param {CanvasRenderingContext2D} pen @param {Group} group
   * @param {{left: number, right: number, top: number, tall: number, rem: number, width: number}} box
   */
  row(pen, group, box) {
    const { left, right, top, tall, rem, width } = box;
    const { channel } = group.members[0];
    const lines = group.members.map((m) => this.found.series[m.address]).filter(Boolean);
    pen.fillStyle = tone("#1b232d", "#c3ccd6");
    pen.fillRect(left, top + tall - 1, width - left, 1);
    const range = rangeOf(lines, channel);
    pen.textAlign = "left";
    pen.textBaseline = "alphabetic";
    pen.fillStyle = group.color;
    pen.font = `640 ${0.85 * rem}px Inter, system-ui, sans-serif`;
    pen.fillText(group.label, right + 0.5 * rem, top + tall * 0.5 - 0.1 * rem, 5.6 * rem);
    pen.fillStyle = tone("#8fa0b2", "#46566a");
    pen.font = `500 ${0.7 * rem}px Inter, system-ui, sans-serif`;
    const { unit } = shownAs(channel);
    const words = range ? `${valueText(range[0], channel)}–${valueText(range[1], channel)} ${unit}` : word("never");
    pen.fillText(words, right + 0.5 * rem, top + tall * 0.5 + 0.85 * rem, 5.6 * rem);
    if (!range) return;
    const pad = tall * 0.1;
    const y = (/** @type {number} */ v) => top + tall - pad - ((v - range[0]) / (range[1] - range[0])) * (tall - 2 * pad);
    this.limits(pen, channel, range, y, box);
    const x = (/** @type {number} */ bin) => left + (bin / this.found.bins) * (right - left);
    pen.fillStyle = pen.strokeStyle = group.color;
    for (const line of lines) (channel.rate_hz ? band : points)(pen, line, x, y, rem);
  }

  /**
   * @param {CanvasRenderingContext2D} pen @param {import("./types.js").Channel} channel @param {[number, number]} range
   * @param {(v: number) => number} y @param {{left: number, right: number}} box
   */
  limits(pen, channel, range, y, { left, right }) {
    pen.fillStyle = tone("#8fa0b2", "#46566a");
    for (const limit of [channel.lower, channel.upper]) {
      if (limit == null || limit < range[0] || limit > range[1]) continue;
      for (let at = left; at < right; at += 12) pen.fillRect(at, Math.round(y(limit)), 5, 1);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {{left: number, right: number, foot: number, rem: number}} box */
  axis(pen, { left, right, foot, rem }) {
    const { view, found } = this;
    if (!view) return;
    const shift = view.now_unix_ms - view.now_t;
    pen.fillStyle = tone("#8fa0b2", "#46566a");
    pen.font = `500 ${0.75 * rem}px Inter, system-ui, sans-serif`;
    pen.textAlign = "center";
    const step = Math.max(60_000, Math.round((found.to_t - found.from_t) / 5 / 60_000) * 60_000);
    const zone = -offsetMs(found.from_t + shift, shownZone());
    const first = Math.ceil((found.from_t + shift - zone) / step) * step + zone;
    for (let unix = first; unix < found.to_t + shift; unix += step) {
      const x = left + ((unix - shift - found.from_t) / (found.to_t - found.from_t)) * (right - left);
      if (x > left + 2 * rem && x < right - rem) pen.fillText(clockText(unix, shownZone()).slice(0, 5), x, foot - 0.35 * rem);
    }
    if (view.mode === "live") return;
    const x = left + ((view.cursor_t - found.from_t) / (found.to_t - found.from_t)) * (right - left);
    pen.fillStyle = "#ffb020";
    if (x > left && x < right) pen.fillRect(x - 1, 0, 2, foot - 1.4 * rem);
  }
}

/** @param {string} dark @param {string} bright */
function tone(dark, bright) {
  return settings.theme === "bright" ? bright : dark;
}

/**
 * What the height of a row stands for: its values, its limits when they are near, never so tall that
 * noise looks like a change.
 *
 * @param {(number|null)[][][]} lines @param {import("./types.js").Channel} channel @returns {[number, number]|null}
 */
export function rangeOf(lines, channel) {
  const values = lines.flatMap(([least, most]) => [...least, ...most]).filter((v) => v !== null);
  if (!values.length) return null;
  let low = Math.min(.../** @type {number[]} */ (values));
  let high = Math.max(.../** @type {number[]} */ (values));
  const least = Math.max(Math.abs((low + high) / 2) * 0.08, 1e-6);
  if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
  const near = (high - low) * 0.6;
  for (const limit of [channel.lower, channel.upper]) {
    if (limit == null) continue;
    if (limit < low && limit > low - near) low = limit;
    if (limit > high && limit < high + near) high = limit;
  }
  return [low, high];
}

/**
 * A band from least to greatest; a bin without a value breaks it.
 *
 * @param {CanvasRenderingContext2D} pen @param {(number|null)[][]} line
 * @param {(bin: number) => number} x @param {(v: number) => number} y @param {number} rem
 */
function band(pen, [least, most], x, y, rem) {
  const thick = Math.max(1.5, 0.12 * rem);
  least.forEach((low, i) => {
    const high = most[i];
    if (low === null || high === null) return;
    const top = y(high);
    pen.fillRect(x(i), top - thick / 2, Math.max(1, x(i + 1) - x(i) + 0.5), Math.max(thick, y(low) - top + thick));
  });
}

/** @type {typeof band} */
function points(pen, [least], x, y, rem) {
  least.forEach((value, i) => {
    if (value === null) return;
    pen.beginPath();
    pen.arc(x(i + 0.5), y(value), 0.22 * rem, 0, 2 * Math.PI);
    pen.fill();
  });
}
