/**
 * What belongs to one display and stays with it: its width, the speed of its traces, units, theme.
 */

const KEY = "scot.display";
const RULER_MM = 100;
export const SPEEDS = [12.5, 25, 50];
export const GAINS = [0, 0.5, 1, 2, 4]; // 0 fits itself
export const MMHG_KPA = 0.133322;

/**
 * @typedef {object} Settings
 * @property {number} speed of the traces, mm/s
 * @property {number} screen_mm width of the whole screen; 0 unknown
 * @property {"mmHg"|"kPa"} pressure of blood
 * @property {"mmHg"|"kPa"} gas partial pressures
 * @property {"dark"|"bright"} theme
 * @property {Record<string, number>} gains by address
 */

/** @returns {Settings} */
function defaults() {
  const asked = Number(new URLSearchParams(location.search).get("screen_mm"));
  const region = /-(GB|IE)\b/.test(navigator.language);
  return {
    speed: 25, screen_mm: asked > 0 ? asked : 0, pressure: "mmHg", gas: region ? "kPa" : "mmHg",
    theme: "dark", gains: {},
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
  for (const call of listeners) call();
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
