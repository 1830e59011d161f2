/**
 * The column of waveforms with their numerics beside them. The traces are one canvas that the
 * feed's worker draws on; the text is here.
 * @import {Session} from "./session.js"  @import {Layout, Row} from "./plan.js"  @import {AlarmNow, View} from "./types.js"
 */

import { deviceSize, h, offscreen, onResize, setClass, setText } from "./dom.js";
import { ClockChip, NEEDS_MS } from "./needs.js";
import { Tile, markOf } from "./tiles.js";
import { ageText, label, unitText, word } from "./text.js";

const FEW_ROWS = 4; // room for larger numbers
const CSS_PX_MM = 96 / 25.4;

/** Millimetres across the screen, if somebody measured it: `?screen_mm=1210`. */
const SCREEN_MM = Number(new URLSearchParams(location.search).get("screen_mm")) || 0;

/** CSS pixels a millimetre of this screen. */
export function pxPerMm() {
  return SCREEN_MM > 0 ? screen.width / SCREEN_MM : CSS_PX_MM;
}

export class Waves {
  /**
   * @param {Session} session
   * @param {string} id
   * @param {Row[]} rows
   */
  constructor(session, id, rows) {
    this.session = session;
    this.id = id;
    this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas.waves-canvas", { "aria-hidden": "true" }));
    /** @type {ClockChip[]} one a device, on its first row */
    this.clocks = [];
    this.rows = rows.map((row) => this.row(row));
    this.element = h("div.waves", {}, [...this.rows.map((r) => r.element), this.canvas]);
    setClass(this.element, "few", rows.length <= FEW_ROWS);
    /** @type {OffscreenCanvas|null} */
    this.off = offscreen(this.canvas);
    onResize(this.element, () => this.place());
  }

  /** @param {Row} row */
  row(row) {
    const { channel } = row.wave;
    const tiles = row.groups.map((group) => new Tile(group));
    const unit = unitText(channel.unit);
    const name = label(channel.label, channel.name);
    const silence = h("span.wave-silence");
    const clock = this.clocks.every((c) => c.device !== row.wave.device) ? new ClockChip(row.wave.device, false) : null;
    if (clock) this.clocks.push(clock);
    const sub = h("span.wave-unit", { text: unit });
    const trace = h("div.wave-trace", { role: "img", "aria-label": name }, [
      h("div.wave-head", {}, [h("span.wave-label", { text: name }), sub]),
      silence, clock?.element,
    ]);
    const element = h("div.wave-row", {}, [
      trace, tiles.length ? h("div.wave-tiles", {}, tiles.map((t) => t.element)) : null,
    ]);
    element.style.setProperty("--color", row.color);
    setClass(element, "alone", tiles.length === 0);
    return { row, element, trace, tiles, silence, sub, unit };
  }

  /** Tell the worker where each trace lies. */
  place() {
    const { width, height, ratio, rem } = deviceSize(this.canvas);
    const origin = this.canvas.getBoundingClientRect();
    const rows = this.rows.map(({ row, trace }) => {
      const box = trace.getBoundingClientRect();
      const top = Math.min(rem * 1.35, box.height * ratio * 0.3);
      const { channel } = row.wave;
      return {
        address: row.wave.address,
        color: row.color,
        x: Math.round((box.left - origin.left) * ratio),
        y: Math.round((box.top - origin.top) * ratio + top),
        w: Math.round(box.width * ratio),
        h: Math.max(4, Math.round(box.height * ratio - top - rem * 0.35)),
        rate_hz: channel.rate_hz || 100,
        low: channel.scale_min ?? null,
        high: channel.scale_max ?? null,
        stale_ms: (channel.stale_after_s ?? 5) * 1000,
      };
    });
    const wish = { do: "sheet", id: this.id, width, height, rows, px_mm: pxPerMm() * ratio, line: Math.max(1.2, rem * 0.1) };
    if (this.off) {
      this.session.do({ ...wish, canvas: this.off }, [this.off]);
      this.off = null;
    } else this.session.do(wish);
  }

  /** @param {View} view */
  update(view) {
    for (const clock of this.clocks) clock.update(view.clocks, NEEDS_MS.waveform);
    for (const [i, { row, element, tiles, silence, sub, unit }] of this.rows.entries()) {
      const range = view.ranges[row.wave.address];
      const speed = i === 0 ? "25 mm/s · " : "";
      setText(sub, range ? `${speed}${shortest(range[0])} … ${shortest(range[1])} ${unit}` : unit);
      const cell = view.cells[row.wave.address];
      const silent = !cell || cell.stale;
      setClass(element, "silent", silent);
      setText(silence, !cell ? word("never") : cell.stale ? `${word("noData")} ${ageText(cell.age_ms)}` : "");
      for (const tile of tiles) tile.update(view, view.cursorAlarms);
      const named = view.cursorAlarms.find((a) => a.channel === row.wave.channel.name && a.device === row.wave.device);
      const { priority } = markOf(named);
      element.dataset.priority = tiles.map((t) => t.priority).find(Boolean) || priority;
    }
  }
}

/** @param {number} value */
function shortest(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}
