/**
 * Window and level of the slices: presets by modality, by button, key and drag; kept by this display.
 * @import {Window} from "./volume.js"
 */

import { h, setText } from "../dom.js";
import { word } from "../text.js";

/** Hounsfield units, as radiology reads them. @type {[string, number, number][]} word, centre, width */
const CT = [
  ["presetBrain", 40, 80], ["presetSubdural", 75, 215], ["presetSoft", 40, 400], ["presetVessels", 300, 600],
  ["presetBone", 600, 2800], ["presetLung", -600, 1500],
];

/** @param {string} modality @param {Window} stored @returns {{name: string, centre: number, width: number}[]} */
export function presetsOf(modality, stored) {
  const own = { name: "presetStored", ...stored };
  if (modality === "CT") return [own, ...CT.map(([name, centre, width]) => ({ name, centre, width }))];
  return [
    own,
    { name: "presetSteep", centre: stored.centre, width: stored.width * 0.55 },
    { name: "presetFlat", centre: stored.centre, width: stored.width * 1.7 },
  ];
}

/** The window after a drag or a key: by shares of its width, never empty. @param {Window} window @param {number} wider @param {number} brighter */
export function moved({ centre, width }, wider, brighter) {
  return { centre: centre - brighter * width, width: Math.max(1, width * Math.exp(wider)) };
}

/** Turning of a drag over the slice, and of one key. */
const DRAG_SHARE = 1 / 300;
const KEY_SHARE = 0.06;
const ZOOMS = [1, 2, 4];

/** @type {Record<string, [number, number]>} wider, brighter */
const KEYS = { "[": [0, -KEY_SHARE], "]": [0, KEY_SHARE], "{": [-KEY_SHARE, 0], "}": [KEY_SHARE, 0] };

/** For the list of keys. @type {[string, string][]} */
export const NAV_KEYS = [["W", "keyWindow"], ["[ ]  { }", "keyLevel"], ["Z", "keyZoom"]];

export class Windowing {
  /** @param {string} stem @param {(wish: any) => void} tell the worker */
  constructor(stem, tell) {
    this.place = `scot.window.${stem}`;
    this.tell = tell;
    this.zoom = 1;
    /** @type {Window} */
    this.window = { centre: 128, width: 256 };
    /** @type {ReturnType<typeof presetsOf>} */
    this.presets = [];
    this.button = h("button.nav-window", { type: "button" });
    this.button.hidden = true;
    this.button.addEventListener("click", () => this.next());
    this.magnifier = h("button.nav-window.nav-zoom", { type: "button", "aria-label": word("keyZoom") });
    this.magnifier.hidden = true;
    this.magnifier.addEventListener("click", () => this.magnify());
    document.addEventListener("keydown", (event) => this.key(event));
  }

  /** What the picture is; a window that somebody chose on this display comes back. @param {string} modality @param {Window} stored */
  open(modality, stored) {
    this.presets = presetsOf(modality, stored);
    this.button.hidden = this.magnifier.hidden = false;
    this.show(recall(this.place) ?? stored, false);
  }

  /** @param {Window} window @param {boolean} [keep] */
  show(window, keep = true) {
    this.window = window;
    const found = this.presets.find((p) => near(p.centre, window.centre) && near(p.width, window.width));
    const figures = `W ${whole(window.width)} L ${whole(window.centre)}`;
    const text = `${figures} · ${word(found?.name ?? "presetOwn")}`;
    setText(this.button, found?.name === "presetStored" ? figures : text); // a letter of the slice stands beside it
    this.button.setAttribute("aria-label", `${word("keyWindow")}: ${text}`);
    setText(this.magnifier, `${this.zoom}×`);
    this.tell({ do: "window", window: { centre: window.centre, width: window.width } });
    if (keep) remember(this.place, window);
  }

  next() {
    const at = this.presets.findIndex((p) => near(p.centre, this.window.centre) && near(p.width, this.window.width));
    const { centre, width } = this.presets[(at + 1) % this.presets.length];
    this.show({ centre, width });
  }

  magnify() {
    this.zoom = ZOOMS[(ZOOMS.indexOf(this.zoom) + 1) % ZOOMS.length];
    setText(this.magnifier, `${this.zoom}×`);
    this.tell({ do: "zoom", zoom: this.zoom });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {Element|null} */ (event.target);
    if (!this.presets.length || !this.button.isConnected || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target instanceof Element && target.matches("input, textarea, select")) return;
    if (event.key.toLowerCase() === "w") this.next();
    else if (event.key.toLowerCase() === "z") this.magnify();
    else if (KEYS[event.key]) this.show(moved(this.window, ...KEYS[event.key]));
    else return;
    event.preventDefault();
  }

  /** Drag across: width. Drag down: level. Twice: as stored. Arrows do the same. @param {HTMLElement} element of a slice */
  on(element) {
    element.tabIndex = 0;
    element.addEventListener("pointerdown", (down) => {
      if (!this.presets.length || (down.target instanceof Element && down.target.closest("button"))) return;
      element.setPointerCapture(down.pointerId);
      let [x, y] = [down.clientX, down.clientY];
      const move = (/** @type {PointerEvent} */ e) => {
        this.show(moved(this.window, (e.clientX - x) * DRAG_SHARE, (e.clientY - y) * -DRAG_SHARE));
        [x, y] = [e.clientX, e.clientY];
      };
      const end = () => element.removeEventListener("pointermove", move);
      element.addEventListener("pointermove", move);
      element.addEventListener("pointerup", end, { once: true });
      element.addEventListener("pointercancel", end, { once: true });
    });
    element.addEventListener("dblclick", () => this.presets[0] && this.show(this.presets[0]));
    element.addEventListener("keydown", (event) => {
      const turn = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!turn || !this.presets.length || event.target !== element) return;
      this.show(moved(this.window, turn[0] * KEY_SHARE, turn[1] * KEY_SHARE));
      event.preventDefault();
      event.stopPropagation(); // elsewhere the arrows are time
    });
  }
}

/** @param {number} a @param {number} b */
const near = (a, b) => Math.abs(a - b) < 1e-6 * (1 + Math.abs(a));

/** @param {number} value */
const whole = (value) => (Math.abs(value) < 10 ? value.toFixed(1) : value.toFixed(0));

/** @param {string} place @returns {Window|null} */
function recall(place) {
  try {
    const found = JSON.parse(localStorage.getItem(place) ?? "null");
    return Number.isFinite(found?.centre) && found?.width > 0 ? { centre: found.centre, width: found.width } : null;
  } catch {
    return null; // storage is off, or somebody else wrote there
  }
}

/** @param {string} place @param {Window} window */
function remember(place, { centre, width }) {
  try {
    localStorage.setItem(place, JSON.stringify({ centre, width }));
  } catch {
    // storage is off: the window lasts as long as the page
  }
}
