/**
 * Which source is large on this display, and how each one is turned and cropped; kept by address.
 * @import {Framing} from "./feed/framing.js"
 */

import { PLAIN, isPlain, readFraming } from "./feed/framing.js";

const KEY = "scot.video";
const MOST = 200;

/** @typedef {{large: string, framings: Record<string, Framing>}} Kept */

/** @returns {Kept} */
function load() {
  try {
    const { large, framings } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    const read = Object.entries(framings ?? {}).slice(-MOST).map(([address, one]) => [address, readFraming(one)]);
    return { large: typeof large === "string" ? large : "", framings: Object.fromEntries(read) };
  } catch {
    return { large: "", framings: {} }; // a browser that stores nothing starts anew
  }
}

const kept = load();

function save() {
  try {
    localStorage.setItem(KEY, JSON.stringify(kept));
  } catch {
    // It holds until this page is closed.
  }
}

/** @param {string} address @returns {Framing} */
export function framingOf(address) {
  return kept.framings[address] ?? PLAIN;
}

/** @param {string} address @param {Framing} framing */
export function setFraming(address, framing) {
  delete kept.framings[address];
  if (!isPlain(framing)) kept.framings[address] = framing;
  save();
}

/** Address of the source that was large last; may be gone. */
export function keptLarge() {
  return kept.large;
}

/** @param {string} address */
export function setLarge(address) {
  kept.large = address;
  save();
}
