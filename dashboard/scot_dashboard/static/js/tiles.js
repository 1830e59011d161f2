/**
 * One tile for one group of numerics: the value huge, unit and limits small, its age always there.
 * Past its limit it shows a dash, how long it has been silent, and the last value small.
 * @import {AlarmNow, Cell, View} from "./types.js"  @import {Group, Place} from "./plan.js"
 */

import { h, setClass, setText } from "./dom.js";
import { MARKS } from "./alarmline.js";
import { shownZone } from "./clock.js";
import { clockText } from "./feed/zone.js";
import { ageText, word } from "./text.js";
import { limitText, unitOf, valueText } from "./units.js";

export const DASH = "– –";
const INVALID = 16;
const DOUBTFUL = 32;
const BAD = new Set(["Inv", "NA", "Oflw", "Udflw", "Uflw", "Calib"]);

/**
 * @typedef {object} Reading
 * @property {string} text
 * @property {"ok"|"stale"|"never"|"invalid"} state
 * @property {boolean} doubtful
 * @property {number|null} age_ms
 * @property {string} last
 * @property {number} t_unix_ms when it was measured, 0 never
 * @property {string} why of an invalid one
 */

/** @param {Place} place @param {Cell|undefined} cell @returns {Reading} */
export function readingOf(place, cell) {
  const nothing = { text: DASH, doubtful: false, age_ms: null, last: "", t_unix_ms: 0, why: "" };
  if (!cell) return { ...nothing, state: "never" };
  const { value, validity } = cell.value;
  const known = typeof value === "number" && Number.isFinite(value);
  const last = known ? valueText(value, place.channel) : "";
  const doubtful = (cell.flags & DOUBTFUL) !== 0 || validity === "Qst" || validity === "Ong";
  const facts = { ...nothing, doubtful, age_ms: cell.age_ms, t_unix_ms: cell.t_unix_ms };
  const tooOld = cell.silent || cell.age_ms > (place.channel.stale_after_s ?? 5) * 1000;
  if (tooOld) return { ...facts, state: "stale", last };
  if (!known || (cell.flags & INVALID) !== 0 || BAD.has(validity)) {
    return { ...facts, state: "invalid", why: whyOf(cell.flags, validity) };
  }
  return { ...facts, text: last, state: "ok", last };
}

/** Why a value must not be used, in words. @param {number} flags @param {string} validity as in IEEE 11073-10207 */
function whyOf(flags, validity) {
  const known = { Oflw: "overflow", Uflw: "underflow", Udflw: "underflow", Calib: "calibrating", NA: "notAvailable" };
  const key = known[/** @type {"NA"} */ (validity)];
  return word(key ?? (flags & INVALID || validity === "Inv" ? "invalid" : "noValue"));
}

/** How a tile shows the alarm of its channel: filled while nobody has seen it. @param {AlarmNow|undefined} alarm */
export function markOf(alarm) {
  if (!alarm || alarm.state === "inactive" || alarm.state === "pending") {
    return { priority: "", mark: alarm?.activation === "Off" ? word("alarmOff") : "" };
  }
  if (alarm.state === "unknown") return { priority: "Unknown", mark: "?" };
  const mark = MARKS[/** @type {"Hi"} */ (alarm.priority)] ?? "";
  return alarm.state === "acked" ? { priority: "Ack", mark: `✓ ${mark}` } : { priority: alarm.priority, mark };
}

export class Tile {
  /** @param {Group} group */
  constructor(group) {
    this.group = group;
    this.label = h("span.tile-label", { text: group.label });
    this.mark = h("span.tile-mark", { "aria-hidden": "true" });
    this.doubt = h("span.tile-doubt", { text: `? ${word("doubtful")}` });
    this.value = h("span.tile-value");
    this.note = h("span.tile-note");
    this.age = h("span.tile-age");
    this.element = h("section.tile", { "aria-label": group.label }, [
      h("div.tile-head", {}, [this.label, this.mark, this.doubt, this.age]),
      this.value,
      this.note,
    ]);
    this.element.style.setProperty("--color", group.color);
    setClass(this.element, "pair", group.members.length > 1);
    /** @type {Reading[]} */
    this.readings = [];
  }

  /** @param {View} view @param {AlarmNow[]} alarms that hold at the cursor */
  update(view, alarms) {
    const { members } = this.group;
    this.readings = members.map((m) => readingOf(m, view.cells[m.address]));
    const [first] = this.readings;
    const worst = this.readings.find((r) => r.state !== "ok") ?? first;
    const ok = worst.state === "ok";
    setText(this.value, ok ? this.numbers() : DASH);
    setText(this.note, ok ? this.limits() : this.silence(worst));
    this.showAge(first);
    setClass(this.element, "stale", !ok);
    setClass(this.element, "doubtful", ok && this.readings.some((r) => r.doubtful));
    const alarm = alarms.find((a) => members.some((m) => m.channel.name === a.channel && m.device === a.device));
    const { priority, mark } = markOf(alarm);
    this.priority = priority;
    setText(this.mark, mark);
    this.element.dataset.priority = priority;
    this.element.dataset.alarm = alarm?.state ?? "";
  }

  numbers() {
    const [sys, dia] = this.readings;
    return this.group.members.length > 1 ? `${sys.text}/${dia.text}` : sys.text;
  }

  limits() {
    const { members } = this.group;
    const { channel } = members[0];
    const parts = [unitOf(channel)];
    if (members.length > 2) parts.push(`${word("mean")} ${this.readings[2].text}`);
    const of = members.length > 2 && members[2].channel.lower != null ? members[2].channel : channel;
    const range = limitText(of.lower, of.upper, channel);
    if (range) parts.push(range);
    return parts.filter(Boolean).join(" · ");
  }

  /** @param {Reading} reading */
  silence(reading) {
    if (reading.state === "never") return word("never");
    if (reading.state === "invalid") return reading.why;
    const last = this.readings.map((r) => r.last).filter(Boolean).slice(0, 2).join("/");
    return `${word("noData")} ${ageText(reading.age_ms ?? 0)}${last ? ` · ${word("last")} ${last}` : ""}`;
  }

  /** @param {Reading} reading */
  showAge({ age_ms, state, t_unix_ms }) {
    const { channel } = this.group.members[0];
    const limit = (channel.stale_after_s ?? 5) * 1000;
    // What is measured now and then has its time: an age alone would have to be reckoned back.
    const at = channel.rate_hz ? "" : `${clockText(t_unix_ms, shownZone()).slice(0, 5)} · `;
    setText(this.age, age_ms === null || state === "stale" ? "" : `${at}${ageText(age_ms)}`);
    // Old but not yet stale, or a value that comes rarely: say so louder.
    setClass(this.age, "old", age_ms !== null && (age_ms > limit * 0.6 || age_ms > 30_000));
  }

  /** What tests and `window.scot` read. */
  state() {
    return this.group.members.map((m, i) => ({
      address: m.address,
      text: this.readings[i]?.text ?? DASH,
      age_ms: this.readings[i]?.age_ms ?? null,
      stale: this.readings[i]?.state !== "ok",
    }));
  }
}
