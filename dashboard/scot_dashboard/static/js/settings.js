/**
 * What belongs to one display and stays with it: its width and distance, the speed of its traces,
 * units, theme, delay, pedal.
 */

const KEY = "scot.display";
const RULER_MM = 100;
export const SPEEDS = [12.5, 25, 50];
export const GAINS = [0, 0.5, 1, 2, 4]; // 0 fits itself
export const RETURNS_S = [30, 60, 180, 0]; // 0 stays
export const DELAYS_MS = [0, 250, 500, 1000]; // 0 draws what comes at once
export const DISTANCES_M = [0.7, 1.5, 3, 5];
const ARC_MIN = 20; // of a capital letter, for what must be read without effort
const CAPITAL = 0.727; // of the font's size, Inter
const TOUCH_MM = 15;
const LEAST_TOUCH_PX = 44;
export const MMHG_KPA = 0.133322;

/**
 * @typedef {object} Settings
 * @property {number} speed of the traces, mm/s
 * @property {number} screen_mm width of the whole screen; 0 unknown
 * @property {"mmHg"|"kPa"} pressure of blood
 * @property {"mmHg"|"kPa"} gas partial pressures
 * @property {"dark"|"bright"} theme
 * @property {Record<string, number>} gains by address
 * @property {number} distance_m from the reader's eye to the screen
 * @property {number} return_s after which a wall left behind live goes back; 0 never
 * @property {number} smooth_ms fixed delay of everything that moves; 0 none
 * @property {string} pedal the key that a foot pedal sends; empty without one
 * @property {"mark"|"hold"} pedal_does
 */

/** @returns {Settings} */
function defaults() {
  const asked = Number(new URLSearchParams(location.search).get("screen_mm"));
  const region = /-(GB|IE)\b/.test(navigator.language);
  return {
    speed: 25, screen_mm: asked > 0 ? asked : 0, pressure: "mmHg", gas: region ? "kPa" : "mmHg",
    theme: "dark", gains: {}, distance_m: 3, return_s: 60, smooth_ms: 0, pedal: "", pedal_does: "mark",
  };
}

/** @returns {Settings} what was kept, as far as it makes sense */
function load() {
  const fresh = defaults();
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    if (SPEEDS.includes(kept.speed)) fresh.speed = kept.speed;
    if (!fresh.screen_mm && kept.screen_mm > 50 && kept.screen_mm < 10_000) fresh.screen_mm = kept.screen_mm;
    for (const key of /** @type {("pressure"|"gas")[]} */ (["pressure", "gas"])) {
      if (["mmHg", "kPa"].includes(kept[key])) fresh[key] = kept[key];
    }
    if (["dark", "bright"].includes(kept.theme)) fresh.theme = kept.theme;
    if (DISTANCES_M.includes(kept.distance_m)) fresh.distance_m = kept.distance_m;
    if (RETURNS_S.includes(kept.return_s)) fresh.return_s = kept.return_s;
    if (DELAYS_MS.includes(kept.smooth_ms)) fresh.smooth_ms = kept.smooth_ms;
    if (typeof kept.pedal === "string") fresh.pedal = kept.pedal.slice(0, 40);
    if (["mark", "hold"].includes(kept.pedal_does)) fresh.pedal_does = kept.pedal_does;
    for (const [address, gain] of Object.entries(kept.gains ?? {})) {
      if (GAINS.includes(/** @type {number} */ (gain))) fresh.gains[address] = /** @type {number} */ (gain);
    }
  } catch {
    // A browser that stores nothing starts with what everybody starts with.
  }
  return fresh;
}

export const settings = load();
document.documentElement.dataset.theme = settings.theme;
measure();

/** @type {(() => void)[]} */
const listeners = [];

/** @param {() => void} call after each change */
export function onSettings(call) {
  listeners.push(call);
}

/** @param {Partial<Settings>} changed */
export function change(changed) {
  Object.assign(settings, changed);
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // It holds until this page is closed.
  }
  measure();
  for (const call of listeners) call();
}

/**
 * Sizes that follow from millimetres: a finger's width, and text that is read from where people
 * stand. Without the screen's width, what browsers assume.
 */
function measure() {
  const { style } = document.documentElement;
  const touch = settings.screen_mm > 0 ? Math.max(LEAST_TOUCH_PX, TOUCH_MM * pxPerMm()) : LEAST_TOUCH_PX;
  style.setProperty("--touch", `${Math.min(touch, innerWidth / 5).toFixed(1)}px`);
  const read = settings.screen_mm > 0 ? Math.min(readPx(), Math.min(innerWidth, innerHeight) / 12) : 0;
  style.setProperty("--read", `${read.toFixed(1)}px`);
}

/** Font size whose capitals span 20 arc minutes from where the reader stands, CSS px. */
export function readPx() {
  const mm = 2 * settings.distance_m * 1000 * Math.tan((ARC_MIN / 120 / 180) * Math.PI);
  return (mm / CAPITAL) * pxPerMm();
}

/** Arc minutes that a capital of a font size spans. @param {number} px */
export function arcMinutes(px) {
  const mm = (px * CAPITAL) / pxPerMm();
  return (2 * Math.atan(mm / (2 * settings.distance_m * 1000)) * 180 * 60) / Math.PI;
}

/** CSS pixels of one millimetre of this screen. */
export function pxPerMm() {
  return settings.screen_mm > 0 ? screen.width / settings.screen_mm : 96 / 25.4;
}

/** A ruler's length on the screen says how wide the screen is. @param {number} px @returns {number} mm */
export function widthOf(px) {
  return Math.round((screen.width / px) * RULER_MM);
}

export { RULER_MM };
