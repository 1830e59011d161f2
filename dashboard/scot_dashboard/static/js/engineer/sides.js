/**
 * Recordings side by side: whose a channel is, which channels are the same in each, where each
 * recording stands in its own time, and how well one lies over the other.
 * @import {Catalogue, View} from "../types.js"  @import {Place} from "../plan.js"
 */

import { shownZone } from "../clock.js";
import { h, setClass, setText } from "../dom.js";
import { clockText } from "../feed/zone.js";
import { channelsOf } from "../feed/view.js";
import { word } from "../text.js";

const KEYS = "abcdefgh";
const NS = 1e6;

/**
 * @typedef {object} Side
 * @property {string} key
 * @property {number} shift_ms from its own time to this axis
 * @property {number} first_ms
 * @property {number} last_ms of the axis, since 1970 in bus time
 * @property {number|null} bound_ms of its anchor; null when nobody knows
 * @property {number|null} err_ms
 */

/** @param {Catalogue|null} catalogue @returns {Side[]} none when one recording, or a room, is shown */
export function sidesOf(catalogue) {
  const said = catalogue?.devices.player?.channels?.state?.attrs?.sides;
  if (!catalogue?.replay || !Array.isArray(said)) return [];
  const known = (/** @type {any} */ ns) => (Number(ns) < 0 ? null : Number(ns) / NS);
  return said.slice(0, KEYS.length).map(([shift, first, last, , bound, err], i) => ({
    key: KEYS[i], shift_ms: ms(shift), first_ms: ms(first), last_ms: ms(last), bound_ms: known(bound), err_ms: known(err),
  }));
}

/** @param {number|bigint} ns */
function ms(ns) {
  return Number(BigInt(ns) / 1000n) / 1e3;
}

/** Whose an address is; empty where there is only one recording. @param {Side[]} sides @param {string} address */
export function sideOf(sides, address) {
  const device = address.split("/")[1] ?? "";
  return sides.some((s) => device.startsWith(`${s.key}_`)) ? device[0] : "";
}

/** The same channel of every recording that has it, the asked one first. @param {Side[]} sides @param {Catalogue|null} catalogue @param {string} address @returns {string[]} */
export function twinsOf(sides, catalogue, address) {
  const mine = sideOf(sides, address);
  if (!mine || !catalogue) return [address];
  const [workspace, device, name] = address.split("/");
  const others = sides.filter((s) => s.key !== mine).map((s) => `${s.key}${device.slice(1)}`);
  const kind = catalogue.devices[device]?.channels?.[name]?.kind;
  const alike = others.filter((d) => catalogue.devices[d]?.channels?.[name]?.kind === kind);
  return [address, ...alike.map((d) => `${workspace}/${d}/${name}`)];
}

/** The first video of each recording. @param {Side[]} sides @param {Catalogue} catalogue @returns {Place[]} */
export function videosOf(sides, catalogue) {
  const all = channelsOf(catalogue).filter((p) => p.channel.kind === "video");
  return sides.flatMap((side) => {
    const place = all.find((p) => p.device.startsWith(`${side.key}_`));
    if (!place) return [];
    const label = catalogue.devices[place.device]?.label ?? {};
    return [{ ...place, title: label[document.documentElement.lang] ?? label.en ?? place.device }];
  });
}

/** What a Δt from one recording to another is known no better than. @param {Side[]} sides @param {string} a @param {string} b */
export function across(sides, a, b) {
  if (!a || !b || a === b) return null;
  const two = sides.filter((s) => s.key === a || s.key === b);
  const sum = (/** @type {(number|null)[]} */ all) => all.reduce((n, x) => (n === null || x === null ? null : n + x), /** @type {number|null} */ (0));
  return { bound_ms: sum(two.map((s) => s.bound_ms)), err_ms: sum(two.map((s) => s.err_ms)) };
}

/** One line that says where each recording stands in its own time. */
export class SideBar {
  /** @param {Side[]} sides */
  constructor(sides) {
    this.sides = sides;
    this.times = sides.map((side) => {
      const time = h("span.side-time");
      const how = side.bound_ms === null ? word("alignUnknown") : side.bound_ms ? `±${side.bound_ms.toFixed(3)} ms` : "";
      const shift = h("span.side-shift", { text: [side === sides[0] ? word("axis") : `${word("moved")} ${shiftText(side.shift_ms)}`, how].filter(Boolean).join(" · ") });
      return { time, element: h(`span.compared.side-${side.key}`, {}, [h("b.side-key", { text: side.key.toUpperCase() }), time, shift]) };
    });
    this.element = h("div.sides", { role: "group", "aria-label": word("compared") }, [h("span.side-title", { text: word("compared") }), ...this.times.map((t) => t.element)]);
  }

  /** @param {View} view @param {number} utc_offset_ms bus time less UTC */
  update(view, utc_offset_ms) {
    this.sides.forEach((side, i) => {
      const unix = view.cursor_unix_ms;
      const over = unix + utc_offset_ms > side.last_ms;
      const before = unix + utc_offset_ms < side.first_ms;
      const own = unix - side.shift_ms;
      const text = before ? word("notBegun") : over ? word("over") : `${clockText(own, shownZone())}.${String(Math.floor(own % 1000)).padStart(3, "0")}`;
      setText(this.times[i].time, text);
      setClass(this.times[i].element, "off", before || over);
    });
  }
}

/** @param {number} shift */
export function shiftText(shift) {
  const size = Math.abs(shift);
  const days = Math.floor(size / 86_400_000);
  const rest = new Date(size % 86_400_000).toISOString().slice(11, 23);
  return `${shift < 0 ? "−" : "+"}${days ? `${days} d ` : ""}${rest}`;
}
