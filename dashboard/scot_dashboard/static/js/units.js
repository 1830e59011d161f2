/** Units as this display shows them. The bus keeps the device's own. @import {Channel} from "./types.js" */

import { MMHG_KPA, settings } from "./settings.js";
import { numberText, unitText } from "./text.js";

/**
 * How a channel's values are shown here.
 *
 * @param {Channel} channel
 * @returns {{factor: number, unit: string, places: number|null}} places null: as the device has them
 */
export function shownAs(channel) {
  const wanted = isGas(channel) ? settings.gas : settings.pressure;
  if (channel.unit === "mm[Hg]" && wanted === "kPa") return { factor: MMHG_KPA, unit: "kPa", places: 1 };
  if (channel.unit === "kPa" && wanted === "mmHg") return { factor: 1 / MMHG_KPA, unit: "mmHg", places: 0 };
  return { factor: 1, unit: unitText(channel.unit), places: null };
}

/** @param {Channel} channel */
function isGas({ code = "", name }) {
  return /CO2|O2|AWAY|GAS/.test(code) || /co2|o2|gas/.test(name);
}

/** @param {number} value in the channel's own unit @param {Channel} channel */
export function valueText(value, channel) {
  const { factor, places } = shownAs(channel);
  return places === null ? numberText(value, channel) : (value * factor).toFixed(places);
}

/** @param {Channel} channel */
export function unitOf(channel) {
  return shownAs(channel).unit;
}

/** Alarm limits. @param {number|null|undefined} lower @param {number|null|undefined} upper @param {Channel} channel */
export function limitText(lower, upper, channel) {
  const { factor, places } = shownAs(channel);
  const text = (/** @type {number} */ v) => (places === null ? String(v) : (v * factor).toFixed(places));
  if (lower != null && upper != null) return `${text(lower)}–${text(upper)}`;
  if (lower != null) return `≥ ${text(lower)}`;
  return upper != null ? `≤ ${text(upper)}` : "";
}
