/**
 * Drawing on the picture: a pointer while live, ink and arrows on the frame that is held.
 * @import {Session} from "./session.js"  @import {Picture} from "./picture.js"  @import {View} from "./types.js"
 */

import { h, setClass } from "./dom.js";
import { PLAIN, toPicture } from "./feed/framing.js";
import { word } from "./text.js";

const POINTER_EVERY_MS = 90;
const POINTER_TTL_S = 4;
const INK_TTL_S = 20;
const LEAST_STEP = 0.003;
const MOST_POINTS = 500;
const TOOLS = /** @type {const} */ (["pointer", "ink", "arrow"]);

/** @type {Record<string, string>} 24 × 24 outlines */
const ICONS = {
  pointer: "M5 3l14 8-6.2 1.6L9.6 19z",
  ink: "M4 20l1-5L16 4l4 4L9 19zM13.5 6.5l4 4",
  arrow: "M5 19L19 5M9 5h10v10",
  undo: "M8 5L4 9l4 4M4 9h9a6 6 0 010 12h-3",
};

/** @param {string} name */
function icon(name) {
  const NS = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(NS, "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export class DrawingTools {
  /** @param {Session} session @param {Picture} picture */
  constructor(session, picture) {
    this.session = session;
    this.picture = picture;
    /** @type {typeof TOOLS[number]} */
    this.tool = "pointer";
    this.buttons = TOOLS.map((tool) => this.button(tool, () => this.choose(tool)));
    const undo = this.button("undo", () => this.undo());
    this.element = h("div.tools", { role: "toolbar", "aria-label": word("ink") }, [...this.buttons, undo]);
    /** @type {{id: string, at_ns: bigint}[]} */
    this.mine = [];
    /** @type {[number, number][]} */
    this.points = [];
    this.prefix = Array.from(crypto.getRandomValues(new Uint8Array(6)), (b) => b.toString(16).padStart(2, "0")).join("");
    this.count = 0;
    this.sent = 0;
    this.id = "";
    this.choose("pointer");
    this.watch();
  }

  /** @param {string} name @param {() => void} act */
  button(name, act) {
    const button = h("button.tool", { type: "button", title: word(name), "aria-label": word(name), "data-tool": name }, []);
    button.append(icon(name));
    button.addEventListener("click", act);
    return button;
  }

  /** @param {typeof TOOLS[number]} tool */
  choose(tool) {
    this.tool = tool;
    this.buttons.forEach((button, i) => {
      button.setAttribute("aria-pressed", String(TOOLS[i] === tool));
      setClass(button, "chosen", TOOLS[i] === tool);
    });
  }

  watch() {
    const surface = this.picture.element;
    setClass(surface, "drawable", true);
    surface.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !this.share(event)) return;
      surface.setPointerCapture(event.pointerId);
      this.begin(event);
    });
    surface.addEventListener("pointermove", (event) => {
      if (this.points.length && surface.hasPointerCapture(event.pointerId)) this.move(event);
    });
    surface.addEventListener("pointerup", () => this.finish());
    surface.addEventListener("pointercancel", () => this.finish());
  }

  /** Where in the picture as it came, 0..1, however it is turned and cropped here; null beside it. @param {PointerEvent} event @returns {[number, number]|null} */
  share(event) {
    const box = this.picture.element.getBoundingClientRect();
    const video = this.session.view?.videos[this.picture.id];
    const aspect = video?.aspect || 16 / 9;
    const width = Math.min(box.width, box.height * aspect);
    const height = width / aspect;
    const x = (event.clientX - box.left - (box.width - width) / 2) / width;
    const y = (event.clientY - box.top - (box.height - height) / 2) / height;
    if (!(x >= 0 && x <= 1 && y >= 0 && y <= 1)) return null;
    const exact = (/** @type {number} */ v) => Math.min(1, Math.max(0, Math.round(v * 1e5) / 1e5));
    const [px, py] = toPicture(video?.framing ?? PLAIN, [x, y]);
    return [exact(px), exact(py)];
  }

  /** @param {PointerEvent} event */
  begin(event) {
    const at = this.share(event);
    if (!at) return;
    this.id = `${this.prefix}-${++this.count}`;
    this.points = [at];
    if (this.tool !== "pointer") this.session.do({ do: "hold", id: this.picture.id });
    this.show();
    if (this.tool === "pointer") this.send();
  }

  /** @param {PointerEvent} event */
  move(event) {
    const at = this.share(event);
    if (!at) return;
    const [x, y] = this.points[this.points.length - 1];
    if (Math.hypot(at[0] - x, at[1] - y) < LEAST_STEP) return;
    if (this.tool === "ink" && this.points.length < MOST_POINTS) this.points.push(at);
    else if (this.tool === "arrow") this.points = [this.points[0], at];
    else if (this.tool === "pointer") this.points = [at];
    this.show();
    if (this.tool === "pointer" && performance.now() - this.sent > POINTER_EVERY_MS) this.send();
  }

  finish() {
    if (!this.points.length) return;
    const enough = this.tool !== "arrow" || this.points.length > 1;
    if (enough) this.send();
    this.points = [];
    this.session.do({ do: "draft", address: this.picture.place.address, note: null });
  }

  /** The stroke on this very screen, before the room has it. */
  show() {
    this.session.do({
      do: "draft",
      address: this.picture.place.address,
      note: { id: "draft", author: this.author ?? "", tool: this.tool, points: this.points, ttl_s: 60, t: 0, at_t: 0, at_unix_ms: 0 },
    });
  }

  /** @param {string} author */
  setAuthor(author) {
    this.author = author;
  }

  send() {
    this.sent = performance.now();
    this.session.do({
      do: "annotate",
      id: this.picture.id,
      note: {
        id: this.id, channel: this.picture.place.address, tool: this.tool,
        points: this.points, text: "", ttl_s: this.tool === "pointer" ? POINTER_TTL_S : INK_TTL_S,
      },
    });
    if (!this.mine.some((m) => m.id === this.id)) this.mine.push({ id: this.id, at_ns: 0n });
  }

  undo() {
    const last = this.mine.pop();
    if (!last) return;
    this.session.do({
      do: "annotate",
      id: this.picture.id,
      note: { id: last.id, channel: this.picture.place.address, tool: "ink", points: [], text: "", ttl_s: 0 },
    });
  }
}
