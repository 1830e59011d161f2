/**
 * The column of waveforms with their numerics beside them. The traces are one canvas that the
 * feed's worker draws on; the text is here.
 * @import {Session} from "./session.js"  @import {Layout, Row} from "./plan.js"  @import {AlarmNow, View} from "./types.js"
 */

import { deviceSize, h, offscreen, onResize, setClass, setHidden, setText } from "./dom.js";
import { ClockChip, NEEDS_MS } from "./needs.js";
import { Tile, markOf } from "./tiles.js";
import { GAINS, change, onSettings, pxPerMm, settings } from "./settings.js";
import { ageText, label, word } from "./text.js";
import { shownAs } from "./units.js";

const FEW_ROWS = 4; // room for larger numbers
const PACED_MS = 10_000;
const INVALID = 16;
const DOUBTFUL = 32;

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
    onSettings(() => this.element.isConnected && this.place());
  }

  /** @param {Row} row */
  row(row) {
    const { channel } = row.wave;
    const tiles = row.groups.map((group) => new Tile(group));
    const name = label(channel.label, channel.name);
    const silence = h("span.wave-silence");
    const clock = this.clocks.every((c) => c.device !== row.wave.device) ? new ClockChip(row.wave.device, false) : null;
    if (clock) this.clocks.push(clock);
    const sub = h("span.wave-unit");
    const head = h("button.wave-head", { type: "button", title: word("gainHint") }, [h("span.wave-label", { text: name }), sub]);
    head.addEventListener("click", () => nextGain(row.wave.address));
    const step = h("span.wave-step");
    const bar = h("span.wave-bar", { "aria-hidden": "true" }, [step]);
    const paced = h("span.wave-paced");
    const trace = h("div.wave-trace", {}, [
      head, paced, bar, silence, clock?.element,
    ]);
    const element = h("div.wave-row", {}, [
      trace, tiles.length ? h("div.wave-tiles", {}, tiles.map((t) => t.element)) : null,
    ]);
    element.style.setProperty("--color", row.color);
    setClass(element, "alone", tiles.length === 0);
    return { row, element, trace, tiles, silence, sub, bar, step, paced, height: 0 };
  }

  /** Tell the worker where each trace lies. */
  place() {
    const { width, height, ratio, rem } = deviceSize(this.canvas);
    const origin = this.canvas.getBoundingClientRect();
    const rows = this.rows.map((shown) => {
      const { row, trace } = shown;
      const box = trace.getBoundingClientRect();
      const top = Math.min(rem * 1.35, box.height * ratio * 0.3);
      const { channel } = row.wave;
      const h = Math.max(4, Math.round(box.height * ratio - top - rem * 0.35));
      shown.height = h / ratio;
      return {
        address: row.wave.address,
        color: row.color,
        x: Math.round((box.left - origin.left) * ratio),
        y: Math.round((box.top - origin.top) * ratio + top),
        w: Math.round(box.width * ratio),
        h,
        gain: settings.gains[row.wave.address] ?? 0,
        mv: channel.unit === "mV" ? 1 : channel.unit === "uV" ? 1000 : 0,
        rate_hz: channel.rate_hz || 100,
        mark: settings.theme === "bright" ? "#0b0f14" : "#eef3f8",
        low: channel.scale_min ?? null,
        high: channel.scale_max ?? null,
        stale_ms: (channel.stale_after_s ?? 5) * 1000,
      };
    });
    const wish = { do: "sheet", id: this.id, width, height, rows, px_mm: pxPerMm() * ratio, speed: settings.speed, line: Math.max(1.2, rem * 0.1) };
    if (this.off) {
      this.session.do({ ...wish, canvas: this.off }, [this.off]);
      this.off = null;
    } else this.session.do(wish);
  }

  /**
   * Speed, gain and range in words; the bar beside the trace is as tall as what is written on it.
   *
   * @param {{row: Row, bar: HTMLElement, step: HTMLElement, height: number}} shown
   * @param {[number, number]|undefined} range
   * @param {boolean} first
   */
  scale({ row, bar, step: said, height }, range, first) {
    const { channel, address } = row.wave;
    const { factor, unit } = shownAs(channel);
    const gain = settings.gains[address] ?? 0;
    setHidden(bar, !range);
    if (!range) return unit;
    const [low, high] = [range[0] * factor, range[1] * factor];
    const step = nice((high - low) / 2.5);
    const tall = `${((step / (high - low)) * height).toFixed(1)}px`;
    if (bar.style.height !== tall) bar.style.height = tall;
    const mv = channel.unit === "mV" && gain ? `${10 * gain} mm/mV` : gain ? `×${gain}` : "";
    setText(said, `${shortest(step)} ${unit}`);
    return [first ? `${settings.speed} mm/s` : "", mv || `${shortest(low)} … ${shortest(high)} ${unit}`].filter(Boolean).join(" · ");
  }

  /** @param {View} view */
  update(view) {
    for (const clock of this.clocks) clock.update(view.clocks, NEEDS_MS.waveform);
    for (const [i, shown] of this.rows.entries()) {
      const { row, element, tiles, silence, sub, paced } = shown;
      const range = view.ranges[row.wave.address];
      setText(sub, this.scale(shown, range, i === 0));
      const cell = view.cells[row.wave.address];
      const silent = !cell || cell.stale;
      setClass(element, "silent", silent);
      const named = view.cursorAlarms.find((a) => a.channel === row.wave.channel.name && a.device === row.wave.device);
      const invalid = !silent && (cell.flags & INVALID) !== 0;
      setClass(element, "invalid", invalid);
      setText(silence, !cell ? word("never") : cell.stale ? `${word("noData")} ${ageText(cell.age_ms)}` : invalid ? whyInvalid(view.cursorAlarms, row) : "");
      const mark = row.marks ? view.cells[row.marks.address] : undefined;
      const doubt = !silent && !invalid && (cell.flags & DOUBTFUL) !== 0 ? `? ${word("doubtful")}` : "";
      setText(paced, [mark && mark.age_ms < PACED_MS ? `│ ${word("paced")}` : "", doubt].filter(Boolean).join(" · "));
      for (const tile of tiles) tile.update(view, view.cursorAlarms);
      const { priority } = markOf(named);
      element.dataset.priority = tiles.map((t) => t.priority).find(Boolean) || priority;
    }
  }
}

/** Why a trace must not be read: what its device calls it, such as an electrode that is off. @param {AlarmNow[]} alarms @param {Row} row */
function whyInvalid(alarms, { wave }) {
  const said = alarms.find((a) => !a.own && a.kind === "Tec" && a.state !== "inactive" && a.device === wave.device && a.channel === wave.channel.name);
  return (said && label(said.text, "")) || word("invalid");
}

/** The next gain of a trace: fitted by itself, then fixed ones. @param {string} address */
function nextGain(address) {
  const next = GAINS[(GAINS.indexOf(settings.gains[address] ?? 0) + 1) % GAINS.length];
  change({ gains: { ...settings.gains, [address]: next } });
}

/** The 1, 2 or 5 times a power of ten at or below. @param {number} rough */
function nice(rough) {
  const power = 10 ** Math.floor(Math.log10(Math.max(rough, 1e-9)));
  const lead = rough / power;
  return power * (lead >= 5 ? 5 : lead >= 2 ? 2 : 1);
}

/** @param {number} value */
function shortest(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}
