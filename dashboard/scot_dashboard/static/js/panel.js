/**
 * What belongs to this display: its settings with a ruler, and the keys. Also keeps the screen
 * awake, and moves the picture by a pixel now and then so that nothing burns in.
 */

import { h, setHidden, setText } from "./dom.js";
import { GALLERY_KEYS } from "./gallery.js";
import { timeFields } from "./preferences.js";
import { RULER_MM, SPEEDS, change, onSettings, pxPerMm, settings, widthOf } from "./settings.js";
import { NAV_KEYS } from "./nav/window.js";
import { word } from "./text.js";

const SHIFT_MS = 120_000;
const SHIFT_PX = [[0, 0], [1, 0], [1, 1], [0, 1]];

/** @type {[string, string][]} key, what it does */
const KEYS = [
  ["A", "keyAck"], ["P", "keyPause"], ["X", "keyOff"], ["O", "alarmLog"], ["B  N", "keyAlarms"], ["T", "trends"], ["← →", "keyStep"], ["Shift ← →", "keyFar"],
  [",  .", "keyJump"], ["␣", "keyFreeze"], ["L  Esc", "toLive"], ["M", "markHint"], ["Y", "copyHint"], ["I", "keyVoice"],
  ...GALLERY_KEYS, ...NAV_KEYS, ["S", "display"], ["E", "keyLayout"], ["?", "keys"],
];

/** @type {[string, string][]} of the consultants' page */
const GUEST_KEYS = [["G", "keySwap"]];

export class Panel {
  /** @param {{staff?: boolean}} [options] */
  constructor({ staff = true } = {}) {
    this.display = dialog("display");
    this.keys = dialog("keys");
    this.element = h("div.panels", {}, [this.display.element, this.keys.element]);
    const known = staff ? KEYS : [...KEYS.filter(([key]) => !"APX".includes(key)), ...GUEST_KEYS];
    this.keys.body.append(h("dl.key-list", {}, known.flatMap(([key, what]) => [
      h("dt", {}, [h("kbd", { text: key })]), h("dd", { text: word(what) }),
    ])));
    this.onTour = () => {};
    const tour = h("button.choice", { type: "button", text: word("tour"), "data-act": "tour" });
    tour.addEventListener("click", () => {
      this.close();
      this.button.focus();
      this.onTour();
    });
    this.keys.body.prepend(tour);
    this.ruler = h("div.ruler", { role: "img", "aria-label": word("ruler") });
    this.width = /** @type {HTMLInputElement} */ (h("input", {
      type: "range", min: "80", max: "1600", step: "1", "aria-label": word("rulerHint"),
    }));
    this.told = h("p.panel-note");
    this.width.addEventListener("input", () => change({ screen_mm: widthOf(Number(this.width.value)) }));
    this.display.body.append(
      choice("speed", SPEEDS.map((v) => [String(v), `${v} mm/s`]), () => String(settings.speed), (v) => change({ speed: Number(v) })),
      h("fieldset.panel-field", {}, [h("legend", { text: word("ruler") }), this.ruler, this.width, this.told]),
      choice("pressure", UNITS, () => settings.pressure, (v) => change({ pressure: /** @type {"kPa"} */ (v) })),
      choice("gas", UNITS, () => settings.gas, (v) => change({ gas: /** @type {"kPa"} */ (v) })),
      choice("theme", [["dark", word("dark")], ["bright", word("bright")]], () => settings.theme, (v) => {
        change({ theme: /** @type {"dark"} */ (v) });
        location.reload(); // canvases are painted in its colours
      }),
      ...timeFields(choice),
      h("p.panel-note", { text: word("displayNote") }),
    );
    onSettings(() => this.show());
    this.show();
    this.button = h("button.drawer-button", { type: "button", text: `${word("display")} · ?`, "data-tour": "help" });
    this.button.addEventListener("click", () => this.toggle("display"));
    stayAwake();
    shift();
  }

  /** @param {"display"|"keys"} which */
  toggle(which) {
    const other = which === "keys" ? this.display : this.keys;
    setHidden(other.element, true);
    const { element } = this[which];
    setHidden(element, !element.hidden);
    if (!element.hidden) element.querySelector("button")?.focus();
  }

  /** Escape closes what is open; say whether anything was. */
  close() {
    const open = [this.display.element, this.keys.element].filter((e) => !e.hidden);
    for (const element of open) setHidden(element, true);
    return open.length > 0;
  }

  show() {
    const px = Math.round(pxPerMm() * RULER_MM);
    this.ruler.style.width = `${px}px`;
    if (document.activeElement !== this.width) this.width.value = String(px);
    setText(this.told, settings.screen_mm ? `${word("rulerHint")} ${settings.screen_mm} mm` : `${word("rulerHint")} ${word("notSet")}`);
  }
}

/** @type {[string, string][]} */
const UNITS = [["mmHg", "mmHg"], ["kPa", "kPa"]];

/** @param {string} key */
function dialog(key) {
  const close = h("button.big-button", { type: "button", text: "✕", "aria-label": word("close") });
  const body = h("div.panel-body");
  const element = h(`section.panel.panel-${key}`, { role: "dialog", "aria-label": word(key) }, [
    h("div.panel-head", {}, [h("h2", { text: word(key) }), close]), body,
  ]);
  close.addEventListener("click", () => setHidden(element, true));
  setHidden(element, true);
  return { element, body };
}

/**
 * @param {string} key @param {[string, string][]} options @param {() => string} now
 * @param {(value: string) => void} pick
 */
function choice(key, options, now, pick) {
  const buttons = options.map(([value, text]) => {
    const button = h("button.choice", { type: "button", text, "aria-pressed": String(now() === value) });
    button.addEventListener("click", () => pick(value));
    return { value, button };
  });
  onSettings(() => {
    for (const { value, button } of buttons) button.setAttribute("aria-pressed", String(now() === value));
  });
  return h("fieldset.panel-field", {}, [h("legend", { text: word(key) }), ...buttons.map((b) => b.button)]);
}

/** A wall that goes dark by itself is none. Browsers give it only to a page that is seen. */
function stayAwake() {
  const ask = () => {
    if (document.visibilityState !== "visible") return;
    // Without it the screen's own settings decide; nothing else is different.
    navigator.wakeLock?.request("screen").catch(() => {});
  };
  document.addEventListener("visibilitychange", ask);
  ask();
}

/** Every two minutes one pixel aside, so that a still picture does not burn in. */
function shift() {
  let step = 0;
  setInterval(() => {
    step = (step + 1) % SHIFT_PX.length;
    const [x, y] = SHIFT_PX[step];
    if (innerWidth <= 900) return; // there the page scrolls, and nobody leaves it standing
    const room = /** @type {HTMLElement|null} */ (document.querySelector("#room"));
    if (room) room.style.translate = `${x}px ${y}px`;
  }, SHIFT_MS);
}
