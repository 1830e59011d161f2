/**
 * The scrubber: a lane for each feed with its gaps, alarms, notes, the ± band; LIVE at the right
 * edge, amber when behind. It rewinds every pane together; the room goes on.
 * @import {Session} from "./session.js"  @import {Catalogue, View} from "./types.js"
 */

import { alarmBeside } from "./alarmfilter.js";
import { deviceSize, h, onResize, setClass, setHidden, setText } from "./dom.js";
import { clockText, offsetMs } from "./feed/zone.js";
import { shownZone } from "./clock.js";
import { NEEDS_MS } from "./needs.js";
import { drawWhole, wholeOf } from "./lanes/recording.js";
import { ALARM_COLORS, laneColor } from "./palette.js";
import { onSettings, settings } from "./settings.js";
import { label, spanText, word } from "./text.js";

const BINS = 600;
const ASK_MS = 2_000;
const SETTLED_MS = 15_000; // of a recording: what its lanes show does not change
const FIRST_MS = 30_000;
const LEAST_SPAN_MS = 120_000;
const SAME_MS = 250;
const RIGHT_ROOM = 0.06;
const PLAYS = new Set(["or_staff", "engineer"]); // may move a replay's player
const TICKS_S = [10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];

export class Lanes {
  /** @param {Session} session */
  constructor(session) {
    this.session = session;
    this.canvas = /** @type {HTMLCanvasElement} */ (h("canvas.lanes-canvas", {
      tabindex: "0", role: "slider", "aria-label": word("timeline"), "aria-valuemin": "0", "aria-valuemax": "1",
    }));
    this.pill = h("button.live-pill", { type: "button" });
    this.pill.addEventListener("click", (event) => {
      if (event.detail) this.pill.blur(); // after a finger the next key is meant for the room
      session.do({ do: "live" });
    });
    this.behind = h("div.lanes-behind");
    this.side = h("div.lanes-side", {}, [h("div.lanes-live", {}, [this.behind, this.pill])]);
    this.element = h("footer.lanes", {}, [this.canvas, this.side]);
    this.voice = h("p.unseen", { role: "status" });
    this.element.append(this.voice);
    /** @type {(alarm: {priority: string, kind: string, device: string}) => boolean} which alarms the log lists */
    this.alarmPasses = () => true;
    /** @type {any} */
    this.found = null;
    /** @type {View|null} */
    this.view = null;
    /** @type {Catalogue|null} */
    this.catalogue = null;
    /** @type {(pen: CanvasRenderingContext2D, x: ToX, height: number, rem: number) => void} what a page draws over it */
    this.over = () => {};
    this.flush = () => {}; // goes at once where a finger or a mouse is about to lead
    this.asked = -Infinity;
    this.drawn = -Infinity;
    /** @type {{from: number, to: number}[]} when this screen saw nothing, ms of UTC */
    this.blind = [];
    onResize(this.canvas, () => this.draw());
    this.drag();
    this.role = "";
    session.listen({
      hello: (hello) => (this.role = hello.role),
      lanes: (lanes) => {
        this.found = lanes;
        this.draw();
      },
    });
  }

  /** Show everything as late as the settings of this screen say. */
  smooth() {
    const smooth = () => this.session.do({ do: "smooth", ms: settings.smooth_ms });
    onSettings(smooth);
    smooth();
  }

  /** The stretch on the screen: of a replay the whole recording. @param {View} view @returns {[number, number]} */
  range(view) {
    const { span_t } = view;
    if (span_t) return wholeOf(span_t);
    const from = Math.min(view.oldest_t, view.now_t - LEAST_SPAN_MS * (1 - RIGHT_ROOM));
    return [from, view.now_t + (view.now_t - from) * RIGHT_ROOM];
  }

  drag() {
    let due = 0;
    const { canvas } = this;
    const go = (/** @type {PointerEvent} */ event) => {
      if (!this.view || !this.box) return;
      const share = (event.clientX - canvas.getBoundingClientRect().left - this.box.left) / this.box.width;
      const [from, to] = this.held ?? this.range(this.view);
      const t = from + Math.max(0, Math.min(1, share)) * (to - from);
      clearTimeout(due);
      this.flush = () => {
        clearTimeout(due);
        this.flush = () => {};
        this.seek(t);
      };
      due = window.setTimeout(() => this.flush(), 30);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (!this.view) return;
      canvas.setPointerCapture(event.pointerId);
      this.held = this.range(this.view);
      go(event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (canvas.hasPointerCapture(event.pointerId)) go(event);
      else this.hint(event.clientX - canvas.getBoundingClientRect().left);
    });
    canvas.addEventListener("pointerup", () => (this.held = null));
    canvas.addEventListener("pointercancel", () => (this.held = null));
  }

  /** Go there: of a replay all pages, with its player, wherever in the recording that is. @param {number} t @param {boolean} [frozen] hold it */
  seek(t, frozen = false) {
    const { span_t } = this.view ?? {};
    if (!span_t || !PLAYS.has(this.role)) return this.session.move({ do: "seek", t, frozen });
    this.session.move({ do: "play", wish: { t: Math.max(span_t[0], Math.min(t, span_t[1])), ...(frozen ? { playing: false } : {}) } });
  }

  /** Everything that happened, in order: notes, alarms that began, clocks that stepped. @returns {{t: number, text: string}[]} */
  events() {
    const { notes = [], alarms = [], epochs = [] } = this.found ?? {};
    return [
      ...notes.map((/** @type {any[]} */ n) => ({ t: n[0], text: [n[1], n[3] || n[2]].filter(Boolean).join(": ") })),
      ...alarms.map((/** @type {any[]} */ a) => ({ t: a[0], text: a[3] })),
      ...epochs.map((/** @type {any[]} */ e) => ({ t: e[0], text: e[2] })),
    ].sort((a, b) => a.t - b.t);
  }

  /** Hold the screen at the event before or after what it shows. @param {-1|1} way */
  jump(way) {
    const { view } = this;
    if (!view) return;
    const here = view.cursor_t;
    const left = this.events().filter((e) => (way < 0 ? e.t < here - SAME_MS : e.t > here + SAME_MS));
    const event = way < 0 ? left[left.length - 1] : left[0];
    if (event) this.seek(event.t + 0.0005, true);
    else if (way > 0 && !view.span_t) this.session.do({ do: "live" });
  }

  /** Hold the screen where the alarm before or after began, of those that the log lists. @param {-1|1} way */
  jumpAlarm(way) {
    const { view } = this;
    if (!view) return;
    const began = this.alarmSpans().filter((a) => this.alarmPasses(a));
    const alarm = alarmBeside(began, view.cursor_t, way, SAME_MS);
    if (alarm) this.seek(alarm.t + 0.0005, true);
    else if (way > 0 && !view.span_t) this.session.do({ do: "live" });
    const shift = view.now_unix_ms - view.now_t;
    setText(this.voice, alarm ? `${clockText(alarm.t + shift, shownZone())} ${alarm.text}` : word(way < 0 ? "noAlarmBefore" : "noAlarmAfter"));
  }

  /** @returns {{t: number, to: number|null, priority: string, text: string, kind: string, device: string}[]} */
  alarmSpans() {
    return (this.found?.alarms ?? []).map((/** @type {any[]} */ [t, to, priority, text, kind, device]) => ({ t, to, priority, text, kind, device }));
  }

  /** Say what happened where the mouse is. @param {number} px */
  hint(px) {
    const { box, view } = this;
    if (!box || !view) return;
    const [from, to] = this.held ?? this.range(view);
    const far = (/** @type {{t: number}} */ e) => Math.abs(box.left + ((e.t - from) / (to - from)) * box.width - px);
    const near = this.events().filter((e) => far(e) < 8).sort((a, b) => far(a) - far(b)).slice(0, 4);
    const shift = view.now_unix_ms - view.now_t;
    const title = near.map((e) => `${clockText(e.t + shift, shownZone())} · ${e.text}`).join("\n");
    if (this.canvas.title !== title) this.canvas.title = title;
  }

  /** @param {View} view @param {Catalogue} catalogue */
  update(view, catalogue) {
    this.view = view;
    this.catalogue = catalogue;
    const local = performance.now();
    const every = view.span_t && local > FIRST_MS ? SETTLED_MS : ASK_MS;
    if (view.connected && local - this.asked > every) {
      this.asked = local;
      const [from, to] = this.range(view);
      this.session.do({ do: "lanes", from_t: from, to_t: to, bins: BINS });
    }
    const live = view.mode === "live";
    const { replay } = catalogue;
    setText(this.pill, word(replay ? (live ? "replay" : "toReplay") : live ? "live" : "toLive"));
    setClass(this.pill, "replay", replay);
    this.pill.setAttribute("aria-pressed", String(live));
    setClass(this.pill, "behind", !live);
    setText(this.behind, live ? "" : `${word(replay ? "behindReplay" : "behindLive")} ${spanText(view.behind_ms)}`);
    setHidden(this.behind, live);
    const value = `${clockText(view.cursor_unix_ms, shownZone())}`;
    if (this.canvas.getAttribute("aria-valuetext") !== value) {
      this.canvas.setAttribute("aria-valuetext", value);
      this.canvas.setAttribute("aria-valuenow", String(live ? 1 : 0));
    }
    if (local - this.drawn > (live && !view.span_t ? 900 : 100)) this.draw();
  }

  draw() {
    const { view, catalogue } = this;
    if (!view || !catalogue) return;
    this.drawn = performance.now();
    const { width, height, ratio, rem } = deviceSize(this.canvas);
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const pen = this.canvas.getContext("2d");
    if (!pen) return;
    pen.clearRect(0, 0, width, height);
    const names = Object.keys(this.found?.feeds ?? {});
    const lanes = [...names, "alarms", "notes", "±"];
    const axis = 1.5 * rem;
    const step = (height - axis) / lanes.length;
    const bar = Math.max(2, Math.min(step * 0.7, 0.85 * rem));
    pen.font = `600 ${Math.min(0.82 * rem, step * 0.92)}px Inter, system-ui, sans-serif`;
    const widest = Math.max(...lanes.map((lane) => pen.measureText(this.laneName(lane, catalogue)).width));
    const left = Math.min(Math.max(5.2 * rem, widest + 1.1 * rem), 9.5 * rem, width * 0.3);
    const right = width - 0.4 * rem;
    const room = left - 0.6 * rem;
    this.box = { left: left / ratio, width: (right - left) / ratio };
    const [from, to] = this.held ?? this.range(view);
    const end = view.span_t ? view.span_t[1] : view.now_t; // up to which anything can be known
    const x = (/** @type {number} */ t) => left + ((t - from) / (to - from)) * (right - left);
    pen.textBaseline = "middle";
    lanes.forEach((lane, i) => {
      const y = i * step + step / 2;
      pen.fillStyle = settings.theme === "bright" ? "#46566a" : "#8fa0b2";
      pen.textAlign = "left";
      pen.fillText(shortened(pen, this.laneName(lane, catalogue), room), 0.3 * rem, y);
      pen.fillStyle = settings.theme === "bright" ? "#d9e0e8" : "#111820";
      pen.fillRect(left, y - bar / 2, right - left, bar);
      if (lane === "alarms") this.alarms(pen, x, y, bar, end);
      else if (lane === "notes") this.notes(pen, x, y, bar);
      else if (lane === "±") this.errors(pen, x, y + bar / 2, bar, end);
      else this.feed(pen, lane, x, y, bar, end);
    });
    this.epochs(pen, x, height - axis, step, rem);
    drawWhole(pen, x, view, height - axis, rem);
    this.blinds(pen, x, view, height - axis, rem, left, right);
    this.axis(pen, x, from, to, view, height, axis, rem);
    this.cursor(pen, x, view, height - axis, rem);
    this.over(pen, x, height - axis, rem);
  }

  /** What tests and `window.scot` read. */
  state() {
    const { band = [], epochs = [], notes = [] } = this.found ?? {};
    const shift = this.view ? this.view.now_unix_ms - this.view.now_t : 0;
    const marks = notes.filter((/** @type {any[]} */ n) => n[2] === "chapter");
    return {
      clocks: this.view?.clocks ?? {}, band, epochs,
      marks: marks.map((/** @type {any[]} */ n) => ({ unix_ms: n[0] + shift, author: n[1], text: n[3] })),
    };
  }

  /** @param {string} lane @param {Catalogue} catalogue */
  laneName(lane, catalogue) {
    if (lane === "alarms" || lane === "notes") return word(lane);
    if (lane === "±") return `${word("clocks")} ±`;
    return label(catalogue.devices[lane]?.label, lane);
  }

  /** @typedef {(t: number) => number} ToX */

  /** @param {CanvasRenderingContext2D} pen @param {string} lane @param {ToX} x @param {number} y @param {number} bar @param {number} now */
  feed(pen, lane, x, y, bar, now) {
    const { feeds, from_t, to_t, bins } = this.found;
    const device = this.catalogue?.devices[lane];
    pen.fillStyle = device ? laneColor(device) : "#5b6b7e";
    const width = (to_t - from_t) / bins;
    let start = from_t;
    let share = 0; // of its seconds in which the feed spoke: the height of the bar
    for (let i = 0; i <= bins; i++) {
      const at = from_t + i * width;
      const next = i < bins && at < now ? feeds[lane][i] : 0;
      if (next === share) continue;
      const end = Math.min(at, now);
      const tall = bar * (0.35 + 0.65 * share);
      if (share > 0) pen.fillRect(x(start), y + bar / 2 - tall, Math.max(1, x(end) - x(start)), tall);
      [start, share] = [at, next];
    }
    // Since the last answer: what still speaks goes on.
    const silent = this.view?.span_t ? undefined : this.view?.silent_ms[lane];
    if (silent !== undefined && silent < 2_000 && this.view?.connected) {
      pen.fillRect(x(Math.min(to_t, now - ASK_MS * 2)), y - bar / 2, x(now) - x(now - ASK_MS * 2), bar);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {ToX} x @param {number} y @param {number} bar @param {number} now */
  alarms(pen, x, y, bar, now) {
    // The most urgent is drawn last: what began later must not hide it.
    const rank = (/** @type {string} */ priority) => ["None", "Lo", "Me", "Hi"].indexOf(priority);
    const spans = this.alarmSpans().sort((a, b) => rank(a.priority) - rank(b.priority));
    for (const { t, to, priority, ...facts } of spans) {
      // What the log leaves out stays in sight, as a thin line: it was there.
      const tall = this.alarmPasses({ priority, ...facts }) ? bar : bar * 0.25;
      pen.fillStyle = ALARM_COLORS[/** @type {"Hi"} */ (priority)] ?? "#5b6b7e";
      pen.fillRect(x(t), y + bar / 2 - tall, Math.max(4, x(to ?? now) - x(t)), tall);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {ToX} x @param {number} y @param {number} bar */
  notes(pen, x, y, bar) {
    pen.fillStyle = "#59c2ff";
    for (const [at, , tool] of this.found?.notes ?? []) {
      pen.beginPath();
      if (tool === "chapter") this.flag(pen, x(at), y, bar);
      else pen.arc(x(at), y, bar * 0.42, 0, 2 * Math.PI);
      pen.fill();
    }
  }

  /** A chapter or marker: a flag on its pole, so that its shape says it. @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} bar */
  flag(pen, x, y, bar) {
    pen.fillRect(x - bar * 0.08, y - bar * 0.75, bar * 0.16, bar * 1.4);
    pen.moveTo(x, y - bar * 0.75);
    pen.lineTo(x + bar * 0.95, y - bar * 0.4);
    pen.lineTo(x, y - bar * 0.02);
  }

  /**
   * The worst likely error of the room's clocks, as the gateway kept it: its logarithm, 0.01 ms to
   * 100 ms; amber where it is more than a use bears, full where nobody knows it.
   *
   * @param {CanvasRenderingContext2D} pen @param {ToX} x @param {number} foot @param {number} bar @param {number} now
   */
  errors(pen, x, foot, bar, now) {
    const { band, from_t, to_t } = this.found ?? {};
    if (!band) return;
    const width = (to_t - from_t) / band.length;
    band.forEach((/** @type {number|null} */ err, /** @type {number} */ i) => {
      const at = from_t + i * width;
      if (err === null || at >= now) return;
      const tall = bar * Math.min(1, Math.max(0.12, (Math.log10(Math.max(err, 1e-3)) + 2) / 4));
      pen.fillStyle = err <= NEEDS_MS.waveform ? "#4a6d92" : err <= NEEDS_MS.other ? "#9a7430" : "#ffb020";
      const left = x(at);
      pen.fillRect(left, foot - tall, Math.max(1, x(Math.min(at + width, now)) - left + 0.5), tall);
    });
  }

  /** Where a clock stepped: a mark on the ± lane, a hair through the rest. @param {CanvasRenderingContext2D} pen @param {ToX} x @param {number} height @param {number} step @param {number} rem */
  epochs(pen, x, height, step, rem) {
    pen.fillStyle = "#ffb020";
    for (const [at] of this.found?.epochs ?? []) {
      pen.globalAlpha = 0.45;
      pen.fillRect(x(at) - 0.5, 0, Math.max(1, 0.06 * rem), height);
      pen.globalAlpha = 1;
      pen.fillRect(x(at) - 0.1 * rem, height - step, 0.2 * rem, step);
    }
  }

  /** Where this very screen had no view: hatched, so that nobody takes it for the room's gap. @param {CanvasRenderingContext2D} pen @param {ToX} x @param {View} view @param {number} height @param {number} rem @param {number} left @param {number} right */
  blinds(pen, x, view, height, rem, left, right) {
    const shift = view.now_unix_ms - view.now_t;
    for (const { from, to } of this.blind) {
      const a = Math.max(left, x(from - shift));
      const b = Math.min(right, Math.max(x(to - shift), a + 0.25 * rem));
      if (b <= left || a >= right) continue;
      pen.save();
      pen.beginPath();
      pen.rect(a, 0, b - a, height);
      pen.clip();
      pen.strokeStyle = "#ffb020";
      pen.lineWidth = Math.max(1, 0.08 * rem);
      for (let at = a - height; at < b; at += 0.5 * rem) {
        pen.beginPath();
        pen.moveTo(at, height);
        pen.lineTo(at + height, 0);
        pen.stroke();
      }
      pen.restore();
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {ToX} x @param {number} from @param {number} to @param {View} view @param {number} height @param {number} axis @param {number} rem */
  axis(pen, x, from, to, view, height, axis, rem) {
    const most = Math.max(2, Math.floor((x(to) - x(from)) / (5.5 * rem)));
    const wanted = (to - from) / 1000 / Math.min(8, most);
    const step_s = TICKS_S.find((s) => s >= wanted) ?? Math.ceil(wanted / 14_400) * 14_400;
    const shift = view.now_unix_ms - view.now_t;
    const zone = -offsetMs(from + shift, shownZone());
    const first = Math.ceil((from + shift - zone) / (step_s * 1000)) * step_s * 1000 + zone;
    pen.fillStyle = settings.theme === "bright" ? "#46566a" : "#8fa0b2";
    pen.textAlign = "center";
    pen.font = `500 ${0.82 * rem}px Inter, system-ui, sans-serif`;
    for (let unix = first; unix - shift < to; unix += step_s * 1000) {
      const text = clockText(unix, shownZone());
      const near = view.mode !== "live" && Math.abs(x(unix - shift) - x(view.cursor_t)) < 6.5 * rem;
      const cut = x(unix - shift) + 2 * rem > pen.canvas.width;
      if (!near && !cut) pen.fillText(step_s % 60 === 0 ? text.slice(0, 5) : text, x(unix - shift), height - axis * 0.42);
    }
  }

  /** @param {CanvasRenderingContext2D} pen @param {ToX} x @param {View} view @param {number} height @param {number} rem */
  cursor(pen, x, view, height, rem) {
    const line = (/** @type {number} */ t, /** @type {string} */ color, /** @type {number} */ width) => {
      pen.fillStyle = color;
      pen.fillRect(x(t) - width / 2, 0, width, height);
    };
    line(view.now_t, this.catalogue?.replay ? "#8f63dd" : "#22c55e", 0.16 * rem);
    if (view.mode === "live") return;
    line(view.cursor_t, "#ffb020", 0.22 * rem);
    pen.fillStyle = "#ffb020";
    pen.textAlign = "center";
    pen.font = `640 ${0.9 * rem}px Inter, system-ui, sans-serif`;
    const middle = Math.min(x(view.cursor_t), pen.canvas.width - 2.4 * rem);
    pen.fillText(clockText(view.cursor_unix_ms, shownZone()), middle, height + 0.87 * rem);
  }
}

/** A name that fits, in letters of their own width. @param {CanvasRenderingContext2D} pen @param {string} text @param {number} room */
function shortened(pen, text, room) {
  if (pen.measureText(text).width <= room) return text;
  let shown = text;
  while (shown.length > 1 && pen.measureText(`${shown}…`).width > room) shown = shown.slice(0, -1);
  return `${shown.trimEnd()}…`;
}
