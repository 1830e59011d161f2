/**
 * Choosing a part of the picture: by mouse, finger or keys. What comes out is two corners in shares
 * of what is shown. @import {Point} from "./feed/framing.js"
 */

import { h, setHidden } from "./dom.js";
import { word } from "./text.js";

const STEP = 0.02;
const LEAST = 0.08;

/** @param {number} v @param {number} low @param {number} high */
const within = (v, low, high) => Math.min(high, Math.max(low, v));

export class CropFrame {
  /**
   * @param {() => {left: number, top: number, width: number, height: number}} place of what is shown, CSS px in the parent
   * @param {(one: Point, other: Point) => void} take
   */
  constructor(place, take) {
    this.place = place;
    this.take = take;
    /** @type {[number, number, number, number]} x, y, width, height, in shares of what is shown */
    this.part = [0.1, 0.1, 0.8, 0.8];
    this.frame = h("div.crop-frame");
    this.field = h("div.crop-field", { tabindex: "0", role: "application", "aria-label": `${word("crop")}. ${word("cropHint")}` }, [this.frame]);
    const yes = h("button.big-button", { type: "button", text: word("cropTake") });
    const no = h("button.big-button", { type: "button", text: word("cropLeave") });
    yes.addEventListener("click", () => this.finish(true));
    no.addEventListener("click", () => this.finish(false));
    this.element = h("div.crop", {}, [this.field, h("div.crop-bar", {}, [h("span", { text: word("cropHint") }), yes, no])]);
    setHidden(this.element, true);
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.watch();
  }

  get open() {
    return !this.element.hidden;
  }

  /** Over what is shown. */
  lay() {
    const { left, top, width, height } = this.place();
    Object.assign(this.field.style, { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` });
  }

  begin() {
    this.lay();
    setHidden(this.element, false);
    this.show([0.1, 0.1, 0.8, 0.8]);
    this.field.focus();
  }

  /** @param {boolean} take */
  finish(take) {
    if (!this.open) return;
    setHidden(this.element, true);
    const [x, y, w, h] = this.part;
    if (take) this.take([x, y], [x + w, y + h]);
  }

  /** @param {[number, number, number, number]} part */
  show(part) {
    const [w, h] = [within(part[2], LEAST, 1), within(part[3], LEAST, 1)];
    this.part = [within(part[0], 0, 1 - w), within(part[1], 0, 1 - h), w, h];
    const [left, top, width, height] = this.part.map((v) => `${v * 100}%`);
    Object.assign(this.frame.style, { left, top, width, height });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const [x, y, w, h] = this.part;
    const arrow = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (arrow) {
      const [dx, dy] = arrow.map((d) => d * STEP);
      this.show(event.shiftKey ? [x, y, w + dx, h + dy] : [x + dx, y + dy, w, h]);
    } else if (event.key === "Enter" && event.target === this.field) this.finish(true);
    else if (event.key === "Escape") this.finish(false);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  watch() {
    /** @type {Point|null} */
    let from = null;
    const at = (/** @type {PointerEvent} */ event) => {
      const box = this.field.getBoundingClientRect();
      return /** @type {Point} */ ([
        within((event.clientX - box.left) / box.width, 0, 1), within((event.clientY - box.top) / box.height, 0, 1),
      ]);
    };
    this.field.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.field.setPointerCapture(event.pointerId);
      from = at(event);
    });
    this.field.addEventListener("pointermove", (event) => {
      if (!from) return;
      const [x, y] = at(event);
      if (Math.abs(x - from[0]) + Math.abs(y - from[1]) < 0.02) return; // a tap is no frame
      this.show([Math.min(x, from[0]), Math.min(y, from[1]), Math.abs(x - from[0]), Math.abs(y - from[1])]);
    });
    for (const end of ["pointerup", "pointercancel"]) this.field.addEventListener(end, () => (from = null));
  }
}
