/**
 * What moves through time: a replay's player, for everybody; in a live room this page's own cursor.
 * @import {Session} from "../session.js"  @import {View} from "../types.js"
 */

import { deviceSize, h, onResize, setClass, setHidden, setText } from "../dom.js";
import { spanText, word } from "../text.js";

const RATES = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 1000];
const FLAT_OUT = 1000;

export class Transport {
  /** @param {Session} session @param {() => string} listed the channel whose samples are stepped */
  constructor(session, listed) {
    this.session = session;
    this.listed = listed;
    /** @type {View|null} */
    this.view = null;
    /** @type {{A: number|null, B: number|null}} */
    this.marks = { A: null, B: null };
    const button = (/** @type {string} */ text, /** @type {string} */ name, /** @type {string} */ key, /** @type {() => void} */ act) => {
      const made = h("button.key", { type: "button", text, title: `${word(name)} (${key})`, "aria-label": word(name) });
      made.addEventListener("click", act);
      return made;
    };
    this.play = button("▶", "play", "space", () => this.key(" "));
    this.back = button("◀", "reverse", "r", () => this.key("r"));
    this.loop = button("⟲", "loop", "l", () => this.key("l"));
    this.rate = /** @type {HTMLSelectElement} */ (h("select.rate", { "aria-label": word("rate") }, RATES.map((r) =>
      h("option", { value: String(r), text: r === FLAT_OUT ? "max" : `${r}×` }))));
    this.rate.addEventListener("change", () => this.wish({ rate: Number(this.rate.value) * (this.backwards ? -1 : 1) }));
    this.where = h("output.where", { "aria-live": "off" });
    this.only = [this.back, button("❘◀", "toStart", "Home", () => this.key("Home"))];
    this.steps = [
      button("⇤", "sampleBack", "<", () => this.key("<")), button("−1", "pictureBack", ",", () => this.key(",")),
    ];
    this.on = [button("+1", "pictureOn", ".", () => this.key(".")), button("⇥", "sampleOn", ">", () => this.key(">"))];
    this.track = /** @type {HTMLCanvasElement} */ (h("canvas.scrub", { tabindex: "0", role: "slider", "aria-label": word("position") }));
    this.element = h("footer.transport", {}, [
      h("div.transport-keys", {}, [
        this.only[1], this.back, ...this.steps, this.play, ...this.on, this.rate, this.loop, this.where,
      ]),
      this.track,
    ]);
    onResize(this.track, () => this.draw());
    this.drag();
  }

  get player() {
    return this.view?.player ?? null;
  }

  get backwards() {
    return (this.player?.rate ?? 1) < 0;
  }

  /** @param {Record<string, any>} wish */
  wish(wish) {
    this.session.do({ do: "play", wish });
  }

  /** @param {number} t */
  seek(t) {
    if (this.player) this.wish({ t });
    else this.session.do({ do: "seek", t });
  }

  /** What a key does; false when nothing. @param {string} key */
  key(key) {
    const { view, player } = this;
    if (!view) return false;
    const here = view.cursor_t;
    const moves = /** @type {Record<string, number>} */ ({ ArrowLeft: -5_000, ArrowRight: 5_000, PageUp: -60_000, PageDown: 60_000 });
    if (key in moves) this.seek(here + moves[key]);
    else if (key === "Home") this.seek(this.span(view)[0]);
    else if (key === "End") this.seek(this.span(view)[1]);
    else if (key === " ") player ? this.wish({ playing: !player.playing }) : this.session.do({ do: "freeze" });
    else if (!player) return false;
    else if (key === "," || key === ".") this.wish({ step: key === "." ? 1 : -1 });
    else if (key === "<" || key === ">") this.wish({ step: key === ">" ? 1 : -1, of: this.listed() });
    else if (key === "r") this.wish({ rate: -Math.min(16, Math.max(-16, player.rate)) });
    else if (key === "+" || key === "=" || key === "-") this.wish({ rate: this.faster(key === "-" ? -1 : 1) });
    else if (key === "l") this.turnLoop();
    else return false;
    return true;
  }

  turnLoop() {
    const { A, B } = this.marks;
    if (this.player?.loop.length) this.wish({ loop_t: [] });
    else if (A !== null && B !== null && A !== B) this.wish({ loop_t: [Math.min(A, B), Math.max(A, B)], playing: true });
  }

  /** @param {number} by */
  faster(by) {
    const size = Math.abs(this.player?.rate ?? 1);
    const rates = this.backwards ? RATES.slice(0, -1) : RATES;
    let place = rates.findIndex((r) => r >= size - 1e-9);
    if (place < 0) place = rates.length - 1;
    return rates[Math.max(0, Math.min(rates.length - 1, place + by))] * (this.backwards ? -1 : 1);
  }

  /** All there is: the recording, or what the room holds. @param {View} view @returns {[number, number]} */
  span(view) {
    return view.span_t ?? [view.oldest_t, view.now_t];
  }

  drag() {
    const { track } = this;
    let due = 0;
    const go = (/** @type {PointerEvent} */ event) => {
      if (!this.view) return;
      const box = track.getBoundingClientRect();
      const [from, to] = this.span(this.view);
      const t = from + Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * (to - from);
      clearTimeout(due);
      due = window.setTimeout(() => this.seek(t), 40);
    };
    track.addEventListener("pointerdown", (event) => {
      track.setPointerCapture(event.pointerId);
      go(event);
    });
    track.addEventListener("pointermove", (event) => {
      if (track.hasPointerCapture(event.pointerId)) go(event);
    });
  }

  /** @param {View} view */
  update(view) {
    this.view = view;
    const { player } = this;
    for (const part of [this.back, this.rate, this.loop, ...this.steps, ...this.on]) setHidden(part, !player);
    const going = player ? player.playing : view.mode !== "frozen";
    setText(this.play, going ? "❚❚" : "▶");
    setClass(this.back, "on", this.backwards);
    setClass(this.loop, "on", Boolean(player?.loop.length));
    if (player && document.activeElement !== this.rate) this.rate.value = String(Math.abs(player.rate));
    const [from, to] = this.span(view);
    setText(this.where, [
      `${spanText(Math.max(0, view.cursor_t - from))} / ${spanText(Math.max(0, to - from))}`,
      player?.ended ? word("atEnd") : "", !player && view.mode !== "live" ? `${word("behindLive")} ${spanText(view.behind_ms)}` : "",
    ].filter(Boolean).join(" · "));
    this.track.setAttribute("aria-valuemin", "0");
    this.track.setAttribute("aria-valuemax", String(Math.round((to - from) / 1000)));
    this.track.setAttribute("aria-valuenow", String(Math.round((view.cursor_t - from) / 1000)));
    this.track.setAttribute("aria-valuetext", spanText(Math.max(0, view.cursor_t - from)));
    this.draw();
  }

  draw() {
    const { view } = this;
    const { width, height, rem } = deviceSize(this.track);
    if (this.track.width !== width || this.track.height !== height) {
      this.track.width = width;
      this.track.height = height;
    }
    const pen = this.track.getContext("2d");
    if (!pen || !view) return;
    pen.clearRect(0, 0, width, height);
    const [from, to] = this.span(view);
    const x = (/** @type {number} */ t) => ((t - from) / (to - from || 1)) * width;
    pen.fillStyle = "#111820";
    pen.fillRect(0, height * 0.35, width, height * 0.3);
    pen.fillStyle = "#6d3fc0";
    pen.fillRect(0, height * 0.35, x(view.cursor_t), height * 0.3);
    const loop = view.loop_t;
    if (loop) {
      pen.fillStyle = "rgba(89, 194, 255, 0.35)";
      pen.fillRect(x(loop[0]), height * 0.15, Math.max(2, x(loop[1]) - x(loop[0])), height * 0.7);
    }
    for (const [t, color] of /** @type {const} */ ([[this.marks.A, "#3ee6a0"], [this.marks.B, "#ff9ecb"], [view.cursor_t, "#ffb020"]])) {
      if (t === null) continue;
      pen.fillStyle = color;
      pen.fillRect(x(t) - 0.09 * rem, 0, 0.18 * rem, height);
    }
  }
}
