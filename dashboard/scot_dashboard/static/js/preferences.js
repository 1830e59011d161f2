/**
 * What of this display concerns time and its reader: the way back to live, the delay, the pedal,
 * the distance.
 */

import { h, setText } from "./dom.js";
import { DELAYS_MS, DISTANCES_M, RETURNS_S, arcMinutes, change, onSettings, pxPerMm, readPx, settings } from "./settings.js";
import { word } from "./text.js";

/** @typedef {(key: string, options: [string, string][], now: () => string, pick: (value: string) => void) => HTMLElement} Choice */

/** @param {Choice} choice @returns {HTMLElement[]} */
export function timeFields(choice) {
  const text = (/** @type {number} */ s) => (s ? (s < 60 ? `${s} s` : `${s / 60} min`) : word("neverBack"));
  return [
    choice("returnAfter", RETURNS_S.map((s) => [String(s), text(s)]), () => String(settings.return_s), (v) => change({ return_s: Number(v) })),
    choice("delay", DELAYS_MS.map((ms) => [String(ms), ms ? `${ms} ms` : word("atOnce")]), () => String(settings.smooth_ms), (v) => change({ smooth_ms: Number(v) })),
    distance(choice("distance", DISTANCES_M.map((m) => [String(m), `${m} m`]), () => String(settings.distance_m), (v) => change({ distance_m: Number(v) }))),
    pedal(choice("pedal", [["mark", word("pedalMark")], ["hold", word("pedalHold")]], () => settings.pedal_does, (v) => change({ pedal_does: /** @type {"hold"} */ (v) }))),
  ];
}

/** With what that distance means for the letters on this screen. @param {HTMLElement} field */
function distance(field) {
  const told = h("p.panel-note");
  const tell = () => {
    if (!settings.screen_mm) return setText(told, `${word("rulerHint")} ${word("notSet")}`);
    const values = [...document.querySelectorAll(".tile-value")].map((v) => parseFloat(getComputedStyle(v).fontSize));
    const needed = (readPx() / pxPerMm()) * 0.727;
    const [before, middle, after] = word("readable").split("{}");
    setText(told, `${before}${needed.toFixed(1)}${middle}${arcMinutes(Math.max(0, ...values)).toFixed(0)}${after}`);
  };
  field.append(told);
  onSettings(tell);
  setTimeout(tell, 0);
  return field;
}

/** Press the button, then the pedal: whatever key it sends is the pedal. @param {HTMLElement} field */
function pedal(field) {
  const key = h("button.choice", { type: "button" });
  const none = h("button.choice", { type: "button", text: word("pedalOff") });
  const tell = () => setText(key, settings.pedal ? word("pedalKey").replace("{}", settings.pedal === " " ? "␣" : settings.pedal) : word("pedalNone"));
  key.addEventListener("click", () => {
    setText(key, word("pedalWait"));
    window.addEventListener("keydown", (event) => {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (event.key === "Escape") tell();
      else change({ pedal: event.key });
    }, { capture: true, once: true });
  });
  none.addEventListener("click", () => change({ pedal: "" }));
  field.append(key, none);
  onSettings(tell);
  tell();
  return field;
}
