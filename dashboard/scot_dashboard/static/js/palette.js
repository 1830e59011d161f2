/**
 * Parameter colours: by MDC code, then by the channel's name. They stay apart under deuteranopia
 * together with row order and label, and are never yellow, amber or the green of LIVE.
 * @import {Channel} from "./types.js"
 */

import { settings } from "./settings.js";

export const ALARM_COLORS = { Hi: "#e3002b", Me: "#ffd21f", Lo: "#19c8de" };

/** @type {[string, RegExp, RegExp, number][]} colour, codes, names, place on a monitor */
const FAMILIES = [
  ["#3ee6a0", /^MDC_(ECG|PULS_RATE_HR)/, /^(ecg|hr$|hr_|heart|st_|mcl|lead)/, 0],
  ["#c9d3e0", /PRESS_(BLD|CUFF)_NONINV|PRESS_CUFF/, /^(nibp|nbp|ni_?bp)/, 6],
  ["#ff6f61", /^MDC_PRESS_BLD_(ART|AORT|.*ABP)/, /^(art|abp|ibp|p_?art)/, 1],
  ["#59c2ff", /^MDC_(PULS_OXIM|SAT_O2|BLD_PULS)/, /^(spo2|sao2|pleth|ppg|pr$|perf)/, 2],
  ["#e8ecf1", /CO2/, /co2/, 3],
  ["#b99cff", /^MDC_(RESP|IMPED_TTHOR|TTHOR|AWAY|VENT|FLOW_AWAY|PRESS_AWAY)/, /^(resp|rr$|awrr|vent|paw|flow)/, 4],
  ["#ff9ecb", /^MDC_TEMP/, /^(temp|t_|core)/, 5],
];

const OTHER = "#c9d3e0";

/** @param {Channel} channel */
function family(channel) {
  const code = channel.code ?? "";
  return (code && FAMILIES.find(([, codes]) => codes.test(code)))
    || FAMILIES.find(([, , names]) => names.test(channel.name));
}

/** The same on white: as far apart, and dark enough to be read. @type {Record<string, string>} */
const BRIGHT = {
  "#3ee6a0": "#0a6e46", "#c9d3e0": "#3c4a5c", "#ff6f61": "#b3261a", "#59c2ff": "#0b5f9e", "#e8ecf1": "#20262e",
  "#b99cff": "#5b37b8", "#ff9ecb": "#a0186a",
};

/** What only alarms, LIVE and "doubtful" may look like. */
const RESERVED = ["#e3002b", "#ffd21f", "#19c8de", "#ffb020", "#22c55e"];
const APART = 90; // in RGB, so that nobody takes one for the other
const DARK = 0.3;

/** @param {string} hex @returns {number[]} 0 to 255 */
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

/**
 * The colour that a channel asks for, unless it means something else here or could not be read on
 * black. @param {unknown} asked @returns {string|null}
 */
export function askedColor(asked) {
  if (typeof asked !== "string" || !/^#[0-9a-f]{6}$/i.test(asked)) return null;
  const [r, g, b] = rgb(asked);
  const light = (0.2126 * r + 0.7152 * g + 0.0722 * b) / 255;
  const taken = RESERVED.some((other) => Math.hypot(...rgb(other).map((v, i) => v - [r, g, b][i])) < APART);
  return light < DARK || taken ? null : asked.toLowerCase();
}

/** @param {Channel} channel */
export function colorOf(channel) {
  const color = family(channel)?.[0] ?? askedColor(channel.attrs?.colour) ?? OTHER;
  if (settings.theme !== "bright") return color;
  return BRIGHT[color] ?? `#${rgb(color).map((v) => Math.round(v * 0.42).toString(16).padStart(2, "0")).join("")}`;
}

/** Where on a monitor's screen people look for it. @param {Channel} channel */
export function placeOf(channel) {
  return family(channel)?.[3] ?? 9;
}

/** Colour of a device's lane: by the kind of what it mostly sends. @param {import("./types.js").Device} device */
export function laneColor(device) {
  const kinds = new Set(Object.values(device.channels ?? {}).map((c) => c.kind));
  if (kinds.has("video") || kinds.has("image")) return "#8a4a44";
  if (kinds.has("pose")) return "#2c6ba6";
  if (kinds.has("waveform") || kinds.has("numeric")) return "#26785c";
  return "#5b6b7e";
}
