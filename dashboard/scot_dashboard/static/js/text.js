/** Words on the screen, in English and Japanese. */

import { alarms } from "./words/alarms.js";
import { consult } from "./words/consult.js";
import { engineer } from "./words/engineer.js";
import { layout } from "./words/layout.js";
import { navigation } from "./words/navigation.js";
import { room } from "./words/room.js";
import { tour } from "./words/tour.js";
import { video } from "./words/video.js";
import { vitals } from "./words/vitals.js";

/** @type {Record<string, [string, string]>} */
const WORDS = { ...alarms, ...consult, ...engineer, ...layout, ...navigation, ...room, ...tour, ...video, ...vitals };

export const lang = (() => {
  const wanted = new URLSearchParams(location.search).get("lang") ?? navigator.language;
  return wanted.startsWith("ja") ? "ja" : "en";
})();

/** @param {keyof typeof WORDS | string} key */
export function word(key) {
  const pair = WORDS[key];
  return pair ? pair[lang === "ja" ? 1 : 0] : key;
}

/** @param {Record<string, string>|undefined} labels @param {string} fallback */
export function label(labels, fallback) {
  return plain(labels?.[lang] || labels?.en || Object.values(labels ?? {})[0] || fallback);
}

const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const STACKED = /(\p{M}{3})\p{M}+/gu;
const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/;

/**
 * A text of others as it may stand beside a number: nothing in it turns what follows around, hides
 * it, or climbs out of its line.
 *
 * @param {string} text
 *
 * Source: Unicode Standard Annex 9, 2.4 (explicit directional isolates)
 */
export function plain(text) {
  const clean = String(text).replace(UNSEEN, "").replace(STACKED, "$1");
  return RIGHT_TO_LEFT.test(clean) ? `\u2068${clean}\u2069` : clean;
}

/** A time that has passed, as short as can be read. @param {number} ms */
export function ageText(ms) {
  const s = ms / 1000;
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 100) return `${Math.floor(s)} s`;
  if (s < 5400) return `${Math.floor(s / 60)} min`;
  return `${(s / 3600).toFixed(1)} h`;
}

/** A delay a person may feel. @param {number} ms */
export function delayText(ms) {
  return ms < 995 ? `${Math.round(ms)} ms` : ageText(ms);
}

/** How long something has lasted, in the words of the language. @param {number} ms */
export function sinceText(ms) {
  return `${word("since")} ${ageText(ms)}`;
}

/** mm:ss or h:mm:ss. @param {number} ms */
export function spanText(ms) {
  const s = Math.floor(ms / 1000);
  const two = (/** @type {number} */ n) => String(n).padStart(2, "0");
  const tail = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${tail}` : tail;
}

/** UCUM codes as people write them. @param {string|undefined} ucum */
export function unitText(ucum) {
  if (!ucum || ucum === "1") return "";
  const known = UNITS[ucum];
  if (known !== undefined) return known;
  return ucum
    .replace(/\{[^}]*\}/g, "")
    .replace(/\[Hg\]/g, "Hg")
    .replace(/\[H2O\]/g, "H₂O")
    .replace(/\[([A-Za-z]+)'?U?S?\]/g, "$1")
    .replace(/^\//, "/")
    .replace(/\bu(?=[A-Z]|mol|g|m)/g, "µ")
    .replace(/\bCel\b/g, "°C")
    .replace(/\bdeg\b/g, "°")
    .replace(/\bOhm\b/g, "Ω")
    .replace(/\./g, "·");
}

/** @type {Record<string, string>} */
const UNITS = {
  "{beat}/min": "/min", "{beats}/min": "/min", "{breath}/min": "/min", "{breaths}/min": "/min",
  "mm[Hg]": "mmHg", "cm[H2O]": "cmH₂O", Cel: "°C", uV: "µV", "{score}": "", "[ppm]": "ppm",
};

/**
 * A number in as few figures as it deserves: the resolution a device states, else by size.
 *
 * @param {number} value
 * @param {import("./types.js").Channel} channel
 */
export function numberText(value, channel) {
  const stated = channel.attrs?.resolution;
  if (typeof stated === "number" && stated > 0) {
    return value.toFixed(Math.min(4, Math.max(0, Math.ceil(-Math.log10(stated) - 1e-9))));
  }
  if (channel.unit === "Cel") return value.toFixed(1);
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}
