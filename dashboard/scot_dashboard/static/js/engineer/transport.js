/**
 * What moves through time: a replay's player, for everybody; in a live room this page's own cursor.
 * @import {Session} from "../session.js"  @import {Catalogue, View} from "../types.js"
 */

import { h, setClass, setHidden, setText } from "../dom.js";
import { Lanes } from "../lanes.js";
import { spanText, word } from "../text.js";

const RATES = [0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 1000];
const FLAT_OUT = 1000;
const FASTEST_BACK = 16; // flat out goes on only
const FEW_MOVES = 36_000; // an hour of going back: each stride, seek or step is a lap, and bus time has an end
const LAST_NS = (1n << 63n) - (1n << 60n);

/** How often a replay's player may still be moved. @param {import("../types.js").Transport|null} player */
export function movesLeft(player) {
  if (!player) return Infinity;
  const { origin_ns, period_ns } = player.laps;
  return Math.max(0, Number((LAST_NS - BigInt(origin_ns)) / BigInt(period_ns)) - player.lap - 1);
}

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
    this.rate.addEventListener("change", () => this.wish({ rate: this.backwards ? -Math.min(FASTEST_BACK, Number(this.rate.value)) : Number(this.rate.value) }));
    this.where = h("output.where", { "aria-live": "off" });
    this.only = [this.back, button("❘◀", "toStart", "Home", () => this.key("Home"))];
    this.steps = [
      button("⇤", "sampleBack", "<", () => this.key("<")), button("−1", "pictureBack", ",", () => this.key(",")),
    ];
    this.on = [button("+1", "pictureOn", ".", () => this.key(".")), button("⇥", "sampleOn", ">", () => this.key(">"))];
    this.lanes = new Lanes(session);
    this.lanes.over = (pen, x, height, rem) => this.drawMarks(pen, x, height, rem);
    this.element = h("footer.transport", {}, [
      h("div.transport-keys", {}, [
        this.only[1], this.back, ...this.steps, this.play, ...this.on, this.rate, this.loop, this.where,
      ]),
      this.lanes.canvas,
    ]);
  }

  get player() {
    return this.view?.player ?? null;
  }

  get backwards() {
    return (this.player?.rate ?? 1) < 0;
  }

  /** @param {Record<string, any>} wish */
  wish(wish) {
    this.session.move({ do: "play", wish });
  }

  /** @param {number} t */
  seek(t) {
    const { span_t } = this.view ?? {};
    if (this.player) this.wish({ t: span_t ? Math.max(span_t[0], Math.min(t, span_t[1])) : t });
    else this.session.move({ do: "seek", t });
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
    else if (key === " ") player ? this.wish({ playing: !player.playing }) : this.session.move({ do: "freeze" });
    else if (!player) return false;
    else if (key === "," || key === ".") this.wish({ step: key === "." ? 1 : -1 });
    else if (key === "<" || key === ">") this.wish({ step: key === ">" ? 1 : -1, of: this.listed() });
    else if (key === "r") this.wish({ rate: -Math.min(FASTEST_BACK, Math.max(-FASTEST_BACK, player.rate)) });
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

  /** @param {View} view @param {Catalogue} catalogue */
  update(view, catalogue) {
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
      player?.ended ? word("atEnd") : "", movesLeft(player) < FEW_MOVES ? word("movesLeft").replace("{n}", String(movesLeft(player))) : "", !player && view.mode !== "live" ? `${word("behindLive")} ${spanText(view.behind_ms)}` : "",
    ].filter(Boolean).join(" · "));
    this.lanes.update(view, catalogue);
  }

  /** A and B, over the lanes. @param {CanvasRenderingContext2D} pen @param {(t: number) => number} x @param {number} height @param {number} rem */
  drawMarks(pen, x, height, rem) {
    for (const [name, color] of /** @type {const} */ ([["A", "#3ee6a0"], ["B", "#ff9ecb"]])) {
      const t = this.marks[name];
      if (t === null) continue;
      pen.fillStyle = color;
      pen.fillRect(x(t) - 0.09 * rem, 0, 0.18 * rem, height);
      pen.font = `700 ${0.75 * rem}px Inter, system-ui, sans-serif`;
      pen.textAlign = "left";
      pen.fillText(name, x(t) + 0.2 * rem, 0.5 * rem);
    }
  }
}
